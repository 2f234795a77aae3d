//! Dwarfs like the Sun with five measured labels: the set on which convolutional networks are compared with
//! simpler regressions (Shen et al. 2025).

use super::parallaxes::{SCATTER, absolute_magnitude};
use super::population::Population;
use super::synthesis::Synthesis;
use crate::error::Result;
use crate::per_pixel::LabelledSpectra;
use crate::table::{Column, ColumnSchema, Table, Values};
use ndarray::{Array2, Axis};
use rand::Rng;
use rand_distr::{Distribution, StandardNormal};

/// km/s.
const SPEED_OF_LIGHT: f64 = 299_792.458;

/// (BP − RP)₀ of the Sun (Casagrande et al. 2021), and its slopes with 5772 K/T_eff and \[Fe/H\]: about those
/// of dwarfs.
const COLOUR: [f64; 3] = [0.82, 2.6, 0.06];

/// Names, units, errors and descriptions of the labels that the set has.
const MEASURED: [(&str, &str, f64, &str); 5] = [
    ("teff", "K", 25.0, "effective temperature"),
    ("logg", "", 0.03, "logarithm of the surface gravity"),
    ("feh", "", 0.03, "iron abundance"),
    ("absolute_magnitude", "mag", 0.05, "absolute magnitude"),
    ("bp_rp_0", "mag", 0.02, "colour without dust"),
];

/// A survey of dwarfs.
#[derive(Debug, Clone, PartialEq)]
pub struct SolarLikeSurvey {
    /// Where they are drawn from: those of log g ≥ 5.98 − 0.00035 T_eff are taken.
    pub population: Population,
    /// Signal-to-noise ratios of the spectra, uniform between these.
    pub ratios: [f64; 2],
    /// Standard deviation of what is left of the velocities in the rest frame, km/s.
    pub velocity_error: f64,
    /// The same of level, slope and curvature of the continuum, over the range of the spectra.
    pub continuum_error: f64,
    /// Identifier of the first star.
    pub first: i64,
}

/// The cut of Shen et al. (2025), with the sense that keeps the Sun (the print has ≤).
pub fn is_solar_like(teff: f64, logg: f64) -> bool {
    logg >= 5.98 - 0.00035 * teff
}

impl SolarLikeSurvey {
    /// The observation file of `n` stars: spectra, measured labels with errors, and the truth (`true_teff`,
    /// …). A star does not depend on `n`.
    ///
    /// # Errors
    /// Never, of labels of the list.
    pub fn observations(&self, synthesis: &Synthesis, n: usize) -> Result<Table> {
        // Half of all stars or more pass.
        let mut drawn = 2 * n + 16;
        let labels = loop {
            let labels = self.population.labels(drawn);
            let passing: Vec<usize> = (0..drawn).filter(|&star| is_solar_like(labels[[star, 0]], labels[[star, 1]])).collect();
            if passing.len() >= n {
                break labels.select(Axis(0), &passing[..n]);
            }
            drawn *= 2;
        };
        let (flux, inverse_variance) = self.observed(synthesis, synthesis.flux(labels.view()));
        let spectra = LabelledSpectra { labels: labels.clone(), label_errors: None, flux, inverse_variance };
        let mut table = synthesis.list().observations(&spectra, self.first, false)?;
        let mut columns = [const { Vec::<f64>::new() }; MEASURED.len()];
        let mut magnitudes = Vec::new();
        for (star, row) in labels.rows().into_iter().enumerate() {
            let mut random = self.population.random(5, star as u64);
            let mut normal = || -> f64 { StandardNormal.sample(&mut random) };
            let magnitude = absolute_magnitude(row[0], row[1]) + SCATTER * normal();
            let colour = COLOUR[0] + COLOUR[1] * (5772.0 / row[0] - 1.0) + COLOUR[2] * row[3];
            magnitudes.push(magnitude);
            for ((column, truth), label) in columns.iter_mut().zip([row[0], row[1], row[3], magnitude, colour]).zip(MEASURED) {
                column.push(truth + label.2 * normal());
            }
        }
        for ((name, unit, error, text), values) in MEASURED.into_iter().zip(columns) {
            table.push(Column::scalar(ColumnSchema::new(name, unit, format!("measured {text}")), Values::Float64(values)))?;
            let schema = ColumnSchema::new(format!("{name}_error"), unit, format!("error of the {text}"));
            table.push(Column::scalar(schema.with_ucd("stat.error"), Values::Float64(vec![error; n])))?;
        }
        let schema = ColumnSchema::new("true_absolute_magnitude", "mag", "absolute magnitude of the simulated star");
        table.push(Column::scalar(schema.with_ucd("phys.magAbs"), Values::Float64(magnitudes)))?;
        Ok(table)
    }

    /// Fluxes as they are observed and reduced, with what is left of velocities and continua, and their
    /// inverse variances.
    fn observed(&self, synthesis: &Synthesis, flux: Array2<f64>) -> (Array2<f32>, Array2<f32>) {
        let list = synthesis.list();
        let (n, w) = flux.dim();
        let (mut noisy, mut inverse_variance) = (Array2::zeros((n, w)), Array2::zeros((n, w)));
        for (star, flux) in flux.rows().into_iter().enumerate() {
            let mut random = self.population.random(6, star as u64);
            let ratio = self.ratios[0] + (self.ratios[1] - self.ratios[0]) * random.r#gen::<f64>();
            let mut normal = || -> f64 { StandardNormal.sample(&mut random) };
            let velocity = self.velocity_error * normal();
            let continuum: [f64; 3] = std::array::from_fn(|_| self.continuum_error * normal());
            for pixel in 0..w {
                let wavelength = list.start + list.pixel * pixel as f64;
                let place = pixel as f64 - wavelength * velocity / SPEED_OF_LIGHT / list.pixel;
                let x = 2.0 * pixel as f64 / (w - 1).max(1) as f64 - 1.0;
                let level = 1.0 + continuum[0] + continuum[1] * x + continuum[2] * (1.5 * x * x - 0.5);
                let at = |k: isize| flux[k.clamp(0, w as isize - 1) as usize];
                noisy[[star, pixel]] = (level * between(at, place) + normal() / ratio) as f32;
                inverse_variance[[star, pixel]] = (ratio * ratio) as f32;
            }
        }
        (noisy, inverse_variance)
    }
}

/// The value between samples, by the cubic through the four nearest (Catmull & Rom 1974).
fn between(at: impl Fn(isize) -> f64, place: f64) -> f64 {
    let (first, t) = (place.floor() as isize, place - place.floor());
    let [a, b, c, d] = [-1, 0, 1, 2].map(|k| at(first + k));
    b + 0.5 * t * (c - a + t * (2.0 * a - 5.0 * b + 4.0 * c - d + t * (3.0 * (b - c) + d - a)))
}

#[cfg(test)]
mod tests {
    use super::super::LineList;
    use super::*;

    #[test]
    fn stars_are_like_the_sun_and_labels_have_their_errors() {
        assert!(is_solar_like(5772.0, 4.438) && !is_solar_like(4800.0, 2.5));
        let synthesis = Synthesis::new(&LineList { n_pixels: 20, ..LineList::default() });
        let population = Population { seed: 3, wide: true };
        let survey = SolarLikeSurvey { population, ratios: [50.0, 100.0], velocity_error: 7.0, continuum_error: 0.02, first: 1 };
        let table = survey.observations(&synthesis, 2000).unwrap();
        let of = |table: &Table, name: &str| table.column(name).unwrap().to_f64().unwrap();
        let (teff, logg) = (of(&table, "true_teff"), of(&table, "true_logg"));
        assert!(teff.len() == 2000 && (0..2000).all(|star| is_solar_like(teff[star], logg[star])));
        for (name, error) in [("teff", 25.0), ("logg", 0.03), ("feh", 0.03), ("absolute_magnitude", 0.05)] {
            let (found, truth) = (of(&table, name), of(&table, &format!("true_{name}")));
            let square = found.iter().zip(&truth).map(|(a, b)| ((a - b) / error).powi(2)).sum::<f64>() / 2000.0;
            // A mean of 2000 squares: ± √(2/2000) = 0.03.
            assert!((square - 1.0).abs() < 0.13, "{name}: {square}");
        }
        // A cubic is its own interpolation; a star without errors has the flux of its labels.
        let cubic = |x: f64| 1.0 + x - 0.3 * x * x;
        assert!((between(|k| cubic(k as f64), 2.3) - cubic(2.3)).abs() < 1e-12);
        let few = survey.observations(&synthesis, 5).unwrap();
        assert_eq!(of(&few, "bp_rp_0"), of(&table, "bp_rp_0")[..5]);
    }
}
