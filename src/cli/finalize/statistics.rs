//! What a catalogue holds, at a glance: moments of its columns and counts of its flags, from one pass over
//! the rows.

use crate::catalogue::flags::description;
use crate::error::Result;
use crate::infer::flags;
use crate::observations::columns;
use crate::run::tally::{self, Tally};
use crate::table::{Shape, Table, Values, read_chunks, read_column_chunks};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// Rows read at once.
const ROWS: usize = 65_536;
const FLAGS: &str = "quality_flags";

/// Statistics of a catalogue, partition by partition.
#[derive(Default)]
pub struct Statistics {
    pub tally: Tally,
    /// Stars by bit of the quality flags.
    flagged: [u64; 32],
    /// What the catalogues say of these bits.
    meaning: String,
    columns: BTreeMap<String, Moments>,
}

/// Count, mean and spread of the finite values of a column, updated value by value (Welford 1962).
#[derive(Debug, Clone, Default)]
struct Moments {
    unit: String,
    n: u64,
    n_missing: u64,
    mean: f64,
    sum_of_squares: f64,
    minimum: f64,
    maximum: f64,
}

impl Moments {
    fn add(&mut self, value: f64) {
        if !value.is_finite() {
            self.n_missing += 1;
            return;
        }
        if self.n == 0 {
            (self.minimum, self.maximum) = (value, value);
        }
        self.n += 1;
        let difference = value - self.mean;
        self.mean += difference / self.n as f64;
        self.sum_of_squares += difference * (value - self.mean);
        (self.minimum, self.maximum) = (self.minimum.min(value), self.maximum.max(value));
    }

    fn summary(&self) -> Value {
        let known = |value: f64| if self.n > 0 { value.into() } else { Value::Null };
        json!({
            "unit": self.unit,
            "n": self.n,
            "missing": self.n_missing,
            "mean": known(self.mean),
            "standard_deviation": known((self.sum_of_squares / self.n.max(1) as f64).sqrt()),
            "minimum": known(self.minimum),
            "maximum": known(self.maximum),
        })
    }
}

impl Statistics {
    /// Adds a catalogue, whose identifiers go to `each` chunk by chunk. Columns of single floats enter; lists
    /// and others do not.
    ///
    /// # Errors
    /// When it cannot be read, or `each` fails.
    pub fn add(&mut self, catalogue: &Path, mut each: impl FnMut(&[i64]) -> Result<()>) -> Result<()> {
        let first = read_chunks(catalogue, 1)?.next().transpose()?.unwrap_or_default();
        let floats = float_columns(&first);
        if let Some(column) = first.get(FLAGS).filter(|_| self.meaning.is_empty()) {
            self.meaning.clone_from(&column.schema.description);
        }
        let mut names = vec![columns::ID, FLAGS];
        names.extend(floats.iter().map(|(name, _)| name.as_str()));
        for chunk in read_column_chunks(catalogue, &names, ROWS)? {
            let chunk = chunk?;
            each(&chunk.column(columns::ID)?.to_i64()?)?;
            let bits: Vec<i32> = chunk.column(FLAGS)?.to_i64()?.into_iter().map(tally::flags_of).collect();
            self.tally.add(bits.iter().copied());
            for (bit, count) in self.flagged.iter_mut().enumerate() {
                *count += bits.iter().filter(|bits| *bits & (1_i32 << bit) != 0).count() as u64;
            }
            for (name, unit) in &floats {
                let moments = self.columns.entry(name.clone()).or_default();
                moments.unit.clone_from(unit);
                chunk.column(name)?.to_f64()?.into_iter().for_each(|value| moments.add(value));
            }
        }
        Ok(())
    }

    /// For the summary: `quality_flags` by bit, where any star has it, and `columns`.
    pub fn summary(&self) -> (Value, Value) {
        let flagged = self.flagged.iter().enumerate().filter(|(_, count)| **count > 0);
        let bits: BTreeMap<String, u64> = flagged.map(|(bit, count)| (bit.to_string(), *count)).collect();
        let columns: BTreeMap<&String, Value> = self.columns.iter().map(|(name, moments)| (name, moments.summary())).collect();
        // A format without descriptions (CSV) leaves that of fits.
        let meaning = if self.meaning.is_empty() { &description(&flags::FLAGS) } else { &self.meaning };
        (json!({ "stars_by_bit": bits, "meaning": meaning }), json!(columns))
    }
}

/// Names and units of the columns of single floats.
fn float_columns(table: &Table) -> Vec<(String, String)> {
    let columns = table.columns().iter().filter(|column| column.shape == Shape::Scalar);
    let floats = columns.filter(|column| matches!(column.values, Values::Float32(_) | Values::Float64(_)));
    floats.map(|column| (column.schema.name.clone(), column.schema.unit.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_of_known_numbers() {
        let mut moments = Moments::default();
        [2.0, 4.0, f64::NAN, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0].into_iter().for_each(|value| moments.add(value));
        let summary = moments.summary();
        assert_eq!((&summary["n"], &summary["missing"]), (&8.into(), &1.into()));
        assert_eq!((&summary["mean"], &summary["standard_deviation"]), (&5.0.into(), &2.0.into()));
        assert_eq!((&summary["minimum"], &summary["maximum"]), (&2.0.into(), &9.0.into()));
        assert_eq!(Moments::default().summary()["mean"], Value::Null);
    }
}
