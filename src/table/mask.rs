//! astropy's masked columns: where a format has no null of its own for a type, astropy writes the values as
//! `<name>` and, beside them, the booleans `<name>.mask`, true where there is no value (whatever number lies
//! under the mask).

use super::{Column, Shape, Table, Unheld, Values};
use crate::text::shortened as cut;
use std::borrow::Cow;
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

/// Makes null what the masks of a table cover, and removes the masks. A column is a mask when its name is
/// that of another column with `.mask`, and each of its values is plainly true or false: a boolean, 0 or 1,
/// or such a word. Where that is not so, or the mask does not fit, the other column cannot be used; nor where
/// a part of a list is covered whose type has no null for single values.
pub(super) fn fold(path: &Path, table: Table) -> Table {
    let names: HashSet<&str> = table.columns.iter().map(|column| column.schema.name.as_str()).collect();
    let is_mask = |column: &Column| column.schema.name.strip_suffix(SUFFIX).is_some_and(|name| names.contains(name));
    let are_masks: Vec<bool> = table.columns.iter().map(is_mask).collect();
    if !are_masks.contains(&true) {
        return table;
    }
    let (mut masks, mut columns) = (HashMap::new(), Vec::new());
    for (column, is_mask) in table.columns.into_iter().zip(are_masks) {
        match column.schema.name.strip_suffix(SUFFIX).map(str::to_owned).filter(|_| is_mask) {
            Some(name) => drop(masks.insert(name, column)),
            None => columns.push(column),
        }
    }
    let mut folded = Vec::with_capacity(columns.len());
    for column in columns {
        let Some(mask) = masks.remove(&column.schema.name) else {
            folded.push(column);
            continue;
        };
        match flags(&mask) {
            Ok(covered) => folded.push(masked(path, column, &mask, &covered)),
            Err(found) => {
                folded.push(column.with_unheld(Unheld {
                    place: path.display().to_string(),
                    found: format!("{found} in '{}', which cannot be its mask", mask.schema.name),
                    expected: "true or false for every value, true where there is none".to_owned(),
                    remedy: "Write the mask as booleans, or rename that column if it is no mask.".to_owned(),
                }));
                folded.push(mask);
            }
        }
    }
    Table { columns: folded, ..table }
}

/// The values of a mask as booleans (null rows hold anything); what is found where they are not all plainly
/// true or false.
fn flags(mask: &Column) -> std::result::Result<Cow<'_, [bool]>, String> {
    fn each<T: std::fmt::Debug>(
        mask: &Column,
        values: &[T],
        is: impl Fn(&T) -> Option<bool>,
    ) -> std::result::Result<Vec<bool>, String> {
        let mut flags = vec![false; values.len()];
        for row in (0..mask.n_rows()).filter(|&row| mask.is_valid(row)) {
            for position in mask.range(row) {
                let value = &values[position];
                flags[position] = is(value).ok_or_else(|| cut(&format!("{value:?}"), 40).into_owned())?;
            }
        }
        Ok(flags)
    }
    mask.require_held().map_err(|error| error.to_string())?;
    Ok(Cow::Owned(match &mask.values {
        Values::Bool(values) => return Ok(Cow::Borrowed(values)),
        Values::Int32(values) => each(mask, values, |&value| whole(value.into()))?,
        Values::Int64(values) => each(mask, values, |&value| whole(value))?,
        // Integers with gaps, as pandas has them.
        Values::Float32(values) => each(mask, values, |&value| float(value.into()))?,
        Values::Float64(values) => each(mask, values, |&value| float(value))?,
        Values::Text(values) => each(mask, values, |text| word(text))?,
    }))
}

fn whole(value: i64) -> Option<bool> {
    match value {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

fn float(value: f64) -> Option<bool> {
    if value == 0.0 || value.is_nan() { Some(false) } else { (value == 1.0).then_some(true) }
}

fn word(text: &str) -> Option<bool> {
    let is = |words: &[&str]| words.iter().any(|word| text.trim_ascii().eq_ignore_ascii_case(word));
    if is(&["true", "t", "yes", "y", "1"]) {
        return Some(true);
    }
    is(&["false", "f", "no", "n", "0", ""]).then_some(false)
}

/// The column without what its mask covers: one boolean a value, or one a row.
fn masked(path: &Path, mut column: Column, mask: &Column, covered: &[bool]) -> Column {
    let place = |row: usize| format!("{}, row {row}", path.display());
    let n_rows = column.n_rows();
    let by_row = mask.shape == Shape::Scalar;
    let fits = mask.n_rows() == n_rows
        && (by_row || (0..n_rows).all(|row| !mask.is_valid(row) || mask.range(row).len() == column.range(row).len()));
    if !fits {
        return column.with_unheld(Unheld {
            place: path.display().to_string(),
            found: format!("a mask, '{}', of another shape", mask.schema.name),
            expected: "a boolean for every value".to_owned(),
            remedy: "Write the table again, or rename the boolean column if it is no mask.".to_owned(),
        });
    }
    let has_null_values = matches!(column.values, Values::Float32(_) | Values::Float64(_));
    let mut unheld = None;
    let mut valid = Vec::with_capacity(n_rows);
    for row in 0..n_rows {
        let range = column.range(row);
        if !mask.is_valid(row) {
            valid.push(column.is_valid(row));
            continue;
        }
        let flags = &covered[mask.range(row)];
        let n_covered = flags.iter().filter(|&&is| is).count();
        let mut is_covered = n_covered > 0 && n_covered == flags.len();
        if !by_row && n_covered > 0 && !is_covered {
            if has_null_values {
                for (position, _) in range.zip(flags).filter(|(_, is)| **is) {
                    column.values.fill_null(position..position + 1);
                }
            } else {
                unheld.get_or_insert_with(|| Unheld::null_in_list(place(row), "a mask over a part of the list"));
                is_covered = true;
            }
        }
        valid.push(column.is_valid(row) && !is_covered);
    }
    let column = column.with_valid(valid);
    match unheld {
        Some(unheld) => column.with_unheld(unheld),
        None => column,
    }
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

    fn folded(columns: Vec<Column>) -> Table {
        fold(Path::new("stars.parquet"), Table::new(columns).unwrap())
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
        ]);
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
    fn masks_of_every_spelling() {
        let text = |words: [&str; 2]| Values::Text(words.map(str::to_owned).to_vec());
        let spelled = [
            Values::Int32(vec![0, 1]),
            Values::Int64(vec![0, 1]),
            Values::Float32(vec![0.0, 1.0]),
            Values::Float64(vec![0.0, 1.0]),
            text(["False", "True"]),
            text(["f", " T "]),
            text(["no", "yes"]),
            text(["0", "1"]),
        ];
        for mask in spelled {
            let parallax = column("parallax", Values::Float64(vec![1.0, 99.0]), None);
            let table = folded(vec![parallax, column("parallax.mask", mask.clone(), None)]);
            assert_eq!(table.columns().len(), 1, "{mask:?}");
            assert_eq!(table.column("parallax").unwrap().valid, Some(vec![true, false]), "{mask:?}");
        }
        for mask in [Values::Int32(vec![0, 2]), text(["False", "bad"]), Values::Float64(vec![0.0, 0.5])] {
            let parallax = column("parallax", Values::Float64(vec![1.0, 99.0]), None);
            let table = folded(vec![parallax, column("parallax.mask", mask.clone(), None)]);
            assert_eq!(table.columns().len(), 2, "what is no mask stays a column");
            let error = table.column("parallax").unwrap_err().to_string();
            assert!(error.contains("stars.parquet, column 'parallax'") && error.contains("in 'parallax.mask'"), "{error}");
            assert!(table.column("parallax.mask").is_ok());
        }
    }

    #[test]
    fn masks_that_do_not_fit_are_no_obstacle_until_the_column_is_needed() {
        let table = folded(vec![
            column("id", Values::Int64(vec![5, 6]), Some(2)),
            column("id.mask", Values::Bool(vec![true, false]), Some(2)),
            column("teff", Values::Float64(vec![5000.0]), None),
        ]);
        assert_eq!(table.column("teff").unwrap().to_f64().unwrap(), [5000.0]);
        let error = table.column("id").unwrap_err().to_string();
        assert!(error.contains("stars.parquet, row 0, column 'id': found a mask over a part of the list"), "{error}");
        let table = folded(vec![
            column("flux", Values::Float64(vec![5.0, 6.0]), Some(2)),
            column("flux.mask", Values::Bool(vec![true]), Some(1)),
        ]);
        let error = table.column("flux").unwrap_err().to_string();
        assert!(error.contains("'flux.mask', of another shape"), "{error}");
    }
}
