//! One or two stars from data to posterior: a dwarf like the Sun and a red-clump giant, or whatever is
//! nearest to them.

use super::context::{Context, coordinates, pick};
use crate::error::Result;
use crate::quantity::{plain_symbol, symbol};
use crate::validate::figure::{FittedFlux, StarEstimate, StarFigure};
use crate::validate::number::significant;
use crate::validate::report::Report;
use ndarray::s;

/// What is looked for: a name, T_eff in K, log g.
const EXAMPLES: [(&str, f64, f64); 2] = [("A star like the Sun", 5772.0, 4.44), ("A red-clump giant", 4800.0, 2.45)];
/// Differences in T_eff (K) and log g that count alike.
const TOLERANCE: [f64; 2] = [100.0, 0.1];

pub(super) fn section(context: &Context<'_>, report: &mut Report) -> Result<()> {
    report.section(
        "Example stars",
        "Spectrum and fit, residuals in units of the error, and the posterior: ellipses hold 39 % and 86 % of the probability, \
         axes span ±3σ, the numbers are correlations.",
    );
    let map = context.input.map;
    let position = |name: &str| map.parameters.iter().position(|parameter| parameter.0 == name);
    let good = context.reliable();
    let (Some(teff), Some(logg)) = (position("teff"), position("logg")) else {
        return good.first().map_or(Ok(()), |&star| figure(context, report, "A star", star));
    };
    let mut shown = Vec::new();
    for (name, wanted_teff, wanted_logg) in EXAMPLES {
        let distance = |star: usize| {
            ((map.values[[star, teff]] - wanted_teff) / TOLERANCE[0]).powi(2)
                + ((map.values[[star, logg]] - wanted_logg) / TOLERANCE[1]).powi(2)
        };
        let nearest = good.iter().copied().min_by(|&a, &b| distance(a).total_cmp(&distance(b)));
        if let Some(star) = nearest.filter(|star| !shown.contains(star)) {
            shown.push(star);
            figure(context, report, name, star)?;
        }
    }
    Ok(())
}

fn figure(context: &Context<'_>, report: &mut Report, name: &str, star: usize) -> Result<()> {
    let (map, observations, model) = (context.input.map, context.input.new_stars, &context.input.trained.model);
    let values: Vec<Vec<f64>> = (0..model.space.len()).map(|position| vec![map.values[[star, position]]]).collect();
    let predicted = model.predict(coordinates(&model.space, &values).view())?;
    let order = context.ascending();
    let row = |array: &ndarray::Array2<f32>| order.iter().map(|&w| f64::from(array[[star, w]])).collect::<Vec<f64>>();
    let estimates: Vec<StarEstimate<'_>> = (map.fitted.iter().enumerate())
        .map(|(index, &position)| {
            let (name, unit, _) = &map.parameters[position];
            StarEstimate { name: symbol(name), unit, value: map.values[[star, position]], error: map.error(star, index) }
        })
        .collect();
    let title = format!(
        "source_id {}, χ² = {} for {} degrees of freedom",
        map.ids[star],
        significant(map.chi_square[star], 3),
        significant(map.degrees_of_freedom[star], 3)
    );
    let truth: Vec<String> = (map.fitted.iter())
        .filter_map(|&position| {
            let (parameter, unit, _) = &map.parameters[position];
            let value = significant(context.truth(parameter)?[star], 4);
            Some(format!("{} = {value} {unit}", plain_symbol(parameter)).trim_end().to_owned())
        })
        .collect();
    let caption =
        if truth.is_empty() { format!("{name}.") } else { format!("{name}. Its true parameters: {}.", truth.join(", ")) };
    let figure = StarFigure {
        title: &title,
        fitted: FittedFlux {
            wavelength: &pick(&model.grid.wavelength, &order),
            flux: &row(&observations.flux),
            flux_error: &row(&observations.flux_error),
            fit: &pick(&predicted.row(0).to_vec(), &order),
            flux_label: "flux (10^{−18} W m^{−2} nm^{−1})",
        },
        estimates: &estimates,
        covariance: Some(map.covariance.slice(s![star, .., ..])),
    };
    report.figure(caption, figure.figure());
    Ok(())
}
