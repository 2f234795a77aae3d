//! Runs a simulation: stars in parallel, tables in chunks.

use super::catalogue_errors::{self, Measurement};
use super::columns::{self, COVARIANCE_LENGTH, Fluxes, Observed};
use super::config::SurveyConfig;
use super::identity::Identity;
use super::near_infrared;
use super::raw::{self, RawSurvey};
use super::truth::{Sky, Star};
use super::xp_noise::XpNoise;
use crate::error::{Error, Result};
use crate::survey::xp::DEFAULT_WAVELENGTHS;
use crate::table::Table;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use std::ops::Range;

const N_XP: usize = DEFAULT_WAVELENGTHS.len();

/// A survey ready to be simulated, piece by piece.
pub struct Simulator {
    config: SurveyConfig,
    sky: Sky,
    xp_noise: XpNoise,
}

/// The whole survey as one table (8.5 kB a star; see [`Simulator::chunks`] for bounded memory).
///
/// # Errors
/// As [`Simulator::new`] and [`Simulator::table`].
pub fn simulate(config: &SurveyConfig) -> Result<Table> {
    let simulator = Simulator::new(config.clone())?;
    simulator.table(0..config.n_stars)
}

impl Simulator {
    /// Prepares a survey.
    ///
    /// # Errors
    /// When the configuration holds an impossible value or the instrument tables cannot be read.
    pub fn new(config: SurveyConfig) -> Result<Self> {
        config.validate()?;
        Ok(Self { config, sky: Sky::new()?, xp_noise: XpNoise::new()? })
    }

    /// The survey in tables of at most `rows` stars, in order; the same stars whatever `rows` is.
    pub fn chunks(&self, rows: usize) -> impl Iterator<Item = Result<Table>> + '_ {
        self.ranges(rows).map(|range| self.table(range))
    }

    /// As [`Simulator::chunks`], as coefficients and magnitudes.
    pub fn raw_chunks(&self, rows: usize) -> impl Iterator<Item = Result<RawSurvey>> + '_ {
        self.ranges(rows).map(|range| self.raw_table(range))
    }

    fn ranges(&self, rows: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let (rows, n_stars) = (rows.max(1), self.config.n_stars);
        (0..n_stars).step_by(rows).map(move |start| start..n_stars.min(start + rows))
    }

    /// The stars of `range`, counted from the survey's first star.
    ///
    /// # Errors
    /// When `range` is not within the survey, or no star can be seen within the magnitude limits.
    pub fn table(&self, range: Range<usize>) -> Result<Table> {
        self.check(&range)?;
        let n_wavelengths = self.sky.wavelengths().len();
        let n_stars = range.len();
        let mut fluxes = Fluxes {
            flux: vec![0.0; n_stars * n_wavelengths],
            flux_error: vec![0.0; n_stars * n_wavelengths],
            xp_covariance: vec![0.0; n_stars * COVARIANCE_LENGTH],
        };
        let rows = (
            fluxes.flux.par_chunks_mut(n_wavelengths),
            fluxes.flux_error.par_chunks_mut(n_wavelengths),
            fluxes.xp_covariance.par_chunks_mut(COVARIANCE_LENGTH),
        );
        let stars: Vec<Observed> = (range.into_par_iter(), rows.0, rows.1, rows.2)
            .into_par_iter()
            .map(|(star, flux, flux_error, xp_covariance)| {
                let (star, mut rng) = self.star(star)?;
                self.observe_flux(&mut rng, &star, flux, flux_error, xp_covariance);
                Ok(self.observe_catalogue(&mut rng, star))
            })
            .collect::<Result<_>>()?;
        columns::table(&stars, fluxes, &self.sky, &self.config)
    }

    /// The same stars as [`Simulator::table`], with the same noise, as coefficients and magnitudes.
    ///
    /// # Errors
    /// As [`Simulator::table`].
    pub fn raw_table(&self, range: Range<usize>) -> Result<RawSurvey> {
        self.check(&range)?;
        let observed = range.into_par_iter().map(|star| {
            let (star, mut rng) = self.star(star)?;
            let (true_xp, true_infrared) = star.flux.split_at(N_XP);
            let deviates = self.xp_noise.draw(&mut rng);
            let infrared = near_infrared::observe(&mut rng, true_infrared, star.identity.latitude, &self.config);
            let observed = self.observe_catalogue(&mut rng, star.clone());
            Ok((observed, (self.xp_noise.coefficients(&mut rng, &deviates, true_xp), infrared)))
        });
        let (stars, fluxes): (Vec<Observed>, Vec<_>) = observed.collect::<Result<Vec<_>>>()?.into_iter().unzip();
        let (spectra, infrared): (Vec<_>, Vec<_>) = fluxes.into_iter().unzip();
        Ok(RawSurvey {
            spectra: raw::spectra(&stars, &spectra)?,
            catalogue: columns::catalogue(&stars, raw::magnitudes(&infrared), &self.sky, &self.config)?,
        })
    }

    fn check(&self, range: &Range<usize>) -> Result<()> {
        if range.start > range.end || range.end > self.config.n_stars {
            return Err(Error::usage("range of simulated stars")
                .found(format!("{range:?}"))
                .expected(format!("a range within 0..{}", self.config.n_stars)));
        }
        Ok(())
    }

    /// The true star of a number, and the random numbers of its observation.
    fn star(&self, number: usize) -> Result<(Star, ChaCha8Rng)> {
        let identity = Identity::new(self.config.seed, self.config.first_star + number as u64);
        let mut rng = ChaCha8Rng::seed_from_u64(identity.random_seed(self.config.seed));
        let star = self.sky.star(&mut rng, identity, &self.config)?;
        Ok((star, rng))
    }

    /// Observed flux `[66]`, its error and the XP covariance `[1891]`.
    fn observe_flux(&self, rng: &mut impl Rng, star: &Star, flux: &mut [f32], flux_error: &mut [f32], covariance: &mut [f32]) {
        let (true_xp, true_infrared) = star.flux.split_at(N_XP);
        let mut xp = true_xp.to_vec();
        let xp_covariance = self.xp_noise.apply(&self.xp_noise.draw(rng), &mut xp);
        covariance.iter_mut().zip(&xp_covariance).for_each(|(to, value)| *to = *value as f32);
        let mut diagonal = 0;
        for (sample, value) in xp.into_iter().enumerate() {
            flux[sample] = value as f32;
            flux_error[sample] = xp_covariance[diagonal].sqrt() as f32;
            diagonal += N_XP - sample;
        }
        let infrared = near_infrared::observe(rng, true_infrared, star.identity.latitude, &self.config);
        for (band, (value, error)) in infrared.into_iter().enumerate() {
            flux[N_XP + band] = value as f32;
            flux_error[N_XP + band] = error as f32;
        }
    }

    /// Parallax, and labels and reddening if the star is in the overlap.
    fn observe_catalogue(&self, rng: &mut impl Rng, star: Star) -> Observed {
        let parallax = catalogue_errors::parallax(rng, star.parallax, star.g);
        let is_labelled = rng.r#gen::<f64>() < self.config.labelled_fraction;
        let (labels, extinction) = if is_labelled {
            let truth = [1e3 * star.labels.teff, star.labels.feh, star.labels.logg];
            (catalogue_errors::labels(rng, truth, star.g), catalogue_errors::reddening(rng, star.extinction))
        } else {
            ([Measurement::MISSING; 3], Measurement::MISSING)
        };
        Observed { star, parallax, labels, extinction }
    }
}
