//! Spectra of the line list as a survey, chunk after chunk, and the gradient library that goes with them.

use super::lines::{FIRST_RATIO, N_LABELS};
use super::population::Population;
use super::survey_config::SpectraConfig;
use super::synthesis::Synthesis;
use crate::error::Result;
use crate::per_pixel::{GradientLibrary, LabelledSpectra};
use crate::table::Table;
use ndarray::{Array2, Axis, s};
use std::ops::Range;

/// Values of the labels that do not differ between stars: T_eff (K), log g, v_mic (km/s), \[Fe/H\], every
/// \[X/Fe\].
const FIXED: [f64; N_LABELS] = {
    let mut fixed = [0.0; N_LABELS];
    (fixed[0], fixed[1], fixed[2]) = (5500.0, 4.4, 1.0);
    fixed
};
/// Bytes of flux and errors of a chunk, and most of its stars.
const CHUNK_BYTES: usize = 32 << 20;
const MOST_STARS: usize = 8192;

/// A survey of simulated spectra. A star depends on the seed and its number, not on the others; where
/// abundances are permuted, on how many there are too.
///
/// ```
/// use photosphere::simulate::line_list::{SpectraConfig, SpectraSurvey};
/// let survey = SpectraSurvey::new(SpectraConfig { n_stars: 10, ..SpectraConfig::default() })?;
/// assert_eq!(survey.table(0..10)?.column("flux")?.to_matrix(300)?.dim(), (10, 300));
/// assert_eq!(survey.library()?.gradient.dim(), (101, 15, 300));
/// # Ok::<(), photosphere::error::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct SpectraSurvey {
    config: SpectraConfig,
    synthesis: Synthesis,
    population: Population,
    /// Indices of the labels that differ.
    labels: Vec<usize>,
    /// Labels of all stars, where abundances are permuted.
    permuted: Option<Array2<f64>>,
}

impl SpectraSurvey {
    /// Prepares lines and, where they are permuted, labels.
    ///
    /// # Errors
    /// As [`SpectraConfig::validate`].
    pub fn new(config: SpectraConfig) -> Result<Self> {
        config.validate()?;
        let population = Population { seed: config.seed, wide: config.wide };
        let permuted = config.permuted.then(|| {
            let stars = config.first_star..config.first_star + config.n_stars as u64;
            population.permuted(population.labels_of(stars).view())
        });
        let (synthesis, labels) = (Synthesis::new(&config.line_list()), config.label_indices()?);
        Ok(Self { config, synthesis, population, labels, permuted })
    }

    /// Stars in a chunk.
    pub fn chunk(&self) -> usize {
        (CHUNK_BYTES / (8 * self.config.n_pixels)).clamp(16, MOST_STARS)
    }

    /// Labels `[n, 15]` of the survey's stars of these places, from 0.
    pub fn labels(&self, places: Range<usize>) -> Array2<f64> {
        let labels = match &self.permuted {
            Some(permuted) => permuted.slice(s![places, ..]).to_owned(),
            None => {
                let first = self.config.first_star;
                self.population.labels_of(first + places.start as u64..first + places.end as u64)
            }
        };
        self.with_fixed(labels)
    }

    fn with_fixed(&self, mut labels: Array2<f64>) -> Array2<f64> {
        for (k, fixed) in FIXED.into_iter().enumerate().filter(|(k, _)| !self.labels.contains(k)) {
            labels.column_mut(k).fill(fixed);
        }
        labels
    }

    /// The observation file's rows of the stars of these places.
    ///
    /// # Errors
    /// Never, of places below `n_stars`.
    pub fn table(&self, places: Range<usize>) -> Result<Table> {
        let labels = self.labels(places.clone());
        let first = self.config.first_star + places.start as u64;
        let mut spectra = self.population.observe_from(&self.synthesis, first, labels.view(), self.config.snr);
        if !self.config.noise {
            let flux = self.synthesis.flux(labels.view()).mapv(|value| value as f32);
            spectra = LabelledSpectra { flux, ..spectra };
        }
        // Identifiers begin with 1.
        self.synthesis.list().observations_with(&spectra, first as i64 + 1, self.config.labelled, &self.labels)
    }

    /// The gradient library of the configuration's references.
    ///
    /// # Errors
    /// When the library contradicts itself: never, of a valid configuration.
    pub fn library(&self) -> Result<GradientLibrary> {
        let library = &self.config.library;
        let first = self.config.first_star;
        let labels = self.population.references_of(library.ratios, first..first + library.n_references as u64);
        let labels = self.with_fixed(labels);
        let mut made = match self.config.steps() {
            Some(steps) => self.synthesis.library_of_differences(labels.view(), steps),
            None => self.synthesis.library(labels.view()),
        };
        made.labels = made.labels.select(Axis(1), &self.labels);
        made.gradient = made.gradient.select(Axis(1), &self.labels);
        made.names = self.labels.iter().map(|&k| made.names[k].clone()).collect();
        made.units = self.labels.iter().map(|&k| made.units[k].clone()).collect();
        made.steps = self.labels.iter().map(|&k| made.steps[k]).collect();
        if self.labels.iter().any(|&k| k >= FIRST_RATIO) {
            made.origin = format!("{}, {} references", made.origin, library.ratios.name());
        }
        made.check()?;
        Ok(made)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{LABELS, LibraryConfig, LineList, References};
    use super::*;

    fn survey(config: SpectraConfig) -> SpectraSurvey {
        SpectraSurvey::new(SpectraConfig { n_pixels: 60, n_stars: 40, ..config }).unwrap()
    }

    /// Chunks are those of the whole; other numbers are other stars; the first ones are those of
    /// `Population`.
    #[test]
    fn a_star_depends_on_its_number_alone() {
        let whole = survey(SpectraConfig::default());
        let flux = |survey: &SpectraSurvey, places: Range<usize>| {
            survey.table(places).unwrap().column("flux").unwrap().to_matrix(60).unwrap()
        };
        let all = flux(&whole, 0..40);
        assert_eq!(flux(&whole, 7..9), all.slice(s![7..9, ..]));
        let later = survey(SpectraConfig { first_star: 7, ..SpectraConfig::default() });
        assert_eq!(flux(&later, 0..33), all.slice(s![7.., ..]));
        assert_eq!(later.table(0..2).unwrap().column("source_id").unwrap().to_i64().unwrap(), [8, 9]);
        let synthesis = Synthesis::new(&LineList { n_pixels: 60, ..LineList::default() });
        let population = Population::default();
        let observed = population.observe(&synthesis, population.labels(40).view(), [20.0, 120.0]);
        assert_eq!(all, observed.flux.mapv(f64::from));
    }

    /// Without noise fluxes are those of the true labels, permuted ones too, with the errors of the ratio;
    /// labels that are not asked for are fixed.
    #[test]
    fn fluxes_without_noise_are_those_of_the_labels_in_the_file() {
        let labels = ["mg_fe", "teff"].map(String::from).to_vec();
        let config =
            SpectraConfig { noise: false, permuted: true, labelled: false, snr: [50.0, 50.0], labels, ..Default::default() };
        let survey = survey(config);
        let table = survey.table(0..40).unwrap();
        let of = |name: &str| table.column(name).unwrap().to_f64().unwrap();
        assert!(table.get("true_logg").is_none() && table.get("teff").is_none());
        let mut truth = Array2::from_shape_fn((40, N_LABELS), |(_, k)| FIXED[k]);
        truth.column_mut(0).assign(&ndarray::Array1::from(of("true_teff")));
        truth.column_mut(7).assign(&ndarray::Array1::from(of("true_mg_fe")));
        let synthesis = Synthesis::new(&LineList { n_pixels: 60, ..LineList::default() });
        let exact = synthesis.flux(truth.view()).mapv(|value| f64::from(value as f32));
        assert_eq!(table.column("flux").unwrap().to_matrix(60).unwrap(), exact);
        assert!(table.column("flux_error").unwrap().flat_f64().unwrap().iter().all(|error| (error - 0.02).abs() < 1e-6));
        let natural = Population::default().labels(40);
        let sorted = |mut values: Vec<f64>| {
            values.sort_by(f64::total_cmp);
            values
        };
        assert_ne!(of("true_mg_fe"), natural.column(7).to_vec());
        assert_eq!(sorted(of("true_mg_fe")), sorted(natural.column(7).to_vec()));
    }

    /// Differences come to the exact derivatives with the square of the step; a library has its steps, its
    /// labels and no others.
    #[test]
    fn libraries_have_exact_derivatives_or_differences() {
        let library = |steps: Vec<f64>, labels: Vec<String>| {
            let library = LibraryConfig { n_references: 5, ratios: References::Scattered, steps };
            survey(SpectraConfig { library, labels, ..SpectraConfig::default() }).library().unwrap()
        };
        let all = LABELS.map(|(name, _)| name.to_owned()).to_vec();
        let exact = library(Vec::new(), all.clone());
        let off = |scale: f64| {
            let made = library([40.0, 0.08, 0.1, 0.05].map(|step| scale * step).to_vec(), all.clone());
            assert_eq!(made.steps[..2], [40.0, 0.08].map(|step| scale * step));
            assert_eq!(made.flux, exact.flux);
            // Of the largest derivative by the label; differences of f64, kept in single precision.
            let of = |k: usize| {
                let (made, exact) = (made.gradient.index_axis(Axis(1), k), exact.gradient.index_axis(Axis(1), k));
                let largest = exact.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
                (&made - &exact).iter().fold(0.0_f32, |worst, error| worst.max(error.abs())) / largest
            };
            (0..N_LABELS).map(of).fold(0.0_f32, f32::max)
        };
        let (coarse, fine) = (off(1.0), off(0.25));
        assert!(coarse < 0.03 && (10.0..22.0).contains(&(coarse / fine)), "{coarse} {fine}");
        let some = library(Vec::new(), vec!["feh".into(), "teff".into()]);
        assert_eq!((some.names.clone(), some.gradient.dim()), (vec!["feh".to_owned(), "teff".to_owned()], (5, 2, 60)));
        assert_eq!(some.gradient.dim().1, some.labels.ncols());
    }
}
