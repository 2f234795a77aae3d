//! Losses of the iterations of a training as a table of the model's folder.

use crate::error::{Error, Result};
use crate::per_pixel::train::HistoryRow;
use crate::table::{self, Column, ColumnSchema, Table, Values};
use std::path::Path;

const COUNTS: [(&str, &str); 4] = [
    ("round", "0, and one more for every freeing of the labels within their errors"),
    ("stage", "stage of the smoothing of the gradient term, of those that the round goes through"),
    ("iteration", "iterations (of Adam and joint networks epochs) of the stage that are over"),
    ("n_training", "pixels still being trained; the others stand at what they keep"),
];
const IS_KEPT: (&str, &str) = ("is_kept", "whether the row is of what all pixels keep: the last of a round");
const LOSSES: [(&str, &str); 3] = [
    ("chi2_training", "chi-square per training spectrum, mean over the pixels with spectra"),
    ("gradient_term", "gradient term of the loss, mean over the pixels"),
    ("chi2_validation", "chi-square per validation spectrum, mean over the pixels with spectra; null without such spectra"),
];

/// The table of [`super::HISTORY_FILE`].
pub(super) fn table(rows: &[HistoryRow], has_validation: bool) -> Result<Table> {
    let mut table = Table::with_rows(rows.len());
    let counts: [fn(&HistoryRow) -> usize; 4] = [|row| row.round, |row| row.stage, |row| row.iteration, |row| row.n_training];
    for ((name, description), count) in COUNTS.into_iter().zip(counts) {
        let values = rows.iter().map(|row| count(row) as i32).collect();
        table.push(Column::scalar(ColumnSchema::new(name, "", description).with_ucd("meta.number"), Values::Int32(values)))?;
    }
    let schema = ColumnSchema::new(IS_KEPT.0, "", IS_KEPT.1).with_ucd("meta.code");
    table.push(Column::scalar(schema, Values::Bool(rows.iter().map(|row| row.is_kept).collect())))?;
    let validation = |row: &HistoryRow| if has_validation { row.validation } else { f64::NAN };
    let losses: [&dyn Fn(&HistoryRow) -> f64; 3] = [&|row| row.flux, &|row| row.gradient, &validation];
    for ((name, description), loss) in LOSSES.into_iter().zip(losses) {
        let schema = ColumnSchema::new(name, "", description).with_ucd("stat.fit.chi2");
        table.push(Column::nullable(schema, rows.iter().map(loss).collect()))?;
    }
    Ok(table)
}

/// The history in the folder of a model; none of models that were imported, or trained before there was one.
/// Without spectra for validation, their losses are not a number.
///
/// # Errors
/// When the table cannot be read, or lacks a column.
pub fn read(folder: &Path) -> Result<Option<Vec<HistoryRow>>> {
    let path = folder.join(super::HISTORY_FILE);
    if !path.exists() {
        return Ok(None);
    }
    let within = |error: Error| error.within(path.display());
    let table = table::read(&path)?;
    let count = |(name, _): (&str, &str)| table.column(name).and_then(Column::to_i64).map_err(within);
    let loss = |(name, _): (&str, &str)| table.column(name).and_then(Column::to_f64).map_err(within);
    let [rounds, stages, iterations, n_training] = [count(COUNTS[0])?, count(COUNTS[1])?, count(COUNTS[2])?, count(COUNTS[3])?];
    let [flux, gradient, validation] = [loss(LOSSES[0])?, loss(LOSSES[1])?, loss(LOSSES[2])?];
    let Values::Bool(is_kept) = &table.column(IS_KEPT.0).map_err(within)?.values else {
        return Err(within(Error::data(format!("column '{}'", IS_KEPT.0)).found("another type").expected("booleans")));
    };
    let number = |value: i64| usize::try_from(value).unwrap_or(0);
    let row = |i: usize| HistoryRow {
        round: number(rounds[i]),
        stage: number(stages[i]),
        iteration: number(iterations[i]),
        n_training: number(n_training[i]),
        is_kept: is_kept[i],
        flux: flux[i],
        gradient: gradient[i],
        validation: validation[i],
    };
    Ok(Some((0..table.n_rows()).map(row).collect()))
}
