//! From the arms and exposures of a star to its spectrum on the grid: medium, rest frame, resampling, join,
//! continuum.

use super::observed::{ObservedSpectrum, Segment};
use super::recipe::{SpectraSource, VelocitySource, WithoutVelocity};
use crate::error::Result;
use crate::spectrum::continuum::{Continuum, SavitzkyGolay};
use crate::spectrum::{Joined, Medium, PixelGrid, Resampled, Resampler, Variance, Window};
use crate::statistics::median;
use crate::survey::prepare::Note;
use std::collections::BTreeMap;

/// What every spectrum goes through.
#[derive(Debug)]
pub(super) struct Pipeline {
    source: SpectraSource,
    /// The grid in its own medium.
    grid: PixelGrid,
    /// With the grid in vacuum.
    resampler: Resampler,
    continuum: Continuum,
    smooth: Option<SavitzkyGolay>,
    /// Windows whose pixels are missing.
    missing: Vec<Window>,
    /// Windows that the continuum does not see.
    unseen: Vec<Window>,
}

/// The velocity of a star, as the joined tables or its file have it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Velocity {
    /// km/s, positive receding.
    Known(f64),
    Missing,
    /// Beyond reason, warned of, or with too large an error.
    Unusable,
}

/// An exposure on the grid: its arms.
#[derive(Debug)]
pub(super) struct Exposure {
    arms: Vec<(String, Resampled)>,
    /// λ_observed / λ_rest.
    factor: f64,
    velocity: f64,
    notes: i32,
    fault: Option<String>,
}

/// A star whose exposures are being joined.
#[derive(Debug)]
pub(super) struct Star {
    pub id: i64,
    pub place: String,
    pub facts: BTreeMap<String, super::Fact>,
    arms: BTreeMap<String, Joined>,
    factor: f64,
    velocity: f64,
    pub notes: i32,
    /// How many were added, …
    n_added: usize,
    /// … and how many of them had a spectrum to add.
    pub n_exposures: usize,
    pub fault: Option<String>,
}

/// A star's row.
#[derive(Debug)]
pub(super) struct Finished {
    pub id: i64,
    pub place: String,
    pub facts: BTreeMap<String, super::Fact>,
    /// `[W]`, NaN where missing.
    pub flux: Vec<f32>,
    pub error: Vec<f32>,
    /// σ in Å; empty where it was not asked for.
    pub line_spread: Vec<f32>,
    /// The velocity that was taken out, km/s; NaN where none was.
    pub velocity: f64,
    /// Median signal-to-noise ratio of the good pixels; NaN without any.
    pub snr: f64,
    pub n_pixels: usize,
    pub n_exposures: usize,
    pub notes: i32,
    pub fault: Option<String>,
}

/// Errors by which levels of exposures differ that are brought together.
const LEVEL_ERRORS: f64 = 3.0;
/// Levels that differ by more than this have a note: a slit loss, clouds, or another star.
const LARGEST_LEVEL: f64 = 0.5;

impl Pipeline {
    /// # Errors
    /// As [`SpectraSource::validate`].
    pub fn new(source: &SpectraSource) -> Result<Self> {
        source.validate()?;
        let grid = PixelGrid::new(&source.grid)?;
        let vacuum = grid.converted(source.grid_medium, Medium::Vacuum);
        let (missing, unseen) = source.all_windows();
        Ok(Self {
            resampler: Resampler::new(vacuum, source.variance, source.least_coverage),
            continuum: Continuum::new(&source.continuum, &grid)?,
            smooth: source.smooth.map(|smooth| SavitzkyGolay::new(smooth.window, smooth.degree)).transpose()?,
            source: source.clone(),
            grid,
            missing,
            unseen,
        })
    }

    /// Whether levels of exposures are no matter, since a continuum is divided out.
    pub fn is_normalised(&self) -> bool {
        self.source.is_normalised()
    }

    /// The pixels of the observation file.
    pub fn grid(&self) -> &PixelGrid {
        &self.grid
    }

    /// An exposure on the grid.
    ///
    /// # Errors
    /// When the recipe and the file contradict each other about vacuum and air, or neither knows.
    pub fn expose(&self, observed: &ObservedSpectrum, velocity: Velocity) -> Result<Exposure> {
        // What the file says of its own velocity matters where that is the one that is taken.
        let notes = observed.notes & !Note::VelocityInvalid.bit();
        let mut exposure = Exposure { arms: Vec::new(), factor: 1.0, velocity: f64::NAN, notes, fault: observed.fault.clone() };
        if exposure.fault.is_some() {
            exposure.notes |= Note::SpectrumUnreadable.bit();
            return Ok(exposure);
        }
        let medium = Medium::agreed(self.source.medium, observed.medium, &observed.place)?;
        let options = &self.source.velocity;
        let is_wanted = options.source != VelocitySource::None;
        let known = match velocity {
            Velocity::Known(value) if is_wanted => match options.doppler.factor(value) {
                Ok(factor) => Some((value, factor)),
                Err(_) => {
                    exposure.notes |= Note::VelocityInvalid.bit();
                    None
                }
            },
            Velocity::Unusable if is_wanted => {
                exposure.notes |= Note::VelocityInvalid.bit();
                None
            }
            Velocity::Missing if is_wanted => {
                exposure.notes |= Note::VelocityMissing.bit();
                None
            }
            _ => None,
        };
        match known {
            Some((value, factor)) => (exposure.velocity, exposure.factor) = (value, factor),
            // What is not in the rest frame does not go among what is.
            None if is_wanted && options.without == WithoutVelocity::NoFlux => return Ok(exposure),
            None => {}
        }
        let overlaps = |segment: &Segment| match (segment.wavelength.first(), segment.wavelength.last()) {
            (Some(first), Some(last)) => {
                let edges = self.resampler.grid().edges();
                first / exposure.factor < edges[edges.len() - 1] && last / exposure.factor > edges[0]
            }
            _ => false,
        };
        if !observed.segments.iter().any(overlaps) {
            exposure.notes |= Note::NoOverlap.bit();
        }
        for segment in observed.segments.iter().filter(|segment| segment.ivar.iter().any(|&ivar| ivar > 0.0)) {
            let converted: Vec<f64>;
            let wavelength = match medium {
                Medium::Vacuum => segment.wavelength.as_slice(),
                Medium::Air => {
                    converted = segment.wavelength.iter().map(|&value| medium.convert(value, Medium::Vacuum)).collect();
                    &converted
                }
            };
            let (flux, ivar, spread) = (&segment.flux, &segment.ivar, &segment.line_spread);
            match self.resampler.resample(wavelength, flux, ivar, spread, exposure.factor) {
                Ok(resampled) => exposure.arms.push((segment.arm.clone(), resampled)),
                Err(error) => {
                    exposure.notes |= Note::SpectrumUnreadable.bit();
                    exposure.fault = Some(error.to_string());
                }
            }
        }
        Ok(exposure)
    }

    /// The row of a star.
    pub fn finish(&self, star: Star) -> Finished {
        let w = self.grid.len();
        let factor = star.factor;
        let mut notes = star.notes;
        let rest = self.resampler.grid().centres();
        let within = |windows: &[Window]| -> Vec<bool> {
            let mut is_within = vec![false; w];
            windows.iter().for_each(|window| is_within[window.pixels(rest, factor)].fill(true));
            is_within
        };
        let unseen = within(&self.unseen);
        let mut joined = Joined::new(w);
        let mut n_lost = 0;
        for (_, arm) in star.arms {
            let mut arm = arm.finish();
            if self.source.continuum.per_arm {
                self.smooth(&mut arm);
                n_lost += self.continuum.normalise(&mut arm, &unseen);
            }
            joined.add(&arm);
        }
        let mut spectrum = joined.finish();
        if !self.source.continuum.per_arm {
            self.smooth(&mut spectrum);
            n_lost += self.continuum.normalise(&mut spectrum, &unseen);
        }
        if n_lost > 0 {
            notes |= Note::ContinuumUnknown.bit();
        }
        for (j, is_missing) in within(&self.missing).into_iter().enumerate() {
            if is_missing {
                (spectrum.flux[j], spectrum.ivar[j]) = (f64::NAN, 0.0);
            }
        }
        let is_good = |j: &usize| spectrum.ivar[*j] > 0.0 && spectrum.flux[*j].is_finite();
        let ratios: Vec<f64> = (0..w).filter(is_good).map(|j| spectrum.flux[j] * spectrum.ivar[j].sqrt()).collect();
        let n_pixels = ratios.len();
        if n_pixels == 0 {
            notes |= Note::NoFlux.bit();
        }
        let snr = median(&ratios);
        let value = |j: usize, value: f64| if is_good(&j) { value as f32 } else { f32::NAN };
        let line_spread = match (self.source.line_spread, spectrum.other.is_empty()) {
            (true, true) => vec![f32::NAN; w],
            _ => spectrum.other.iter().enumerate().map(|(j, &other)| value(j, other)).collect(),
        };
        Finished {
            id: star.id,
            place: star.place,
            facts: star.facts,
            flux: (0..w).map(|j| value(j, spectrum.flux[j])).collect(),
            error: (0..w).map(|j| value(j, spectrum.ivar[j].powf(-0.5))).collect(),
            line_spread,
            velocity: star.velocity,
            snr,
            n_pixels,
            n_exposures: star.n_exposures,
            notes,
            fault: star.fault,
        }
    }

    /// Smooths the flux. A feature wider than a pixel sees the covariances of smoothed pixels too, which with
    /// the variance that is left sum up to what it was: so does the variance `with-neighbours` stay, and that
    /// of a pixel `alone` falls.
    fn smooth(&self, spectrum: &mut Resampled) {
        let Some(filter) = &self.smooth else { return };
        let flux = filter.of_gapped(&spectrum.flux, &spectrum.ivar);
        let is_known: Vec<bool> = spectrum.ivar.iter().map(|&ivar| ivar > 0.0).collect();
        let smallest = spectrum.ivar.iter().copied().filter(|&ivar| ivar > 0.0).fold(f64::INFINITY, f64::min);
        if self.source.variance == Variance::Alone && smallest.is_finite() {
            // Bridged pixels enter as the straight line does, with the variance of a pixel nearby: take the
            // largest there is.
            let variance: Vec<f64> = spectrum.ivar.iter().map(|&ivar| 1.0 / if ivar > 0.0 { ivar } else { smallest }).collect();
            for (ivar, variance) in spectrum.ivar.iter_mut().zip(filter.variance(&variance)).filter(|(ivar, _)| **ivar > 0.0) {
                *ivar = 1.0 / variance;
            }
        }
        for (j, flux) in flux.into_iter().enumerate().filter(|(j, _)| is_known[*j]) {
            spectrum.flux[j] = flux;
        }
    }
}

impl Star {
    /// A star without exposures yet.
    pub fn new(id: i64, place: String, facts: BTreeMap<String, super::Fact>) -> Self {
        Self {
            id,
            place,
            facts,
            arms: BTreeMap::new(),
            factor: 1.0,
            velocity: f64::NAN,
            notes: 0,
            n_added: 0,
            n_exposures: 0,
            fault: None,
        }
    }

    /// Adds an exposure. Notes of an arm that is missing hold only as long as no exposure has it. With
    /// `match_levels` its arms are brought to the level of those before, where they differ by more than
    /// noise: fluxes of different nights do by some per cent, and a pixel that one of them lacks would stand
    /// out of the mean.
    pub fn add(&mut self, exposure: Exposure, match_levels: bool) {
        let w = exposure.arms.first().map_or(0, |(_, arm)| arm.flux.len());
        let arm_missing = Note::ArmMissing.bit();
        let both_miss = self.notes & exposure.notes & arm_missing;
        self.notes = if self.n_added == 0 { exposure.notes } else { (self.notes | exposure.notes) & !arm_missing | both_miss };
        let is_used = exposure.arms.iter().any(|(_, arm)| arm.ivar.iter().any(|weight| *weight > 0.0));
        for (name, mut arm) in exposure.arms {
            let joined = self.arms.entry(name).or_insert_with(|| Joined::new(w));
            let level =
                joined.level_of(&arm).filter(|(factor, error)| match_levels && (factor - 1.0).abs() > LEVEL_ERRORS * error);
            if let Some((factor, _)) = level {
                arm.flux.iter_mut().for_each(|flux| *flux *= factor);
                arm.ivar.iter_mut().for_each(|ivar| *ivar /= factor * factor);
                if (factor - 1.0).abs() > LARGEST_LEVEL {
                    self.notes |= Note::LevelsDiffer.bit();
                }
            }
            joined.add(&arm);
        }
        self.fault = self.fault.take().or(exposure.fault);
        if is_used || self.n_added == 0 {
            (self.factor, self.velocity) = (exposure.factor, exposure.velocity);
        }
        self.n_added += 1;
        self.n_exposures += usize::from(is_used);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spectrum::Spacing;
    use crate::survey::spectra::Smoothing;
    use rand::SeedableRng;
    use rand_distr::{Distribution, StandardNormal};

    /// Pulls of the depth of a line of 3 pixels (σ) in smoothed noise, by least squares with the smoothed
    /// line and independent pixels: with the variance that is kept they are 1, with that of single pixels 1.4
    /// and more.
    #[test]
    fn errors_of_fits_to_smoothed_spectra_are_right() {
        const SIGMA: f64 = 0.02;
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(7);
        for (window, degree) in [(15, 7), (15, 3)] {
            let pulls = |variance: Variance, random: &mut rand_chacha::ChaCha8Rng| {
                let source = SpectraSource {
                    files: vec!["none".into()],
                    grid: Spacing::Linear([4900.0, 5099.0, 1.0]),
                    smooth: Some(Smoothing { window, degree }),
                    variance,
                    ..SpectraSource::default()
                };
                let pipeline = Pipeline::new(&source).unwrap();
                let w = pipeline.grid().len();
                let smoothed = |flux: Vec<f64>| {
                    let mut spectrum = Resampled { flux, ivar: vec![SIGMA.powi(-2); w], other: Vec::new() };
                    pipeline.smooth(&mut spectrum);
                    spectrum
                };
                let line: Vec<f64> = (0..w).map(|j| (-0.5 * ((j as f64 - 100.0) / 3.0).powi(2)).exp()).collect();
                let profile = smoothed(line).flux;
                let square: f64 = profile.iter().map(|value| value * value).sum();
                let mut sum = 0.0;
                for _ in 0..1500 {
                    let noise =
                        (0..w).map(|_| SIGMA * <StandardNormal as Distribution<f64>>::sample(&StandardNormal, random)).collect();
                    let spectrum = smoothed(noise);
                    let depth: f64 = spectrum.flux.iter().zip(&profile).map(|(noise, line)| noise * line).sum::<f64>() / square;
                    sum += depth * depth * square * spectrum.ivar[100];
                }
                (sum / 1500.0).sqrt()
            };
            let kept = pulls(Variance::WithNeighbours, &mut random);
            let alone = pulls(Variance::Alone, &mut random);
            assert!((0.9..1.1).contains(&kept) && alone > 1.35, "window {window}: {kept}, of single pixels {alone}");
        }
    }
}
