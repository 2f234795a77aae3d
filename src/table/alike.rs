//! Tables of one kind, one below the other, whose types were perhaps inferred from a few rows each.

use super::builder::{ColumnBuilder, is_float};
use super::{Column, ColumnSchema, ColumnType, Layout, Shape, Table, ValueType, Values};
use crate::error::{Error, Result};
use crate::unit;

/// So many columns are named where they differ; of more, those that do.
const FEW: usize = 8;

/// How a table differs from those before it.
pub(super) struct Difference {
    pub found: String,
    pub expected: String,
}

impl Table {
    /// Appends the rows of another file of the same kind, whose columns may stand in another order, and whose
    /// types may differ as those of inferred columns do: both become the wider one. Units are the caller's to
    /// compare.
    ///
    /// # Errors
    /// When the names, or the types otherwise, differ. Rows of some columns are then appended already.
    pub fn append_alike(&mut self, other: Self) -> Result<()> {
        append_rows(self, other).map_err(|difference| {
            Error::data("files read as one table")
                .found(difference.found)
                .expected(format!("{}, as in the files before", difference.expected))
                .remedy(
                    "Make the files alike, read those that differ by themselves, or choose the columns that are wanted (columns = [\"…\"] \
                     under [[tables]] of a recipe).",
                )
        })
    }
}

/// Appends the rows of `table`, whose columns may stand in another order. Where only the types differ as
/// those of inferred columns do (nothing but nulls; integers and floats; lists of fixed and varying length),
/// both become the wider one.
///
/// # Errors
/// When the names, the units or the types differ otherwise.
pub(super) fn append(whole: &mut Table, table: Table) -> std::result::Result<(), Difference> {
    for column in &whole.columns {
        let unit = table.get(&column.schema.name).map(|more| &more.schema.unit);
        let is_same = |unit: &str| unit::factor(unit, &column.schema.unit).is_some_and(|factor| factor == 1.0);
        if let Some(unit) = unit.filter(|unit| **unit != column.schema.unit && !is_same(unit)) {
            return Err(Difference {
                found: format!("column '{}' in '{unit}'", column.schema.name),
                expected: format!("'{}'", column.schema.unit),
            });
        }
    }
    append_rows(whole, table)
}

fn append_rows(whole: &mut Table, mut table: Table) -> std::result::Result<(), Difference> {
    let names = |table: &Table| table.columns().iter().map(|column| column.schema.name.clone()).collect::<Vec<_>>();
    let (expected, found) = (names(whole), names(&table));
    let differ = || {
        if expected.len().max(found.len()) <= FEW {
            return Difference { found: format!("the columns {}", found.join(", ")), expected: expected.join(", ") };
        }
        let only = |these: &[String], those: &[String]| {
            let names: Vec<&str> = these.iter().filter(|name| !those.contains(name)).map(String::as_str).collect();
            if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
        };
        let (more, fewer) = (only(&found, &expected), only(&expected, &found));
        Difference { found: format!("other columns ({more} in place of {fewer})"), expected: "the same columns".into() }
    };
    if expected.len() != found.len() {
        return Err(differ());
    }
    for column in &mut whole.columns {
        let more = table.take(&column.schema.name).ok_or_else(differ)?;
        let place = format!("column '{}'", column.schema.name);
        let (before, now) = (column.column_type(), more.column_type());
        let differ = || Difference { found: format!("{place} with {now}"), expected: before.to_string() };
        let more = if before == now {
            more
        } else {
            let both = wider((before, is_nothing(column)), (now, is_nothing(&more))).ok_or_else(differ)?;
            let narrow = std::mem::replace(column, Column::scalar(ColumnSchema::default(), Values::Bool(Vec::new())));
            *column = converted(narrow, both);
            converted(more, both)
        };
        if column.schema.odd_cell.is_none() {
            column.schema.odd_cell = more.schema.odd_cell.clone();
        }
        column.append(more).map_err(|_| differ())?;
    }
    whole.n_rows += table.n_rows;
    Ok(())
}

fn is_nothing(column: &Column) -> bool {
    (0..column.n_rows()).all(|row| !column.is_valid(row))
}

/// The type that holds the values of both columns, of which each may hold nothing.
fn wider((a, a_is_nothing): (ColumnType, bool), (b, b_is_nothing): (ColumnType, bool)) -> Option<ColumnType> {
    if b_is_nothing {
        return Some(a);
    }
    if a_is_nothing {
        return Some(b);
    }
    let is_integer = |values| matches!(values, ValueType::Int32 | ValueType::Int64);
    let values = match (a.values, b.values) {
        (a, b) if a == b => a,
        (a, b) if is_integer(a) && is_integer(b) => ValueType::Int64,
        (a, b) if (is_integer(a) || is_float(a)) && (is_integer(b) || is_float(b)) => ValueType::Float64,
        _ => return None,
    };
    let layout = match (a.layout, b.layout) {
        (a, b) if a == b => a,
        (Layout::Scalar, _) | (_, Layout::Scalar) => return None,
        _ => Layout::Variable,
    };
    Some(ColumnType { values, layout })
}

/// The column as one of a type that [`wider`] gave.
fn converted(column: Column, to: ColumnType) -> Column {
    if column.column_type() == to {
        return column;
    }
    if is_nothing(&column) {
        let mut builder = ColumnBuilder::new(column.schema.clone(), to);
        (0..column.n_rows()).for_each(|_| builder.push_null());
        return builder.take();
    }
    let shape = match (&column.shape, to.layout) {
        (Shape::Fixed(_), Layout::Variable) => {
            Shape::Variable(std::iter::once(0).chain((0..column.n_rows()).map(|row| column.range(row).end)).collect())
        }
        (shape, _) => shape.clone(),
    };
    let values = match (column.values, to.values) {
        (Values::Int32(values), ValueType::Int64) => Values::Int64(values.into_iter().map(i64::from).collect()),
        (Values::Int32(values), ValueType::Float64) => Values::Float64(values.into_iter().map(f64::from).collect()),
        // Identifiers beyond 2^53 would not survive this, but identifiers are never taken from floats.
        (Values::Int64(values), ValueType::Float64) => Values::Float64(values.into_iter().map(|value| value as f64).collect()),
        (Values::Float32(values), ValueType::Float64) => Values::Float64(values.into_iter().map(f64::from).collect()),
        (values, _) => values,
    };
    let valid = column.valid.clone();
    let column = Column { schema: column.schema, values, shape, valid: None };
    match valid {
        // Floats that are null are NaN.
        Some(valid) => column.with_valid(valid),
        None => column,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(columns: Vec<(&str, Values)>) -> Table {
        let column = |(name, values): (&str, Values)| Column::scalar(ColumnSchema::new(name, "", ""), values);
        Table::new(columns.into_iter().map(column).collect()).unwrap()
    }

    fn nothing(name: &str, values: Values) -> Column {
        let valid = Some(vec![false; values.len()]);
        Column { valid, ..Column::scalar(ColumnSchema::new(name, "", ""), values) }
    }

    #[test]
    fn order_and_inferred_types_are_no_obstacle() {
        let mut whole = table(vec![("a", Values::Int32(vec![1, 2])), ("b", Values::Text(vec!["x".into(), "y".into()]))]);
        whole.append_alike(table(vec![("b", Values::Text(vec!["z".into()])), ("a", Values::Float64(vec![0.5]))])).unwrap();
        let empty = Table::new(vec![nothing("a", Values::Text(vec![String::new()])), nothing("b", Values::Bool(vec![false]))]);
        whole.append_alike(empty.unwrap()).unwrap();
        assert_eq!(whole.n_rows(), 4);
        let a = whole.column("a").unwrap().to_f64().unwrap();
        assert!(a[..3] == [1.0, 2.0, 0.5] && a[3].is_nan());
        assert_eq!(whole.column("b").unwrap().valid, Some(vec![true, true, true, false]));
    }

    #[test]
    fn other_names_and_types_are_refused_with_the_remedy() {
        let message = |columns: Vec<(&str, Values)>| {
            let mut whole = table(vec![("a", Values::Int64(vec![1]))]);
            whole.append_alike(table(columns)).unwrap_err().to_string()
        };
        let found = message(vec![("a", Values::Text(vec!["x".into()]))]);
        assert!(found.contains("column 'a' with text") && found.contains("as in the files before"), "{found}");
        let found = message(vec![("b", Values::Int64(vec![1]))]);
        assert!(found.contains("found the columns b") && found.contains("[[tables]]"), "{found}");
    }
}
