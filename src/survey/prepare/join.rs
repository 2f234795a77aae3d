//! Tables joined on identifiers.

use super::recipe::{Duplicates, TableSource, expand};
use super::used::Used;
use crate::error::{Error, Result};
use crate::quantity::{Notices, append, is_declared_sentinel};
use crate::table::{self, Chunks, Column, ColumnSchema, Shape, Table, Values};
use crate::warning::warn_once;
use std::collections::{HashMap, HashSet};
use std::path::Path;

/// Rows read at once.
const BLOCK: usize = 65_536;

/// A table held in memory, found by identifier.
#[derive(Debug)]
pub(in crate::survey) struct JoinTable {
    table: Table,
    rows: HashMap<i64, usize>,
    /// Rows dropped because an earlier one has the same identifier.
    pub(super) n_duplicates: usize,
}

impl JoinTable {
    /// Reads all files of a source, its used columns in their units. Errors name file, row, column and cell.
    pub(super) fn read(source: &TableSource, used: &Used, duplicates: Duplicates) -> Result<Self> {
        let (mut whole, mut seen, mut notices) = (None, HashSet::new(), Notices::default());
        let (mut n_duplicates, mut n_without_id) = (0, 0);
        for file in expand(&source.files)? {
            let place = file.display().to_string();
            let mut first_row = 0;
            for chunk in source.read_chunks(&file)? {
                let chunk = chunk?;
                let n_rows = chunk.n_rows();
                let part = source.normalise(chunk, used, first_row, &mut notices).map_err(|error| error.within(&place))?;
                source.say_unread(&part.table, &place);
                let ids = part.table.column("source_id")?.to_i64()?;
                let first = first_occurrences(&ids, &part.rows, duplicates, &mut seen).map_err(|error| error.within(&place))?;
                n_duplicates += ids.len() - first.len();
                n_without_id += n_rows - ids.len();
                let table = if first.len() == ids.len() { part.table } else { part.table.select(&first) };
                match &mut whole {
                    Some(whole) => append(whole, table, &place).map_err(|error| error.within(&place))?,
                    None => whole = Some(table),
                }
                first_row += n_rows;
            }
        }
        let place = source.name();
        notices.say(&place);
        if n_without_id > 0 {
            warn_once(format!("{place}: {n_without_id} rows without an identifier are left out"));
        }
        let table = whole.unwrap_or_default();
        let rows = table.column("source_id").and_then(Column::to_i64).map_err(|error| error.within(place))?;
        let rows = rows.into_iter().enumerate().map(|(row, id)| (id, row)).collect();
        Ok(Self { table, rows, n_duplicates })
    }

    /// Adds this table's columns, except the identifier, to a table of stars; null where a star is not in
    /// this table. Returns how many of the stars are.
    pub(in crate::survey) fn join(&self, ids: &[i64], stars: &mut Table) -> Result<usize> {
        let rows: Vec<Option<usize>> = ids.iter().map(|id| self.rows.get(id).copied()).collect();
        for column in self.table.columns().iter().filter(|column| column.schema.name != "source_id") {
            stars.push(gather(column, &rows)).map_err(|error| {
                error.remedy("Rename the column in the recipe (tables.rename), or choose columns (tables.columns).")
            })?;
        }
        Ok(rows.iter().flatten().count())
    }

    /// The row of a star.
    pub(in crate::survey) fn row(&self, id: i64) -> Option<usize> {
        self.rows.get(&id).copied()
    }

    /// All columns, by their new names, the used ones in their units.
    pub(in crate::survey) fn columns(&self) -> &Table {
        &self.table
    }

    /// Number of stars in this table.
    pub(super) fn n_stars(&self) -> usize {
        self.rows.len()
    }
}

impl TableSource {
    /// The chunks of a file, without columns that are not used.
    fn read_chunks(&self, file: &Path) -> Result<Chunks> {
        let Some(columns) = &self.columns else { return table::read_chunks(file, BLOCK) };
        let unchanged = columns.iter().filter(|name| **name != self.id && !self.rename.values().any(|new| new == *name));
        let renamed = self.rename.keys().filter(|name| **name != self.id);
        let wanted: Vec<&str> = [&self.id].into_iter().chain(unchanged).chain(renamed).map(String::as_str).collect();
        table::read_column_chunks(file, &wanted, BLOCK)
    }

    /// The table with its identifier as `source_id` in the first column, columns renamed and chosen,
    /// sentinels nulled, used columns in their units, and without rows that have no identifier. `first_row`
    /// is the row of the file with which the table begins.
    pub(super) fn normalise(&self, mut table: Table, used: &Used, first_row: usize, notices: &mut Notices) -> Result<Normalised> {
        table.column(&self.id)?;
        if let Some(name) = self.rename.keys().find(|name| table.get(name).is_none()) {
            table.column(name).map_err(|error| error.within("tables.rename"))?;
        }
        let mut renamed = Table::with_rows(table.n_rows());
        let mut id = table.take(&self.id).ok_or_else(|| Error::data(format!("column '{}'", self.id)).found("no such column"))?;
        let with_id = rows_with_id(&id)?;
        if with_id.is_empty() && !matches!(id.values, Values::Int64(_)) {
            // A column of nothing has a type by chance.
            let nothing = vec![false; id.n_rows()];
            id = Column { valid: Some(nothing), ..Column::scalar(id.schema, Values::Int64(vec![0; table.n_rows()])) };
        }
        id.schema.name = "source_id".into();
        renamed.push(id)?;
        let new_name = |name: &str| self.rename.get(name).map_or_else(|| name.to_owned(), String::clone);
        let is_chosen = |name: &String| self.columns.as_ref().is_none_or(|names| names.contains(name));
        for mut unread in std::mem::take(&mut table.unread) {
            unread.schema.name = new_name(&unread.schema.name);
            renamed.unread.push(unread);
        }
        for column in table.columns() {
            let mut column = column.clone();
            column.schema.name = new_name(&column.schema.name);
            if !is_chosen(&column.schema.name) {
                continue;
            }
            if let Some(&sentinel) = self.sentinels.get(&column.schema.name) {
                let values = column
                    .to_f64()?
                    .into_iter()
                    .map(|value| if is_declared_sentinel(value, sentinel) { f64::NAN } else { value });
                column = Column::nullable(column.schema.clone(), values.collect());
            }
            renamed.push(column)?;
        }
        for name in self.columns.iter().flatten().chain(self.sentinels.keys()) {
            renamed.column(name)?;
        }
        used.read(&mut renamed, notices, first_row)?;
        let rows = with_id.iter().map(|row| first_row + row).collect();
        let table = if with_id.len() == renamed.n_rows() { renamed } else { renamed.select(&with_id) };
        Ok(Normalised { table, rows })
    }

    /// Says once which columns of a file cannot be carried on, where nothing chose the others.
    pub(super) fn say_unread(&self, table: &Table, place: &str) {
        if self.columns.is_none() && !table.unread.is_empty() {
            let columns: Vec<String> =
                table.unread.iter().map(|unread| format!("{} ({})", unread.schema.name, unread.found)).collect();
            warn_once(format!("{place}: left out are {}, whose types no table here has", columns.join(", ")));
        }
    }

    /// The files, for messages.
    pub(super) fn name(&self) -> String {
        self.files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ")
    }
}

/// A part of a file as it is joined.
#[derive(Debug)]
pub(super) struct Normalised {
    pub(super) table: Table,
    /// The rows of the file.
    pub(super) rows: Vec<usize>,
}

/// The rows that have an identifier.
///
/// # Errors
/// When the identifiers are not whole numbers.
fn rows_with_id(id: &Column) -> Result<Vec<usize>> {
    let place = || Error::data(format!("column '{}'", id.schema.name)).expected("64-bit integers");
    id.require_held()?;
    if (0..id.n_rows()).all(|row| !id.is_valid(row)) {
        return Ok(Vec::new());
    }
    if id.schema.odd_cell.is_some() {
        // The reader knows the line of the cell that is no identifier.
        id.to_i64()?;
    }
    match (&id.values, &id.shape) {
        (Values::Int32(_) | Values::Int64(_), Shape::Scalar) => {}
        (Values::Float32(_) | Values::Float64(_), Shape::Scalar) => {
            return Err(place().found(format!("identifiers as {}", id.column_type())).remedy(
                "Write them as 64-bit integers, from the source: a float holds 16 digits, an identifier has up to 19 (pandas makes \
                 floats of integers with gaps; dtype=\"Int64\" keeps them).",
            ));
        }
        _ => {
            return Err(place()
                .found(format!("identifiers as {}", id.column_type()))
                .remedy("Convert the column to 64-bit integers, or name another one with `id` in the recipe."));
        }
    }
    Ok((0..id.n_rows()).filter(|&row| id.is_valid(row)).collect())
}

/// The positions whose identifiers have not occurred before, here or in `seen`; `rows` are the rows of their
/// file.
///
/// # Errors
/// Names repeated identifiers and the row of the first when duplicates are an error.
pub(super) fn first_occurrences(
    ids: &[i64],
    rows: &[usize],
    duplicates: Duplicates,
    seen: &mut HashSet<i64>,
) -> Result<Vec<usize>> {
    let (first, repeated): (Vec<usize>, Vec<usize>) = (0..ids.len()).partition(|&row| seen.insert(ids[row]));
    let (Some(&row), Duplicates::Error) = (repeated.first(), duplicates) else { return Ok(first) };
    let shown: Vec<String> = repeated.iter().take(5).map(|&row| ids[row].to_string()).collect();
    let more = if repeated.len() > shown.len() { ", …" } else { "" };
    Err(Error::data(format!("column 'source_id', row {}", rows.get(row).unwrap_or(&row)))
        .found(format!("{} identifiers again ({}{more})", repeated.len(), shown.join(", ")))
        .expected("every star once")
        .remedy(
            "Remove the duplicates, or keep the first of each: duplicates = \"keep-first\" in the recipe, --join-duplicates keep-first for --join.",
        ))
}

/// The given rows of a column; `None` becomes null.
fn gather(column: &Column, rows: &[Option<usize>]) -> Column {
    fn pick<T: Clone>(values: &[T], column: &Column, rows: &[Option<usize>], empty: T) -> Vec<T> {
        let n_empty = match column.shape {
            Shape::Scalar => 1,
            Shape::Fixed(length) => length,
            Shape::Variable(_) => 0,
        };
        let mut picked = Vec::with_capacity(rows.len() * n_empty);
        for row in rows {
            match row {
                Some(row) => picked.extend_from_slice(&values[column.range(*row)]),
                None => picked.extend(std::iter::repeat_n(empty.clone(), n_empty)),
            }
        }
        picked
    }
    let values = match &column.values {
        Values::Bool(values) => Values::Bool(pick(values, column, rows, false)),
        Values::Int32(values) => Values::Int32(pick(values, column, rows, 0)),
        Values::Int64(values) => Values::Int64(pick(values, column, rows, 0)),
        Values::Float32(values) => Values::Float32(pick(values, column, rows, f32::NAN)),
        Values::Float64(values) => Values::Float64(pick(values, column, rows, f64::NAN)),
        Values::Text(values) => Values::Text(pick(values, column, rows, String::new())),
    };
    let shape = match &column.shape {
        Shape::Variable(_) => {
            let mut end = 0;
            let ends = rows.iter().map(|row| {
                end += row.map_or(0, |row| column.range(row).len());
                end
            });
            Shape::Variable(std::iter::once(0).chain(ends).collect())
        }
        other => other.clone(),
    };
    let valid: Vec<bool> = rows.iter().map(|row| row.is_some_and(|row| column.is_valid(row))).collect();
    let valid = valid.contains(&false).then_some(valid);
    Column { schema: column.schema.clone(), values, shape, valid }
}

/// A column of identifiers.
pub(in crate::survey) fn id_column(ids: &[i64]) -> Column {
    let schema = ColumnSchema::new("source_id", "", "Identifier of the star").with_ucd("meta.id;meta.main");
    Column::scalar(schema, Values::Int64(ids.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let schema = |name: &str| ColumnSchema::new(name, "", "");
        Table::new(vec![
            Column::scalar(schema("row"), Values::Int64(vec![7, 8, 9])),
            Column::scalar(schema("ebv"), Values::Float32(vec![0.1, -999.0, 0.3])),
            Column::fixed(schema("pair"), Values::Int32(vec![1, 2, 3, 4, 5, 6]), 2),
            Column {
                schema: schema("list"),
                values: Values::Float64(vec![1.0, 2.0, 3.0]),
                shape: Shape::Variable(vec![0, 2, 2, 3]),
                valid: Some(vec![true, false, true]),
            },
        ])
        .unwrap()
    }

    fn source(text: &str) -> TableSource {
        toml::from_str(&format!("files = []\nid = \"row\"\n{text}")).unwrap()
    }

    fn normalise(source: &TableSource, table: Table) -> Result<Normalised> {
        source.normalise(table, &Used::default(), 100, &mut Notices::default())
    }

    fn joined(table: Table) -> JoinTable {
        let ids = table.column("source_id").unwrap().to_i64().unwrap();
        JoinTable { table, rows: ids.into_iter().enumerate().map(|(row, id)| (id, row)).collect(), n_duplicates: 0 }
    }

    #[test]
    fn stars_that_are_absent_become_null() {
        let source = source("rename = { ebv = \"extinction\" }\nsentinels = { extinction = -999 }");
        let join = joined(normalise(&source, table()).unwrap().table);
        let ids = [9, 1, 8];
        let mut stars = Table::new(vec![id_column(&ids)]).unwrap();
        assert_eq!(join.join(&ids, &mut stars).unwrap(), 2);
        let extinction = stars.column("extinction").unwrap().to_f64().unwrap();
        assert!((extinction[0] - 0.3).abs() < 1e-6 && extinction[1].is_nan() && extinction[2].is_nan());
        let pair = stars.column("pair").unwrap();
        assert_eq!(
            (pair.values.clone(), pair.valid.clone()),
            (Values::Int32(vec![5, 6, 0, 0, 3, 4]), Some(vec![true, false, true]))
        );
        assert_eq!(stars.column("list").unwrap().shape, Shape::Variable(vec![0, 1, 1, 1]));
        assert_eq!(join.n_stars(), 3);
    }

    #[test]
    fn a_table_without_rows_joins_nothing() {
        let empty = Table::new(vec![
            Column::scalar(ColumnSchema::new("row", "", ""), Values::Float64(Vec::new())),
            Column::scalar(ColumnSchema::new("teff", "K", ""), Values::Float64(Vec::new())),
        ]);
        let part = normalise(&source(""), empty.unwrap()).unwrap().table;
        assert_eq!(part.column("source_id").unwrap().to_i64().unwrap(), [0; 0], "a column of nothing has no type");
    }

    #[test]
    fn duplicates_are_named_or_the_first_is_kept() {
        let (ids, rows) = ([4, 5, 4], [100, 101, 103]);
        let message = first_occurrences(&ids, &rows, Duplicates::Error, &mut HashSet::new()).unwrap_err().to_string();
        assert!(message.contains("row 103: found 1 identifiers again (4)") && message.contains("keep-first"), "{message}");
        assert_eq!(first_occurrences(&ids, &rows, Duplicates::KeepFirst, &mut HashSet::new()).unwrap(), [0, 1]);
    }

    #[test]
    fn absent_columns_are_named() {
        for (text, name) in
            [("rename = { av = \"x\" }", "'av'"), ("columns = [\"teff\"]", "'teff'"), ("sentinels = { z = 0 }", "'z'")]
        {
            let message = normalise(&source(text), table()).unwrap_err().to_string();
            assert!(message.contains(name), "{message}");
        }
    }

    #[test]
    fn identifiers_are_whole_numbers_and_rows_without_one_are_left_out() {
        let with_ids = |values: Values, valid: Option<Vec<bool>>| {
            let mut table = table();
            table.take("row");
            table.push(Column { valid, ..Column::scalar(ColumnSchema::new("row", "", ""), values) }).unwrap();
            normalise(&source(""), table)
        };
        let message = with_ids(Values::Float64(vec![1.0; 3]), None).unwrap_err().to_string();
        assert!(
            message.contains("column 'row'")
                && message.contains("64-bit float")
                && message.contains("makes floats")
                && message.contains("Int64"),
            "{message}"
        );
        let message = with_ids(Values::Text(vec!["1".into(); 3]), None).unwrap_err().to_string();
        assert!(message.contains("column 'row'") && message.contains("text"), "{message}");
        let part = with_ids(Values::Int64(vec![7, 0, 9]), Some(vec![true, false, true])).unwrap();
        assert_eq!((part.table.column("source_id").unwrap().to_i64().unwrap(), part.rows), (vec![7, 9], vec![100, 102]));
        assert_eq!(part.table.column("pair").unwrap().values, Values::Int32(vec![1, 2, 5, 6]));
    }
}
