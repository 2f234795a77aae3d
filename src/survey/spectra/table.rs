//! Spectra in plain tables of any format: a column of lists has a spectrum in every row, columns of numbers
//! a pixel (of one spectrum, or of several with identifiers).

use super::Layout;
use super::fact::{Fact, FactSource, POSITION};
use super::flux_unit::{self, Measure};
use super::identifiers::{file_key, stable_id};
use super::observed::{ObservedSpectrum, ReadOptions, Segment, Spectra, mark_bad};
use super::recipe::PixelColumns;
use crate::error::{Error, Result};
use crate::spectrum::{Medium, pixel_bounds};
use crate::statistics::median;
use crate::table::{self, Column, Shape, Table, Values};
use crate::unit;
use crate::warning::warn_once_about;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

/// Rows of spectra read at once.
const ROWS: usize = 64;
/// Wavelengths without a unit that all are below this are taken for another unit than Å, and refused.
const LEAST_ANGSTROMS: f64 = 2700.0;

/// Difference of errors, as a part of them, that rounding does not explain.
const LARGEST_DIFFERENCE: f64 = 0.01;

/// Names of the columns of a file.
struct Names {
    id: Option<String>,
    flux: String,
    noise: Noise,
    /// Errors beside inverse variances, where the recipe names neither.
    also: Option<String>,
    wavelength: Wavelengths,
    mask: Option<String>,
}

enum Noise {
    Ivar(String),
    Error(String),
}

enum Wavelengths {
    Column(String),
    Logarithm(String),
    /// The same for all rows.
    Metadata,
}

/// The spectra of a table.
///
/// # Errors
/// When a column is absent, or the first rows cannot be read.
pub(super) fn read(path: &Path, options: &ReadOptions) -> Result<Spectra> {
    let mut chunks = table::read_chunks(path, ROWS)?;
    let first = chunks.next().unwrap_or_else(|| Ok(Table::default()))?;
    let names = Names::of(&first, &options.columns)?;
    let flux = first.column(&names.flux)?;
    let is_list = !matches!(flux.shape, Shape::Scalar) || matches!(flux.values, Values::Text(_));
    let (options, path) = (options.clone(), path.to_owned());
    let fact_types = facts(&first, &options.carry, &path)?.types();
    if !is_list {
        let mut whole = first;
        for chunk in chunks {
            whole.append(chunk?)?;
        }
        let mut spectra = Some(of_pixels(&whole, &names, &options, &path)?);
        return Ok(Spectra::in_blocks(Layout::Table, 0, fact_types, move || spectra.take().map(Ok)));
    }
    let mut row_of_file = 0;
    let mut chunks = std::iter::once(Ok(first)).chain(chunks);
    Ok(Spectra::in_blocks(Layout::Table, 0, fact_types, move || {
        let chunk = chunks.next()?;
        Some(chunk.and_then(|chunk| {
            let spectra = rows(&chunk, &names, &options, row_of_file, &path)?;
            row_of_file += chunk.n_rows();
            Ok(spectra)
        }))
    }))
}

impl Names {
    fn of(table: &Table, columns: &PixelColumns) -> Result<Self> {
        let actual = |wanted: &str| table.get_in_any_case(wanted).map(|column| column.schema.name.clone());
        // What the recipe names has to be there.
        let named = |name: &Option<String>| name.as_ref().map(|name| table.column(name).map(|_| name.clone())).transpose();
        let or_default = |name: &Option<String>, defaults: &[&str]| -> Result<Option<String>> {
            Ok(named(name)?.or_else(|| defaults.iter().find_map(|default| actual(default))))
        };
        let flux = or_default(&columns.flux, &["flux"])?;
        let flux = flux.map_or_else(|| table.column("flux").map(|column| column.schema.name.clone()), Ok)?;
        let (noise, also) = match (named(&columns.ivar)?, named(&columns.error)?) {
            (Some(ivar), _) => (Noise::Ivar(ivar), None),
            (None, Some(error)) => (Noise::Error(error), None),
            (None, None) => match (actual("ivar"), actual("flux_error").or_else(|| actual("error"))) {
                (Some(ivar), error) => {
                    let is_number = |name: &String| {
                        table.get(name).is_some_and(|column| !matches!(column.values, Values::Text(_) | Values::Bool(_)))
                    };
                    (Noise::Ivar(ivar), error.filter(is_number))
                }
                (None, Some(error)) => (Noise::Error(error), None),
                (None, None) => return Err(table.column("ivar").err().unwrap_or_else(|| Error::data("column 'ivar'"))),
            },
        };
        let wavelength = match (named(&columns.log_wavelength)?, named(&columns.wavelength)?) {
            (Some(logarithm), _) => Wavelengths::Logarithm(logarithm),
            (None, Some(name)) => Wavelengths::Column(name),
            (None, None) => match (actual("wavelength"), actual("loglam").or_else(|| actual("log_wavelength"))) {
                (Some(name), _) => Wavelengths::Column(name),
                (None, Some(logarithm)) => Wavelengths::Logarithm(logarithm),
                (None, None) if table.metadata_of("wavelengths").is_some() => Wavelengths::Metadata,
                (None, None) => {
                    let error = table.column("wavelength").err().unwrap_or_else(|| Error::data("column 'wavelength'"));
                    return Err(error.remedy("Name the columns of the table under [spectra.columns]."));
                }
            },
        };
        let (id, mask) = (or_default(&columns.id, &["source_id"])?, or_default(&columns.mask, &["mask"])?);
        Ok(Self { id, flux, noise, also, wavelength, mask })
    }

    /// Inverse variances from the column of the noise, whose numbers times `factor` are in the unit of the
    /// flux, or its power of −2.
    fn ivar(&self, values: &[f64], factor: f64) -> Vec<f64> {
        match self.noise {
            Noise::Ivar(_) => values.iter().map(|ivar| factor * ivar).collect(),
            // An error of 0 is as impossible as a negative one: its inverse variance is infinite, and marked.
            Noise::Error(_) => {
                values.iter().map(|error| if *error < 0.0 { f64::NAN } else { (factor * error).powi(-2) }).collect()
            }
        }
    }

    fn measure(&self) -> Measure {
        match self.noise {
            Noise::Ivar(_) => Measure::InverseVariance,
            Noise::Error(_) => Measure::Flux,
        }
    }

    fn noise(&self) -> &str {
        match &self.noise {
            Noise::Ivar(name) | Noise::Error(name) => name,
        }
    }
}

/// Factor to Å, or a logarithm.
#[derive(Clone, Copy)]
enum Scale {
    Factor(f64),
    Unknown,
    Logarithm,
}

impl Scale {
    fn of(column: Option<&Column>, names: &Names, table: &Table, columns: &PixelColumns) -> Result<Self> {
        if matches!(names.wavelength, Wavelengths::Logarithm(_)) {
            return Ok(Self::Logarithm);
        }
        let stated = match column {
            Some(column) => column.schema.unit.clone(),
            // Observation files are in nm where nothing is said.
            None => table.metadata_of("wavelength_unit").cloned().unwrap_or_else(|| "nm".into()),
        };
        let text = if unit::is_absent(&stated) { columns.wavelength_unit.clone().unwrap_or_default() } else { stated };
        if unit::is_absent(&text) {
            return Ok(Self::Unknown);
        }
        unit::factor(&text, "Angstrom").map(Self::Factor).ok_or_else(|| {
            Error::data("column of the wavelengths")
                .found(format!("the unit '{text}'"))
                .expected("a unit of length")
                .remedy("Name another column under [spectra.columns]; frequencies and wave numbers have to be converted.")
        })
    }

    /// Å; in words what is wrong where wavelengths cannot be Å.
    fn apply(self, values: &[f64]) -> std::result::Result<Vec<f64>, String> {
        Ok(match self {
            Self::Factor(factor) => values.iter().map(|value| factor * value).collect(),
            Self::Logarithm => values.iter().map(|value| 10_f64.powf(*value)).collect(),
            Self::Unknown if values.iter().all(|value| *value < LEAST_ANGSTROMS) => {
                return Err(format!(
                    "wavelengths of {} and so on without a unit: that is hardly Å (add `wavelength_unit` under [spectra.columns])",
                    values.first().copied().unwrap_or(f64::NAN)
                ));
            }
            Self::Unknown => values.to_vec(),
        })
    }
}

/// What all rows share.
struct Shared {
    medium: Option<Medium>,
    flux_unit: String,
    /// To the unit of the flux, or its power of −2.
    noise: f64,
    /// Of the errors beside inverse variances; none where they measure something else.
    also: Option<f64>,
}

impl Shared {
    /// # Errors
    /// When the flux is in magnitudes, or its noise in a unit that measures something else.
    fn of(table: &Table, names: &Names, path: &Path) -> Result<Self> {
        let medium = table.metadata_of("medium").or_else(|| table.metadata_of("wavelength_medium"));
        let unit = |name: &str| table.column(name).map(|column| column.schema.unit.clone());
        let place = |name: &str| format!("{}, column '{name}'", path.display());
        let flux_unit = unit(&names.flux)?;
        flux_unit::require_flux(&flux_unit, &place(&names.flux))?;
        let factor = |measure: Measure, name: &str| flux_unit::factor(measure, &unit(name)?, &flux_unit, &place(name));
        let noise = factor(names.measure(), names.noise())?;
        let also = names.also.as_ref().and_then(|name| factor(Measure::Flux, name).ok());
        Ok(Self { medium: medium.and_then(|text| Medium::parse(text)), flux_unit, noise, also })
    }
}

fn facts(table: &Table, carry: &[String], path: &Path) -> Result<FactSource> {
    let names = POSITION.into_iter().chain(carry.iter().map(String::as_str));
    FactSource::new(table, names.map(|name| (name, name)), &path.display().to_string())
}

fn rows(table: &Table, names: &Names, options: &ReadOptions, first_row: usize, path: &Path) -> Result<Vec<ObservedSpectrum>> {
    let lists = |name: &str| -> Result<Column> { table.column(name)?.parsed_lists() };
    let (flux, noise) = (lists(&names.flux)?, lists(names.noise())?);
    let mask = names.mask.as_ref().map(|name| lists(name)).transpose()?;
    let also = names.also.as_ref().map(|name| lists(name)).transpose()?;
    let wavelength = match &names.wavelength {
        Wavelengths::Column(name) | Wavelengths::Logarithm(name) => Some(lists(name)?),
        Wavelengths::Metadata => None,
    };
    let scale = Scale::of(wavelength.as_ref(), names, table, &options.columns)?;
    let common: Option<Vec<f64>> = match (&wavelength, table.metadata_of("wavelengths")) {
        (None, Some(text)) => Some(serde_json::from_str(text).map_err(|error| {
            Error::data("metadata 'wavelengths'").found(error.to_string()).expected("a JSON list of numbers")
        })?),
        _ => None,
    };
    let ids = match &names.id {
        Some(name) => Some(table.column(name)?),
        None => None,
    };
    let (all_flux, all_noise) = (flux.flat_f64()?, noise.flat_f64()?);
    let all_masks = mask.as_ref().map(Column::flat_flags).transpose()?;
    let all_also = also.as_ref().map(Column::flat_f64).transpose()?;
    let all_wavelengths = wavelength.as_ref().map(Column::flat_f64).transpose()?;
    let shared = Shared::of(table, names, path)?;
    let facts = facts(table, &options.carry, path)?;
    let mut spectra = Vec::with_capacity(table.n_rows());
    for row in 0..table.n_rows() {
        let part =
            |column: &Column, values: &[f64]| if column.is_valid(row) { values[column.range(row)].to_vec() } else { Vec::new() };
        let id = match ids.map(|column| (column, Fact::of_column(column, row))) {
            // As a file's fibres without one: nothing is lost.
            None | Some((_, None)) => stable_id(&format!("{}, row {}", file_key(path), first_row + row)),
            Some((_, Some(Fact::Integer(id)))) => id,
            Some((column, Some(_))) => column.to_i64()?[row],
        };
        let pixels = Pixels {
            flux: part(&flux, &all_flux),
            noise: part(&noise, &all_noise),
            mask: mask.as_ref().zip(all_masks.as_ref()).map(|(column, values)| match column.shape {
                // One for the whole spectrum.
                Shape::Scalar => vec![values[row]; flux.range(row).len()],
                _ => part(column, values),
            }),
            also: also.as_ref().zip(all_also.as_ref()).map(|(column, values)| part(column, values)),
            wavelength: match (&wavelength, &all_wavelengths, &common) {
                (Some(column), Some(values), _) => part(column, values),
                (_, _, Some(common)) => common.clone(),
                _ => Vec::new(),
            },
        };
        let place = format!("{}, row {}", path.display(), first_row + row);
        spectra.push(pixels.spectrum(names, scale, Some(id), place, &shared, facts.row(row)));
    }
    Ok(spectra)
}

/// The spectra of a table whose rows are pixels: one for every identifier, in the order in which these
/// appear; one for the file where it has none.
fn of_pixels(table: &Table, names: &Names, options: &ReadOptions, path: &Path) -> Result<Vec<ObservedSpectrum>> {
    if table.n_rows() == 0 {
        return Ok(Vec::new());
    }
    let place = path.display();
    let Some(name) = &names.id else {
        return Ok(vec![one(table, names, options, stable_id(&file_key(path)), path, place.to_string())?]);
    };
    let column = table.column(name)?;
    if let Some(row) = (0..table.n_rows()).find(|&row| !column.is_valid(row)) {
        return Err(Error::data(format!("column '{name}', row {row}"))
            .found("no identifier")
            .expected("the identifier of the spectrum that the pixel belongs to")
            .remedy("Give it, or leave the column out of a file with one spectrum."));
    }
    let (mut order, mut rows_of) = (Vec::new(), HashMap::<i64, Vec<usize>>::new());
    for (row, id) in column.to_i64()?.into_iter().enumerate() {
        let rows = rows_of.entry(id).or_default();
        if rows.is_empty() {
            order.push(id);
        }
        rows.push(row);
    }
    let spectrum = |id: &i64| match rows_of.len() {
        1 => one(table, names, options, *id, path, place.to_string()),
        _ => one(&table.select(&rows_of[id]), names, options, *id, path, format!("{place}, {name} {id}")),
    };
    order.iter().map(spectrum).collect()
}

/// The spectrum of a table whose rows are its pixels.
fn one(table: &Table, names: &Names, options: &ReadOptions, id: i64, path: &Path, place: String) -> Result<ObservedSpectrum> {
    let column = |name: &str| table.column(name)?.to_f64();
    let wavelength = match &names.wavelength {
        Wavelengths::Column(name) | Wavelengths::Logarithm(name) => Some(table.column(name)?),
        Wavelengths::Metadata => None,
    };
    let scale = Scale::of(wavelength, names, table, &options.columns)?;
    let pixels = Pixels {
        flux: column(&names.flux)?,
        noise: column(names.noise())?,
        mask: names.mask.as_ref().map(|name| table.column(name)?.flat_flags()).transpose()?,
        also: names.also.as_ref().map(|name| column(name)).transpose()?,
        wavelength: wavelength.map_or_else(|| Ok(Vec::new()), Column::to_f64)?,
    };
    let shared = Shared::of(table, names, path)?;
    Ok(pixels.spectrum(names, scale, Some(id), place, &shared, facts(table, &options.carry, path)?.row(0)))
}

struct Pixels {
    flux: Vec<f64>,
    noise: Vec<f64>,
    mask: Option<Vec<f64>>,
    /// Errors beside inverse variances.
    also: Option<Vec<f64>>,
    wavelength: Vec<f64>,
}

impl Pixels {
    /// A spectrum; one that cannot be used has a fault in place of arms.
    fn spectrum(
        self,
        names: &Names,
        scale: Scale,
        id: Option<i64>,
        place: String,
        shared: &Shared,
        facts: BTreeMap<String, Fact>,
    ) -> ObservedSpectrum {
        let mut spectrum = ObservedSpectrum {
            id,
            place,
            segments: Vec::new(),
            medium: shared.medium,
            flux_unit: shared.flux_unit.clone(),
            velocity: None,
            facts,
            notes: 0,
            fault: None,
            n_following: 0,
        };
        self.compare_noise(names, shared, &spectrum.place);
        match self.segment(names, scale, shared.noise) {
            Ok((segment, notes)) => {
                spectrum.notes |= notes;
                spectrum.segments.push(segment);
            }
            Err(fault) => spectrum.fault = Some(fault),
        }
        spectrum
    }

    /// Warns where errors beside inverse variances are others.
    fn compare_noise(&self, names: &Names, shared: &Shared, place: &str) {
        let (Some(name), Some(errors), Some(factor)) = (&names.also, &self.also, shared.also) else { return };
        let ratio = |(ivar, error): (&f64, &f64)| factor * error * (shared.noise * ivar).sqrt();
        let ratios: Vec<f64> =
            self.noise.iter().zip(errors).map(ratio).filter(|ratio| ratio.is_finite() && *ratio > 0.0).collect();
        let middle = median(&ratios);
        if (middle - 1.0).abs() > LARGEST_DIFFERENCE {
            warn_once_about(
                &format!("{name} beside {}", names.noise()),
                format!(
                    "{place}: '{name}' is {middle:.4} of the errors by '{}' (median), which are taken; name the column that is right under \
                     [spectra.columns] (ivar or error)",
                    names.noise()
                ),
            );
        }
    }

    fn segment(self, names: &Names, scale: Scale, factor: f64) -> std::result::Result<(Segment, i32), String> {
        let n = self.flux.len();
        let lengths = [n, self.noise.len(), self.wavelength.len(), self.mask.as_ref().map_or(n, Vec::len)];
        if n == 0 || lengths.iter().any(|&length| length != n) {
            return Err(format!("lists of {lengths:?} values (flux, noise, wavelengths, mask) in place of equal lengths"));
        }
        let mut wavelength = scale.apply(&self.wavelength)?;
        let (mut flux, mut ivar) = (self.flux, names.ivar(&self.noise, factor));
        let mut mask = self.mask;
        if wavelength.windows(2).all(|pair| pair[1] < pair[0]) {
            wavelength.reverse();
            flux.reverse();
            ivar.reverse();
            mask.iter_mut().for_each(|mask| mask.reverse());
        }
        pixel_bounds(&wavelength).map_err(|error| error.to_string())?;
        let notes = mark_bad(&mut flux, &mut ivar, |pixel| mask.as_ref().is_some_and(|mask| mask[pixel] != 0.0));
        Ok((Segment { arm: String::new(), wavelength: Arc::new(wavelength), flux, ivar, line_spread: Vec::new() }, notes))
    }
}
