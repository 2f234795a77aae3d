//! Where in the spectrum predictions come from, for a sample: expected gradients (Erion et al. 2021), which
//! are integrated gradients averaged over baselines that are stars of the sample, by parameter and entry, in
//! classes of stars by their own predictions.
//!
//! ```text
//! a_w(x) = mean over baselines b of (x_w − b_w) ∫₀¹ ∂f/∂x_w (b + t (x − b)) dt,    Σ_w a_w = f(x) − mean f(b)
//! ```

use super::model::RegressionModel;
use super::rows::fluxes;
use super::train::some_of;
use crate::error::{Error, Result};
use crate::observations::Sample;
use crate::statistics::percentiles;
use crate::text::first_repeated;
use ndarray::Array2;
use serde::Serialize;

/// Classes by a prediction: thirds of the stars.
const CLASSES: usize = 3;

/// How maps are made.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MapOptions {
    /// Most stars, by a hash of the identifier.
    pub stars: usize,
    /// Baselines of each star: others of the same stars, far apart in their order.
    pub baselines: usize,
    /// Points of each integral.
    pub points: usize,
    /// Predictions by whose thirds stars are divided.
    pub split: Vec<String>,
}

impl Default for MapOptions {
    fn default() -> Self {
        Self { stars: 200, baselines: 4, points: 32, split: ["teff", "feh"].map(String::from).to_vec() }
    }
}

/// Attributions of a sample.
#[derive(Debug, Clone)]
pub struct AttributionMaps {
    /// All stars first, then the classes.
    pub classes: Vec<Class>,
    /// By parameter `[P]`: root of the mean square of (sum of attributions less the difference of
    /// predictions), over that of the differences.
    pub incompleteness: Vec<f64>,
}

/// Some of the stars.
#[derive(Debug, Clone)]
pub struct Class {
    /// The prediction by which they are chosen, and between which values; `None` for all stars.
    pub chosen_by: Option<(String, [f64; 2])>,
    pub n_stars: usize,
    /// Mean modulus `[P, W]`, file units, over stars that have the flux; NaN where none has it.
    pub modulus: Array2<f64>,
}

impl Class {
    /// The prediction by which its stars are chosen.
    pub fn split(&self) -> Option<&str> {
        self.chosen_by.as_ref().map(|(name, _)| name.as_str())
    }
}

impl RegressionModel {
    /// Maps of a sample. Entries that a star or its baseline lacks are alike in both, at the mean of the
    /// chosen stars, so that nothing is attributed to them; means are over the baselines that have the entry.
    /// `report` gets the fraction done, and may stop the work.
    ///
    /// # Errors
    /// When the model's predictions are not of fluxes alone, the sample has another grid or fewer than six
    /// stars with fluxes, or a split is none of the predictions.
    pub fn attribution_maps(
        &self,
        sample: &dyn Sample,
        options: &MapOptions,
        report: &mut dyn FnMut(f64) -> Result<()>,
    ) -> Result<AttributionMaps> {
        self.require_attributable()?;
        self.inputs.grid.require_same(&sample.stars().grid)?;
        let parameters = self.target.parameters();
        if let Some(name) = first_repeated(&options.split) {
            return Err(Error::usage(format!("split by '{name}'"))
                .found("it twice")
                .expected("every prediction once")
                .remedy("Leave one out."));
        }
        let position = |name: &String| {
            parameters.iter().position(|parameter| parameter == name).ok_or_else(|| {
                Error::usage(format!("split by '{name}'"))
                    .found("no such prediction")
                    .expected(format!("one of {}", parameters.join(", ")))
                    .remedy("Name one of them.")
            })
        };
        let splits = options.split.iter().map(position).collect::<Result<Vec<usize>>>()?;
        let most = self.inputs.recipe.most_missing * self.inputs.grid.len() as f64;
        let is_usable = |star: &usize| (self.inputs.grid.len() - sample.n_fluxes(*star)) as f64 <= most;
        let usable: Vec<usize> = (0..sample.stars().len()).filter(is_usable).collect();
        let chosen = some_of(&usable, &sample.stars().ids, options.stars);
        if chosen.len() < 2 * CLASSES {
            return Err(Error::data("stars with enough fluxes")
                .found(format!("{} of {}", chosen.len(), sample.stars().len()))
                .expected(format!("at least {}", 2 * CLASSES))
                .remedy("Give more stars."));
        }
        let (rows, is_there) = {
            let (held, stars) = sample.held(&chosen)?;
            let rows = fluxes(&self.inputs.recipe, &held, &stars, &self.inputs.untrained, None);
            // Before gaps are bridged.
            let mut is_there = Array2::from_shape_fn(rows.dim(), |(row, w)| held.flux_error[[stars[row], w]].is_finite());
            self.inputs.untrained.iter().for_each(|&entry| is_there.column_mut(entry).fill(false));
            (rows, is_there)
        };
        let chosen = Chosen { means: rows.columns().into_iter().map(mean_of_present).collect(), rows, is_there };
        self.maps_of(&chosen, &splits, options, report)
    }

    fn maps_of(
        &self,
        chosen: &Chosen,
        splits: &[usize],
        options: &MapOptions,
        report: &mut dyn FnMut(f64) -> Result<()>,
    ) -> Result<AttributionMaps> {
        let ((n, width), p) = (chosen.rows.dim(), self.target.parameters().len());
        let predicted: Vec<Vec<f64>> = (0..n).map(|star| self.mean_at(&chosen.filled(star))).collect();
        let mut classes = vec![Sums::new(None, p, width)];
        for &k in splits {
            let values: Vec<f64> = predicted.iter().map(|of_star| of_star[k]).collect();
            let edges: [f64; CLASSES + 1] = percentiles(&values, [0.0, 100.0 / 3.0, 200.0 / 3.0, 100.0]);
            let third = |part: usize| Third { k, range: [edges[part], edges[part + 1]], is_last: part + 1 == CLASSES };
            classes.extend((0..CLASSES).map(|part| Sums::new(Some(third(part)), p, width)));
        }
        let n_baselines = options.baselines.clamp(1, n - 1);
        let (mut squares, mut errors) = (vec![0.0; p], vec![0.0; p]);
        for (star, predicted) in predicted.iter().enumerate() {
            let (mut sum, mut n_pairs) = (Array2::<f64>::zeros((p, width)), vec![0_u32; width]);
            for next in 1..=n_baselines {
                // Far apart in the order of the rows, which may be sorted.
                let baseline = (star + next * n / (n_baselines + 1)) % n;
                let pair = [star, baseline];
                let found = self.attribution(&chosen.of(star, pair), &chosen.of(baseline, pair), options.points)?;
                for (k, difference) in found.difference.iter().enumerate() {
                    squares[k] += difference * difference;
                    errors[k] += (found.values.row(k).sum() - difference).powi(2);
                }
                sum += &found.values;
                n_pairs.iter_mut().enumerate().for_each(|(w, n)| *n += u32::from(chosen.have(pair, w)));
            }
            for (mut column, &n) in sum.columns_mut().into_iter().zip(&n_pairs) {
                column.mapv_inplace(|value| (value / f64::from(n)).abs());
            }
            let is_known: Vec<bool> = n_pairs.iter().map(|n| *n > 0).collect();
            classes.iter_mut().filter(|class| class.holds(predicted)).for_each(|class| class.add(&sum, &is_known));
            report((star + 1) as f64 / n as f64)?;
        }
        let names = self.target.parameters();
        Ok(AttributionMaps {
            classes: classes.into_iter().map(|sums| sums.class(&names)).collect(),
            incompleteness: squares.into_iter().zip(errors).map(|(square, error)| part_of(error, square)).collect(),
        })
    }
}

/// The stars of the maps.
struct Chosen {
    /// Fluxes `[N, W]`, gaps bridged as the model bridges them, and which were measured.
    rows: Array2<f32>,
    is_there: Array2<bool>,
    /// Of the stars `[W]`.
    means: Vec<f32>,
}

impl Chosen {
    fn have(&self, pair: [usize; 2], w: usize) -> bool {
        pair.iter().all(|&star| self.is_there[[star, w]])
    }

    /// Fluxes of a star of a pair: the mean where one of the two has none.
    fn of(&self, star: usize, pair: [usize; 2]) -> Vec<f32> {
        (0..self.means.len()).map(|w| if self.have(pair, w) { self.rows[[star, w]] } else { self.means[w] }).collect()
    }

    fn filled(&self, star: usize) -> Vec<f32> {
        let row = self.rows.row(star);
        row.iter().zip(&self.means).map(|(value, mean)| if value.is_finite() { *value } else { *mean }).collect()
    }
}

/// √(error/square); none of nothing.
fn part_of(error: f64, square: f64) -> f64 {
    if error == 0.0 { 0.0 } else { (error / square).sqrt() }
}

/// A third of the stars, by prediction `k`.
struct Third {
    k: usize,
    range: [f64; 2],
    /// The upper end belongs to the last one.
    is_last: bool,
}

/// Sums over the stars of a class.
struct Sums {
    third: Option<Third>,
    n_stars: usize,
    /// `[P, W]`.
    moduli: Array2<f64>,
    /// Stars with a flux `[W]`.
    present: Vec<u32>,
}

impl Sums {
    fn new(third: Option<Third>, p: usize, width: usize) -> Self {
        Self { third, n_stars: 0, moduli: Array2::zeros((p, width)), present: vec![0; width] }
    }

    fn holds(&self, predicted: &[f64]) -> bool {
        self.third.as_ref().is_none_or(|third| {
            let (value, [low, high]) = (predicted[third.k], third.range);
            value >= low && (value < high || third.is_last)
        })
    }

    fn add(&mut self, moduli: &Array2<f64>, is_there: &[bool]) {
        self.n_stars += 1;
        for (w, _) in is_there.iter().enumerate().filter(|(_, is_there)| **is_there) {
            self.present[w] += 1;
            let column = moduli.column(w);
            self.moduli.column_mut(w).zip_mut_with(&column, |sum, modulus| *sum += modulus);
        }
    }

    fn class(mut self, names: &[String]) -> Class {
        for (mut column, &n) in self.moduli.columns_mut().into_iter().zip(&self.present) {
            column.mapv_inplace(|sum| sum / f64::from(n));
        }
        let chosen_by = self.third.map(|third| (names[third.k].clone(), third.range));
        Class { chosen_by, n_stars: self.n_stars, modulus: self.moduli }
    }
}

/// Zero where nothing is present.
fn mean_of_present(column: ndarray::ArrayView1<'_, f32>) -> f32 {
    let present: Vec<f64> = column.iter().filter(|value| value.is_finite()).map(|value| f64::from(*value)).collect();
    (present.iter().sum::<f64>() / present.len().max(1) as f64) as f32
}
