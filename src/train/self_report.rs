//! What a training knows of its own faults when it ends, and the warnings that follow.
//!
//! A training that went wrong shows it: a stage ends worse than an earlier one, cleaning removes many stars
//! or most of the bright ones, or the stars that are left lie beside their own measurements. None of this
//! needs the truth.

use super::clean::CleaningReport;
use super::companions::UnresolvedPairs;
use super::label_errors::LabelError;
use super::run::StageRecord;
use super::state::TrainingState;
use crate::model::{Calibration, Parameter, ParameterSpace};
use crate::observations::Observations;
use crate::quantity::GIANTS_BELOW;
use crate::statistics::median;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A stage that ends worse than an earlier one by more than this fraction.
const WORSE: f64 = 0.01;
/// Share of the stars that one cleaning may want to remove; of a quarter of them by signal-to-noise ratio.
const LARGEST_SHARE: f64 = 0.05;
const LARGEST_SHARE_OF_QUARTER: f64 = 0.1;
/// Share of pairs of like stars; a third of all stars is double, but few of these are alike.
const LARGEST_SHARE_OF_BINARIES: f64 = 0.2;
/// Median pull of a constraint, and how many of its own standard errors it must be as well.
const LARGEST_PULL: f64 = 0.3;
const SIGNIFICANT: f64 = 5.0;
/// Mean loss per flux of a model that describes its stars; errors of the model are part of it.
const LARGEST_LOSS: f64 = 2.0;
/// And so small that their errors are more than half again too large.
const SMALLEST_LOSS: f64 = 0.4;

/// The report of a training on itself.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SelfReport {
    /// How well the zero points are known, of all stars and of the regions of the labels that differ.
    pub zero_points: Vec<ZeroPoints>,
    /// Unresolved pairs among the stars that tell the zero points; their displacements are taken off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unresolved_pairs: Option<UnresolvedPairs>,
    /// By which factors the errors of measured values are off; empty for models of earlier versions, and
    /// where too few stars tell.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub label_errors: Vec<LabelError>,
    /// How far the fitted parameters of the kept stars lie from the measured ones.
    pub drifts: Vec<Drift>,
    /// Stars of the sample, and how many of them cleaning removed.
    pub n_stars: usize,
    pub n_removed: usize,
    /// Share of unresolved binaries among the stars, where the recipe has them estimated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub binaries: Option<f64>,
    /// Mean loss of the fluxes of the validation stars, per flux.
    pub validation_loss: f64,
    /// What a user should look at before trusting the model.
    pub warnings: Vec<String>,
}

/// 1σ errors of the zero points of a group of stars.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ZeroPoints {
    /// `all stars`, or the bounds of labels.
    pub group: String,
    /// By parameter, in file units (the distance parameter as a fraction).
    pub errors: BTreeMap<String, f64>,
    /// The parameters that nothing measured tells: their errors are not known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<String>,
    /// The parameters whose errors are fractions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fractions: Vec<String>,
}

/// Fitted less measured values of a parameter, for a group of stars.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drift {
    pub parameter: String,
    /// `all stars`, `giants` or `dwarfs` (by the fitted log g, where it is a label).
    pub group: String,
    pub n_stars: usize,
    /// Median difference in file units, and in units of the error of the measurement.
    pub difference: f64,
    pub pull: f64,
}

impl SelfReport {
    /// Of a finished training.
    pub(super) fn of(
        state: &TrainingState,
        observations: &Observations,
        (stages, cleanings): (&[StageRecord], &[CleaningReport]),
        label_errors: Vec<LabelError>,
        validation_loss: f64,
    ) -> Self {
        let drifts = drifts(state, observations);
        let mut warnings = of_stages(stages);
        warnings.extend(cleanings.iter().flat_map(of_cleaning));
        warnings.extend(drifts.iter().filter_map(of_drift));
        warnings.extend(label_errors.iter().filter_map(LabelError::warning));
        if validation_loss > LARGEST_LOSS {
            warnings.push(format!(
                "the fluxes of validation stars are {:.1} times further from the model than their errors allow (loss {validation_loss:.3} per flux)",
                validation_loss.sqrt()
            ));
        }
        if validation_loss < SMALLEST_LOSS {
            warnings.push(format!(
                "the fluxes of validation stars are {:.1} times nearer to the model than their errors say (loss {validation_loss:.3} per flux): \
                 errors of fluxes or what the recipe adds to them look too large, and errors of fits with them",
                validation_loss.sqrt().recip()
            ));
        }
        let binaries = state.binaries.as_ref().map(|binaries| binaries.share);
        warnings.extend(binaries.and_then(of_binaries));
        let kept = state.kept_stars().len();
        Self {
            unresolved_pairs: None,
            zero_points: zero_points(&state.model.space, state.model.calibration.as_ref()),
            label_errors,
            drifts,
            n_stars: state.kept.len(),
            n_removed: state.kept.len() - kept,
            binaries,
            validation_loss,
            warnings,
        }
    }
}

/// Square roots of the variances of the zero points, of all stars and of the regions.
pub fn zero_points(space: &ParameterSpace, calibration: Option<&Calibration>) -> Vec<ZeroPoints> {
    let Some(calibration) = calibration else { return Vec::new() };
    // What is measured has no error of exactly zero.
    let is_known = |i: usize| calibration.covariance[i][i] > 0.0;
    let unknown: Vec<String> = (space.parameters.iter().enumerate())
        .filter(|(i, _)| !is_known(*i))
        .map(|(_, parameter)| parameter.name.clone())
        .collect();
    let errors = |covariance: &[Vec<f64>]| {
        let parameters = space.parameters.iter().enumerate().filter(|(i, _)| is_known(*i));
        let error = |(i, parameter): (usize, &Parameter)| {
            let factor = if parameter.is_distance() { 1.0 } else { parameter.model_units_per_file_unit };
            (parameter.name.clone(), covariance[i][i].sqrt() / factor)
        };
        parameters.map(error).collect()
    };
    let fractions: Vec<String> =
        space.distance_position().iter().map(|&position| space.parameters[position].name.clone()).collect();
    let bound = |(name, [low, high]): (&String, &[f64; 2])| {
        let factor = space.get(name).map_or(1.0, |parameter| parameter.model_units_per_file_unit);
        let text = |value: f64| format!("{:.4}", value / factor).trim_end_matches('0').trim_end_matches('.').to_owned();
        match (low.is_finite(), high.is_finite()) {
            (true, true) => format!("{name} {} to {}", text(*low), text(*high)),
            (true, false) => format!("{name} from {}", text(*low)),
            _ => format!("{name} below {}", text(*high)),
        }
    };
    let mut groups = vec![ZeroPoints {
        group: "all stars".into(),
        errors: errors(&calibration.covariance),
        unknown: unknown.clone(),
        fractions: fractions.clone(),
    }];
    groups.extend(calibration.regions.iter().map(|region| ZeroPoints {
        group: region.bounds.iter().map(bound).collect::<Vec<_>>().join(", "),
        errors: errors(&region.covariance),
        unknown: unknown.clone(),
        fractions: fractions.clone(),
    }));
    groups
}

/// All constrained parameters of all kept stars, of giants and of dwarfs.
fn drifts(state: &TrainingState, observations: &Observations) -> Vec<Drift> {
    let space = &state.model.space;
    let stars = state.kept_stars();
    let gravity = space.position(GIANTS_BELOW.0).ok().filter(|&position| space.parameters[position].is_label());
    let is_giant = |star: usize| gravity.map(|p| space.parameters[p].model_value(state.coordinates[[star, p]]) < GIANTS_BELOW.1);
    let groups: [(&str, Vec<usize>); 3] = [
        ("giants", stars.iter().copied().filter(|&star| is_giant(star) == Some(true)).collect()),
        ("dwarfs", stars.iter().copied().filter(|&star| is_giant(star) == Some(false)).collect()),
        ("all stars", stars),
    ];
    let mut drifts = Vec::new();
    for (position, parameter) in space.parameters.iter().enumerate() {
        for (group, stars) in &groups {
            let measured = stars.iter().filter_map(|&star| Some((star, observations.constraint(&parameter.name, star)?)));
            let (differences, pulls): (Vec<f64>, Vec<f64>) = measured
                .map(|(star, (value, error))| {
                    let fitted = parameter.model_value(state.coordinates[[star, position]]) / parameter.model_units_per_file_unit;
                    (fitted - value, (fitted - value) / error)
                })
                .unzip();
            if !pulls.is_empty() {
                drifts.push(Drift {
                    parameter: parameter.name.clone(),
                    group: (*group).into(),
                    n_stars: pulls.len(),
                    difference: median(&differences),
                    pull: median(&pulls),
                });
            }
        }
    }
    drifts
}

fn of_stages(stages: &[StageRecord]) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut best: Option<&StageRecord> = None;
    for stage in stages {
        if let Some(best) = best.filter(|best| stage.loss > best.loss + WORSE * best.loss.abs()) {
            warnings.push(format!(
                "stage '{}' ended with a loss of {:.3} per flux, worse than {:.3} after '{}'",
                stage.stage, stage.loss, best.loss, best.stage
            ));
        }
        if stage.gained_nothing && stage.returns > 0 {
            warnings.push(format!("stage '{}' gained nothing: no epoch lowered the loss (lower its learning_rate)", stage.stage));
        }
        if best.is_none_or(|best| stage.loss < best.loss) {
            best = Some(stage);
        }
    }
    warnings
}

fn of_cleaning(cleaning: &CleaningReport) -> Vec<String> {
    let mut warnings = Vec::new();
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    let beyond = (cleaning.n_removed + cleaning.n_spared) as f64 / cleaning.n_before.max(1) as f64;
    if beyond > LARGEST_SHARE {
        let spared = if cleaning.n_spared > 0 { format!("; {} of them stayed", cleaning.n_spared) } else { String::new() };
        warnings.push(format!("cleaning '{}' found {} of the stars beyond its limits{spared}", cleaning.stage, percent(beyond)));
    }
    let [low, _, _, high] = cleaning.share_by_signal_to_noise;
    if high > LARGEST_SHARE_OF_QUARTER && high > 2.0 * low {
        warnings.push(format!(
            "cleaning '{}' found {} of the quarter with the best spectra beyond its limits, {} of that with the worst: the model, not the stars, may be wrong",
            cleaning.stage,
            percent(high),
            percent(low)
        ));
    }
    warnings
}

fn of_binaries(share: f64) -> Option<String> {
    (share > LARGEST_SHARE_OF_BINARIES).then(|| {
        format!(
            "{:.0} % of the stars are taken for unresolved binaries: the model, not the stars, may be wrong in brightness",
            100.0 * share
        )
    })
}

fn of_drift(drift: &Drift) -> Option<String> {
    let standard_error = 1.25 / (drift.n_stars as f64).sqrt();
    (drift.pull.abs() > LARGEST_PULL.max(SIGNIFICANT * standard_error)).then(|| {
        format!(
            "{} of {} lies {:+.2} errors from the measured values in the median ({} stars)",
            drift.parameter, drift.group, drift.pull, drift.n_stars
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(name: &str, loss: f64) -> StageRecord {
        StageRecord { stage: name.into(), loss, returns: 0, gained_nothing: false }
    }

    fn cleaning(n_removed: usize, n_spared: usize, share_by_signal_to_noise: [f64; 4]) -> CleaningReport {
        let (stage, n_before) = ("clean".into(), 1000);
        CleaningReport { stage, n_before, n_parameters: 0, n_flux: 0, n_removed, n_spared, share_by_signal_to_noise }
    }

    #[test]
    fn a_stage_that_ends_worse_than_any_earlier_one_is_named_with_it() {
        assert!(of_stages(&[stage("a", 30.0), stage("b", 1.1), stage("c", 1.105), stage("d", 0.9)]).is_empty());
        let warnings = of_stages(&[stage("a", 30.0), stage("b", 1.1), stage("c", 1.94), stage("d", 1.5)]);
        assert!(warnings.len() == 2 && warnings[0].contains("'c'") && warnings[0].contains("1.100 after 'b'"), "{warnings:?}");
        let useless = StageRecord { returns: 10, gained_nothing: true, ..stage("b", 1.1) };
        assert!(of_stages(&[useless])[0].contains("learning_rate"));
    }

    #[test]
    fn cleanings_that_remove_many_or_the_bright_ones_are_named() {
        assert!(of_cleaning(&cleaning(40, 0, [0.02, 0.03, 0.05, 0.06])).is_empty());
        let many = of_cleaning(&cleaning(50, 150, [0.2; 4]));
        assert!(many.len() == 1 && many[0].contains("20.0 %") && many[0].contains("150 of them stayed"), "{many:?}");
        assert!(of_cleaning(&cleaning(40, 0, [0.0, 0.01, 0.03, 0.12]))[0].contains("best spectra"));
    }

    #[test]
    fn zero_points_that_nothing_measured_tells_are_not_zero_but_unknown() {
        let parameters =
            [Parameter::label("teff"), Parameter::new("xi", "", ""), Parameter::distance("parallax", "mas", "", 1.0)];
        let space = ParameterSpace { parameters: parameters.to_vec() };
        let covariance = vec![vec![4e-4, 0.0, 0.0], vec![0.0; 3], vec![0.0, 0.0, 9e-4]];
        let calibration =
            Calibration { standard_error: vec![vec![0.0; 3]; 3], shared: Vec::new(), covariance, regions: Vec::new() };
        let all = &zero_points(&space, Some(&calibration))[0];
        assert_eq!(all.errors.keys().collect::<Vec<_>>(), ["parallax", "teff"]);
        assert_eq!(all.unknown, ["xi"]);
    }

    #[test]
    fn too_many_binaries_are_named() {
        assert!(of_binaries(0.15).is_none());
        assert!(of_binaries(0.4).unwrap().starts_with("40 % of the stars"));
    }

    #[test]
    fn constraints_off_centre_are_named_where_enough_stars_say_so() {
        let drift = |n_stars: usize, pull: f64| {
            of_drift(&Drift { parameter: "logg".into(), group: "dwarfs".into(), n_stars, difference: 0.2, pull })
        };
        assert!(drift(1000, 0.29).is_none() && drift(100, -0.5).is_none());
        assert!(drift(425, 0.34).is_some() && drift(127, 16.5).is_some());
        assert!(drift(1000, -2.0).unwrap().contains("logg of dwarfs lies -2.00 errors"));
    }
}
