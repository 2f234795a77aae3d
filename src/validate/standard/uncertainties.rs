//! Correlations of the fitted parameters, with and without the parallax (Zhang, Green & Rix 2023, fig. 6).

use super::context::Context;
use crate::error::Result;
use crate::optimise::dense::{invert_positive_semidefinite, pack_upper_triangle};
use crate::quantity::symbol;
use crate::validate::correlation::median_correlation;
use crate::validate::figure::{CorrelationMatrices, NamedMatrix};
use crate::validate::number::significant;
use crate::validate::report::Report;
use ndarray::{Array2, ArrayView2, s};

/// Median correlation matrices `[F, F]` of the fitted parameters.
struct Correlations {
    without: Array2<f64>,
    with: Array2<f64>,
    n_stars: usize,
}

pub(super) fn section(context: &Context<'_>, report: &mut Report) -> Result<()> {
    report.section(
        "Correlations",
        "Flux alone hardly tells a faint star nearby from a luminous one far away: distance and gravity are degenerate, and so \
         are dust and temperature. A measured parallax breaks the first degeneracy.",
    );
    let Some(correlations) = correlations(context)? else { return Ok(()) };
    let map = context.input.map;
    let names: Vec<String> = map.fitted.iter().map(|&position| symbol(&map.parameters[position].0).into_owned()).collect();
    let matrices = [
        NamedMatrix { title: "without parallax", matrix: correlations.without.view() },
        NamedMatrix { title: "with parallax", matrix: correlations.with.view() },
    ];
    let mut caption = format!(
        "Median correlation matrices of {} new stars (inverse Fisher matrices). Without parallax: the same Fisher matrices less the information of the \
         measured parallax.",
        correlations.n_stars
    );
    if let Some([without, with]) = correlations_of_parallax_and_gravity(context)? {
        caption += &format!(" The median corr(ϖ, log g) falls from {} to {}.", significant(without, 3), significant(with, 3));
    }
    report.figure(caption, CorrelationMatrices { names: &names, matrices: &matrices }.figure());
    Ok(())
}

/// Median corr(ϖ, log g) without and with the parallax; `None` where one is not fitted or no parallax was
/// measured.
pub(super) fn correlations_of_parallax_and_gravity(context: &Context<'_>) -> Result<Option<[f64; 2]>> {
    let map = context.input.map;
    let index = |name: &str| map.fitted.iter().position(|&position| map.parameters[position].0 == name);
    let (Some(parallax), Some(gravity), Some(correlations)) = (index("parallax"), index("logg"), correlations(context)?) else {
        return Ok(None);
    };
    Ok(Some([correlations.without[[parallax, gravity]], correlations.with[[parallax, gravity]]]))
}

/// Over the stars with a measured parallax with reliable fits.
fn correlations(context: &Context<'_>) -> Result<Option<Correlations>> {
    let map = context.input.map;
    let Some(index) = map.fitted.iter().position(|&position| map.parameters[position].0 == "parallax") else { return Ok(None) };
    let (mut with, mut without) = (Vec::new(), Vec::new());
    let mut n_stars = 0;
    for star in context.reliable() {
        let Some((_, error)) = context.input.new_stars.constraint("parallax", star) else { continue };
        let Some(reduced) = without_constraint(map.information.slice(s![star, .., ..]), index, error) else { continue };
        let f = map.fitted.len();
        let information: Vec<f64> = map.information.slice(s![star, .., ..]).iter().copied().collect();
        let Some(formal) = invert_positive_semidefinite(&information, f) else { continue };
        with.extend(pack_upper_triangle(&formal.matrix, f));
        without.extend(pack_upper_triangle(&reduced, f));
        n_stars += 1;
    }
    if n_stars == 0 {
        return Ok(None);
    }
    let f = map.fitted.len();
    let median = |packed: &[f64]| {
        let view = ArrayView2::from_shape((n_stars, f * (f + 1) / 2), packed)
            .map_err(|error| crate::error::Error::numerical("covariances of a report").found(error.to_string()).source(error))?;
        median_correlation(view, f)
    };
    Ok(Some(Correlations { without: median(&without)?, with: median(&with)?, n_stars }))
}

/// Covariance of a Fisher matrix `[F, F]` from which the measurement `± error` of the parameter `index` is
/// taken out; `None` where nothing else constrains it.
pub(super) fn without_constraint(information: ArrayView2<'_, f64>, index: usize, error: f64) -> Option<Vec<f64>> {
    let f = information.nrows();
    let mut flat: Vec<f64> = information.iter().copied().collect();
    flat[index * f + index] -= error.powi(-2);
    if flat[index * f + index] <= 0.0 {
        return None;
    }
    invert_positive_semidefinite(&flat, f).filter(|inverse| inverse.n_floored == 0).map(|inverse| inverse.matrix)
}
