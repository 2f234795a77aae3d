//! Binary tables of a FITS file to columns: one table, or several whose rows match.

use super::choose::{self, Choice};
use super::hdu::{self, Hdu};
use super::layout::BinaryTable;
use super::rows::Rows;
use super::source::Source;
use crate::error::{Error, Result};
use crate::table::read::{Chunks, assemble, positions};
use crate::table::{Column, ColumnSchema, Location, Shape, Table, UnreadColumn, Values};
use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

/// The columns' descriptions, from the headers alone.
pub(in crate::table) fn schema(location: &Location) -> Result<Vec<ColumnSchema>> {
    let opened = Opened::new(location)?;
    let fields = opened.tables.iter().flat_map(|table| &table.fields);
    let mut schemas: Vec<ColumnSchema> = Vec::new();
    for field in fields {
        // Columns that joined tables share are one.
        if opened.tables.len() == 1 || !schemas.iter().any(|schema| schema.name == field.schema.name) {
            schemas.push(field.schema.clone());
        }
    }
    Ok(schemas)
}

/// Number of rows by the header.
pub(in crate::table) fn row_count(location: &Location) -> Result<usize> {
    Ok(Opened::new(location)?.n_rows)
}

/// Tables of at most `rows` rows.
pub(in crate::table) fn chunks(location: &Location, names: Option<&[&str]>, rows: usize) -> Result<Chunks> {
    Ok(Box::new(Reader::new(Opened::new(location)?, names, rows)?))
}

/// As [`chunks`], of one table of a file that is open already, whatever the names of its HDUs.
pub(super) fn chunks_of(source: &Arc<Source>, hdus: &[Hdu], hdu: &Hdu, names: Option<&[&str]>, rows: usize) -> Result<Chunks> {
    let choice = Choice { hdu: hdu.clone(), place: format!("{}[{}]", source.path.display(), hdu.label()).into() };
    Ok(Box::new(Reader::new(Opened::of_choices(Arc::clone(source), hdus.to_vec(), vec![choice])?, names, rows)?))
}

/// As [`chunks`], from bytes in memory: for tests.
#[cfg(test)]
pub(super) fn chunks_of_bytes(bytes: Vec<u8>, location: &Location, rows: usize) -> Result<Chunks> {
    let source = Source::from_bytes(&location.file, bytes);
    Ok(Box::new(Reader::new(Opened::from_source(Arc::new(source), location)?, None, rows)?))
}

/// A file, its HDUs, and the tables of it that are read.
struct Opened {
    source: Arc<Source>,
    hdus: Vec<Hdu>,
    choices: Vec<Choice>,
    tables: Vec<BinaryTable>,
    n_rows: usize,
}

impl Opened {
    fn new(location: &Location) -> Result<Self> {
        Self::from_source(Arc::new(Source::open(&location.file)?), location)
    }

    fn from_source(source: Arc<Source>, location: &Location) -> Result<Self> {
        let listing = hdu::list(&source)?;
        let hdus = listing.hdus.clone();
        let choices = choose::tables(location, &source, listing)?;
        Self::of_choices(source, hdus, choices)
    }

    fn of_choices(source: Arc<Source>, hdus: Vec<Hdu>, choices: Vec<Choice>) -> Result<Self> {
        let read = |choice: &Choice| BinaryTable::read(&source, &choice.hdu, &choice.place);
        let tables = choices.iter().map(read).collect::<Result<Vec<_>>>()?;
        let n_rows = tables.first().map_or(0, |table| table.n_rows);
        if let Some(other) = tables.iter().find(|table| table.n_rows != n_rows) {
            let labels: Vec<&str> = tables.iter().map(|table| table.label.as_str()).collect();
            return Err(Error::data(format!("{}[{}]", source.path.display(), labels.join("+")))
                .found(format!("{} rows in {}", other.n_rows, other.label))
                .expected(format!("{n_rows}, as in {}", tables[0].label))
                .remedy("Join only tables whose rows match one to one, or match them by their identifiers beforehand."));
        }
        Ok(Self { source, hdus, choices, tables, n_rows })
    }

    /// All columns that can be read, in order, each with the tables that have it.
    fn columns(&self) -> Vec<Shared> {
        let mut columns: Vec<Shared> = Vec::new();
        for (table, layout) in self.tables.iter().enumerate() {
            for (field, found) in layout.fields.iter().enumerate().filter(|(_, field)| field.is_readable()) {
                let name = &found.schema.name;
                let known = columns
                    .iter_mut()
                    .find(|column| column.name == *name && column.places.iter().all(|&(other, _)| other != table));
                match known {
                    Some(column) => column.places.push((table, field)),
                    None => columns.push(Shared { name: name.clone(), places: vec![(table, field)] }),
                }
            }
        }
        columns
    }

    /// The wanted columns by their positions among all, with complaints that help.
    fn wanted(&self, columns: &[Shared], names: Option<&[&str]>) -> Result<Vec<usize>> {
        let available: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
        let place = |name: &str| format!("{}, column '{name}'", self.source.path.display());
        for name in names.unwrap_or_default() {
            let n_found = available.iter().filter(|column| column == name).count();
            if n_found > 1 {
                return Err(Error::data(place(name))
                    .found(format!("the name {n_found} times"))
                    .expected("distinct names")
                    .remedy("Rename the columns (TTYPE) in the file."));
            }
            let fields = self.tables.iter().flat_map(|table| table.fields.iter().map(move |field| (table, field)));
            if let Some((table, field)) = fields.into_iter().find(|(_, field)| n_found == 0 && field.schema.name == *name) {
                // The decoder says why it cannot be read.
                table.decoder(field)?;
            }
            if n_found == 0
                && let Some(remedy) = choose::remedy(&self.source, &self.hdus, &self.choices, names.unwrap_or_default())
            {
                return Err(Error::data(place(name))
                    .found(format!("no such column (there are: {})", available.join(", ")))
                    .expected("that column")
                    .remedy(remedy));
            }
        }
        positions(&self.source.path, &available, names)
    }
}

/// A column that one or more of the joined tables have: table and position in it.
struct Shared {
    name: String,
    places: Vec<(usize, usize)>,
}

impl Shared {
    /// Whether the column says which star a row belongs to: it is compared, wanted or not, where tables are
    /// joined.
    fn is_identifier(&self, opened: &Opened) -> bool {
        use super::form::Code;
        let is_integer = |&(table, field): &(usize, usize)| {
            matches!(opened.tables[table].fields[field].form.code, Code::Int | Code::Long | Code::Text)
        };
        self.name.to_ascii_lowercase().ends_with("id") && self.places.iter().all(is_integer)
    }
}

/// Identifiers that joined tables spell in different capitals (`SOURCE_ID` and `source_id`), each with the
/// first table of every spelling: they are compared, and both stay columns.
fn identifiers_in_other_capitals(columns: &[Shared], opened: &Opened) -> Vec<Vec<(usize, usize)>> {
    let mut spellings: BTreeMap<String, Vec<(usize, usize)>> = BTreeMap::new();
    if opened.tables.len() > 1 {
        for column in columns.iter().filter(|column| column.is_identifier(opened)) {
            spellings.entry(column.name.to_ascii_lowercase()).or_default().extend(column.places.first());
        }
    }
    let across = |places: Vec<(usize, usize)>| {
        // Two spellings within one table are no concern of the join.
        let mut tables = HashSet::new();
        let places: Vec<(usize, usize)> = places.into_iter().filter(|(table, _)| tables.insert(*table)).collect();
        (places.len() > 1).then_some(places)
    };
    spellings.into_values().filter_map(across).collect()
}

/// Reads row ranges one after the other; at least one, perhaps empty.
struct Reader {
    path: PathBuf,
    labels: Vec<String>,
    tables: Vec<Rows>,
    /// For every wanted column, then for identifiers to compare (in any capitals): the tables that have it,
    /// with the position among what is read of each.
    plan: Vec<Vec<(usize, usize)>>,
    n_wanted: usize,
    metadata: BTreeMap<String, String>,
    unread: Vec<UnreadColumn>,
    n_rows: usize,
    next: usize,
    rows: usize,
    started: bool,
}

impl Reader {
    fn new(opened: Opened, names: Option<&[&str]>, rows: usize) -> Result<Self> {
        let columns = opened.columns();
        let mut wanted = opened.wanted(&columns, names)?;
        let n_wanted = wanted.len();
        let to_compare = |&i: &usize| columns[i].places.len() > 1 && !wanted.contains(&i) && columns[i].is_identifier(&opened);
        let compared: Vec<usize> = (0..columns.len()).filter(to_compare).collect();
        wanted.extend(compared);
        let in_other_capitals = identifiers_in_other_capitals(&columns, &opened);
        let mut read: Vec<Vec<usize>> = vec![Vec::new(); opened.tables.len()];
        let mut plan = Vec::with_capacity(wanted.len());
        for &column in &wanted {
            let slot = |&(table, field): &(usize, usize)| {
                read[table].push(field);
                (table, read[table].len() - 1)
            };
            plan.push(columns[column].places.iter().map(slot).collect());
        }
        for places in &in_other_capitals {
            let slot = |&(table, field): &(usize, usize)| {
                read[table].push(field);
                (table, read[table].len() - 1)
            };
            plan.push(places.iter().map(slot).collect());
        }
        let mut metadata = BTreeMap::new();
        let mut unread = Vec::new();
        for table in &opened.tables {
            for (key, value) in table.metadata() {
                metadata.entry(key).or_insert(value);
            }
            if names.is_none() {
                unread.extend(table.unread());
            }
        }
        let labels = opened.tables.iter().map(|table| table.label.clone()).collect();
        let tables = opened.tables.into_iter().zip(&read);
        let tables =
            tables.map(|(table, fields)| Rows::new(Arc::clone(&opened.source), table, fields)).collect::<Result<Vec<_>>>()?;
        let (path, n_rows) = (opened.source.path.clone(), opened.n_rows);
        Ok(Self { path, labels, tables, plan, n_wanted, metadata, unread, n_rows, next: 0, rows, started: false })
    }

    fn read(&mut self, rows: usize) -> Result<Table> {
        let first = self.next;
        let mut read = Vec::with_capacity(self.tables.len());
        for table in &mut self.tables {
            read.push(table.read(rows)?.into_iter().map(Some).collect::<Vec<Option<Column>>>());
        }
        let mut columns = Vec::with_capacity(self.n_wanted);
        for (i, places) in self.plan.iter().enumerate() {
            let mut same = places.iter().filter_map(|&(table, slot)| Some((table, read[table][slot].take()?)));
            let Some((table, column)) = same.next() else { continue };
            for (other, repeated) in same {
                self.require_equal((table, &column), (other, &repeated), first)?;
            }
            if i < self.n_wanted {
                columns.push(column);
            }
        }
        let mut table = assemble(&self.path, columns, rows, &self.metadata)?;
        table.unread.clone_from(&self.unread);
        Ok(table)
    }

    /// Two tables that are joined may share a column only if it says the same in both.
    fn require_equal(&self, (a, one): (usize, &Column), (b, other): (usize, &Column), first: usize) -> Result<()> {
        let (a, b) = (&self.labels[a], &self.labels[b]);
        let place = format!("{}[{}], column '{}'", self.path.display(), self.labels.join("+"), one.schema.name);
        let remedy = "Join only tables whose rows match one to one; read columns that differ from one table alone.";
        if one.column_type() != other.column_type() || one.schema.unit != other.schema.unit {
            let describe = |column: &Column| format!("{} '{}'", column.column_type(), column.schema.unit);
            return Err(Error::data(place)
                .found(format!("{} in {b}", describe(other)))
                .expected(format!("{}, as in {a}", describe(one)))
                .remedy(remedy));
        }
        match (0..one.n_rows()).find(|&row| !same_cell(one, other, row)) {
            Some(row) => Err(Error::data(format!("{place}, row {}", first + row))
                .found(format!("different values in {a} and {b}"))
                .expected("the same value in tables that are joined row by row")
                .remedy(remedy)),
            None => Ok(()),
        }
    }
}

/// Whether two columns of the same type say the same in a row; null equals null.
fn same_cell(one: &Column, other: &Column, row: usize) -> bool {
    let (a, b) = (one.range(row), other.range(row));
    let both_null = !one.is_valid(row) && !other.is_valid(row);
    let same_length = matches!(one.shape, Shape::Scalar) || a.len() == b.len();
    let same_values = || match (&one.values, &other.values) {
        (Values::Bool(one), Values::Bool(other)) => one[a.clone()] == other[b.clone()],
        (Values::Int32(one), Values::Int32(other)) => one[a.clone()] == other[b.clone()],
        (Values::Int64(one), Values::Int64(other)) => one[a.clone()] == other[b.clone()],
        (Values::Text(one), Values::Text(other)) => one[a.clone()] == other[b.clone()],
        (Values::Float32(one), Values::Float32(other)) => {
            one[a.clone()].iter().zip(&other[b.clone()]).all(|(a, b)| a == b || a.is_nan() && b.is_nan())
        }
        (Values::Float64(one), Values::Float64(other)) => {
            one[a.clone()].iter().zip(&other[b.clone()]).all(|(a, b)| a == b || a.is_nan() && b.is_nan())
        }
        _ => false,
    };
    both_null || one.is_valid(row) == other.is_valid(row) && same_length && same_values()
}

impl Iterator for Reader {
    type Item = Result<Table>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.started && self.next >= self.n_rows {
            return None;
        }
        self.started = true;
        let end = self.n_rows.min(self.next.saturating_add(self.rows));
        let table = self.read(end - self.next);
        self.next = if table.is_ok() { end } else { self.n_rows };
        Some(table)
    }
}
