//! Acceptance figures: what is asked of a model on simulated stars, and what was found.

use super::context::{Context, pick};
use super::flux::{Part, curve_deviation};
use super::uncertainties::correlations_of_parallax_and_gravity;
use crate::error::Result;
use crate::infer::flags;
use crate::quantity::plain_symbol;
use crate::statistics::{median, pull_statistics};
use crate::validate::number::{percent, significant, with_error};

/// Largest |median| of pulls, and the interval of their MAD-σ.
const PULL_MEDIAN: f64 = 0.1;
const PULL_SCATTER: [f64; 2] = [0.90, 1.10];
/// Interval of the median χ²/n_dof.
const REDUCED_CHI_SQUARE: [f64; 2] = [0.97, 1.05];
/// Largest deviation of R(λ) from the truth, up to its scale, as far as 900 nm, …
const CURVE: f64 = 0.01;
/// … and beyond, where R is small and a grey part of 0.01, which parallaxes leave open, is 8 % of it.
const INFRARED_CURVE: f64 = 0.04;
/// Least fraction of converged fits.
const CONVERGED: f64 = 0.995;
/// Least fall of corr(ϖ, log g) by the parallax.
const CORRELATION_FALL: f64 = 0.05;

/// One figure with what is asked of it.
pub(super) struct Criterion {
    pub name: String,
    pub found: String,
    pub asked: String,
    pub passed: bool,
}

impl Criterion {
    /// A row of the summary's table.
    pub fn row(self) -> Vec<String> {
        vec![self.name, self.found, self.asked, if self.passed { "pass" } else { "FAIL" }.into()]
    }
}

/// All figures that the input allows to judge.
pub(super) fn criteria(context: &Context<'_>) -> Result<Vec<Criterion>> {
    let mut criteria = Vec::new();
    let estimates = context.judged();
    if let Some(stars) = &context.selected {
        for (index, &position) in estimates.fitted.iter().enumerate() {
            let Some(pulls) = context.pulls(estimates, index, stars) else { continue };
            let statistics = pull_statistics(&pulls);
            let name = plain_symbol(&estimates.parameters[position].0);
            criteria.push(Criterion {
                name: format!("median pull of {name}"),
                found: with_error(statistics.median.value, statistics.median.error),
                asked: format!("−{PULL_MEDIAN} to {PULL_MEDIAN}"),
                passed: statistics.median.value.abs() < PULL_MEDIAN,
            });
            criteria.push(Criterion {
                name: format!("MAD-σ of the pulls of {name}"),
                found: with_error(statistics.scatter.value, statistics.scatter.error),
                asked: interval(PULL_SCATTER),
                passed: within(statistics.scatter.value, PULL_SCATTER),
            });
        }
        let reduced = median(&pick(&reduced_chi_square(estimates), stars));
        criteria.push(Criterion {
            name: "median χ²/n_dof".into(),
            found: significant(reduced, 4),
            asked: interval(REDUCED_CHI_SQUARE),
            passed: within(reduced, REDUCED_CHI_SQUARE),
        });
    }
    if let Some(truth) = context.input.truth_curve
        && let Some(deviation) = curve_deviation(context, truth)?
    {
        criteria.extend(deviation.largest.into_iter().map(|(part, deviation)| {
            let most = if part == Part::Optical { CURVE } else { INFRARED_CURVE };
            Criterion {
                name: format!("largest deviation of R(λ) from the truth {part}, up to scale"),
                found: percent(deviation),
                asked: format!("at most {}", percent(most)),
                passed: deviation <= most,
            }
        }));
    }
    let map = context.input.map;
    let converged = map.flags.iter().filter(|&&bits| bits & (flags::NOT_CONVERGED | flags::NOT_FITTED) == 0).count();
    let fraction = converged as f64 / map.len() as f64;
    criteria.push(Criterion {
        name: "fits converged".into(),
        found: format!("{:.2} %", 100.0 * fraction),
        asked: format!("at least {}", percent(CONVERGED)),
        passed: fraction >= CONVERGED,
    });
    if let Some([without, with]) = correlations_of_parallax_and_gravity(context)? {
        criteria.push(Criterion {
            name: "fall of the median corr(ϖ, log g) by the parallax".into(),
            found: format!("{} → {}", significant(without, 3), significant(with, 3)),
            asked: format!("at least {CORRELATION_FALL}"),
            passed: without - with >= CORRELATION_FALL,
        });
    }
    for control in context.input.controls {
        criteria.push(Criterion {
            name: format!("negative control: {}", control.name),
            found: control.found.clone(),
            asked: control.asked.clone(),
            passed: control.passed,
        });
    }
    Ok(criteria)
}

/// χ²/n_dof of every star.
pub(super) fn reduced_chi_square(estimates: &crate::infer::Estimates) -> Vec<f64> {
    estimates.chi_square.iter().zip(&estimates.degrees_of_freedom).map(|(chi, dof)| chi / dof).collect()
}

fn within(value: f64, [low, high]: [f64; 2]) -> bool {
    (low..=high).contains(&value)
}

fn interval([low, high]: [f64; 2]) -> String {
    format!("{low:.2} to {high:.2}")
}
