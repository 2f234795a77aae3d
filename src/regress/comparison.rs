//! One table of the network and its baselines on the validation stars: the same stars, the same inputs.

use super::baselines::{Lesson, all};
use super::model::RegressionModel;
use super::objective::parallaxes;
use super::recipe::RegressionRecipe;
use super::target::Target;
use super::train::{Parts, some_of};
use crate::error::Result;
use crate::observations::{Sample, Stars};
use crate::statistics::{MAD_SIGMA_ERROR, median, robust_scatter, scatter_about_zero};
use ndarray::{Array2, Axis};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// How a method does in a parameter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    pub parameter: String,
    pub method: String,
    pub n_stars: usize,
    /// Median of prediction less measurement, file units.
    pub bias: f64,
    /// 1.48 MAD of it.
    pub scatter: f64,
    /// Mean of its square over the variance of what was measured (Shen et al. 2025, Table C.1), if that
    /// varies.
    pub squared_error: Option<f64>,
    /// 1.48 MAD of what was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured_scatter: Option<f64>,
    /// Robust scatter of the network's pulls about zero, with the errors of both; baselines have no errors.
    pub pulls: Option<f64>,
}

/// Fraction, beyond two errors of a robust scatter, by which simpler regressions have to be better, in
/// squares and in scatter, to be spoken of.
const MUCH: f64 = 0.1;
/// Fewest stars whose squares are spoken of.
const FEWEST: usize = 20;

/// The table.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Comparison {
    pub rows: Vec<Row>,
}

impl Comparison {
    pub(super) fn new(
        model: &RegressionModel,
        recipe: &RegressionRecipe,
        sample: &dyn Sample,
        rows: &Array2<f32>,
        parts: &Parts,
    ) -> Result<Self> {
        let observations = sample.stars();
        let most = recipe.baselines.most_stars;
        let stars = &some_of(&parts.validation, &observations.ids, most);
        let taught = some_of(&parts.taught(), &observations.ids, most);
        let mut found = Self::default();
        if stars.is_empty() {
            return Ok(found);
        }
        let predicted = model.predict_of(sample, stars)?;
        let own = |row: usize, k: usize| [predicted.values[[row, k]], predicted.covariance[[row, k, k]]];
        let chosen_by = |row: usize| predicted.values[[row, 0]];
        let parameters = model.target.parameters();
        for (k, residuals) in model.residuals(observations, stars, own, chosen_by)?.iter().enumerate() {
            let pairs: Vec<[f64; 2]> = residuals.iter().map(|r| [r.value, (r.of_measurement + r.of_prediction).sqrt()]).collect();
            // Errors of a mixture's magnitude are not how far stars are from it.
            let has_errors = !matches!(model.target, Target::MixtureOfMagnitudes(_));
            found.push(&parameters[k], "network", &pairs, &measured(model, observations, stars, k, chosen_by)?, has_errors);
        }
        for (name, teach) in lessons(model, observations, &taught)? {
            for (k, targets) in teach.into_iter().enumerate() {
                let pick = |stars: &[usize]| rows.select(Axis(0), stars).mapv(f64::from);
                let known: Vec<usize> = taught.iter().copied().filter(|&star| targets[star].is_finite()).collect();
                let values: Vec<f64> = known.iter().map(|&star| targets[star]).collect();
                if known.len() < 20 {
                    continue;
                }
                let inputs = pick(&known);
                let lesson = Lesson { inputs: inputs.view(), target: &values };
                for (method, predictions) in all(recipe, lesson, pick(stars).view())? {
                    let residuals = model.residuals(observations, stars, |row, _| [predictions[row], 0.0], chosen_by)?;
                    let scatter = robust_scatter(&residuals[k].iter().map(|r| r.value).collect::<Vec<_>>());
                    let pairs: Vec<[f64; 2]> = residuals[k].iter().map(|r| [r.value, scatter]).collect();
                    let method = if name.is_empty() { method } else { format!("{method}, {name}") };
                    found.push(&parameters[k], &method, &pairs, &measured(model, observations, stars, k, chosen_by)?, false);
                }
            }
        }
        Ok(found)
    }

    fn push(&mut self, parameter: &str, method: &str, pairs: &[[f64; 2]], measured: &[f64], has_errors: bool) {
        let values: Vec<f64> = pairs.iter().map(|pair| pair[0]).filter(|value| value.is_finite()).collect();
        if values.is_empty() {
            return;
        }
        let n = measured.len().max(1) as f64;
        let mean = measured.iter().sum::<f64>() / n;
        let variance = measured.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n;
        let pulls: Vec<f64> = pairs.iter().map(|[value, error]| value / error).filter(|pull| pull.is_finite()).collect();
        self.rows.push(Row {
            parameter: parameter.into(),
            method: method.into(),
            n_stars: values.len(),
            bias: median(&values),
            scatter: robust_scatter(&values),
            squared_error: Some(values.iter().map(|value| value * value).sum::<f64>() / values.len() as f64 / variance)
                .filter(|ratio| ratio.is_finite()),
            measured_scatter: Some(robust_scatter(measured)).filter(|scatter| scatter.is_finite()),
            pulls: has_errors.then(|| scatter_about_zero(&pulls)).filter(|pulls| pulls.is_finite()),
        });
    }

    /// Figures of the network by name, for the model card.
    pub fn metrics(&self) -> BTreeMap<String, f64> {
        let own = self.rows.iter().filter(|row| row.method == "network");
        own.flat_map(|row| {
            let figures = [("bias", row.bias), ("scatter", row.scatter), ("pulls", row.pulls.unwrap_or(f64::NAN))];
            figures.map(|(name, value)| (format!("validation_{name}_{}", row.parameter), value))
        })
        .filter(|(_, value)| value.is_finite())
        .collect()
    }

    /// Why the network should not be trusted, if there is a reason: squares of residuals that one constant
    /// for all stars would have too, or a linear regression that is better by far in squares and in scatter.
    pub fn warnings(&self) -> Vec<String> {
        let mut found = Vec::new();
        for own in self.rows.iter().filter(|row| row.method == "network" && row.n_stars >= FEWEST) {
            let (parameter, n) = (&own.parameter, own.n_stars);
            let Some(squares) = own.squared_error else { continue };
            // A few stars that are far off make the squares large, too.
            let is_as_wide = own.measured_scatter.is_none_or(|measured| own.scatter > (1.0 - MUCH) * measured);
            if squares >= 1.0 && is_as_wide {
                found.push(format!(
                    "{parameter}: the mean square of the residuals of {n} validation stars is {squares:.3} times the variance of \
                     what was measured, which one value for all stars would have too: nothing was learned (lower the learning \
                     rate, or look for what the target has to do with the inputs)"
                ));
                continue;
            }
            let is_far_better = |row: &&Row| {
                let least = 1.0 - MUCH - 2.0 * MAD_SIGMA_ERROR / (n as f64).sqrt();
                row.squared_error.is_some_and(|other| other < least * squares) && row.scatter < least * own.scatter
            };
            let linear = self.rows.iter().filter(|row| row.parameter == *parameter && row.method.starts_with("linear"));
            if let Some(row) = linear.into_iter().find(is_far_better) {
                found.push(format!(
                    "{parameter}: a linear regression is better on the same {n} validation stars, with a scatter of {} in place of \
                     {} (more stars, more epochs, or fewer weights)",
                    figures(row.scatter),
                    figures(own.scatter)
                ));
            }
        }
        found
    }
}

/// Three figures, as far as a reader wants them.
fn figures(value: f64) -> String {
    format!(
        "{value:.*}",
        if value >= 100.0 {
            0
        } else if value >= 1.0 {
            2
        } else {
            4
        }
    )
}

impl Comparison {
    /// Header and rows as texts.
    pub fn cells(&self) -> (Vec<String>, Vec<Vec<String>>) {
        let header = ["parameter", "method", "stars", "bias", "scatter", "MSE/variance", "pulls"].map(String::from).to_vec();
        let cells = |row: &Row| {
            let Row { parameter, method, n_stars, bias, scatter, .. } = row;
            let digits = if *scatter >= 10.0 { 1 } else { 4 };
            vec![
                parameter.clone(),
                method.clone(),
                n_stars.to_string(),
                format!("{bias:+.digits$}"),
                format!("{scatter:.digits$}"),
                row.squared_error.map_or(String::new(), |ratio| format!("{ratio:.4}")),
                row.pulls.map_or(String::new(), |pulls| format!("{pulls:.2}")),
            ]
        };
        (header, self.rows.iter().map(cells).collect())
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (header, rows) = self.cells();
        writeln!(formatter, "| {} |", header.join(" | "))?;
        writeln!(formatter, "|{}", "---|".repeat(header.len()))?;
        rows.iter().try_for_each(|row| writeln!(formatter, "| {} |", row.join(" | ")))
    }
}

/// What was measured of a parameter, by which the squared error is scaled.
fn measured(
    model: &RegressionModel,
    observations: &Stars,
    stars: &[usize],
    k: usize,
    chosen_by: impl Fn(usize) -> f64,
) -> Result<Vec<f64>> {
    let residuals = model.residuals(observations, stars, |_, _| [0.0, 0.0], chosen_by)?;
    Ok(residuals.get(k).into_iter().flatten().map(|residual| -residual.value).collect())
}

/// What baselines are taught, by parameter `[P][N]`, NaN for stars that do not teach. For luminosities they
/// have magnitudes of 1/ϖ, which take a choice of stars: the parallaxes that are positive, or the good ones.
fn lessons(model: &RegressionModel, observations: &Stars, taught: &[usize]) -> Result<Vec<(String, Vec<Vec<f64>>)>> {
    let n = observations.len();
    if let Target::Labels { names, .. } = &model.target {
        let of = |name: &String| {
            let mut values = vec![f64::NAN; n];
            for &star in taught {
                values[star] = observations.constraint(name, star).map_or(f64::NAN, |(value, _)| value);
            }
            values
        };
        return Ok(vec![(String::new(), names.iter().map(of).collect())]);
    }
    let all = parallaxes(observations, &model.target)?;
    let of = |least: f64| -> Vec<Vec<f64>> {
        let magnitude = |[parallax, error, magnitude]: [f64; 3]| match parallax > least * error && parallax > 0.0 {
            true => magnitude - 10.0 + 5.0 * parallax.log10(),
            false => f64::NAN,
        };
        vec![all.iter().map(|star| magnitude(*star)).collect()]
    };
    Ok(vec![("M of 1/ϖ, ϖ > 0".into(), of(0.0)), ("M of 1/ϖ, ϖ > 10σ".into(), of(10.0))])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worthless_networks_are_spoken_of() {
        let row = |method: &str, scatter: f64, squared_error: f64| Row {
            parameter: "teff".into(),
            method: method.into(),
            n_stars: 400,
            bias: 0.0,
            scatter,
            squared_error: Some(squared_error),
            measured_scatter: Some(600.0),
            pulls: None,
        };
        let of = |own: [f64; 2], linear: [f64; 2]| {
            let rows = vec![row("network", own[0], own[1]), row("linear", linear[0], linear[1]), row("boosting", 1.0, 0.001)];
            Comparison { rows }.warnings()
        };
        assert_eq!(of([100.0, 0.10], [95.0, 0.08]), Vec::<String>::new());
        assert_eq!(of([100.0, 0.10], [80.0, 0.12]), Vec::<String>::new());
        assert_eq!(of([100.0, 0.10], [85.0, 0.05]), Vec::<String>::new(), "within the errors of 400 stars");
        assert_eq!(of([100.0, 1.2], [100.0, 1.1]), Vec::<String>::new(), "a few stars far off");
        for (own, linear, text) in
            [([600.0, 1.2], [100.0, 0.1], "nothing was learned"), ([100.0, 0.1], [70.0, 0.05], "70.00 in place of 100")]
        {
            let warnings = of(own, linear);
            assert!(warnings.len() == 1 && warnings[0].contains(text), "{warnings:?}");
        }
    }
}
