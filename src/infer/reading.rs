//! How observations are read for a fit.

use super::options::FitOptions;
use crate::observations::{Grid, ReadOptions};
use crate::residuals::{Groups, MAGNITUDE};
use crate::train::TrainedModel;
use std::collections::BTreeMap;

/// How an observation file has to be read for a fit with these options: constraints, units, offsets and the
/// model's error.
pub fn read_options(trained: &TrainedModel, options: &FitOptions) -> ReadOptions {
    let parameters = &trained.model.space.parameters;
    ReadOptions {
        constraints: parameters.iter().map(|parameter| parameter.name.clone()).collect(),
        flagged: Some(trained.model.space.named(&options.constraints)),
        units: parameters.iter().map(|parameter| (parameter.name.clone(), parameter.unit.clone())).collect(),
        flux_unit: Some(trained.model.flux_unit.clone()),
        model_error: if options.model_error { trained.model.model_error.clone() } else { Vec::new() },
        flux_factors: flux_factors(&trained.model.grid, &options.zero_points),
        offsets: options.offsets.clone(),
        ..Default::default()
    }
}

/// What takes zero points off the fluxes `[W]`; empty where there are none.
fn flux_factors(grid: &Grid, zero_points: &BTreeMap<String, f64>) -> Vec<f64> {
    if zero_points.is_empty() {
        return Vec::new();
    }
    let groups = Groups::of(grid);
    let offset = |group: &usize| zero_points.get(&groups.names[*group]).copied().unwrap_or(0.0);
    groups.of_entry.iter().map(|group| (-MAGNITUDE * offset(group)).exp()).collect()
}
