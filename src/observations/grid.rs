//! The wavelengths of a data vector.

use crate::error::{Error, Result};
use crate::quantity::XP_SAMPLE;
use crate::spectrum::Medium;
use serde::{Deserialize, Serialize};

/// Wavelengths (nm) and names of the W entries of a data vector.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grid {
    /// Wavelength of each entry, nm.
    pub wavelength: Vec<f64>,
    /// Name of each entry (`xp_392`, `j`).
    pub names: Vec<String>,
    /// Name and hash of the instrument with which the XP samples were made (`gaia-dr3 sha256:…`); `None`
    /// without XP samples, and in files and models that are older than instruments, or simulated: those of
    /// `gaia-dr3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instrument: Option<String>,
    /// Whether the wavelengths are in vacuum or in air; `None` where nothing says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub medium: Option<Medium>,
    /// By which pseudo-continuum fluxes were divided, in the words of
    /// [`ContinuumOptions::described`](crate::spectrum::continuum::ContinuumOptions::described); `None` where
    /// nothing says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continuum: Option<String>,
}

/// The XP instrument where none is said.
const UNSAID_INSTRUMENT: &str = "gaia-dr3";

impl Grid {
    /// A grid.
    ///
    /// # Errors
    /// When it is empty, a wavelength is not positive and finite, or the numbers of wavelengths and names
    /// differ.
    pub fn new(wavelength: Vec<f64>, names: Vec<String>) -> Result<Self> {
        if wavelength.is_empty() || wavelength.len() != names.len() {
            return Err(Error::data("wavelength grid")
                .found(format!("{} wavelengths and {} names", wavelength.len(), names.len()))
                .expected("as many names as wavelengths, at least one"));
        }
        if let Some((name, bad)) = names.iter().zip(&wavelength).find(|(_, nm)| !(nm.is_finite() && **nm > 0.0)) {
            return Err(Error::data(format!("wavelength of '{name}'")).found(format!("{bad} nm")).expected("a positive number"));
        }
        Ok(Self { wavelength, names, instrument: None, medium: None, continuum: None })
    }

    /// The same grid, with the XP instrument of its samples.
    pub fn with_instrument(self, instrument: Option<String>) -> Self {
        Self { instrument, ..self }
    }

    /// Name and hash of the XP instrument; the name where none is said.
    pub fn instrument_name(&self) -> &str {
        self.instrument.as_deref().unwrap_or(UNSAID_INSTRUMENT)
    }

    /// The same grid, with what its wavelengths are measured in.
    pub fn with_medium(self, medium: Option<Medium>) -> Self {
        Self { medium, ..self }
    }

    /// The same grid, with what its fluxes were divided by.
    pub fn with_continuum(self, continuum: Option<String>) -> Self {
        Self { continuum, ..self }
    }

    /// Fails when the wavelengths of one are in vacuum and those of the other in air, or the fluxes were
    /// divided by different continua. Where one says nothing, nothing contradicts it.
    fn require_same_preparation(&self, other: &Self) -> Result<()> {
        if let (Some(one), Some(two)) = (self.medium, other.medium)
            && one != two
        {
            return Err(Error::data("wavelengths of the data vector")
                .found(two.name())
                .expected(format!("{}, as the model or the files before", one.name()))
                .remedy("Prepare the spectra with `grid_medium` as the model has it."));
        }
        match (&self.continuum, &other.continuum) {
            (Some(one), Some(two)) if one != two => Err(Error::data("pseudo-continuum of the fluxes")
                .found(two.as_str())
                .expected(format!("{one}, as the model or the files before"))
                .remedy("Prepare the spectra with [spectra.continuum] as the model has it.")),
            _ => Ok(()),
        }
    }

    /// Takes over what `other`, of the same data vector, says of its preparation where this says nothing.
    pub(super) fn learn(&mut self, other: &Self) {
        self.medium = self.medium.or(other.medium);
        if self.continuum.is_none() {
            self.continuum.clone_from(&other.continuum);
        }
    }

    /// Number of leading XP samples B.
    pub fn n_xp_samples(&self) -> usize {
        self.names.iter().take_while(|name| name.starts_with(XP_SAMPLE)).count()
    }

    /// Whether the XP samples of both, where they have any, are of one instrument. Where one does not say
    /// which, the other's name decides.
    pub fn has_instrument_of(&self, other: &Self) -> bool {
        if self.n_xp_samples() == 0 || other.n_xp_samples() == 0 {
            return true;
        }
        let name = |instrument: &str| instrument.split(' ').next().unwrap_or_default().to_owned();
        match (&self.instrument, &other.instrument) {
            (Some(one), Some(other)) => one == other,
            (Some(known), None) | (None, Some(known)) => name(known) == UNSAID_INSTRUMENT,
            (None, None) => true,
        }
    }

    /// Fails when the XP samples of `other` are of another instrument.
    ///
    /// # Errors
    /// Names both instruments.
    pub fn require_same_instrument(&self, other: &Self) -> Result<()> {
        if self.has_instrument_of(other) {
            return Ok(());
        }
        let said = |grid: &Self| grid.instrument.clone().unwrap_or_else(|| UNSAID_INSTRUMENT.into());
        Err(Error::data("XP samples")
            .found(format!("the instrument {}", said(other)))
            .expected(format!("{}, as the model or the files before", said(self)))
            .remedy(
                "Use a model that was trained with spectra of that instrument; `photosphere fit --other-instrument` fits all the same, and \
                 logs the offsets of the bands.",
            ))
    }

    /// Number of entries W.
    pub fn len(&self) -> usize {
        self.wavelength.len()
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.wavelength.is_empty()
    }

    /// Fails when `other` has other wavelengths: what names pixels have is of no account.
    ///
    /// # Errors
    /// Names the first pixel that differs, and the ends of both.
    pub fn require_same_pixels(&self, other: &Self) -> Result<()> {
        let is_same = |i: &usize| {
            let both = self.wavelength.get(*i).zip(other.wavelength.get(*i));
            both.is_some_and(|(a, b)| (a - b).abs() <= 1e-6 * a)
        };
        let describe = |grid: &Self, i: usize| {
            let here = grid.wavelength.get(i).map_or_else(|| "no such pixel".to_owned(), |nm| format!("{nm} nm"));
            let ends = grid.wavelength.first().zip(grid.wavelength.last());
            let (first, last) = ends.unwrap_or((&f64::NAN, &f64::NAN));
            format!("{here} ({} pixels, {first} to {last} nm)", grid.len())
        };
        match (0..self.len().max(other.len())).find(|i| !is_same(i)) {
            None => self.require_same_preparation(other),
            Some(i) => Err(Error::data(format!("data vector, pixel {i}"))
                .found(describe(other, i))
                .expected(describe(self, i))
                .remedy("Prepare the spectra on the pixels of the model: [spectra.grid] of the recipe.")),
        }
    }

    /// Fails when `other` is not the same data vector, the XP instrument included.
    ///
    /// # Errors
    /// Names the first entry that differs.
    pub fn require_same(&self, other: &Self) -> Result<()> {
        let differs = |i: &usize| {
            self.names.get(*i) != other.names.get(*i)
                || self.wavelength.get(*i).zip(other.wavelength.get(*i)).is_none_or(|(a, b)| (a - b).abs() > 1e-6 * a)
        };
        let describe = |grid: &Self, i: usize| {
            grid.names.get(i).map_or("no such entry".into(), |name| format!("'{name}' at {} nm", grid.wavelength[i]))
        };
        match (0..self.len().max(other.len())).find(differs) {
            None => self.require_same_preparation(other).and_then(|()| self.require_same_instrument(other)),
            Some(i) => Err(Error::data(format!("data vector, entry {i}"))
                .found(format!("{} ({} entries)", describe(other, i), other.len()))
                .expected(format!("{} ({} entries)", describe(self, i), self.len()))
                .remedy("Prepare the observations with the bands and the grid of the model.")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(names: [&str; 2], instrument: Option<&str>) -> Grid {
        Grid::new(vec![400.0, 500.0], names.map(String::from).into()).unwrap().with_instrument(instrument.map(String::from))
    }

    #[test]
    fn vacuum_and_air_do_not_go_together() {
        let of = |medium| grid(["a", "b"], None).with_medium(medium);
        let (vacuum, air) = (Some(Medium::Vacuum), Some(Medium::Air));
        for (model, observed, same) in [(vacuum, vacuum, true), (None, air, true), (air, None, true), (vacuum, air, false)] {
            assert_eq!(of(model).require_same(&of(observed)).is_ok(), same, "{model:?} {observed:?}");
        }
        let message = of(vacuum).require_same(&of(air)).unwrap_err().to_string();
        assert!(message.contains("found air, expected vacuum"), "{message}");
    }

    #[test]
    fn fluxes_over_different_continua_do_not_go_together() {
        let of = |continuum: Option<&str>| grid(["a", "b"], None).with_continuum(continuum.map(String::from));
        let (narrow, wide) = (Some("gaussian, kernel 20 Angstrom"), Some("gaussian, kernel 50 Angstrom"));
        for (model, observed, same) in [(narrow, narrow, true), (None, wide, true), (wide, None, true), (narrow, wide, false)] {
            assert_eq!(of(model).require_same(&of(observed)).is_ok(), same, "{model:?} {observed:?}");
            assert_eq!(of(model).require_same_pixels(&of(observed)).is_ok(), same, "{model:?} {observed:?}");
        }
        let message = of(narrow).require_same(&of(wide)).unwrap_err().to_string();
        assert!(message.contains("found gaussian, kernel 50 Angstrom, expected gaussian, kernel 20 Angstrom"), "{message}");
    }

    #[test]
    fn xp_samples_of_another_instrument_are_refused() {
        let xp = |instrument| grid(["xp_400", "xp_500"], instrument);
        let (dr3, other) = (Some("gaia-dr3 sha256:1"), Some("gaia-dr4 sha256:2"));
        for (model, observed, same) in [
            (dr3, dr3, true),
            (dr3, None, true),
            (None, dr3, true),
            (None, None, true),
            (dr3, Some("gaia-dr3 sha256:3"), false),
            (dr3, other, false),
            (None, other, false),
            (other, None, false),
        ] {
            assert_eq!(xp(model).require_same(&xp(observed)).is_ok(), same, "{model:?} {observed:?}");
        }
        let message = xp(dr3).require_same(&xp(other)).unwrap_err().to_string();
        assert!(message.contains("gaia-dr4 sha256:2") && message.contains("--other-instrument"), "{message}");
        assert!(grid(["g", "r"], dr3).require_same(&grid(["g", "r"], other)).is_ok());
    }
}
