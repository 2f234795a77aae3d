//! Label gradients of a model against those of a synthesis that did not train it.

use crate::error::{Error, Result};
use crate::per_pixel::{Fidelity, GradientLibrary, evaluate_all, gradient_fidelity_of, is_abundance_ratio};
use crate::pixel_networks::SpectralCore;
use crate::quantity::{plain_symbol, symbol};
use crate::spectrum::Medium;
use crate::validate::figure::{GradientComparison, LabelGradient};
use crate::validate::number::decimals;
use crate::validate::report::Report;
use ndarray::s;

/// Core labels of references may leave the range of the training by this part of its width, …
const MARGIN_OF_CORE: f64 = 1e-6;
/// … abundance ratios, which are scattered widely on purpose, by this one, as far as fits go.
pub(super) const MARGIN_OF_RATIOS: f64 = 0.5;

/// References of a library, on the pixels of a model and within its range.
#[derive(Debug, Clone)]
pub struct References {
    pub library: GradientLibrary,
    /// Those that are beyond the range of the training.
    pub n_outside: usize,
    /// What is to be known of them.
    pub remarks: Vec<String>,
}

impl References {
    /// Brings a library to a model.
    ///
    /// # Errors
    /// When it lacks a label or pixels of the model, has another resolution, contradicts itself, or no
    /// reference within the range of the training.
    pub fn of(core: &SpectralCore, library: &GradientLibrary) -> Result<Self> {
        let (card, space) = (&core.card, core.space());
        if card.grid.medium == Some(Medium::Air) {
            return Err(Error::model("wavelengths of the model")
                .found("air")
                .expected("vacuum, as in gradient libraries")
                .remedy("Judge a model whose spectra were prepared with `grid_medium = \"vacuum\"`."));
        }
        let mut remarks = library.require_agreement()?;
        let resolution = if card.resolution > 0.0 { card.resolution } else { library.resolution };
        if card.resolution <= 0.0 {
            remarks.push(format!("the model does not say its resolution: the library's, {resolution:.0}, is taken for it"));
        }
        let smoothed = if library.resolution > resolution { library.smoothed_to(resolution)? } else { library.clone() };
        if smoothed.resolution < library.resolution {
            let from = library.resolution;
            remarks.push(format!("the library of a resolution of {from:.0} was smoothed to {resolution:.0}, that of the model"));
        }
        let own = smoothed.for_training(space, core.engine.wavelength(), resolution)?;
        if card.library == library.described() {
            remarks.push(
                "by name and number these are the references of the training, to which the model was held: others are the proof"
                    .into(),
            );
        }
        let scaled = space.scale(own.labels.view());
        let margin: Vec<f64> =
            (space.names.iter()).map(|name| if is_abundance_ratio(name) { MARGIN_OF_RATIOS } else { MARGIN_OF_CORE }).collect();
        let is_within = |row: &usize| scaled.row(*row).iter().zip(&margin).all(|(label, margin)| label.abs() <= 0.5 + margin);
        let inside: Vec<usize> = (0..own.labels.nrows()).filter(is_within).collect();
        let n_outside = own.labels.nrows() - inside.len();
        if inside.is_empty() {
            return Err(Error::data(&library.origin)
                .found(format!("{n_outside} references, none within the range of the training"))
                .expected("references where the model was trained")
                .remedy("Compute gradients at labels within the ranges that `photosphere inspect` prints."));
        }
        Ok(Self { library: own.select(&inside), n_outside, remarks })
    }

    /// How many take part.
    pub fn len(&self) -> usize {
        self.library.labels.nrows()
    }

    /// Never, of those that were brought to a model.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number and the remarks as a sentence each.
    fn described(&self) -> String {
        let outside = match self.n_outside {
            0 => String::new(),
            n => format!(" Left out: {n} that are outside of the range of the training."),
        };
        let remarks: String = self.remarks.iter().map(|remark| format!(" Note: {remark}.")).collect();
        format!("{} references.{outside}{remarks}", self.len())
    }
}

/// The test: how near the gradients are.
#[derive(Debug, Clone)]
pub struct GradientTest {
    pub fidelity: Vec<Fidelity>,
    /// The reference of the figure, and its labels there.
    pub reference: usize,
    pub marked: Vec<usize>,
}

/// Labels of the figure where none are named: the elements of most information would hide the weak ones.
const MOST_MARKED: usize = 4;

impl GradientTest {
    /// Judges all labels; the figure is of the labels `marked`, or of some, at a reference, or at the one
    /// nearest to the middle of the range.
    ///
    /// # Errors
    /// When a label or the reference is not there.
    pub fn of(core: &SpectralCore, references: &References, marked: &[String], reference: Option<usize>) -> Result<Self> {
        let (space, n) = (core.space(), references.len());
        let labels = references.library.labels.view();
        if let Some(reference) = reference.filter(|reference| *reference >= n) {
            return Err(Error::usage("--reference")
                .found(reference.to_string())
                .expected(format!("0 to {}, of the references within the range of the training", n - 1)));
        }
        let mut places = Vec::new();
        for name in marked {
            places.push(space.names.iter().position(|own| own == name).ok_or_else(|| {
                Error::usage("--mark")
                    .found(format!("'{name}'"))
                    .expected(format!("labels of the model: {}", space.names.join(", ")))
            })?);
        }
        let scaled = space.scale(labels);
        let is_core: Vec<bool> = space.names.iter().map(|name| !is_abundance_ratio(name)).collect();
        let distance = |row: usize| -> f64 {
            scaled.row(row).iter().zip(&is_core).map(|(label, is_core)| if *is_core { label * label } else { 0.0 }).sum()
        };
        let nearest = || (0..n).min_by(|a, b| distance(*a).total_cmp(&distance(*b))).unwrap_or(0);
        if places.is_empty() {
            // Spread over the list, whose order is that of the training.
            let some = space.len().min(MOST_MARKED);
            places = (0..some).map(|i| (2 * i + 1) * space.len() / (2 * some)).collect();
        }
        Ok(Self {
            fidelity: gradient_fidelity_of(
                core.engine.as_ref(),
                labels,
                references.library.gradient.view(),
                &core.card.untrained,
            ),
            reference: reference.unwrap_or_else(nearest),
            marked: places,
        })
    }
}

/// The section of the test.
pub fn section_of_gradients(report: &mut Report, core: &SpectralCore, references: &References, test: &GradientTest) {
    let space = core.space();
    report.section(
        "Gradients",
        format!(
            "Label gradients of the model against those of {}, over all references and pixels: r, Σab/√(Σa² Σb²), is 1 where the lines are \
             the same, the amplitude, Σab/Σb², where they are as strong. {}",
            references.library.origin.rsplit('/').next().unwrap_or_default(),
            references.described()
        ),
    );
    let row = |fidelity: &Fidelity| {
        vec![plain_symbol(&fidelity.label), decimals(fidelity.correlation, 4), decimals(fidelity.amplitude, 3)]
    };
    report.table("Gradients at the references", ["label", "r", "amplitude"], test.fidelity.iter().map(row).collect());
    let labels = references.library.labels.slice(s![test.reference..=test.reference, ..]);
    let own = evaluate_all(core.engine.as_ref(), labels);
    let value = |k: usize| format!("{} {}", symbol(&space.names[k]), crate::validate::number::significant(labels[[0, k]], 3));
    let core_labels = (0..space.len()).filter(|&k| !is_abundance_ratio(&space.names[k])).map(value).collect::<Vec<String>>();
    let drawn = |k: usize| {
        let truth = references.library.gradient.slice(s![test.reference, k, ..]);
        let mut model: Vec<f64> = own.slice(s![0, 1 + k, ..]).iter().map(|value| f64::from(*value)).collect();
        core.card.untrained.iter().for_each(|&pixel| model[pixel] = f64::NAN);
        LabelGradient {
            title: format!("{} at {}", symbol(&space.names[k]), core_labels.join(", ")),
            truth: truth.iter().map(|value| f64::from(*value) * space.width(k)).collect(),
            models: vec![("model", model)],
        }
    };
    let labels: Vec<LabelGradient<'_>> = test.marked.iter().map(|&k| drawn(k)).collect();
    report.figure(
        format!(
            "Gradients at reference {} (of those within the range), times the width of the label's range. --mark and --reference choose.",
            test.reference
        ),
        GradientComparison { wavelength: &core.card.grid.wavelength, labels: &labels }.figure(),
    );
}
