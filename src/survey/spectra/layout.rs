//! Which survey's layout a file has, by what is in it: names say little (LAMOST and SDSS both call files
//! `spec-…`).

use super::recipe::PixelColumns;
use crate::error::{Error, Result};
use crate::table::{FitsFile, Format, HduKind};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The layout of a file of spectra.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// DESI coadd and spectra files.
    Desi,
    /// LAMOST low resolution, pilot to DR8: a primary image of five rows.
    #[serde(rename = "lamost")]
    LamostImage,
    /// LAMOST low resolution from DR9: a table of one row.
    #[serde(skip)]
    LamostTable,
    /// SDSS, BOSS, SDSS-V.
    Sdss,
    /// A plain table.
    Table,
}

/// Whether a file is FITS.
pub(super) fn is_fits(path: &Path) -> Result<bool> {
    Ok(Format::of_file(&crate::table::file_of(path))? == Format::Fits && path.is_file())
}

impl Layout {
    /// Its name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Desi => "DESI",
            Self::LamostImage | Self::LamostTable => "LAMOST",
            Self::Sdss => "SDSS",
            Self::Table => "a plain table",
        }
    }

    /// What a recipe calls it.
    pub(super) fn family(self) -> Self {
        if self == Self::LamostTable { Self::LamostImage } else { self }
    }

    /// Whether a file holds one spectrum.
    pub(super) fn is_single(self) -> bool {
        !matches!(self, Self::Desi | Self::Table)
    }

    /// The layout of a FITS file.
    ///
    /// # Errors
    /// When it is none that is known; labels, models of spectra, and other files of the same surveys are
    /// told by name.
    pub fn of(file: &FitsFile, columns: &PixelColumns) -> Result<Self> {
        let names: Vec<String> = (0..file.n_hdus()).map(|number| file.name(number).to_ascii_uppercase()).collect();
        let has = |name: &str| names.iter().any(|other| other == name);
        let ends = |end: &str| names.iter().any(|name| name.ends_with(end));
        let has_arms = ["WAVELENGTH", "FLUX"].iter().all(|what| ends(&format!("_{what}")));
        if has_arms || has("FIBERMAP") && ends("_FLUX") {
            return if has("FIBERMAP") { Ok(Self::Desi) } else { Err(refused("DESI spectra without FIBERMAP")) };
        }
        if ends("_WAVELENGTH") && ends("_MODEL") {
            return Err(refused("models of spectra (rvmod, spmod)"));
        }
        if let Some(table) = ["RVTAB", "SPTAB", "REDSHIFTS"].into_iter().find(|name| has(name)) {
            let remedy = format!(
                "Join it under [[tables]] (`files = [\"…[{table}]\"]`, `id = \"TARGETID\"`), and name coadd or spectra files here."
            );
            return Err(refused(&format!("a table of results ({table})")).remedy(remedy));
        }
        if file.kind(0) == HduKind::Image {
            let header = file.header(0)?;
            let is_lamost = header.integer("NAXIS2")? == Some(5) && header.integer("NAXIS")? == Some(2);
            if is_lamost && header.number("COEFF0")?.is_some() {
                return Ok(Self::LamostImage);
            }
            let table = (0..file.n_hdus()).find(|&number| file.kind(number) == HduKind::Table);
            // TOPCAT's FITS (fits-plus): the image is the text of a VOTable that describes the table.
            if table.is_none() || header.logical("VOTMETA") != Some(true) {
                let error = refused("an image that is no LAMOST spectrum (five rows, COEFF0 and COEFF1)");
                return Err(match table {
                    Some(number) => error.remedy(format!(
                        "If the spectra are in the table behind it, name that (`….fits[{number}]`), or say `layout = \"table\"` under [spectra]."
                    )),
                    None => error,
                });
            }
        }
        let lower =
            |number: usize| -> Vec<String> { file.columns(number).iter().map(|name| name.to_ascii_lowercase()).collect() };
        let tables: Vec<usize> = (0..file.n_hdus()).filter(|&number| file.kind(number) == HduKind::Table).collect();
        if !columns.is_default() {
            return Ok(Self::Table);
        }
        for &number in &tables {
            let names = lower(number);
            let has = |wanted: &[&str]| wanted.iter().all(|wanted| names.iter().any(|name| name == wanted));
            // The surveys' own tables of pixels have no identifiers of stars: it is somebody's table with
            // their names of columns.
            if has(&["source_id"]) {
                continue;
            }
            if has(&["flux", "loglam", "ivar"]) && file.n_rows(number) > 1 {
                return Ok(Self::Sdss);
            }
            if has(&["flux", "ivar", "pixel_flags"]) {
                return Err(refused("astra spectra (mwmStar, mwmVisit)").remedy(
                    "They are resampled and in the rest frame already: write flux, ivar and wavelength to a table, and read that with [spectra.columns].",
                ));
            }
            if has(&["flux", "ivar", "wavelength", "andmask"]) {
                return Ok(Self::LamostTable);
            }
        }
        match tables.is_empty() {
            true => Err(refused("no spectra and no table")),
            false => Ok(Self::Table),
        }
    }
}

fn refused(found: &str) -> Error {
    Error::data("spectra")
        .found(found)
        .expected("spectra of DESI (coadd, spectra), LAMOST (low resolution), SDSS (spec), or a table")
        .remedy("Name files of spectra, or choose them in a folder by `pattern` in the recipe (`pattern = \"coadd-*\"`).")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipes_know_lamost_by_one_name() {
        #[derive(Deserialize)]
        struct Recipe {
            layout: Layout,
        }
        let layout = |name: &str| toml::from_str::<Recipe>(&format!("layout = \"{name}\"")).map(|recipe| recipe.layout);
        assert_eq!(layout("lamost").unwrap(), Layout::LamostTable.family());
        assert_eq!(layout("desi").unwrap(), Layout::Desi);
        assert!(layout("lamost-table").is_err());
    }
}
