//! Which of a file's tables are read: those named in brackets, or else the first one that holds anything.

use super::hdu::{Hdu, Kind, Listing};
use super::layout;
use super::source::Source;
use crate::error::{Error, Result};
use crate::table::Location;
use crate::warning::warn_once;
use std::path::PathBuf;

/// A chosen table, and how it is called in messages.
pub(super) struct Choice {
    pub hdu: Hdu,
    pub place: PathBuf,
}

/// The tables that a location means: one or more. Several tables and none named is a warning that names them
/// all.
///
/// # Errors
/// When there is no table, or none of a given name or number, or what is named is no binary table.
pub(super) fn tables(location: &Location, source: &Source, listing: Listing) -> Result<Vec<Choice>> {
    let Listing { hdus, ended_by } = listing;
    if location.tables.is_empty() {
        return default_table(source, &hdus, ended_by).map(|hdu| vec![Choice { hdu, place: source.path.clone() }]);
    }
    let mut choices: Vec<Choice> = Vec::with_capacity(location.tables.len());
    let mut ended_by = ended_by;
    for name in &location.tables {
        if name.is_empty() {
            return Err(Error::usage(format!("{}[{}]", source.path.display(), location.tables.join("+")))
                .found("a + without a table beside it")
                .expected("names between the +")
                .remedy("Leave the + out, or name the other table."));
        }
        let found = named(source, &hdus, name)?;
        let Some(hdu) = found else {
            return Err(ended_by.take().unwrap_or_else(|| {
                Error::usage(format!("{}[{name}]", source.path.display()))
                    .found("no such table")
                    .expected(format!("one of: {}", describe(&hdus)))
                    .remedy("Name a table by its EXTNAME or its number.")
            }));
        };
        if choices.iter().any(|choice| choice.hdu.number == hdu.number) {
            return Err(Error::usage(format!("{}[{}]", source.path.display(), location.tables.join("+")))
                .found(format!("the table {name} twice"))
                .expected("different tables")
                .remedy("Leave out one of them."));
        }
        choices.push(Choice { hdu: hdu.clone(), place: format!("{}[{name}]", source.path.display()).into() });
    }
    Ok(choices)
}

/// The HDU of a name, whatever its case, or of a number.
fn named<'a>(source: &Source, hdus: &'a [Hdu], name: &str) -> Result<Option<&'a Hdu>> {
    let mut same = hdus.iter().filter(|hdu| !hdu.name.is_empty() && hdu.name.eq_ignore_ascii_case(name));
    match (same.next(), same.next()) {
        (Some(first), Some(second)) => Err(Error::usage(format!("{}[{name}]", source.path.display()))
            .found(format!("the name twice (HDU {} and HDU {})", first.number, second.number))
            .expected("one table of the name")
            .remedy(format!("Give the number: `{}[{}]`.", source.path.display(), first.number))),
        (Some(hdu), None) => Ok(Some(hdu)),
        (None, _) => Ok(name.parse().ok().and_then(|number: usize| hdus.get(number))),
    }
}

fn default_table(source: &Source, hdus: &[Hdu], ended_by: Option<Error>) -> Result<Hdu> {
    let tables: Vec<&Hdu> = hdus.iter().filter(|hdu| matches!(hdu.kind, Kind::Table | Kind::CompressedTable)).collect();
    let holds_something = |hdu: &&&Hdu| hdu.n_rows > 0 && hdu.n_columns > 0;
    let Some(&chosen) = tables.iter().find(holds_something).or(tables.first()) else {
        return Err(ended_by.unwrap_or_else(|| {
            let others: Vec<String> = hdus.iter().skip(1).map(Hdu::describe).collect();
            let beside = if others.is_empty() { String::new() } else { format!(" (there are: {})", others.join(", ")) };
            Error::data(source.path.display().to_string())
                .found(format!("no binary table in it{beside}"))
                .expected("a FITS binary table")
                .remedy("Write the table as a FITS binary table, CSV, ECSV, VOTable or Parquet.")
        }));
    };
    if let Some(error) = ended_by
        && chosen.data.saturating_add(chosen.length) <= source.length()
    {
        warn_once(format!("{}: what follows {} cannot be read: {error}", source.path.display(), chosen.describe()));
    }
    if tables.len() > 1 {
        let others: Vec<String> = tables.iter().filter(|hdu| hdu.number != chosen.number).map(|hdu| hdu.describe()).collect();
        let path = source.path.display();
        warn_once(format!(
            "{path}: {} tables in it; {} is read, not {}. Choose one by name, as in `{path}[{}]`, or join those whose rows match, as in \
             `{path}[{}+{}]`",
            tables.len(),
            chosen.describe(),
            others.join(", "),
            chosen.label(),
            tables[0].label(),
            tables[1].label(),
        ));
    }
    Ok(chosen.clone())
}

fn describe(hdus: &[Hdu]) -> String {
    let described: Vec<String> = hdus.iter().map(|hdu| format!("{} [{}]", hdu.describe(), hdu.number)).collect();
    described.join(", ")
}

/// Where columns that the chosen tables lack are to be found: a sentence, empty where nothing of the file has
/// them.
pub(super) fn remedy(source: &Source, hdus: &[Hdu], chosen: &[Choice], names: &[&str]) -> Option<String> {
    let path = source.path.display();
    let is_chosen = |hdu: &Hdu| chosen.iter().any(|choice| choice.hdu.number == hdu.number);
    let others = || hdus.iter().filter(|hdu| hdu.kind == Kind::Table && !is_chosen(hdu));
    let columns_of = |hdu: &Hdu| layout::names(source, hdu);
    let has_all = |columns: &[String]| names.iter().all(|name| columns.iter().any(|column| column == name));
    if let Some(hdu) = others().find(|hdu| has_all(&columns_of(hdu))) {
        return Some(format!("The table {} has all of them: name it, as in `{path}[{}]`.", hdu.describe(), hdu.label()));
    }
    let mine: Vec<String> = chosen.iter().flat_map(|choice| columns_of(&choice.hdu)).collect();
    let n_rows = chosen.first()?.hdu.n_rows;
    let with_mine = |hdu: &&Hdu| hdu.n_rows == n_rows && has_all(&[mine.clone(), columns_of(hdu)].concat());
    let hdu = others().find(with_mine)?;
    let labels: Vec<String> = chosen.iter().map(|choice| choice.hdu.label()).chain([hdu.label()]).collect();
    Some(format!("{} has the rest: join them, as in `{path}[{}]`.", hdu.describe(), labels.join("+")))
}
