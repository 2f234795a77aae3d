//! Instruments in files: safetensors with the layout that `scripts/make_xp_instrument.py` documents.

use super::basis::{Basis, Functions};
use super::instrument::{BandModel, ExternalBand, Instrument, Merging};
use super::spline::{CubicSpline, SplineFunctions};
use super::{WAVELENGTH_RANGE, archive_wavelengths};
use crate::error::{Error, Result};
use ndarray::Array2;
use safetensors::SafeTensors;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::path::Path;

/// The layout's number, under [`LAYOUT_KEY`] in the metadata.
const LAYOUT: &str = "1";
const LAYOUT_KEY: &str = "photosphere_xp_instrument";
/// More functions than this are none of a photometer with 60 samples.
const MOST_FUNCTIONS: usize = 1000;
/// Larger files are none of an instrument.
const MOST_BYTES: u64 = 100_000_000;

impl Instrument {
    /// Reads an instrument file.
    ///
    /// # Errors
    /// When it cannot be read or does not have the layout of `scripts/make_xp_instrument.py`.
    pub fn read(path: &Path) -> Result<Self> {
        let place = || {
            Error::data(path.display().to_string())
                .expected("an XP instrument file (safetensors)")
                .remedy("Make one with scripts/make_xp_instrument.py; `photosphere instruments` lists what is built in.")
        };
        let size = std::fs::metadata(path).map_err(|error| place().found(format!("a read error ({error})")).source(error))?.len();
        if size > MOST_BYTES {
            return Err(place().found(format!("{size} bytes")));
        }
        let bytes = std::fs::read(path).map_err(|error| Error::reading(path, error))?;
        Self::from_bytes(&bytes).map_err(|reason| place().found(reason))
    }

    /// An instrument from the content of its file; the error says what is wrong with it.
    pub(super) fn from_bytes(bytes: &[u8]) -> std::result::Result<Self, String> {
        let file = InstrumentFile::new(bytes)?;
        match file.text(LAYOUT_KEY)? {
            LAYOUT => {}
            other => return Err(format!("layout {other}, where this program knows {LAYOUT}")),
        }
        let name = file.text("name")?;
        if name.is_empty() || name.contains(|character: char| character.is_whitespace() || character.is_control()) {
            return Err(format!("the name {name:?}, which has blanks or is empty"));
        }
        let (bp, rp) = (file.band("bp")?, file.band("rp")?);
        let external = match (&bp.external, &rp.external) {
            (None, None) => None,
            (Some(_), Some(_)) => Some(file.merging()?),
            _ => return Err("an external calibration of one band only".into()),
        };
        let optional = |key| file.text(key).map(String::from).ok();
        Ok(Self {
            name: name.to_owned(),
            release: file.text("release")?.to_owned(),
            description: optional("description").unwrap_or_default(),
            warning: optional("warning"),
            hash: file.hash(),
            bp,
            rp,
            external,
        })
    }
}

/// A file in memory.
struct InstrumentFile<'a> {
    tensors: SafeTensors<'a>,
    metadata: HashMap<String, String>,
}

impl<'a> InstrumentFile<'a> {
    fn new(bytes: &'a [u8]) -> std::result::Result<Self, String> {
        let tensors = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| error.to_string())?;
        Ok(Self { tensors, metadata: header.metadata().clone().unwrap_or_default() })
    }

    fn text(&self, key: &str) -> std::result::Result<&str, String> {
        self.metadata.get(key).map(String::as_str).ok_or_else(|| format!("no '{key}' in its metadata"))
    }

    fn number<T: std::str::FromStr>(&self, key: &str) -> std::result::Result<T, String> {
        let text = self.text(key)?;
        text.parse().map_err(|_| format!("{key} = {text:?}, which is no number"))
    }

    fn has(&self, name: &str) -> bool {
        self.tensors.tensor(name).is_ok()
    }

    fn values(&self, name: &str) -> std::result::Result<Vec<f64>, String> {
        let tensor = self.tensors.tensor(name).map_err(|_| format!("no tensor '{name}'"))?;
        if tensor.dtype() != safetensors::Dtype::F64 {
            return Err(format!("'{name}' as {:?}, where F64 belongs", tensor.dtype()));
        }
        let (numbers, _) = tensor.data().as_chunks::<8>();
        let values: Vec<f64> = numbers.iter().map(|&bytes| f64::from_le_bytes(bytes)).collect();
        match values.iter().all(|value| value.is_finite()) {
            true => Ok(values),
            false => Err(format!("numbers in '{name}' that are not finite")),
        }
    }

    /// Exactly `N` values.
    fn array<const N: usize>(&self, name: &str) -> std::result::Result<[f64; N], String> {
        let values = self.values(name)?;
        values.try_into().map_err(|values: Vec<f64>| format!("{} numbers in '{name}', where {N} belong", values.len()))
    }

    /// An interval that is not empty.
    fn interval(&self, name: &str) -> std::result::Result<[f64; 2], String> {
        let [low, high] = self.array(name)?;
        if low < high { Ok([low, high]) } else { Err(format!("'{name}' from {low} to {high}")) }
    }

    fn matrix(&self, name: &str) -> std::result::Result<Array2<f64>, String> {
        let values = self.values(name)?;
        let tensor = self.tensors.tensor(name).map_err(|error| error.to_string())?;
        let &[rows, columns] = tensor.shape() else { return Err(format!("'{name}' with shape {:?}", tensor.shape())) };
        Array2::from_shape_vec((rows, columns), values).map_err(|error| format!("'{name}': {error}"))
    }

    fn curve(&self, name: &str) -> std::result::Result<CubicSpline, String> {
        let knots = self.values(&format!("{name}.knots"))?;
        let coefficients = self.values(&format!("{name}.coefficients"))?;
        CubicSpline::new(knots, coefficients).ok_or_else(|| format!("'{name}', whose knots and coefficients are no cubic spline"))
    }

    /// Basis functions of the kind under `kind`, with the names of their tensors.
    fn basis(&self, [kind, order]: [&str; 2], [combination, range, knots]: [&str; 3]) -> std::result::Result<Basis, String> {
        let matrix = if self.has(combination) { Some(self.matrix(combination)?) } else { None };
        let functions = match self.text(kind)? {
            "hermite" => {
                let n = matrix.as_ref().map(Array2::ncols).ok_or_else(|| format!("no tensor '{combination}'"))?;
                let [from_low, from_high, to_low, to_high] = self.array(range)?;
                let scale = (to_high - to_low) / (from_high - from_low);
                if !(scale.is_finite() && scale != 0.0) {
                    return Err(format!("'{range}' with an empty range"));
                }
                Functions::Hermite { scale, offset: to_low - from_low * scale, n }
            }
            "b-spline" => {
                let splines = SplineFunctions::new(self.values(knots)?, self.number(order)?);
                Functions::Splines(splines.ok_or_else(|| format!("'{knots}', which are no knots of splines of that order"))?)
            }
            other => return Err(format!("{kind} = {other:?}, where \"hermite\" or \"b-spline\" belongs")),
        };
        let basis =
            Basis::new(functions, matrix).ok_or_else(|| format!("'{combination}', whose columns are not the functions"))?;
        if basis.len() > MOST_FUNCTIONS { Err(format!("{} basis functions", basis.len())) } else { Ok(basis) }
    }

    fn band(&self, band: &str) -> std::result::Result<BandModel, String> {
        let named = |names: [&str; 3]| names.map(|name| format!("{band}{name}"));
        let [kind, order, id] = named(["_basis", "_order", "_basis_function_id"]);
        let tensors = named([".internal.transformation", ".internal.pseudo_wavelength", ".internal.knots"]);
        let basis = self.basis([&kind, &order], [&tensors[0], &tensors[1], &tensors[2]])?;
        let external = match self.has(&format!("{band}.dispersion.knots")) {
            true => Some(self.external_band(band, basis.len())?),
            false => None,
        };
        Ok(BandModel { basis, basis_function_id: self.number(&id)?, external })
    }

    fn external_band(&self, band: &str, n_bases: usize) -> std::result::Result<ExternalBand, String> {
        let [kind, order] = ["_inverse_basis", "_inverse_order"].map(|name| format!("{band}{name}"));
        let tensors = [".bases", ".pseudo_wavelength", ".bases.knots"].map(|name| format!("{band}{name}"));
        let inverse_basis = self.basis([&kind, &order], [&tensors[0], &tensors[1], &tensors[2]])?;
        if inverse_basis.len() != n_bases {
            return Err(format!("{} inverse bases of {band} for {n_bases} bases", inverse_basis.len()));
        }
        let name = format!("{band}.archive_design");
        let archive_design = if self.has(&name) { Some(self.matrix(&name)?) } else { None };
        if let Some(design) = &archive_design
            && (design.ncols() != n_bases || design.nrows() > archive_wavelengths().len())
        {
            return Err(format!("'{name}' of shape {:?}", design.dim()));
        }
        let curve = |name: &str| self.curve(&format!("{band}.{name}"));
        Ok(ExternalBand { inverse_basis, dispersion: curve("dispersion")?, response: curve("response")?, archive_design })
    }

    fn merging(&self) -> std::result::Result<Merging, String> {
        let [energy_length, pupil_area] = self.array("constants")?;
        let photon_factor = energy_length / pupil_area;
        if !(photon_factor > 0.0 && photon_factor.is_finite()) {
            return Err(format!("'constants' {energy_length} and {pupil_area}"));
        }
        let weights = if self.has("merge") {
            let nodes = self.matrix("merge")?;
            if nodes.ncols() != 2 {
                return Err(format!("'merge' of shape {:?}", nodes.dim()));
            }
            nodes.rows().into_iter().map(|row| (row[0], row[1])).collect()
        } else {
            let ([_, bp_high], [rp_low, _]) = (self.interval("bp.range")?, self.interval("rp.range")?);
            vec![(rp_low, 1.0), (bp_high, 0.0)]
        };
        let ends = (weights.first().map(|node| node.1), weights.last().map(|node| node.1));
        let ordered = weights.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 >= pair[1].1);
        if ends != (Some(1.0), Some(0.0)) || !ordered {
            return Err("merge weights that do not fall from 1 to 0 with increasing wavelength".into());
        }
        let wavelength_range = match self.has("wavelength_range") {
            true => {
                let [low, high] = self.interval("wavelength_range")?;
                low..=high
            }
            false => WAVELENGTH_RANGE,
        };
        if *wavelength_range.start() <= 0.0 {
            return Err("a 'wavelength_range' that is not positive".into());
        }
        Ok(Merging { photon_factor, weights, wavelength_range })
    }

    /// SHA-256 over the tensors and the metadata that decide a number, in the order of their names.
    fn hash(&self) -> String {
        let mut hash = Sha256::new();
        let mut names: Vec<&str> = self.tensors.names().into_iter().collect();
        names.sort_unstable();
        for name in names {
            if let Ok(tensor) = self.tensors.tensor(name) {
                hash.update(format!("{name} {:?} {:?}\n", tensor.dtype(), tensor.shape()));
                hash.update(tensor.data());
            }
        }
        for band in ["bp", "rp"] {
            for key in ["basis", "order", "inverse_basis", "inverse_order", "basis_function_id"] {
                let key = format!("{band}_{key}");
                hash.update(format!("{key}={}\n", self.text(&key).unwrap_or_default()));
            }
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
