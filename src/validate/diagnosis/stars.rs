//! Labels and errors of the stars of a catalogue of a model of spectra that take part in figures.

use crate::error::{Error, Result};
use crate::per_pixel::{LabelSpace, canonical_name};
use crate::pixel_networks::SpectralCore;
use crate::table::{Table, Values};
use ndarray::Array2;

/// Stars of a catalogue that pass a cut of flags.
#[derive(Debug, Clone)]
pub struct AbundanceStars<'a> {
    pub space: &'a LabelSpace,
    /// Rows of the catalogue.
    pub rows: Vec<usize>,
    pub n_all: usize,
    /// `quality_flags` at or above which stars were left out.
    pub flags_below: i64,
    /// Signal-to-noise ratios `[N]`; NaN where the catalogue does not say.
    pub snr: Vec<f64>,
    /// `[N, L]`; NaN of labels that the catalogue lacks.
    pub labels: Array2<f64>,
    pub errors: Array2<f64>,
}

/// Columns beside those of the labels.
const MODEL_ID: &str = "model_id";
const FLAGS: &str = "quality_flags";

impl<'a> AbundanceStars<'a> {
    /// Columns that are read, where a catalogue has them.
    pub fn columns(space: &LabelSpace) -> Vec<String> {
        let of_labels = space.names.iter().flat_map(|name| [name.clone(), format!("{name}_error")]);
        of_labels.chain(["source_id", "snr", FLAGS, MODEL_ID].map(str::to_owned)).collect()
    }

    /// The stars with flags below `flags_below`.
    ///
    /// # Errors
    /// When the catalogue is of another model, has no label of this one, or no star passes.
    pub fn of(core: &'a SpectralCore, catalogue: &Table, flags_below: i64) -> Result<Self> {
        let space = core.space();
        require_own(core, catalogue)?;
        if !space.names.iter().any(|name| catalogue.get(name).is_some()) {
            return Err(Error::data("catalogue")
                .found("no label of the model among its columns")
                .expected(format!("some of {}", space.names.join(", ")))
                .remedy("Name the catalogue that `photosphere fit` made with the model."));
        }
        let n_all = catalogue.n_rows();
        let flags = match catalogue.get(FLAGS) {
            // A row without flags was not judged.
            Some(column) => column.to_f64()?.iter().map(|bits| if bits.is_nan() { i64::MAX } else { *bits as i64 }).collect(),
            None => vec![0; n_all],
        };
        let rows: Vec<usize> = (0..n_all).filter(|&row| flags[row] < flags_below).collect();
        if rows.is_empty() {
            return Err(Error::data("catalogue")
                .found(format!("{n_all} stars, none with quality_flags below {flags_below}"))
                .expected("stars that pass the cut")
                .remedy("Look at the flags with `photosphere inspect`, or allow more with --flags-below."));
        }
        let numbers = |name: &str| -> Result<Vec<f64>> {
            let values = catalogue.get(name).map(|column| column.to_f64()).transpose()?;
            Ok(values.map_or_else(|| vec![f64::NAN; rows.len()], |values| rows.iter().map(|&row| values[row]).collect()))
        };
        let (mut labels, mut errors) = (Array2::zeros((rows.len(), space.len())), Array2::zeros((rows.len(), space.len())));
        for (k, name) in space.names.iter().enumerate() {
            for (array, name) in [(&mut labels, name.clone()), (&mut errors, format!("{name}_error"))] {
                array.column_mut(k).iter_mut().zip(numbers(&name)?).for_each(|(to, from)| *to = from);
            }
        }
        let snr = numbers("snr")?;
        Ok(Self { space, n_all, flags_below, snr, labels, errors, rows })
    }

    /// How many take part.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Never, of those that were read.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The numbers of those that take part and of the others.
    pub(super) fn described(&self) -> String {
        match self.n_all - self.len() {
            0 => format!("All {} stars pass the cut (quality_flags below {}).", self.n_all, self.flags_below),
            n => format!("{} stars; {n} with quality_flags of {} or more are left out.", self.len(), self.flags_below),
        }
    }

    /// A label of all stars, by its canonical name; none that the model or the catalogue lacks.
    pub(super) fn label(&self, name: &str) -> Option<Vec<f64>> {
        let k = self.space.names.iter().position(|own| canonical_name(own) == name)?;
        Some(self.labels.column(k).to_vec()).filter(|values| values.iter().any(|value| value.is_finite()))
    }
}

/// Fails for a catalogue that another model made; one that does not say which is taken for the model's own.
fn require_own(core: &SpectralCore, catalogue: &Table) -> Result<()> {
    let Some(column) = catalogue.get(MODEL_ID) else {
        crate::warning::warn_once(
            "the catalogue does not say which model made it (no column model_id): it is taken for this one's",
        );
        return Ok(());
    };
    let Values::Text(ids) = &column.values else { return Ok(()) };
    match ids.iter().find(|id| id.trim() != core.id()) {
        None => Ok(()),
        Some(other) => Err(Error::data(format!("catalogue, column '{MODEL_ID}'"))
            .found(format!("'{}'", other.trim()))
            .expected(format!("{}, this model: bounds and labels are those of the model that made a catalogue", core.id()))
            .remedy("Name the model that made it, or fit the spectra with this one.")),
    }
}
