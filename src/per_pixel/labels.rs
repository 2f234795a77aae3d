//! The labels of a model: names, units and the range that is scaled to ±½.

use crate::error::{Error, Result};
use ndarray::{Array2, ArrayView2};
use serde::{Deserialize, Serialize};

/// Names, units and ranges of the labels of a model or training set.
///
/// A scaled label is (label − minimum)/(maximum − minimum) − ½, as in The Payne, so that the range of the
/// training is ±½.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LabelSpace {
    /// As columns are named: `teff`, `logg`, `v_mic`, `feh`, `mg_fe` …
    pub names: Vec<String>,
    /// VOUnit; `dex` for log g and abundances.
    pub units: Vec<String>,
    pub minimum: Vec<f64>,
    pub maximum: Vec<f64>,
}

impl LabelSpace {
    /// Checks lengths, names and ranges.
    ///
    /// # Errors
    /// `Model`, naming the label.
    pub fn new(names: Vec<String>, units: Vec<String>, minimum: Vec<f64>, maximum: Vec<f64>) -> Result<Self> {
        let space = Self { names, units, minimum, maximum };
        let n = space.names.len();
        if n == 0 || [space.units.len(), space.minimum.len(), space.maximum.len()] != [n; 3] {
            return Err(Error::model("labels")
                .found(format!(
                    "{n} names, {} units, {} minima, {} maxima",
                    space.units.len(),
                    space.minimum.len(),
                    space.maximum.len()
                ))
                .expected("as many of each, at least one"));
        }
        for (k, name) in space.names.iter().enumerate() {
            if space.names[..k].contains(name) {
                return Err(Error::model("labels").found(format!("'{name}' twice")).expected("every label once"));
            }
            let (low, high) = (space.minimum[k], space.maximum[k]);
            if !(low < high && low.is_finite() && high.is_finite()) {
                return Err(Error::model(format!("range of label '{name}'"))
                    .found(format!("{low} to {high}"))
                    .expected("finite numbers, the second larger")
                    .remedy("A label that is the same for all stars of the training cannot be learned: leave it out."));
            }
        }
        Ok(space)
    }

    /// The ranges of the columns of `labels [N, L]`.
    ///
    /// # Errors
    /// As [`Self::new`]; a label that is not finite.
    pub fn covering(names: &[String], units: &[String], labels: ArrayView2<f64>) -> Result<Self> {
        check_columns("labels of the training", names.len(), labels)?;
        let column = |k: usize, better: fn(f64, f64) -> f64, start: f64| labels.column(k).iter().copied().fold(start, better);
        let minimum = (0..names.len()).map(|k| column(k, f64::min, f64::INFINITY)).collect();
        let maximum = (0..names.len()).map(|k| column(k, f64::max, f64::NEG_INFINITY)).collect();
        Self::new(names.to_vec(), units.to_vec(), minimum, maximum)
    }

    /// Number of labels L.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there is none (never, of a checked space).
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Maximum less minimum of label `k`.
    pub fn width(&self, k: usize) -> f64 {
        self.maximum[k] - self.minimum[k]
    }

    /// Labels `[N, L]` scaled to ±½ within the range.
    pub fn scale(&self, labels: ArrayView2<f64>) -> Array2<f64> {
        Array2::from_shape_fn(labels.dim(), |(i, k)| (labels[[i, k]] - self.minimum[k]) / self.width(k) - 0.5)
    }

    /// The inverse of [`Self::scale`].
    pub fn unscale(&self, scaled: ArrayView2<f64>) -> Array2<f64> {
        Array2::from_shape_fn(scaled.dim(), |(i, k)| (scaled[[i, k]] + 0.5) * self.width(k) + self.minimum[k])
    }

    /// Which labels are abundance ratios [X/Fe]; the others are the core labels (T_eff, log g, v_mic,
    /// [Fe/H]).
    pub fn abundance_ratios(&self) -> Vec<bool> {
        self.names.iter().map(|name| is_abundance_ratio(name)).collect()
    }
}

/// Whether a label is an abundance relative to iron (or to another element but hydrogen): `mg_fe`, `[Mg/Fe]`,
/// `C_FE`.
pub fn is_abundance_ratio(name: &str) -> bool {
    let name = canonical_name(name);
    name != "feh"
        && name.split_once('_').is_some_and(|(element, other)| (1..=5).contains(&element.len()) && matches!(other, "fe" | "m"))
}

/// The name that a label has here: `[Mg/Fe]`, `MG_FE` and `mg_fe` are `mg_fe`; `FE_H` and `[Fe/H]` are `feh`;
/// `VMIC` is `v_mic`.
pub fn canonical_name(name: &str) -> String {
    let name = name.trim().trim_matches(['[', ']']).replace('/', "_").to_lowercase();
    match name.as_str() {
        "fe_h" => "feh".into(),
        "vmic" | "vturb" => "v_mic".into(),
        "log_g" => "logg".into(),
        _ => name,
    }
}

/// `labels [N, n]` of finite numbers.
pub(super) fn check_columns(place: &str, n: usize, labels: ArrayView2<f64>) -> Result<()> {
    if labels.ncols() != n {
        return Err(Error::data(place).found(format!("{} columns", labels.ncols())).expected(format!("{n}, one a label")));
    }
    match labels.indexed_iter().find(|(_, value)| !value.is_finite()) {
        None => Ok(()),
        Some(((i, k), value)) => Err(Error::data(format!("{place}, row {i}, label {k}"))
            .found(value.to_string())
            .expected("a finite number")
            .remedy("Leave out stars without all labels.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn scaling_is_undone_and_the_range_is_half_to_either_side() {
        let labels = array![[4000.0, 0.5], [6000.0, -0.5], [5000.0, 0.0]];
        let names = ["teff".to_owned(), "feh".to_owned()];
        let space = LabelSpace::covering(&names, &["K".to_owned(), "dex".to_owned()], labels.view()).unwrap();
        let scaled = space.scale(labels.view());
        assert_eq!(scaled, array![[-0.5, 0.5], [0.5, -0.5], [0.0, 0.0]]);
        assert_eq!(space.unscale(scaled.view()), labels);
        let constant = array![[4000.0, 0.5], [6000.0, 0.5]];
        let error = LabelSpace::covering(&names, &["K".into(), "dex".into()], constant.view()).unwrap_err().to_string();
        assert!(error.contains("'feh'") && error.contains("leave it out"), "{error}");
    }

    #[test]
    fn names_of_every_spelling_are_one() {
        for (spelling, name) in [("[Mg/Fe]", "mg_fe"), ("MG_FE", "mg_fe"), ("FE_H", "feh"), ("[Fe/H]", "feh"), ("VMIC", "v_mic")]
        {
            assert_eq!(canonical_name(spelling), name);
        }
        assert!(is_abundance_ratio("C_FE") && is_abundance_ratio("alpha_fe") && is_abundance_ratio("v_fe"));
        assert!(!is_abundance_ratio("FE_H") && !is_abundance_ratio("v_mic") && !is_abundance_ratio("teff"));
    }
}
