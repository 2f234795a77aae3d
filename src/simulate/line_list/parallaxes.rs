//! Stars of the line list at distances, with apparent magnitudes and parallaxes of any quality: the survey on
//! which luminosities are learned from noisy parallaxes (Li et al. 2025).

use super::population::Population;
use super::synthesis::Synthesis;
use crate::error::Result;
use crate::statistics::median;
use crate::table::{Column, ColumnSchema, Table, Values};
use ndarray::ArrayView1;
use rand_distr::{Distribution, StandardNormal};

/// Bolometric magnitude, logarithm of the surface gravity (cgs) and effective temperature (K) of the Sun (IAU
/// 2015 B2, B3).
const SUN: [f64; 3] = [4.74, 4.438, 5772.0];
/// Scatter of absolute magnitudes about that of the labels: masses and colours that a spectrum does not tell,
/// mag.
pub(super) const SCATTER: f64 = 0.1;
/// Mean and scatter of the apparent magnitudes without dust.
const APPARENT: [f64; 2] = [17.1, 0.8];
/// Mean of the exponential distribution of extinctions, mag.
const EXTINCTION: f64 = 0.2;
/// Error of a parallax at G = 16, mas; it grows as the root of the flux falls.
const ERROR_AT_16: f64 = 0.05;

/// A survey of spectra, magnitudes and parallaxes.
#[derive(Debug, Clone, PartialEq)]
pub struct ParallaxSurvey {
    /// Dwarfs and giants: `wide` ones are meant.
    pub population: Population,
    /// Signal-to-noise ratios of the spectra, uniform between these.
    pub ratios: [f64; 2],
    /// Identifier of the first star.
    pub first: i64,
}

/// Absolute magnitude of a star of one solar mass by T_eff (K) and log g, mag.
pub fn absolute_magnitude(teff: f64, logg: f64) -> f64 {
    let [sun, logg_of_sun, teff_of_sun] = SUN;
    sun + 2.5 * (logg - logg_of_sun) - 10.0 * (teff / teff_of_sun).log10()
}

impl ParallaxSurvey {
    /// The observation file of `n` stars: spectra with their `snr`, `phot_g_mean_mag`, `a_g`, `parallax` with
    /// its error, and the truth (`true_teff`, …, `true_absolute_magnitude`, `true_distance` in kpc). A star
    /// does not depend on `n`.
    ///
    /// # Errors
    /// Never, of labels of the list.
    pub fn observations(&self, synthesis: &Synthesis, n: usize) -> Result<Table> {
        let labels = self.population.labels(n);
        let spectra = self.population.observe(synthesis, labels.view(), self.ratios);
        let mut table = synthesis.list().observations(&spectra, self.first, false)?;
        let ratios: Vec<f64> = spectra.inverse_variance.rows().into_iter().map(continuum_ratio).collect();
        let mut columns = [const { Vec::<f64>::new() }; 6];
        for (star, row) in labels.rows().into_iter().enumerate() {
            let mut random = self.population.random(4, star as u64);
            let mut normal = || -> f64 { StandardNormal.sample(&mut random) };
            let (scatter, apparent, noise, [u, v]) = (normal(), normal(), normal(), [normal(), normal()]);
            let magnitude = absolute_magnitude(row[0], row[1]) + SCATTER * scatter;
            let dereddened = APPARENT[0] + APPARENT[1] * apparent;
            // Half the sum of two squares is exponential.
            let extinction = EXTINCTION * 0.5 * (u * u + v * v);
            let parallax = 10f64.powf(0.2 * (magnitude - dereddened + 10.0));
            let error = ERROR_AT_16 * 10f64.powf(0.2 * (dereddened + extinction - 16.0));
            let values = [dereddened + extinction, extinction, parallax + error * noise, error, magnitude, parallax.recip()];
            columns.iter_mut().zip(values).for_each(|(column, value)| column.push(value));
        }
        let described = [
            ("phot_g_mean_mag", "mag", "apparent magnitude", "phot.mag;em.opt"),
            ("a_g", "mag", "extinction in its band", "phys.absorption"),
            ("parallax", "mas", "measured parallax", "pos.parallax"),
            ("parallax_error", "mas", "error of the parallax", "stat.error;pos.parallax"),
            ("true_absolute_magnitude", "mag", "absolute magnitude of the simulated star", "phys.magAbs"),
            ("true_distance", "kpc", "distance of the simulated star", "pos.distance"),
        ];
        for ((name, unit, text, ucd), values) in described.into_iter().zip(columns) {
            table.push(Column::scalar(ColumnSchema::new(name, unit, text).with_ucd(ucd), Values::Float64(values)))?;
        }
        let text = "median signal-to-noise ratio of the continuum in a pixel";
        table.push(Column::nullable(ColumnSchema::new("snr", "", text).with_ucd("stat.snr"), ratios))?;
        Ok(table)
    }
}

/// The median signal-to-noise ratio of the continuum in a pixel: that is one, and the lines of metals are
/// below it.
fn continuum_ratio(inverse_variance: ArrayView1<'_, f32>) -> f64 {
    let ratios = inverse_variance.iter().map(|weight| f64::from(weight.sqrt()));
    median(&ratios.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::super::LineList;
    use super::*;

    #[test]
    fn one_parallax_in_seven_is_negative_and_all_scatter_about_the_truth() {
        let synthesis = Synthesis::new(&LineList { n_pixels: 20, ..LineList::default() });
        let survey = ParallaxSurvey { population: Population { seed: 3, wide: true }, ratios: [20.0, 60.0], first: 1 };
        let table = survey.observations(&synthesis, 4000).unwrap();
        let of = |name: &str| table.column(name).unwrap().to_f64().unwrap();
        let (parallax, error, distance) = (of("parallax"), of("parallax_error"), of("true_distance"));
        let negative = parallax.iter().filter(|parallax| **parallax < 0.0).count();
        assert!((480..700).contains(&negative), "{negative} of 4000");
        let pulls: Vec<f64> = (0..4000).map(|star| (parallax[star] - 1.0 / distance[star]) / error[star]).collect();
        let square = pulls.iter().map(|pull| pull * pull).sum::<f64>() / 4000.0;
        assert!((square - 1.0).abs() < 0.1, "{square}");
        // Magnitudes, extinctions and distances are those of one star.
        let (g, a, m) = (of("phot_g_mean_mag"), of("a_g"), of("true_absolute_magnitude"));
        let worst = (0..4000).map(|star| (g[star] - a[star] - m[star] - 10.0 - 5.0 * distance[star].log10()).abs());
        assert!(worst.fold(0.0, f64::max) < 1e-10);
        let few = survey.observations(&synthesis, 10).unwrap();
        assert_eq!(few.column("parallax").unwrap().to_f64().unwrap(), parallax[..10]);
        assert!((absolute_magnitude(5772.0, 4.438) - 4.74).abs() < 1e-12);
    }
}
