//! SDSS, BOSS and SDSS-V `spec` files: a table with a pixel in every row (`loglam`, `flux`, `ivar`, masks,
//! `wdisp`; in capitals or not), and SPALL or SPECOBJ with what the pipeline found.

use super::Layout;
use super::fact::{Fact, FactSource, FactTypes};
use super::flux_unit::{self, Measure};
use super::identifiers::stable_id;
use super::observed::{ObservedSpectrum, ReadOptions, Segment, Spectra, mark_bad};
use crate::error::{Error, Result};
use crate::spectrum::{Medium, SPEED_OF_LIGHT};
use crate::survey::prepare::Note;
use crate::table::{Column, FitsFile, FitsHeader, HduKind, Shape, Table};
use crate::unit;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// The sky was bright in all exposures (SPPIXMASK).
const BRIGHTSKY: i64 = 1 << 23;
/// The sky was subtracted badly in one exposure of several; grown by [`GROWTH`] pixels, as the pipeline
/// does (idlspec2d `skymask.pro`).
const BAD_SKY: i64 = 1 << 27 | 1 << 28;
const GROWTH: usize = 2;
/// Difference of logarithms between the column and COEFF0 + COEFF1 i that single precision does not explain.
const LARGEST_DIFFERENCE: f64 = 2e-6;

/// What to do with a table that only has the names of columns of these files.
const AS_TABLE: &str =
    "If it is a table of your own, say `layout = \"table\"` under [spectra]; spectra are told apart by a column source_id.";

/// The spectrum of a file; none of one that the survey calls sky.
///
/// # Errors
/// When a column is absent, units measure something else, or wavelengths contradict themselves.
pub(super) fn read(path: &Path, file: &FitsFile, options: &ReadOptions) -> Result<Spectra> {
    let has = |number: usize, wanted: &str| file.column_in_any_case(number, wanted).is_some();
    let is_spectrum = |&number: &usize| file.kind(number) == HduKind::Table && has(number, "loglam") && has(number, "flux");
    let number = (0..file.n_hdus())
        .find(is_spectrum)
        .ok_or_else(|| Error::data("spectrum").found("no table with loglam and flux").expected("the coadded spectrum"))?;
    let table = file.table(number, None)?;
    let header = file.header(0)?;
    if let Some(column) =
        ["flux", "loglam"].iter().filter_map(|name| table.get_in_any_case(name)).find(|column| column.shape != Shape::Scalar)
    {
        return Err(Error::data(format!("{}, column '{}'", file.place(file.name(number)), column.schema.name))
            .found("lists")
            .expected("a pixel in every row, as spec files have it")
            .remedy(AS_TABLE));
    }
    let results = results(file)?;
    let of_results = |name: &str| results.as_ref().and_then(|table| Fact::of_column(table.get_in_any_case(name)?, 0));
    let fact = |name: &str| of_results(name).or_else(|| Fact::of_header(&header, &name.to_ascii_uppercase()));
    let text = |name: &str| match fact(name) {
        Some(Fact::Text(text)) => text.trim().to_ascii_lowercase(),
        _ => String::new(),
    };
    // SDSS-V tells kinds of sky apart (`sky_boss`).
    if text("OBJTYPE") == "sky" || text("CATEGORY").starts_with("sky") {
        return Ok(Spectra::of_no_star(Layout::Sdss));
    }
    let (mut flux, mut ivar) = (table.column_in_any_case("flux")?.to_f64()?, table.column_in_any_case("ivar")?.to_f64()?);
    let wavelength = wavelengths(&header, table.column_in_any_case("loglam")?.to_f64()?)?;
    let stated = |name: &str| table.get_in_any_case(name).map_or("", |column| column.schema.unit.trim()).to_owned();
    let place = |name: &str| format!("{}, column '{name}'", file.place(file.name(number)));
    let flux_unit = Some(stated("flux")).filter(|unit| !unit::is_absent(unit));
    let flux_unit = flux_unit.unwrap_or_else(|| header.text("BUNIT").unwrap_or_default().to_owned());
    flux_unit::require_flux(&flux_unit, &place("flux"))?;
    let factor = flux_unit::factor(Measure::InverseVariance, &stated("ivar"), &flux_unit, &place("ivar"))?;
    ivar.iter_mut().for_each(|ivar| *ivar *= factor);
    let mask = |name: &str| table.column_in_any_case(name).and_then(Column::to_i64);
    let (and_mask, or_mask) = (mask("and_mask")?, mask("or_mask")?);
    let is_bad_sky = |pixel: usize| {
        let near = pixel.saturating_sub(GROWTH)..(pixel + GROWTH + 1).min(or_mask.len());
        or_mask[near].iter().any(|mask| mask & BAD_SKY != 0)
    };
    let mut notes =
        mark_bad(&mut flux, &mut ivar, |pixel| and_mask[pixel] & BRIGHTSKY != 0 || options.or_mask && is_bad_sky(pixel));
    let line_spread = match options.line_spread.then(|| table.column_in_any_case("wdisp").and_then(Column::to_f64)) {
        // σ in pixels of a step in log10 λ.
        Some(Ok(sigma)) => {
            let step = header.number("COEFF1")?.unwrap_or(1e-4);
            sigma.iter().zip(&wavelength).map(|(sigma, lambda)| sigma * lambda * step * std::f64::consts::LN_10).collect()
        }
        _ => Vec::new(),
    };
    let integer = |name: &str| fact(name).and_then(|fact| fact.integer()).filter(|&value| value > 0);
    if integer("ZWARNING").is_some() {
        notes |= Note::VelocityInvalid.bit();
    }
    let positions = [("ra", ["RACAT", "PLUG_RA", "RA"]), ("dec", ["DECCAT", "PLUG_DEC", "DEC"])];
    let mut facts: BTreeMap<String, Fact> = BTreeMap::new();
    let mut columns: Vec<(&str, &str)> = Vec::new();
    for (name, places) in positions {
        let Some(place) = places.into_iter().find(|place| fact(place).is_some()) else { continue };
        match of_results(place) {
            Some(_) => columns.push((name, place)),
            None => facts.extend(fact(place).map(|fact| (name.to_owned(), fact))),
        }
    }
    let in_columns = options.carry.iter().filter(|name| of_results(name).is_some());
    columns.extend(in_columns.map(|name| (name.as_str(), name.as_str())));
    facts.extend(options.carry.iter().filter_map(|name| Some((name.to_ascii_lowercase(), fact(name)?))));
    let mut fact_types = FactTypes::new();
    if let Some(table) = &results {
        let source = FactSource::new(table, columns, &path.display().to_string())?;
        facts.extend(source.row(0));
        fact_types = source.types();
    }
    let redshift = fact("Z").and_then(|fact| fact.number()).filter(|redshift| redshift.is_finite());
    let spectrum = ObservedSpectrum {
        id: Some(integer("CATALOGID").unwrap_or_else(|| {
            let parts = [fact("PLATE").or_else(|| fact("PLATEID")), fact("MJD"), fact("FIBERID")]
                .map(|fact| fact.and_then(|fact| fact.number()));
            match parts {
                [Some(plate), Some(day), Some(fiber)] => stable_id(&format!("{plate}-{day}-{fiber}")),
                _ => stable_id(&path.file_name().unwrap_or_default().to_string_lossy()),
            }
        })),
        place: path.display().to_string(),
        segments: vec![Segment { arm: String::new(), wavelength: Arc::new(wavelength), flux, ivar, line_spread }],
        medium: header
            .logical("VACUUM")
            .map_or(Some(Medium::Vacuum), |vacuum| Some(if vacuum { Medium::Vacuum } else { Medium::Air })),
        flux_unit,
        velocity: redshift.map(|redshift| redshift * SPEED_OF_LIGHT),
        facts,
        notes,
        fault: None,
        n_following: 0,
    };
    Ok(Spectra { fact_types, ..Spectra::single(Layout::Sdss, spectrum) })
}

/// The table of one row with what the pipeline found.
fn results(file: &FitsFile) -> Result<Option<Table>> {
    for name in ["SPALL", "SPECOBJ"] {
        if let Some(number) = file.find(name)?.filter(|&number| file.kind(number) == HduKind::Table && file.n_rows(number) > 0) {
            return file.table(number, None).map(Some);
        }
    }
    // Legacy files have no names; the results are the first table of one row.
    let is_results = |&number: &usize| {
        file.kind(number) == HduKind::Table && file.n_rows(number) == 1 && file.column_in_any_case(number, "ZWARNING").is_some()
    };
    (0..file.n_hdus()).find(is_results).map(|number| file.table(number, None)).transpose()
}

/// From COEFF0 and COEFF1 where they are there, since the column's single precision jitters by 0.2 km/s. The
/// table may begin some pixels after COEFF0 (real files do), but on its grid.
fn wavelengths(header: &FitsHeader, logarithms: Vec<f64>) -> Result<Vec<f64>> {
    let computed = match (header.number("COEFF0")?, header.number("COEFF1")?, logarithms.first()) {
        (Some(start), Some(step), Some(first)) if step > 0.0 => {
            let skipped = ((first - start) / step).round();
            (0..logarithms.len()).map(|i| start + step * (skipped + i as f64)).collect()
        }
        _ => logarithms.clone(),
    };
    let differs = |pair: &(usize, (&f64, &f64))| (pair.1.0 - pair.1.1).abs() > LARGEST_DIFFERENCE || pair.1.0.is_nan();
    if let Some((pixel, (stored, computed))) = logarithms.iter().zip(&computed).enumerate().find(differs) {
        return Err(Error::data(format!("column 'loglam', row {pixel}"))
            .found(stored.to_string())
            .expected(format!("{computed}, by COEFF0 and COEFF1"))
            .remedy("The file contradicts itself: get it again."));
    }
    if let Some(pixel) = computed.windows(2).position(|pair| pair[1] <= pair[0]) {
        return Err(Error::data(format!("column 'loglam', row {}", pixel + 1))
            .found(format!("{} after {}", computed[pixel + 1], computed[pixel]))
            .expected("rising wavelengths of one spectrum")
            .remedy(AS_TABLE));
    }
    Ok(computed.into_iter().map(|logarithm: f64| 10_f64.powf(logarithm)).collect())
}
