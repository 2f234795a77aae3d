//! astropy's masked columns: where a format has no null of its own for a type, astropy writes the values as
//! `<name>` and, beside them, the booleans `<name>.mask`, true where there is no value (whatever number lies
//! under the mask).

use super::{Column, Shape, Table, Values};
use crate::error::{Error, Result};
use std::collections::{HashMap, HashSet};
use std::path::Path;

/// End of the name of a mask.
const SUFFIX: &str = ".mask";

/// The positions of the masks of the wanted columns that are not wanted by themselves.
pub(super) fn beside(available: &[String], wanted: &[usize]) -> Vec<usize> {
    let mask_of = |&position: &usize| {
        let mask = format!("{}{SUFFIX}", available[position]);
        available.iter().position(|name| *name == mask).filter(|mask| !wanted.contains(mask))
    };
    wanted.iter().filter_map(mask_of).collect()
}

/// Makes null what the masks of a table cover, and removes the masks. A boolean column is a mask when its
/// name is that of another column with `.mask` and it has as many values.
///
/// # Errors
/// When a mask covers a part of a list whose type has no null for single values.
pub(super) fn fold(path: &Path, table: Table) -> Result<Table> {
    let names: HashSet<&str> = table.columns.iter().map(|column| column.schema.name.as_str()).collect();
    let is_mask = |column: &Column| {
        let masked = column.schema.name.strip_suffix(SUFFIX);
        matches!(column.values, Values::Bool(_)) && masked.is_some_and(|name| names.contains(name))
    };
    let are_masks: Vec<bool> = table.columns.iter().map(is_mask).collect();
    if !are_masks.contains(&true) {
        return Ok(table);
    }
    let (mut masks, mut columns) = (HashMap::new(), Vec::new());
    for (column, is_mask) in table.columns.into_iter().zip(are_masks) {
        match column.schema.name.strip_suffix(SUFFIX).map(str::to_owned).filter(|_| is_mask) {
            Some(name) => drop(masks.insert(name, column)),
            None => columns.push(column),
        }
    }
    let fold = |column: Column| match masks.get(&column.schema.name) {
        Some(mask) => masked(path, column, mask),
        None => Ok(column),
    };
    let columns = columns.into_iter().map(fold).collect::<Result<Vec<_>>>()?;
    Ok(Table { columns, ..table })
}

/// The column without what its mask covers: one boolean a value, or one a row.
fn masked(path: &Path, mut column: Column, mask: &Column) -> Result<Column> {
    let Values::Bool(covered) = &mask.values else { return Ok(column) };
    let place = || Error::data(format!("{}, column '{}'", path.display(), column.schema.name));
    let n_rows = column.n_rows();
    let by_row = mask.shape == Shape::Scalar;
    let fits = mask.n_rows() == n_rows
        && (by_row || (0..n_rows).all(|row| !mask.is_valid(row) || mask.range(row).len() == column.range(row).len()));
    if !fits {
        return Err(place()
            .found(format!("a mask, '{}', of another shape", mask.schema.name))
            .expected("a boolean for every value")
            .remedy("Write the table again, or rename the boolean column if it is no mask."));
    }
    let has_null_values = matches!(column.values, Values::Float32(_) | Values::Float64(_));
    let mut valid = Vec::with_capacity(n_rows);
    for row in 0..n_rows {
        let range = column.range(row);
        if !mask.is_valid(row) {
            valid.push(column.is_valid(row));
            continue;
        }
        let flags = &covered[mask.range(row)];
        let n_covered = flags.iter().filter(|&&is| is).count();
        let is_covered = n_covered > 0 && n_covered == flags.len();
        if !by_row && n_covered > 0 && !is_covered {
            if !has_null_values {
                return Err(place()
                    .found(format!("a mask over a part of the list of row {row}"))
                    .expected("lists of integers, booleans or text without nulls, or null throughout")
                    .remedy("Fill the masked values, or read only the columns that are needed."));
            }
            let flags = flags.to_vec();
            for (position, _) in range.zip(flags).filter(|(_, is)| *is) {
                column.values.fill_null(position..position + 1);
            }
        }
        valid.push(column.is_valid(row) && !is_covered);
    }
    Ok(column.with_valid(valid))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::ColumnSchema;

    fn column(name: &str, values: Values, length: Option<usize>) -> Column {
        let schema = ColumnSchema::new(name, "", "");
        match length {
            Some(length) => Column::fixed(schema, values, length),
            None => Column::scalar(schema, values),
        }
    }

    fn folded(columns: Vec<Column>) -> Result<Table> {
        fold(Path::new("stars.parquet"), Table::new(columns)?)
    }

    #[test]
    fn what_a_mask_covers_is_null() {
        let table = folded(vec![
            column("parallax", Values::Float64(vec![1.0, 2.0]), None),
            column("parallax.mask", Values::Bool(vec![false, true]), None),
            column("id", Values::Int64(vec![5, 6]), None),
            column("id.mask", Values::Bool(vec![true, false]), None),
            column("flux", Values::Float32(vec![1.0, 2.0, 3.0, 4.0]), Some(2)),
            column("flux.mask", Values::Bool(vec![false, true, true, true]), Some(2)),
            column("eye.mask", Values::Bool(vec![true, false]), None),
        ])
        .unwrap();
        let names: Vec<&str> = table.columns().iter().map(|column| column.schema.name.as_str()).collect();
        assert_eq!(names, ["parallax", "id", "flux", "eye.mask"], "a boolean without a partner is data");
        assert!(table.column("parallax").unwrap().to_f64().unwrap()[1].is_nan());
        assert_eq!(table.column("id").unwrap().valid, Some(vec![false, true]));
        let flux = table.column("flux").unwrap();
        assert_eq!(flux.valid, Some(vec![true, false]));
        let flat = flux.flat_f64().unwrap();
        assert!(flat[0] == 1.0 && flat[1..].iter().all(|value| value.is_nan()));
    }

    #[test]
    fn masks_that_do_not_fit_are_named() {
        let error = folded(vec![
            column("id", Values::Int64(vec![5, 6]), Some(2)),
            column("id.mask", Values::Bool(vec![true, false]), Some(2)),
        ]);
        assert!(error.unwrap_err().to_string().contains("stars.parquet, column 'id': found a mask over a part"));
        let error = folded(vec![
            column("flux", Values::Float64(vec![5.0, 6.0]), Some(2)),
            column("flux.mask", Values::Bool(vec![true]), Some(1)),
        ]);
        assert!(error.unwrap_err().to_string().contains("'flux.mask', of another shape"));
    }
}
