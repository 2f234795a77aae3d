//! Tables of one kind, one below the other, whose types were perhaps inferred from a few rows each.

use crate::table::builder::{ColumnBuilder, is_float};
use crate::table::{Column, ColumnSchema, ColumnType, Layout, Shape, Table, ValueType, Values};

/// How a table differs from those before it.
pub(super) struct Difference {
    pub found: String,
    pub expected: String,
}

/// Appends the rows of `table`, whose columns may stand in another order. Where only the types differ as
/// those of inferred columns do (nothing but nulls; integers and floats; lists of fixed and varying length),
/// both become the wider one.
///
/// # Errors
/// When the names, the units or the types differ otherwise.
pub(super) fn append(whole: &mut Table, mut table: Table) -> Result<(), Difference> {
    let names = |table: &Table| table.columns().iter().map(|column| column.schema.name.clone()).collect::<Vec<_>>();
    let (expected, found) = (names(whole), names(&table));
    let differ = || Difference { found: format!("the columns {}", found.join(", ")), expected: expected.join(", ") };
    if expected.len() != found.len() {
        return Err(differ());
    }
    for column in &mut whole.columns {
        let more = table.take(&column.schema.name).ok_or_else(differ)?;
        let place = format!("column '{}'", column.schema.name);
        if column.schema.unit != more.schema.unit {
            return Err(Difference {
                found: format!("{} in '{}'", place, more.schema.unit),
                expected: format!("'{}'", column.schema.unit),
            });
        }
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
