//! Tables joined on identifiers.

use super::recipe::{Duplicates, TableSource, expand};
use crate::error::{Error, Result};
use crate::table::{self, Chunks, Column, ColumnSchema, Shape, Table, Values};
use std::collections::{HashMap, HashSet};
use std::path::Path;

/// Rows read at once.
const BLOCK: usize = 65_536;

/// A table held in memory, found by identifier.
#[derive(Debug)]
pub(super) struct JoinTable {
    table: Table,
    rows: HashMap<i64, usize>,
    /// Rows dropped because an earlier one has the same identifier.
    pub(super) n_duplicates: usize,
}

impl JoinTable {
    /// Reads all files of a source.
    pub(super) fn read(source: &TableSource, duplicates: Duplicates) -> Result<Self> {
        let mut whole: Option<Table> = None;
        for file in expand(&source.files)? {
            for chunk in source.read_chunks(&file)? {
                let chunk = source.normalise(chunk?).map_err(|error| error.within(file.display()))?;
                match &mut whole {
                    Some(whole) => whole.append(chunk).map_err(|error| error.within(file.display()))?,
                    None => whole = Some(chunk),
                }
            }
        }
        let name = source.files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ");
        Self::new(whole.unwrap_or_default(), duplicates).map_err(|error| error.within(name))
    }

    /// From a table with a column `source_id`.
    pub(super) fn new(table: Table, duplicates: Duplicates) -> Result<Self> {
        let ids = table.column("source_id")?.to_i64()?;
        let first = first_occurrences(&ids, duplicates, &mut HashSet::new())?;
        let n_duplicates = ids.len() - first.len();
        let rows = first.into_iter().map(|row| (ids[row], row)).collect();
        Ok(Self { table, rows, n_duplicates })
    }

    /// Adds this table's columns, except the identifier, to a table of stars; null where a star is not in this table. Returns how many
    /// of the stars are.
    pub(super) fn join(&self, ids: &[i64], stars: &mut Table) -> Result<usize> {
        let rows: Vec<Option<usize>> = ids.iter().map(|id| self.rows.get(id).copied()).collect();
        for column in self.table.columns().iter().filter(|column| column.schema.name != "source_id") {
            stars.push(gather(column, &rows)).map_err(|error| {
                error.remedy("Rename the column in the recipe (tables.rename), or choose columns (tables.columns).")
            })?;
        }
        Ok(rows.iter().flatten().count())
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

    /// The table with its identifier as `source_id` in the first column, columns renamed and chosen, sentinels nulled.
    pub(super) fn normalise(&self, mut table: Table) -> Result<Table> {
        table.column(&self.id)?.to_i64()?;
        if let Some(name) = self.rename.keys().find(|name| table.get(name).is_none()) {
            table.column(name).map_err(|error| error.within("tables.rename"))?;
        }
        let mut renamed = Table::with_rows(table.n_rows());
        let mut id = table.take(&self.id).ok_or_else(|| Error::data(format!("column '{}'", self.id)).found("no such column"))?;
        id.schema.name = "source_id".into();
        renamed.push(id)?;
        for column in table.columns() {
            let mut column = column.clone();
            if let Some(name) = self.rename.get(&column.schema.name) {
                column.schema.name.clone_from(name);
            }
            if self.columns.as_ref().is_some_and(|names| !names.contains(&column.schema.name)) {
                continue;
            }
            if let Some(&sentinel) = self.sentinels.get(&column.schema.name) {
                let values = column.to_f64()?.into_iter().map(|value| if value == sentinel { f64::NAN } else { value });
                column = Column::nullable(column.schema.clone(), values.collect());
            }
            renamed.push(column)?;
        }
        for name in self.columns.iter().flatten().chain(self.sentinels.keys()) {
            renamed.column(name)?;
        }
        Ok(renamed)
    }
}

/// The rows whose identifiers have not occurred before, here or in `seen`.
///
/// # Errors
/// Names repeated identifiers when duplicates are an error.
pub(super) fn first_occurrences(ids: &[i64], duplicates: Duplicates, seen: &mut HashSet<i64>) -> Result<Vec<usize>> {
    let (first, repeated): (Vec<usize>, Vec<usize>) = (0..ids.len()).partition(|&row| seen.insert(ids[row]));
    if repeated.is_empty() || duplicates == Duplicates::KeepFirst {
        return Ok(first);
    }
    let shown: Vec<String> = repeated.iter().take(5).map(|&row| ids[row].to_string()).collect();
    let more = if repeated.len() > shown.len() { ", …" } else { "" };
    Err(Error::data("source_id")
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
pub(super) fn id_column(ids: &[i64]) -> Column {
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

    #[test]
    fn stars_that_are_absent_become_null() {
        let normalised =
            source("rename = { ebv = \"extinction\" }\nsentinels = { extinction = -999 }").normalise(table()).unwrap();
        let join = JoinTable::new(normalised, Duplicates::Error).unwrap();
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
    fn duplicates_are_named_or_the_first_is_kept() {
        let duplicated = || Table::new(vec![id_column(&[4, 5, 4])]).unwrap();
        let message = JoinTable::new(duplicated(), Duplicates::Error).unwrap_err().to_string();
        assert!(message.contains("1 identifiers again (4)") && message.contains("keep-first"), "{message}");
        let join = JoinTable::new(duplicated(), Duplicates::KeepFirst).unwrap();
        assert_eq!((join.n_duplicates, join.rows[&4]), (1, 0));
    }

    #[test]
    fn absent_columns_are_named() {
        for (text, name) in
            [("rename = { av = \"x\" }", "'av'"), ("columns = [\"teff\"]", "'teff'"), ("sentinels = { z = 0 }", "'z'")]
        {
            let message = source(text).normalise(table()).unwrap_err().to_string();
            assert!(message.contains(name), "{message}");
        }
        let mut floats = table();
        floats.take("row");
        floats.push(Column::nullable(ColumnSchema::new("row", "", ""), vec![1.0; 3])).unwrap();
        assert!(source("").normalise(floats).unwrap_err().to_string().contains("64-bit integers"));
    }
}
