//! Controls chosen and kept, and what they say of stars.

use super::bands::Band;
use super::columns::LabelledStar;
use super::flags;
use super::luminosity::{LuminosityControl, LuminosityControls, NeighbourMagnitude};
use super::options::NeighbourOptions;
use super::reddening::{ColourControls, NoReddening, PairReddening};
use crate::distance::observables::Observables;
use crate::distance::position::galactic_latitude;
use crate::distance::{DistanceOptions, Star};
use crate::error::{Error, Result};
use crate::statistics::Measured;
use rayon::prelude::*;

/// What is left at least of the variance of A + M where errors of labels undo one another, as a part of the
/// sum of both.
const LEAST_VARIANCE: f64 = 0.01;

/// A star of the files of controls.
#[derive(Debug, Clone, PartialEq)]
pub struct Control {
    pub id: i64,
    pub labelled: LabelledStar,
    /// Where its intrinsic colours are known: few dust at a high latitude, all bands.
    pub has_colours: bool,
    /// mas, zero point subtracted, where it may tell an absolute magnitude.
    pub parallax: Option<Measured>,
}

impl Control {
    /// What a star may tell; `None` for nothing. `used` are the bands of the files of controls.
    pub fn of(
        (id, labelled, star): (i64, LabelledStar, &Star),
        used: &[usize],
        options: &NeighbourOptions,
        distance: &DistanceOptions,
    ) -> Option<Self> {
        if !labelled.has_labels() {
            return None;
        }
        let latitude = galactic_latitude(star.position[0], star.position[1]);
        let is_high = options.least_latitude == 0.0 || latitude.is_some_and(|b| b.abs() >= options.least_latitude);
        let map = labelled.map;
        // Catalogues have E = 0 ± 0.5 for stars of which they know nothing.
        let largest = options.largest_reddening;
        let is_clear = map.value <= largest && map.error <= 0.5 * largest;
        // A map's noise about zero is possible, more is none.
        let is_possible = map.value >= -3.0 * map.error;
        let has_bands = used.iter().all(|&band| labelled.magnitudes[band].value.is_finite());
        let has_colours = is_high && is_clear && is_possible && has_bands;
        let is_single = star.ruwe.is_nan() || star.ruwe <= distance.combination.ruwe;
        let parallax = Observables::of(star, distance)
            .parallax
            .filter(|parallax| is_single && parallax.value >= options.least_parallax_over_error * parallax.error);
        (has_colours || parallax.is_some()).then_some(Self { id, labelled, has_colours, parallax })
    }
}

/// Controls of colours and of absolute magnitudes.
#[derive(Debug)]
pub struct Neighbours {
    options: NeighbourOptions,
    colours: ColourControls,
    /// In the order of `luminosity_bands`: the place of the band in the recipe, and its controls.
    luminosities: Vec<(usize, LuminosityControls)>,
}

/// What neighbours say of a star.
#[derive(Debug, Clone, PartialEq)]
pub struct NeighbourEstimate {
    pub reddening: Option<PairReddening>,
    /// The band of `magnitude`, `extinction` and `absolute_magnitude`: its place in the recipe.
    pub band: Option<usize>,
    /// As observed.
    pub magnitude: Option<Measured>,
    pub extinction: Option<Measured>,
    pub absolute_magnitude: Option<NeighbourMagnitude>,
    /// Of the errors of extinction and absolute magnitude, which those of the labels move together, mag².
    pub covariance: f64,
    pub flags: i32,
}

impl Neighbours {
    /// Of the stars of the files of controls, whose bands are `used`, by their places in the recipe.
    ///
    /// # Errors
    /// When the options are impossible, or there are fewer controls of colours than `least_controls`.
    pub fn new(options: NeighbourOptions, controls: &[Control], used: Vec<usize>) -> Result<Self> {
        options.validate()?;
        let of_colours: Vec<(i64, &LabelledStar)> =
            controls.iter().filter(|control| control.has_colours).map(|control| (control.id, &control.labelled)).collect();
        if used.len() < 2 || of_colours.len() < options.least_controls {
            return Err(Error::data("controls of intrinsic colours")
                .found(format!("{} stars in {} bands", of_colours.len(), used.len()))
                .expected(format!("at least {} stars with labels, all bands and little dust", options.least_controls))
                .remedy(
                    "Look at least_latitude and largest_reddening of [neighbours], at the column of the map and at bands that few \
                     stars have (magnitude = \"none\" leaves one out).",
                ));
        }
        let colours = ColourControls::new(&of_colours, &options.bands, used, options.r_v);
        let mut found = Self { options, colours, luminosities: Vec::new() };
        let bands: Vec<usize> = found
            .options
            .luminosity_bands
            .iter()
            .filter_map(|name| found.options.bands.iter().position(|band| band.name == *name))
            .collect();
        let reddenings: Vec<Option<Measured>> = controls.par_iter().map(|control| found.reddening_of(control)).collect();
        for band in bands {
            let stars: Vec<(i64, &LabelledStar, LuminosityControl)> = controls
                .iter()
                .zip(&reddenings)
                .filter_map(|(control, reddening)| {
                    let magnitude = control.labelled.magnitudes[band];
                    let extinction = found.extinction(band, &control.labelled, (*reddening)?);
                    let magnitude =
                        Measured { value: magnitude.value - extinction.value, error: magnitude.error.hypot(extinction.error) };
                    let luminosity = LuminosityControl { parallax: control.parallax?, magnitude };
                    magnitude.value.is_finite().then_some((control.id, &control.labelled, luminosity))
                })
                .collect();
            found.luminosities.push((band, LuminosityControls::new(&stars)));
        }
        Ok(found)
    }

    /// The options.
    pub fn options(&self) -> &NeighbourOptions {
        &self.options
    }

    /// How many controls there are of colours, and in each band of absolute magnitudes, by its name.
    pub fn counts(&self) -> (usize, Vec<(&str, usize)>) {
        let of_bands = self.luminosities.iter().map(|(band, of)| (self.options.bands[*band].name.as_str(), of.len()));
        (self.colours.len(), of_bands.collect())
    }

    /// The reddening of a control with a parallax: of the map where that is trusted, else by star pairs.
    fn reddening_of(&self, control: &Control) -> Option<Measured> {
        control.parallax?;
        if control.has_colours {
            return Some(control.labelled.map);
        }
        Some(self.pair(control.id, &control.labelled).ok().filter(|pair| pair.is_surrounded)?.reddening)
    }

    fn bands(&self) -> (&[Band], f64) {
        (&self.options.bands, self.options.r_v)
    }

    fn pair(&self, id: i64, star: &LabelledStar) -> std::result::Result<PairReddening, NoReddening> {
        let counts = (self.options.controls, self.options.least_controls);
        self.colours.reddening((id, star), counts, self.bands())
    }

    fn extinction(&self, band: usize, star: &LabelledStar, reddening: Measured) -> Measured {
        let found = self.options.bands[band].extinction_at(star.teff, star.feh, reddening.value, self.options.r_v);
        Measured { value: found.value, error: found.per_reddening * reddening.error }
    }

    /// What neighbours say of a star, itself not among them.
    pub fn estimate(&self, id: i64, star: &LabelledStar) -> NeighbourEstimate {
        let mut estimate = NeighbourEstimate {
            reddening: None,
            band: None,
            magnitude: None,
            extinction: None,
            absolute_magnitude: None,
            covariance: 0.0,
            flags: 0,
        };
        if !star.has_labels() {
            estimate.flags = flags::NO_LABELS;
            return estimate;
        }
        let is_uncertain = star.coordinates.iter().any(|label| label.error > self.options.largest_label_error);
        estimate.flags |= if is_uncertain { flags::UNCERTAIN_LABELS } else { 0 };
        match self.pair(id, star) {
            Ok(found) => {
                let is_far = found.nearest > self.options.farthest_control;
                estimate.flags |= if found.n_dof == 0 { flags::FEW_BANDS } else { 0 }
                    | if found.is_surrounded { 0 } else { flags::NOT_SURROUNDED }
                    | if is_far { flags::FAR } else { 0 }
                    | if found.probability < self.options.least_probability { flags::POOR_COLOURS } else { 0 };
                estimate.reddening = Some(found);
            }
            Err(NoReddening::FewControls) => estimate.flags |= flags::FEW_CONTROLS,
            Err(NoReddening::NoColour) => estimate.flags |= flags::NO_COLOUR,
        }
        let with_magnitude = self.luminosities.iter().enumerate();
        let found = with_magnitude
            .filter(|(_, (band, _))| star.magnitudes[*band].value.is_finite())
            .find_map(|(place, (band, of))| (!of.is_empty()).then_some((place, *band, of)));
        let Some((place, band, controls)) = found else {
            estimate.flags |= flags::NO_BAND;
            return estimate;
        };
        estimate.flags |= if place > 0 { flags::OTHER_BAND } else { 0 };
        estimate.band = Some(band);
        estimate.magnitude = Some(star.magnitudes[band]);
        estimate.extinction = estimate.reddening.as_ref().map(|pair| self.extinction(band, star, pair.reddening));
        let counts = (self.options.controls, self.options.least_controls);
        estimate.absolute_magnitude = controls.magnitude((id, star), counts);
        estimate.flags |= match &estimate.absolute_magnitude {
            None => flags::FEW_MAGNITUDE_CONTROLS,
            Some(found) if !found.is_surrounded => flags::MAGNITUDES_NOT_SURROUNDED,
            Some(_) => 0,
        };
        if let (Some(pair), Some(magnitude)) = (&estimate.reddening, &estimate.absolute_magnitude) {
            let of = self.options.bands[band].extinction_at(star.teff, star.feh, pair.reddening.value, self.options.r_v);
            let slopes = pair.per_label.iter().zip(&magnitude.per_label);
            let shared: f64 = slopes.zip(star.variances()).map(|((a, m), variance)| a * m * variance).sum();
            estimate.covariance = of.per_reddening * shared;
        }
        estimate
    }
}

impl NeighbourEstimate {
    /// Puts magnitude, extinction and absolute magnitude into a star whose distance is wanted.
    pub fn put_into(&self, star: &mut Star) {
        let nothing = Measured { value: f64::NAN, error: f64::NAN };
        star.magnitude = self.magnitude.unwrap_or(nothing);
        star.extinction = self.extinction.unwrap_or(nothing);
        star.absolute_magnitude = self.absolute_magnitude.as_ref().map_or(nothing, |found| found.magnitude);
        let variances = star.extinction.error.powi(2) + star.absolute_magnitude.error.powi(2);
        // Errors that undo one another never do so wholly.
        let least = -0.5 * (1.0 - LEAST_VARIANCE) * variances;
        star.magnitude_covariance = if variances.is_finite() { self.covariance.max(least) } else { 0.0 };
    }
}
