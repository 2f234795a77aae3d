//! The instruments inside the program.

use super::Instrument;
use crate::error::{Error, Result};
use crate::warning::warn_once;
use std::path::Path;
use std::sync::{Arc, OnceLock};

/// The instrument that is used where none is named.
pub const DEFAULT_INSTRUMENT: &str = "gaia-dr3";

/// Name and file of each, made by `scripts/make_xp_instrument.py` from GaiaXPy 2.1.5 (see
/// `src/survey/data/README.md`).
const FILES: [(&str, &[u8]); 2] = [
    (DEFAULT_INSTRUMENT, include_bytes!("../data/xp_instrument_dr3.safetensors")),
    ("gaia-cycle04-toy", include_bytes!("../data/xp_instrument_cycle04_toy.safetensors")),
];

type Read = std::result::Result<Arc<Instrument>, String>;

impl Instrument {
    /// The instrument of Gaia DR3: BP v375wi and RP v142r (Montegriffo et al. 2023, A&A 674, A3), from tables
    /// inside the program.
    ///
    /// # Errors
    /// When the embedded tables are damaged.
    pub fn standard() -> Result<&'static Self> {
        embedded(0).map(Arc::as_ref)
    }

    /// Names of the built-in instruments.
    pub fn names() -> [&'static str; FILES.len()] {
        FILES.map(|(name, _)| name)
    }

    /// All built-in instruments.
    ///
    /// # Errors
    /// When embedded tables are damaged.
    pub fn list() -> Result<Vec<Arc<Self>>> {
        (0..FILES.len()).map(|position| embedded(position).cloned()).collect()
    }

    /// A built-in instrument.
    ///
    /// # Errors
    /// When there is none of that name (the names are listed).
    pub fn built_in(name: &str) -> Result<Arc<Self>> {
        match FILES.iter().position(|(known, _)| *known == name) {
            Some(position) => embedded(position).cloned(),
            None => Err(Error::usage(format!("XP instrument '{name}'"))
                .found("no built-in instrument and no file of that name")
                .expected(format!("one of {}, or the path of an instrument file", Self::names().join(", ")))
                .remedy("`photosphere instruments` lists what is built in; scripts/make_xp_instrument.py makes files.")),
        }
    }

    /// An instrument by the name of a built-in one or the path of a file; its warning, where it has one, is
    /// said.
    ///
    /// # Errors
    /// As [`Instrument::built_in`] and [`Instrument::read`].
    pub fn open(name_or_path: &str) -> Result<Arc<Self>> {
        let is_built_in = Self::names().contains(&name_or_path);
        let instrument = match !is_built_in && Path::new(name_or_path).exists() {
            true => Arc::new(Self::read(Path::new(name_or_path))?),
            false => Self::built_in(name_or_path)?,
        };
        if let Some(warning) = instrument.warning() {
            warn_once(format!("XP instrument '{}': {warning}", instrument.name()));
        }
        Ok(instrument)
    }
}

fn embedded(position: usize) -> Result<&'static Arc<Instrument>> {
    static INSTRUMENTS: [OnceLock<Read>; FILES.len()] = [const { OnceLock::new() }; FILES.len()];
    let (name, bytes) = FILES[position];
    let read = INSTRUMENTS[position].get_or_init(|| Instrument::from_bytes(bytes).map(Arc::new));
    read.as_ref().map_err(|reason| {
        Error::data(format!("the embedded XP instrument '{name}'"))
            .found(reason.as_str())
            .expected("the tensors listed in scripts/make_xp_instrument.py")
            .remedy("Make the file again with that script.")
    })
}

#[cfg(test)]
mod tests {
    use super::super::BasisKind;
    use super::*;

    #[test]
    fn built_in_instruments_are_those_of_their_names() {
        let all = Instrument::list().unwrap();
        assert_eq!(all.iter().map(|instrument| instrument.name()).collect::<Vec<_>>(), Instrument::names());
        let dr3 = Instrument::built_in("gaia-dr3").unwrap();
        assert_eq!((dr3.n_bases(), dr3.basis_function_ids()), ((55, 55), (56, 57)));
        assert_eq!(dr3.basis_kinds(), (BasisKind::Hermite, BasisKind::Hermite));
        assert!(dr3.has_archive_sampling() && dr3.warning().is_none());
        let toy = Instrument::open("gaia-cycle04-toy").unwrap();
        assert_eq!((toy.n_bases(), toy.basis_function_ids()), ((48, 44), (0, 0)));
        assert_eq!(toy.basis_kinds(), (BasisKind::BSpline, BasisKind::BSpline));
        assert!(toy.warning().is_some() && toy.wavelength_range().is_none() && toy.hash() != dr3.hash());
        let message = toy.sampling(&[500.0], 48, 44).unwrap_err().to_string();
        assert!(message.contains("no external calibration") && message.contains("make_xp_instrument.py"), "{message}");
        let message = Instrument::open("gaia-dr4").unwrap_err().to_string();
        assert!(message.contains("'gaia-dr4'") && message.contains("gaia-dr3, gaia-cycle04-toy"), "{message}");
    }

    #[test]
    fn files_are_read_and_damaged_ones_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.safetensors");
        std::fs::write(&path, FILES[0].1).unwrap();
        let read = Instrument::open(&path.to_string_lossy()).unwrap();
        assert_eq!(read.identity(), Instrument::standard().unwrap().identity());
        let mut bytes = FILES[0].1.to_vec();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert_ne!(Instrument::read(&path).unwrap().hash(), read.hash());
        for (bytes, reason) in [
            (FILES[0].1[..1000].to_vec(), "mine.safetensors"),
            (b"no instrument".to_vec(), "mine.safetensors"),
            (text_replaced("photosphere_xp_instrument\":\"1", "photosphere_xp_instrument\":\"7"), "layout 7"),
            (text_replaced("\"b-spline\"", "\"legendre\""), "legendre"),
            (text_replaced("\"bp_order\":\"4\"", "\"bp_order\":\"0\""), "no knots"),
        ] {
            std::fs::write(&path, bytes).unwrap();
            let message = Instrument::read(&path).unwrap_err().to_string();
            assert!(message.contains(reason), "{message}");
        }
    }

    /// The toy's file with a text of its header replaced by another of the same length.
    fn text_replaced(from: &str, to: &str) -> Vec<u8> {
        let mut bytes = FILES[1].1.to_vec();
        let mut position = 0;
        while let Some(found) = bytes[position..].windows(from.len()).position(|window| window == from.as_bytes()) {
            bytes[position + found..][..to.len()].copy_from_slice(to.as_bytes());
            position += found + to.len();
        }
        bytes
    }
}
