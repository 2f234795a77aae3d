//! The fits of new stars against truth or catalogue: residuals and pulls of every parameter.

use super::acceptance::reduced_chi_square;
use super::context::{Context, numbers, pick};
use crate::error::Result;
use crate::infer::Estimates;
use crate::model::Transform;
use crate::quantity::{plain_symbol, symbol};
use crate::statistics::{median, percentiles, pull_statistics, robust_scatter};
use crate::validate::figure::{LabelResidual, LabelResiduals, PullHistogram, PullHistograms};
use crate::validate::number::{percent, significant, with_error};
use crate::validate::report::Report;

pub(super) fn sections(context: &Context<'_>, report: &mut Report) -> Result<()> {
    label_residuals(context, report);
    pulls(context, report);
    Ok(())
}

/// True values of a parameter, or the catalogue's.
fn reference(context: &Context<'_>, parameter: &str) -> Option<Vec<f64>> {
    let observations = context.input.new_stars;
    let measured = || {
        observations.constraints.get(parameter).map(|constraint| {
            (0..observations.len()).map(|star| constraint.get(star).map_or(f64::NAN, |(value, _)| value)).collect::<Vec<f64>>()
        })
    };
    context
        .truth(parameter)
        .or_else(measured)
        .or_else(|| numbers(&observations.auxiliary, parameter))
        .filter(|values| values.iter().any(|value| value.is_finite()))
}

fn label_residuals(context: &Context<'_>, report: &mut Report) {
    let map = context.input.map;
    let kind = if context.selected.is_some() { "true" } else { "catalogue" };
    let stars = context.reliable();
    let pairs: Vec<(usize, Vec<f64>, Vec<f64>)> = (map.fitted.iter())
        .filter_map(|&position| {
            let reference = pick(&reference(context, &map.parameters[position].0)?, &stars);
            Some((position, reference, pick(&map.values.column(position).to_vec(), &stars)))
        })
        .collect();
    let labels: Vec<LabelResidual<'_>> = (pairs.iter())
        .map(|(position, reference, estimate)| {
            let (name, unit, _) = &map.parameters[*position];
            LabelResidual { name: symbol(name), unit, reference, estimate }
        })
        .collect();
    if labels.is_empty() {
        return;
    }
    report.section(
        "Residuals per parameter",
        format!(
            "Fitted minus {kind} value of stars with reliable fits (flags 3 to 6 and 11 unset), against the {kind} value, for \
             the default fit. The line is the running median, the dashed lines enclose 68 % of the stars."
        ),
    );
    report.figure(format!("Residuals of {} stars.", stars.len()), LabelResiduals { labels: &labels }.figure());
    let rows = (labels.iter().zip(&pairs))
        .map(|(label, (position, reference, estimate))| {
            let residuals: Vec<f64> = estimate.iter().zip(reference).map(|(estimate, reference)| estimate - reference).collect();
            let index = map.fitted.iter().position(|fitted| fitted == position).unwrap_or(0);
            let errors: Vec<f64> = stars.iter().map(|&star| map.error(star, index)).collect();
            let [low, high] = percentiles(&residuals, [16.0, 84.0]);
            let unit = if label.unit.is_empty() { String::new() } else { format!(" ({})", label.unit) };
            let numbers = [median(&residuals), robust_scatter(&residuals), low, high, median(&errors)];
            std::iter::once(format!("{}{unit}", plain_symbol(&map.parameters[*position].0)))
                .chain(numbers.map(|number| significant(number, 3)))
                .collect()
        })
        .collect();
    let header = ["parameter", "median Δ", "scatter (MAD-σ)", "16th percentile", "84th percentile", "median error of the fit"];
    report.table(format!("Fitted minus {kind} values."), header, rows);
}

fn pulls(context: &Context<'_>, report: &mut Report) {
    let Some(stars) = &context.selected else { return };
    report.section("Pulls", explanation(context));
    let judged = context.judged();
    let has_likelihood = context.input.likelihood.is_some();
    let map = context.input.map;
    let all: Vec<(usize, Vec<f64>, Vec<f64>)> = (0..judged.fitted.len())
        .filter_map(|index| {
            let name = &judged.parameters[judged.fitted[index]].0;
            let beside = map.fitted.iter().position(|&position| map.parameters[position].0 == *name);
            let beside = beside.filter(|_| has_likelihood).and_then(|index| context.pulls(map, index, stars));
            Some((index, context.pulls(judged, index, stars)?, beside.unwrap_or_default()))
        })
        .collect();
    let name = |index: usize| judged.parameters[judged.fitted[index]].0.as_str();
    let parameters: Vec<PullHistogram<'_>> =
        all.iter().map(|(index, pulls, beside)| PullHistogram { name: symbol(name(*index)), pulls, beside }).collect();
    let (pulls_name, beside_name) = if has_likelihood { ("likelihood", "MAP") } else { ("MAP", "") };
    let caption =
        format!("(estimate − truth)/σ of {} stars against the normal distribution that perfect errors would give.", stars.len());
    report.figure(caption, PullHistograms { parameters: &parameters, pulls_name, beside_name }.figure());
    let row = |fit: &str, index: usize, pulls: &[f64]| {
        let statistics = pull_statistics(pulls);
        vec![
            format!("{}, {fit}", plain_symbol(name(index))),
            statistics.n.to_string(),
            with_error(statistics.median.value, statistics.median.error),
            with_error(statistics.scatter.value, statistics.scatter.error),
            percent(statistics.within_68.value),
            percent(statistics.within_95.value),
        ]
    };
    let mut rows: Vec<Vec<String>> = all.iter().map(|(index, pulls, _)| row(pulls_name, *index, pulls)).collect();
    rows.extend(
        all.iter().filter(|(_, _, beside)| !beside.is_empty()).map(|(index, _, beside)| row(beside_name, *index, beside)),
    );
    let header = ["pulls", "stars", "median", "MAD-σ", "within 1σ", "within 1.96σ"];
    report.table("Pulls with their Monte-Carlo errors; perfect errors give 0, 1, 68.3 % and 95 %.", header, rows);
    let mut rows = vec![chi_square_row(pulls_name, judged, stars)];
    if has_likelihood {
        rows.push(chi_square_row(beside_name, map, stars));
    }
    report.table("χ²/n_dof of the flux of the same stars.", ["fit", "16th percentile", "median", "84th percentile"], rows);
}

fn explanation(context: &Context<'_>) -> String {
    let n = context.selected.as_ref().map_or(0, Vec::len);
    let mut text = format!(
        "Is the error bar right? Judged are {n} of {} new stars: single ones, whose true labels lie inside the training range \
         and whose true E exceeds 3σ_E. The selection uses true values only: a cut on fitted values would itself bias the \
         pulls.",
        context.input.new_stars.len()
    );
    let positive: Vec<String> = (context.input.trained.model.space.parameters.iter())
        .filter(|parameter| parameter.transform == Transform::Logarithm)
        .map(|parameter| plain_symbol(&parameter.name))
        .collect();
    if context.input.likelihood.is_some() {
        text += "\n\nThe pulls of the likelihood-only fit test the errors. The default fit (MAP) adds a prior on the labels, \
        which pulls uncertain stars towards the training sample and makes the scatter of pulls smaller than one";
        text += &match positive.as_slice() {
            [] => ".".into(),
            names => format!(
                ", and for {} the Jacobian of a flat prior on positive values, −2 ln x. The Jacobian shifts the maximum in a \
                 known way: a measurement x̂ ± σ alone gives (x̂ + √(x̂² + 4σ²))/2, above x̂ by about σ²/x̂, and parameters \
                 that are correlated with x move along.",
                names.join(" and ")
            ),
        };
    }
    text
}

fn chi_square_row(name: &str, estimates: &Estimates, stars: &[usize]) -> Vec<String> {
    let values = percentiles(&pick(&reduced_chi_square(estimates), stars), [16.0, 50.0, 84.0]);
    std::iter::once(name.to_owned()).chain(values.map(|value| significant(value, 3))).collect()
}
