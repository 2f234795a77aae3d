//! The instrument of a data release: from basis functions in pseudo-wavelength to flux at a wavelength.

use super::basis::Basis;
use super::spline::CubicSpline;
use super::{BasisKind, FLUX_UNIT, Sampling};
use crate::error::{Error, Result};
use ndarray::{Array2, s};
use std::ops::RangeInclusive;

/// What a release's continuous spectra are made of, and how they become fluxes; read from a file
/// ([`Instrument::read`]) or built in ([`Instrument::built_in`]).
#[derive(Debug)]
pub struct Instrument {
    pub(super) name: String,
    pub(super) release: String,
    pub(super) description: String,
    pub(super) warning: Option<String>,
    pub(super) hash: String,
    pub(super) bp: BandModel,
    pub(super) rp: BandModel,
    /// What both bands' external calibrations share; `None` where the instrument has none.
    pub(super) external: Option<Merging>,
}

/// One photometer.
#[derive(Debug)]
pub(super) struct BandModel {
    /// The basis functions of the coefficients.
    pub(super) basis: Basis,
    pub(super) basis_function_id: i64,
    pub(super) external: Option<ExternalBand>,
}

/// Dispersion, response and inverse bases of one photometer.
#[derive(Debug)]
pub(super) struct ExternalBand {
    /// As many functions as the band's basis has.
    pub(super) inverse_basis: Basis,
    pub(super) dispersion: CubicSpline,
    pub(super) response: CubicSpline,
    /// `[n_active, n_bases]`: GaiaXPy's tabulated design on the archive's grid where the band has weight, W
    /// m⁻² nm⁻¹.
    pub(super) archive_design: Option<Array2<f64>>,
}

/// How the fluxes of BP and RP become one.
#[derive(Debug)]
pub(super) struct Merging {
    /// hc in J nm over the telescope's pupil area in m².
    pub(super) photon_factor: f64,
    /// Wavelengths (nm, increasing) and weights of BP (never growing), linear between them.
    pub(super) weights: Vec<(f64, f64)>,
    /// Where fluxes may be asked for, nm.
    pub(super) wavelength_range: RangeInclusive<f64>,
}

/// The grid of the archive's sampled spectra (and GaiaXPy's default): 336, 338, … 1020 nm.
pub fn archive_wavelengths() -> Vec<f64> {
    (0..343).map(|sample| 336.0 + 2.0 * f64::from(sample)).collect()
}

impl Instrument {
    /// Short name without blanks, as recipes use it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The data release that it belongs to.
    pub fn release(&self) -> &str {
        &self.release
    }

    /// One line on what it is.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// What has to be said whenever it is used.
    pub fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    /// SHA-256 (hexadecimal) of everything that decides a number: tensors, kinds and identifiers of the
    /// bases. Names and descriptions do not enter.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// Name and hash as observation files and models keep them: `gaia-dr3 sha256:4f…`.
    pub fn identity(&self) -> String {
        format!("{} sha256:{}", self.name, self.hash)
    }

    /// Numbers of basis functions of BP and RP.
    pub fn n_bases(&self) -> (usize, usize) {
        (self.bp.basis.len(), self.rp.basis.len())
    }

    /// Kinds of the bases of BP and RP.
    pub fn basis_kinds(&self) -> (BasisKind, BasisKind) {
        (self.bp.basis.kind(), self.rp.basis.kind())
    }

    /// The identifiers of the basis functions of BP and RP (`bp_basis_function_id`, `rp_basis_function_id` in
    /// the archive) that this instrument describes.
    pub fn basis_function_ids(&self) -> (i64, i64) {
        (self.bp.basis_function_id, self.rp.basis_function_id)
    }

    /// The wavelengths, in nm, at which fluxes may be asked for; `None` without an external calibration.
    pub fn wavelength_range(&self) -> Option<RangeInclusive<f64>> {
        self.external.as_ref().map(|external| external.wavelength_range.clone())
    }

    /// Whether it has the tabulated design matrices of [`Instrument::archive_sampling`].
    pub fn has_archive_sampling(&self) -> bool {
        [&self.bp, &self.rp].iter().all(|band| band.external.as_ref().is_some_and(|external| external.archive_design.is_some()))
    }

    /// Design matrices and merge weights on any grid, from the instrument model (as GaiaXPy's `calibrate`
    /// with `sampling` given).
    ///
    /// With fewer coefficients than the instrument has bases, the leading bases are used, as in GaiaXPy's
    /// truncation.
    ///
    /// # Errors
    /// When the instrument has no external calibration, the grid is empty, not strictly increasing or reaches
    /// outside [`Instrument::wavelength_range`], or there are more coefficients than bases.
    pub fn sampling(&self, wavelength_nm: &[f64], n_bp: usize, n_rp: usize) -> Result<Sampling> {
        let (merging, bp, rp) = self.external()?;
        check_grid(wavelength_nm, &merging.wavelength_range)?;
        self.check_counts(n_bp, n_rp)?;
        let (bp_weight, rp_weight) = merging.weights(wavelength_nm);
        Ok(Sampling {
            wavelength: wavelength_nm.to_vec(),
            bp: bp.design(wavelength_nm, &bp_weight, n_bp, merging.photon_factor),
            rp: rp.design(wavelength_nm, &rp_weight, n_rp, merging.photon_factor),
            bp_weight,
            rp_weight,
        })
    }

    /// Design matrices and merge weights on [`archive_wavelengths`] from GaiaXPy's tabulated matrices, which
    /// made the archive's sampled spectra and GaiaXPy's default output. In BP they differ from the instrument
    /// model by up to 0.7 % below 400 nm.
    ///
    /// # Errors
    /// When the instrument has no such matrices, or there are more coefficients than bases.
    pub fn archive_sampling(&self, n_bp: usize, n_rp: usize) -> Result<Sampling> {
        let (merging, bp, rp) = self.external()?;
        self.check_counts(n_bp, n_rp)?;
        let (Some(bp_design), Some(rp_design)) = (&bp.archive_design, &rp.archive_design) else {
            return Err(Error::data(format!("XP instrument '{}'", self.name))
                .found("no design matrices of the archive's grid")
                .expected("them, for the grid \"archive\"")
                .remedy("Use grid = { range = [336, 1020, 2] }."));
        };
        let wavelength = archive_wavelengths();
        let (bp_weight, rp_weight) = merging.weights(&wavelength);
        let (n, n_active_bp, n_active_rp) = (wavelength.len(), bp_design.nrows(), rp_design.nrows());
        let mut bp = Array2::zeros((n, n_bp));
        let mut rp = Array2::zeros((n, n_rp));
        bp.slice_mut(s![..n_active_bp, ..]).assign(&(&bp_design.slice(s![.., ..n_bp]) / FLUX_UNIT));
        rp.slice_mut(s![n - n_active_rp.., ..]).assign(&(&rp_design.slice(s![.., ..n_rp]) / FLUX_UNIT));
        let (bp, rp) = (column_by_column(bp), column_by_column(rp));
        Ok(Sampling { wavelength, bp, rp, bp_weight, rp_weight })
    }

    /// Weights of BP and RP at wavelengths in nm.
    ///
    /// # Errors
    /// When the instrument has no external calibration.
    pub fn merge_weights(&self, wavelength: &[f64]) -> Result<(Vec<f64>, Vec<f64>)> {
        Ok(self.external()?.0.weights(wavelength))
    }

    fn external(&self) -> Result<(&Merging, &ExternalBand, &ExternalBand)> {
        match (&self.external, &self.bp.external, &self.rp.external) {
            (Some(merging), Some(bp), Some(rp)) => Ok((merging, bp, rp)),
            _ => Err(Error::usage(format!("XP instrument '{}'", self.name))
                .found("no external calibration (dispersion, response, inverse bases): its spectra have no flux at a wavelength")
                .expected("an instrument with one")
                .remedy(
                    "Make an instrument file of the release's configuration with scripts/make_xp_instrument.py and name it \
                     (xp.instrument in the recipe); `photosphere instruments` lists what is built in.",
                )),
        }
    }

    fn check_counts(&self, n_bp: usize, n_rp: usize) -> Result<()> {
        let (most_bp, most_rp) = self.n_bases();
        if n_bp > most_bp || n_rp > most_rp {
            return Err(Error::data("XP spectra")
                .found(format!("{n_bp} BP and {n_rp} RP coefficients"))
                .expected(format!("at most {most_bp} and {most_rp}, the bases of the instrument {}", self.name))
                .remedy(
                    "Name the instrument of their release (xp.instrument); `photosphere instruments` lists what is built in.",
                ));
        }
        Ok(())
    }
}

impl Merging {
    /// Weights of BP and RP; they add up to one.
    fn weights(&self, wavelength: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let rp: Vec<f64> = wavelength.iter().map(|&nm| self.rp_weight(nm)).collect();
        (rp.iter().map(|weight| 1.0 - weight).collect(), rp)
    }

    fn rp_weight(&self, nm: f64) -> f64 {
        let next = self.weights.partition_point(|&(node, _)| node <= nm).clamp(1, self.weights.len() - 1);
        let ((low, bp_low), (high, bp_high)) = (self.weights[next - 1], self.weights[next]);
        let fraction = ((nm - low) / (high - low)).clamp(0.0, 1.0);
        (1.0 - bp_low) + fraction * (bp_low - bp_high)
    }
}

impl ExternalBand {
    /// `[W, n_bases]`: flux in [`FLUX_UNIT`] per coefficient; zero where the band has no weight or no
    /// response.
    fn design(&self, wavelength: &[f64], weight: &[f64], n_bases: usize, photon_factor: f64) -> Array2<f64> {
        let position = |(&nm, &weight): (&f64, &f64)| {
            let response = self.response.value(nm);
            let contributes = weight > 0.0 && response > 0.0;
            contributes.then(|| (self.dispersion.value(nm), photon_factor / (response * nm) / FLUX_UNIT))
        };
        let positions: Vec<Option<(f64, f64)>> = wavelength.iter().zip(weight).map(position).collect();
        column_by_column(self.inverse_basis.design(&positions, n_bases))
    }
}

/// The same matrix in memory column by column, as [`Sampling`] goes through it.
fn column_by_column(design: Array2<f64>) -> Array2<f64> {
    design.t().as_standard_layout().into_owned().reversed_axes()
}

fn check_grid(wavelength: &[f64], range: &RangeInclusive<f64>) -> Result<()> {
    let place = || Error::data("XP wavelength grid").remedy("Choose strictly increasing wavelengths, in nm.");
    let (Some(first), Some(last)) = (wavelength.first(), wavelength.last()) else {
        return Err(place().found("no wavelengths").expected("at least one"));
    };
    if let Some(pair) = wavelength.windows(2).find(|pair| pair[1].partial_cmp(&pair[0]) != Some(std::cmp::Ordering::Greater)) {
        return Err(place().found(format!("{} nm followed by {} nm", pair[0], pair[1])).expected("increasing wavelengths"));
    }
    if !(range.contains(first) && range.contains(last)) {
        let (low, high) = (range.start(), range.end());
        return Err(place().found(format!("{first} to {last} nm")).expected(format!("a grid inside {low} to {high} nm")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::DEFAULT_WAVELENGTHS;
    use super::*;

    /// GaiaXPy 2.1.5, `calibrator.__generate_xp_matrices_and_merge('calibrator', arange(392, 993, 10.),
    /// 'v375wi', 'v142r')`: coefficients 0, 7 and 54 of BP, then of RP, in W m⁻² nm⁻¹. Largest relative
    /// difference seen: 6e-13.
    #[test]
    fn design_agrees_with_gaiaxpy() {
        let sampling = Instrument::standard().unwrap().sampling(&DEFAULT_WAVELENGTHS, 55, 55).unwrap();
        let expected = [
            (0, [1.0236574940888858e-20, 1.518413370394372e-19, 3.113336739050445e-19, 0.0, 0.0, 0.0]),
            (24, [2.8490472322038953e-20, 1.3346097883107936e-20, -1.1134579892720622e-20, 0.0, 0.0, 0.0]),
            (
                25,
                [
                    2.98308944274114e-20,
                    3.872336574861921e-20,
                    1.8468753917109675e-20,
                    1.790300368650072e-20,
                    -4.623797580140026e-20,
                    6.70804122020562e-21,
                ],
            ),
            (26, [0.0, 0.0, 0.0, 1.748282752769262e-20, 3.5697558373211196e-20, 2.4025373663513675e-20]),
            (60, [0.0, 0.0, 0.0, 1.5892110709385044e-20, -5.826882617066116e-20, -9.89058334957547e-19]),
        ];
        for (sample, values) in expected {
            for (k, value) in values.into_iter().enumerate() {
                let design = if k < 3 { &sampling.bp } else { &sampling.rp };
                let found = FLUX_UNIT * design[[sample, [0, 7, 54][k % 3]]];
                assert!((found - value).abs() <= 1e-10 * value.abs(), "sample {sample}, value {k}: {found:e} {value:e}");
            }
        }
        assert_eq!((sampling.bp_weight[24], sampling.bp_weight[25], sampling.bp_weight[26]), (1.0, 0.125, 0.0));
        assert_eq!((sampling.rp_weight[24], sampling.rp_weight[25], sampling.rp_weight[26]), (0.0, 0.875, 1.0));
    }

    #[test]
    fn tabulated_and_modelled_designs_agree_in_the_red() {
        let instrument = Instrument::standard().unwrap();
        let tabulated = instrument.archive_sampling(55, 55).unwrap();
        let modelled = instrument.sampling(&archive_wavelengths(), 55, 55).unwrap();
        let largest = |matrix: &Array2<f64>| matrix.iter().fold(0.0_f64, |most, value| most.max(value.abs()));
        assert!(largest(&(&tabulated.rp - &modelled.rp)) < 1e-5 * largest(&modelled.rp));
        let blue = largest(&(&tabulated.bp - &modelled.bp)) / largest(&modelled.bp);
        assert!((1e-3..1e-2).contains(&blue), "documented difference in BP: {blue}");
    }

    #[test]
    fn refuses_grids_and_counts_outside_the_instrument() {
        let instrument = Instrument::standard().unwrap();
        for grid in [vec![], vec![335.0, 400.0], vec![400.0, 1020.5], vec![500.0, 500.0], vec![400.0, f64::NAN, 500.0]] {
            assert!(instrument.sampling(&grid, 55, 55).is_err(), "{grid:?}");
        }
        let message = instrument.sampling(&[400.0], 56, 55).unwrap_err().to_string();
        assert!(message.contains("56 BP") && message.contains("at most 55"), "{message}");
    }
}
