//! The external instrument model of Gaia DR3: from basis functions in pseudo-wavelength to flux at a wavelength.

use super::spline::CubicSpline;
use super::{FLUX_UNIT, Sampling, WAVELENGTH_RANGE};
use crate::error::{Error, Result};
use ndarray::{Array2, s};
use safetensors::SafeTensors;
use std::sync::OnceLock;

/// Instrument tables that `scripts/make_xp_instrument.py` derives from GaiaXPy 2.1.5 (see `src/survey/data/README.md`).
const STANDARD: &[u8] = include_bytes!("../data/xp_instrument_dr3.safetensors");

/// The instrument of one data release: Gaia DR3's BP v375wi and RP v142r (Montegriffo et al. 2023, A&A 674, A3).
#[derive(Debug)]
pub struct Instrument {
    bp: BandModel,
    rp: BandModel,
    /// hc in J nm over the telescope's pupil area in m².
    photon_factor: f64,
}

/// Dispersion, response and inverse bases of one photometer.
#[derive(Debug)]
struct BandModel {
    /// `[n_bases, n_hermite]`: the basis functions as combinations of Hermite functions.
    bases: Array2<f64>,
    /// Hermite argument = `scale` · pseudo-wavelength + `offset`.
    scale: f64,
    offset: f64,
    dispersion: CubicSpline,
    response: CubicSpline,
    /// Nominal range in nm.
    low: f64,
    high: f64,
    /// `[n_active, n_bases]`: GaiaXPy's tabulated design on the archive's grid where the band has weight, W m⁻² nm⁻¹.
    archive_design: Array2<f64>,
    basis_function_id: i64,
}

/// The grid of the archive's sampled spectra (and GaiaXPy's default): 336, 338, … 1020 nm.
pub fn archive_wavelengths() -> Vec<f64> {
    (0..343).map(|sample| 336.0 + 2.0 * f64::from(sample)).collect()
}

impl Instrument {
    /// The instrument of Gaia DR3, from tables inside the program.
    ///
    /// # Errors
    /// When the embedded tables are damaged.
    pub fn standard() -> Result<&'static Self> {
        static INSTRUMENT: OnceLock<std::result::Result<Instrument, String>> = OnceLock::new();
        INSTRUMENT.get_or_init(|| Self::from_bytes(STANDARD)).as_ref().map_err(|reason| {
            Error::data("the embedded XP instrument tables")
                .found(reason.as_str())
                .expected("the tensors listed in scripts/make_xp_instrument.py")
                .remedy("Make the file again with that script.")
        })
    }

    fn from_bytes(bytes: &[u8]) -> std::result::Result<Self, String> {
        let tensors = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| error.to_string())?;
        let basis_function_id = |band: &str| {
            let text = header.metadata().as_ref().and_then(|map| map.get(&format!("{band}_basis_function_id")));
            text.and_then(|text| text.parse().ok()).ok_or_else(|| format!("no basis function id of {band}"))
        };
        let constants = read_values(&tensors, "constants")?;
        let [energy_length, pupil_area] = constants[..] else { return Err("other constants".into()) };
        Ok(Self {
            bp: BandModel::read(&tensors, "bp", basis_function_id("bp")?)?,
            rp: BandModel::read(&tensors, "rp", basis_function_id("rp")?)?,
            photon_factor: energy_length / pupil_area,
        })
    }

    /// Numbers of basis functions of BP and RP.
    pub fn n_bases(&self) -> (usize, usize) {
        (self.bp.bases.nrows(), self.rp.bases.nrows())
    }

    /// The identifiers of the basis functions of BP and RP (`bp_basis_function_id`, `rp_basis_function_id` in the archive)
    /// that this instrument describes.
    pub fn basis_function_ids(&self) -> (i64, i64) {
        (self.bp.basis_function_id, self.rp.basis_function_id)
    }

    /// Design matrices and merge weights on any grid, from the instrument model (as GaiaXPy's `calibrate` with `sampling` given).
    ///
    /// With fewer coefficients than the instrument has bases (55 each), the leading bases are used, as in GaiaXPy's truncation.
    ///
    /// # Errors
    /// When the grid is empty, not strictly increasing or reaches outside 336–1020 nm, or when there are more coefficients than bases.
    pub fn sampling(&self, wavelength_nm: &[f64], n_bp: usize, n_rp: usize) -> Result<Sampling> {
        check_grid(wavelength_nm)?;
        self.check_counts(n_bp, n_rp)?;
        let (bp_weight, rp_weight) = self.merge_weights(wavelength_nm);
        Ok(Sampling {
            wavelength: wavelength_nm.to_vec(),
            bp: self.bp.design(wavelength_nm, &bp_weight, n_bp, self.photon_factor),
            rp: self.rp.design(wavelength_nm, &rp_weight, n_rp, self.photon_factor),
            bp_weight,
            rp_weight,
        })
    }

    /// Design matrices and merge weights on [`archive_wavelengths`] from GaiaXPy's tabulated matrices, which made the archive's
    /// sampled spectra and GaiaXPy's default output. In BP they differ from the instrument model by up to 0.7 % below 400 nm.
    ///
    /// # Errors
    /// When there are more coefficients than bases.
    pub fn archive_sampling(&self, n_bp: usize, n_rp: usize) -> Result<Sampling> {
        self.check_counts(n_bp, n_rp)?;
        let wavelength = archive_wavelengths();
        let (bp_weight, rp_weight) = self.merge_weights(&wavelength);
        let (n, n_active_bp, n_active_rp) = (wavelength.len(), self.bp.archive_design.nrows(), self.rp.archive_design.nrows());
        let mut bp = Array2::zeros((n, n_bp));
        let mut rp = Array2::zeros((n, n_rp));
        bp.slice_mut(s![..n_active_bp, ..]).assign(&(&self.bp.archive_design.slice(s![.., ..n_bp]) / FLUX_UNIT));
        rp.slice_mut(s![n - n_active_rp.., ..]).assign(&(&self.rp.archive_design.slice(s![.., ..n_rp]) / FLUX_UNIT));
        let (bp, rp) = (column_by_column(bp), column_by_column(rp));
        Ok(Sampling { wavelength, bp, rp, bp_weight, rp_weight })
    }

    /// Weights of BP and RP: linear in wavelength over the overlap (635–643 nm), one or zero outside.
    fn merge_weights(&self, wavelength: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let (low, high) = (self.rp.low, self.bp.high);
        let rp: Vec<f64> = wavelength.iter().map(|&nm| ((nm - low) / (high - low)).clamp(0.0, 1.0)).collect();
        (rp.iter().map(|weight| 1.0 - weight).collect(), rp)
    }

    fn check_counts(&self, n_bp: usize, n_rp: usize) -> Result<()> {
        let (most_bp, most_rp) = self.n_bases();
        if n_bp > most_bp || n_rp > most_rp {
            return Err(Error::data("XP spectra")
                .found(format!("{n_bp} BP and {n_rp} RP coefficients"))
                .expected(format!("at most {most_bp} and {most_rp}, the bases of Gaia DR3's instrument"))
                .remedy("Use spectra of Gaia DR3; another release needs its own instrument tables."));
        }
        Ok(())
    }
}

impl BandModel {
    fn read(tensors: &SafeTensors, band: &str, basis_function_id: i64) -> std::result::Result<Self, String> {
        let spline = |name: &str| {
            let knots = read_values(tensors, &format!("{band}.{name}.knots"))?;
            let coefficients = read_values(tensors, &format!("{band}.{name}.coefficients"))?;
            CubicSpline::new(knots, coefficients).ok_or_else(|| format!("{band}.{name}: lengths that do not fit"))
        };
        let ranges = read_values(tensors, &format!("{band}.pseudo_wavelength"))?;
        let [from_low, from_high, to_low, to_high] = ranges[..] else { return Err("other pseudo-wavelength ranges".into()) };
        let limits = read_values(tensors, &format!("{band}.range"))?;
        let [low, high] = limits[..] else { return Err("another range".into()) };
        let scale = (to_high - to_low) / (from_high - from_low);
        Ok(Self {
            bases: read_matrix(tensors, &format!("{band}.bases"))?,
            scale,
            offset: to_low - from_low * scale,
            dispersion: spline("dispersion")?,
            response: spline("response")?,
            low,
            high,
            archive_design: read_matrix(tensors, &format!("{band}.archive_design"))?,
            basis_function_id,
        })
    }

    /// `[W, n_bases]`: flux in [`FLUX_UNIT`] per coefficient; zero where the band has no weight or no response.
    fn design(&self, wavelength: &[f64], weight: &[f64], n_bases: usize, photon_factor: f64) -> Array2<f64> {
        let n_hermite = self.bases.ncols();
        let mut hermite = Array2::zeros((wavelength.len(), n_hermite));
        for (sample, (&nm, &weight)) in wavelength.iter().zip(weight).enumerate() {
            let response = self.response.value(nm);
            if weight > 0.0 && response > 0.0 {
                let norm = photon_factor / (response * nm) / FLUX_UNIT;
                let functions = hermite_functions(self.scale * self.dispersion.value(nm) + self.offset, n_hermite);
                hermite.row_mut(sample).iter_mut().zip(functions).for_each(|(to, value)| *to = norm * value);
            }
        }
        column_by_column(hermite.dot(&self.bases.slice(s![..n_bases, ..]).t()))
    }
}

/// The same matrix in memory column by column, as [`Sampling`] goes through it.
fn column_by_column(design: Array2<f64>) -> Array2<f64> {
    design.t().as_standard_layout().into_owned().reversed_axes()
}

/// The first `n` orthonormal Hermite functions at `x`, by their three-term recurrence.
fn hermite_functions(x: f64, n: usize) -> Vec<f64> {
    let mut functions = Vec::with_capacity(n);
    let (mut previous, mut current) = (0.0, std::f64::consts::PI.powf(-0.25) * (-0.5 * x * x).exp());
    for order in 1..=n {
        functions.push(current);
        let order = order as f64;
        (previous, current) = (current, (2.0 / order).sqrt() * x * current - ((order - 1.0) / order).sqrt() * previous);
    }
    functions
}

fn check_grid(wavelength: &[f64]) -> Result<()> {
    let place = || Error::data("XP wavelength grid").remedy("Choose strictly increasing wavelengths, in nm.");
    let (Some(first), Some(last)) = (wavelength.first(), wavelength.last()) else {
        return Err(place().found("no wavelengths").expected("at least one"));
    };
    if let Some(pair) = wavelength.windows(2).find(|pair| pair[1].partial_cmp(&pair[0]) != Some(std::cmp::Ordering::Greater)) {
        return Err(place().found(format!("{} nm followed by {} nm", pair[0], pair[1])).expected("increasing wavelengths"));
    }
    if !(WAVELENGTH_RANGE.contains(first) && WAVELENGTH_RANGE.contains(last)) {
        let (low, high) = (WAVELENGTH_RANGE.start(), WAVELENGTH_RANGE.end());
        return Err(place().found(format!("{first} to {last} nm")).expected(format!("a grid inside {low} to {high} nm")));
    }
    Ok(())
}

fn read_values(tensors: &SafeTensors, name: &str) -> std::result::Result<Vec<f64>, String> {
    let tensor = tensors.tensor(name).map_err(|error| error.to_string())?;
    if tensor.dtype() != safetensors::Dtype::F64 {
        return Err(format!("{name} as {:?}", tensor.dtype()));
    }
    let (numbers, _) = tensor.data().as_chunks::<8>();
    Ok(numbers.iter().map(|&bytes| f64::from_le_bytes(bytes)).collect())
}

fn read_matrix(tensors: &SafeTensors, name: &str) -> std::result::Result<Array2<f64>, String> {
    let values = read_values(tensors, name)?;
    let tensor = tensors.tensor(name).map_err(|error| error.to_string())?;
    let &[rows, columns] = tensor.shape() else { return Err(format!("{name} with shape {:?}", tensor.shape())) };
    Array2::from_shape_vec((rows, columns), values).map_err(|error| format!("{name}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::super::DEFAULT_WAVELENGTHS;
    use super::*;

    /// GaiaXPy 2.1.5, `calibrator.__generate_xp_matrices_and_merge('calibrator', arange(392, 993, 10.), 'v375wi', 'v142r')`:
    /// coefficients 0, 7 and 54 of BP, then of RP, in W m⁻² nm⁻¹. Largest relative difference seen: 6e-13.
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
