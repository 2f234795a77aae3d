//! Stars of files, in chunks of rows.

use crate::distance::columns::FoundColumns;
use crate::distance::neighbours::columns::FoundLabels;
use crate::distance::neighbours::{LabelledStar, NeighbourOptions};
use crate::distance::options::ZeroPointChoice;
use crate::distance::{DistanceOptions, DistanceRecipe, Star};
use crate::error::Result;
use crate::observations::hash64;
use crate::quantity::Notices;
use crate::run::identifiers::Identifiers;
use crate::run::interrupt;
use crate::table::{Chunks, Table, read_chunks};
use crate::warning::{warn_once, warn_once_about};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Rows read at once.
const ROWS: usize = 16_384;

/// Rows that follow one another in a file.
pub struct Batch {
    pub table: Table,
    pub columns: FoundColumns,
    pub ids: Vec<i64>,
    /// By which stars without identifiers are known among those of other files, for neighbours.
    by_row: Option<Vec<i64>>,
    pub stars: Vec<Star>,
    /// What neighbours ask of the stars; empty where none are asked.
    pub labelled: Vec<LabelledStar>,
    /// Rows of all files that have been read so far.
    pub n_read: usize,
    /// File and rows, for messages.
    pub place: String,
}

impl Batch {
    /// By which a star of one file is known in another: its identifier or, of files without, file and row.
    pub fn known_as(&self) -> &[i64] {
        self.by_row.as_ref().unwrap_or(&self.ids)
    }

    /// Keeps these rows.
    pub fn select(&mut self, rows: &[usize]) {
        let of = |ids: &Vec<i64>| rows.iter().map(|&row| ids[row]).collect();
        self.table = self.table.select(rows);
        (self.ids, self.by_row) = (of(&self.ids), self.by_row.as_ref().map(of));
        self.stars = rows.iter().map(|&row| self.stars[row]).collect();
        if !self.labelled.is_empty() {
            self.labelled = rows.iter().map(|&row| self.labelled[row].clone()).collect();
        }
    }

    /// The options for its stars: what a fitted parallax is made of is known by its file.
    pub fn options(&self, options: &DistanceOptions) -> DistanceOptions {
        let spectroscopic_parallax = self.columns.content.unwrap_or(options.spectroscopic_parallax);
        DistanceOptions { spectroscopic_parallax, ..*options }
    }
}

/// Calls `take` with all stars of the files, in their order.
///
/// # Errors
/// When a file is damaged or lacks what is needed, a star occurs twice, a signal stops the work, or `take`
/// fails.
pub fn for_each_batch(
    recipe: &DistanceRecipe,
    beside: Option<&NeighbourOptions>,
    paths: &[PathBuf],
    mut take: impl FnMut(Batch) -> Result<()>,
) -> Result<()> {
    let (mut identifiers, mut n_read) = (Identifiers::default(), 0);
    for path in paths {
        let (mut first, mut notices) = (0, Notices::default());
        let chunks: Chunks = read_chunks(path, ROWS)?;
        for table in chunks {
            interrupt::check(|| path.display().to_string(), "Nothing was written; run the command again.")?;
            let table = table?;
            let place = format!("{}, rows {first}\u{2013}{}", path.display(), (first + table.n_rows()).saturating_sub(1));
            let columns = match beside {
                Some(_) => recipe.columns.find_astrometry(&table),
                None => recipe.columns.find(&table, &recipe.options),
            };
            let columns = columns.map_err(|error| error.within(path.display()))?;
            if first == 0 {
                say_what_is_missing(&columns, &recipe.options.zero_point, path);
            }
            let (ids, by_row) = match columns.identifier_column() {
                Some(name) => (identifiers.add_column(table.column(name)?, path, first)?, None),
                None => {
                    let by_row = beside.map(|_| known_by_row(path, first..first + table.n_rows()));
                    ((n_read..n_read + table.n_rows()).map(|row| row as i64).collect(), by_row)
                }
            };
            let stars = columns.stars(&table, first, &mut notices).map_err(|error| error.within(&place))?;
            let labelled = match beside {
                Some(options) => labelled((&table, first), options, &mut notices, (path, &place))?,
                None => Vec::new(),
            };
            first += table.n_rows();
            n_read += table.n_rows();
            take(Batch { table, columns, ids, by_row, stars, labelled, n_read, place })?;
        }
        notices.say_of_first(&path.display().to_string());
    }
    Ok(())
}

/// What stands for identifiers of rows of a file, whatever the path by which it is named; says what that is
/// worth.
fn known_by_row(path: &Path, rows: Range<usize>) -> Vec<i64> {
    warn_once(
        "stars without identifiers are told from controls by file and row: a star that is among the controls in another file, or in a \
         copy of its file, is its own control, and its values are too good. Give both files identifiers (columns.source_id in the \
         recipe) unless their stars are others.",
    );
    let mut hasher = DefaultHasher::new();
    path.canonicalize().as_deref().unwrap_or(path).hash(&mut hasher);
    let of_file = hasher.finish();
    rows.map(|row| hash64(row as i64, of_file) as i64).collect()
}

/// What neighbours ask of the stars of a part of a file.
fn labelled(
    (table, first): (&Table, usize),
    options: &NeighbourOptions,
    notices: &mut Notices,
    (path, place): (&Path, &str),
) -> Result<Vec<LabelledStar>> {
    let found = FoundLabels::find(table, options).map_err(|error| error.within(path.display()))?;
    if first == 0 {
        let without: Vec<&str> = found.without_errors().collect();
        if !without.is_empty() {
            let text = format!(
                "no columns of errors of the magnitudes {}: they count as exact to magnitude_error_floor = {} mag. Name the columns in \
                 the recipe ([[neighbours.bands]], magnitude_error = \"…\").",
                without.join(", "),
                options.magnitude_error_floor
            );
            warn_once_about(&text, format!("{}: {text}", path.display()));
        }
    }
    found.stars(table, options, first, notices).map_err(|error| error.within(place))
}

/// Says it where the zero point of the parallaxes cannot be known, of the first file that lacks the same.
fn say_what_is_missing(columns: &FoundColumns, choice: &ZeroPointChoice, path: &Path) {
    let missing = columns.missing_for_zero_point(choice);
    if !missing.is_empty() {
        let text = format!(
            "the zero point of its parallaxes is not known, because it has no column {}: they are not corrected, and flagged (bit 4 \
             of quality_flags). Name the columns in the recipe, or give it zero_point = {{ kind = \"constant\", value = … }} or \
             {{ kind = \"none\" }}.",
            missing.join(", ")
        );
        warn_once_about(&text, format!("{}: {text}", path.display()));
    }
}
