//! Rows of the observation file.

use super::fact::FactColumns;
use super::star::{Finished, Pipeline};
use crate::error::{Error, Result};
use crate::observations::columns;
use crate::survey::prepare::id_column;
use crate::survey::prepare::observation::{flux_columns, list, metadata, notes_column, pass_through};
use crate::table::{Column, ColumnSchema, Table, Values};
use crate::unit;

/// What all chunks of an observation file share.
#[derive(Debug)]
pub(super) struct Header {
    /// The recipe as text.
    pub recipe: String,
    pub is_normalised: bool,
    /// The pseudo-continuum, in words.
    pub continuum: String,
    pub medium: &'static str,
    pub line_spread: bool,
    /// Unit of the flux where it is not normalised, from the first spectrum.
    pub flux_unit: Option<String>,
    /// The columns that are carried along.
    pub facts: FactColumns,
}

/// The pseudo-continuum in words, and a filter before it: smoothed lines are other lines.
fn described(source: &super::SpectraSource) -> String {
    let continuum = source.continuum.described();
    match source.smooth {
        None => continuum,
        Some(super::Smoothing { window, degree }) => {
            format!("{continuum}, flux smoothed by savitzky-golay, window {window}, degree {degree}")
        }
    }
}

impl Header {
    pub fn new(recipe: String, source: &super::SpectraSource) -> Self {
        Self {
            recipe,
            is_normalised: source.is_normalised(),
            continuum: described(source),
            medium: source.grid_medium.name(),
            line_spread: source.line_spread,
            flux_unit: None,
            facts: FactColumns::new(&source.carry),
        }
    }

    /// The first spectrum's unit is that of all, where flux is not normalised.
    ///
    /// # Errors
    /// When another spectrum has another unit.
    pub fn require_unit(&mut self, stated: &str, place: &str) -> Result<()> {
        if self.is_normalised {
            return Ok(());
        }
        let first = self.flux_unit.get_or_insert_with(|| stated.to_owned());
        // Surveys spell the same unit differently.
        let is_same = || unit::factor(stated, first).is_some_and(|factor| (factor - 1.0).abs() < 1e-9);
        if first == stated || unit::is_absent(first) && unit::is_absent(stated) || is_same() {
            return Ok(());
        }
        Err(Error::data(place)
            .found(format!("flux in '{stated}'"))
            .expected(format!("'{first}', as in the spectra before"))
            .remedy("Prepare spectra of different units by themselves, or divide them by a continuum."))
    }

    /// A chunk: its stars, with the columns of joined tables that become constraints, and those that are
    /// carried along.
    ///
    /// # Errors
    /// When a column that is carried along has the name of one of the file's own.
    pub fn table(
        &mut self,
        stars: Vec<Finished>,
        constraints: Vec<Column>,
        others: &Table,
        pipeline: &Pipeline,
    ) -> Result<Table> {
        let grid = pipeline.grid();
        let w = grid.len();
        let unit = self.flux_unit.as_deref().map(standard_unit).unwrap_or_default();
        let mut table = Table::with_rows(stars.len());
        table.push(id_column(&stars.iter().map(|star| star.id).collect::<Vec<i64>>()))?;
        let of =
            |part: fn(&Finished) -> &Vec<f32>| -> Vec<f32> { stars.iter().flat_map(|star| part(star).iter().copied()).collect() };
        let what = if self.is_normalised { "Flux over pseudo-continuum" } else { "Flux" };
        let what = format!("{what} at the wavelengths of the metadata, in the rest frame");
        for column in flux_columns(&unit, &what, of(|star| &star.flux), of(|star| &star.error), w) {
            table.push(column)?;
        }
        if self.line_spread {
            let described = "Standard deviation of the line spread in the observed frame; NaN where unknown";
            table.push(list("line_spread", "Angstrom", described, "instr.dispersion", of(|star| &star.line_spread), w))?;
        }
        for column in constraints {
            table.push(column)?;
        }
        table.push(notes_column(stars.iter().map(|star| star.notes).collect()))?;
        let number = |name: &str, unit: &str, described: &str, ucd: &str, value: fn(&Finished) -> f64| {
            let schema = ColumnSchema::new(name, unit, described).with_ucd(ucd);
            Column::nullable(schema, stars.iter().map(value).collect())
        };
        let described = "Velocity that was taken out (positive: receding)";
        table.push(number("radial_velocity_applied", "km.s**-1", described, "spect.dopplerVeloc", |star| star.velocity))?;
        table.push(number("snr", "", "Median signal-to-noise ratio of a good pixel", "stat.snr", |star| star.snr))?;
        let count = |name: &str, described: &str, value: fn(&Finished) -> usize| {
            let values = stars.iter().map(|star| i32::try_from(value(star)).unwrap_or(i32::MAX)).collect();
            Column::scalar(ColumnSchema::new(name, "", described).with_ucd("meta.number"), Values::Int32(values))
        };
        table.push(count("n_good_pixels", "Pixels with flux", |star| star.n_pixels))?;
        table.push(count("n_exposures", "Spectra of the file that were joined", |star| star.n_exposures))?;
        let schema = ColumnSchema::new("spectrum_file", "", "File of the spectrum, and row where it has many");
        let places = stars.iter().map(|star| star.place.rsplit('/').next().unwrap_or_default().to_owned()).collect();
        table.push(Column::scalar(schema.with_ucd("meta.file"), Values::Text(places)))?;
        let facts: Vec<_> = stars.iter().map(|star| &star.facts).collect();
        for column in self.facts.of(&facts, |name| others.get(name).is_none())? {
            table.push(column)?;
        }
        pass_through(&mut table, others)?;
        table.metadata = metadata(grid.centres(), &grid.names(), &unit, &self.recipe);
        let medium =
            [("wavelength_unit", "Angstrom"), ("wavelength_medium", self.medium), (columns::CONTINUUM, self.continuum.as_str())];
        table.metadata.extend(medium.map(|(key, text)| (key.to_owned(), text.to_owned())));
        Ok(table)
    }
}

/// A unit of flux as the VOUnit standard spells it, where it is a power of ten of [`FLUX`]: not all of the
/// surveys' own spellings are read elsewhere (`1E-17 erg/cm^2/s/Ang` not by astropy). Others stay as they
/// are.
fn standard_unit(text: &str) -> String {
    const FLUX: &str = "erg.s**-1.cm**-2.Angstrom**-1";
    let exponent = unit::factor(text, FLUX).map(f64::log10);
    match exponent.filter(|exponent| (exponent - exponent.round()).abs() < 1e-9) {
        Some(exponent) if exponent.round() == 0.0 => FLUX.into(),
        Some(exponent) => format!("10**{} {FLUX}", exponent.round()),
        None => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::standard_unit;

    /// astropy.units 8.0.2: `u.Unit(text, format="vounit")` reads all that are written.
    #[test]
    fn units_of_surveys_are_written_by_the_standard() {
        for text in ["1E-17 erg/cm^2/s/Ang", "10**-17 erg/(s cm2 Angstrom)", "10-17erg/s/cm2/Angstrom"] {
            assert_eq!(standard_unit(text), "10**-17 erg.s**-1.cm**-2.Angstrom**-1");
        }
        assert_eq!(standard_unit("erg/s/cm2/AA"), "erg.s**-1.cm**-2.Angstrom**-1");
        for other in ["", "adu", "Jy", "nonsense"] {
            assert_eq!(standard_unit(other), other);
        }
    }
}
