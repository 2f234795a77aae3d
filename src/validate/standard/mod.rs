//! The standard report: what was trained on what, how well it fits new stars, and whether its errors can be
//! believed.
//!
//! ```text
//! TrainedModel, training stars ─┐
//! new stars, Estimates ─────────┼─► survey_report ─► Report (HTML, SVG, PNG)
//! negative controls ────────────┘
//! ```
//!
//! Where the truth is known (a simulation: columns `true_<parameter>`), the report has pulls and says which
//! acceptance figures are met; on real stars it shows residuals against the catalogue values instead, and
//! leaves out what it cannot know.

mod acceptance;
mod context;
mod controls;
mod examples;
mod fits;
mod flux;
mod quality;
mod summary;
#[cfg(test)]
mod tests;
mod training;
mod uncertainties;

pub use controls::{ControlOptions, ControlResult, ControlSeries, controls, extinction_control, selection_control};

use super::report::Report;
use crate::error::Result;
use crate::infer::Estimates;
use crate::observations::Observations;
use crate::table::Table;
use crate::train::TrainedModel;
use context::Context;

/// What a report is made from. [`SurveyReportInput::new`] takes what every report needs; the rest is
/// optional.
#[derive(Debug, Clone, Copy)]
pub struct SurveyReportInput<'a> {
    pub trained: &'a TrainedModel,
    /// The table of the training sample, as [`train`](crate::train::train) returns it.
    pub training_stars: &'a Table,
    /// True R(λ) of a simulation, one number per entry of the data vector.
    pub truth_curve: Option<&'a [f64]>,
    /// The observations that the model was trained on, for flux residuals of the validation stars and the
    /// self-cleaning bump.
    pub training: Option<&'a Observations>,
    pub new_stars: &'a Observations,
    /// The default fit of the new stars, with the measured parallax where there is one.
    pub map: &'a Estimates,
    /// The fit of the same stars without mixture prior and Jacobians.
    pub likelihood: Option<&'a Estimates>,
    pub controls: &'a [ControlResult],
}

impl<'a> SurveyReportInput<'a> {
    /// The least that a report needs.
    pub fn new(trained: &'a TrainedModel, training_stars: &'a Table, new_stars: &'a Observations, map: &'a Estimates) -> Self {
        Self { trained, training_stars, truth_curve: None, training: None, new_stars, map, likelihood: None, controls: &[] }
    }
}

/// Builds the report; [`Report::write`] puts it on disk.
///
/// # Errors
/// When estimates, observations and model do not belong together (other stars, another data vector), or the
/// model cannot be evaluated.
pub fn survey_report(input: &SurveyReportInput<'_>) -> Result<Report> {
    let context = Context::new(*input)?;
    let mut report = Report::new(format!("Model {}: {}", input.trained.id(), input.trained.card.description));
    summary::section(&context, &mut report)?;
    training::sections(&context, &mut report)?;
    flux::sections(&context, &mut report)?;
    fits::sections(&context, &mut report)?;
    uncertainties::section(&context, &mut report)?;
    quality::section(&context, &mut report);
    examples::section(&context, &mut report)?;
    for control in input.controls {
        control.section(&mut report);
    }
    Ok(report)
}
