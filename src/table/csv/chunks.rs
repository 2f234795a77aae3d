//! Lines to tables.

use super::header::{self, EcsvHeader};
use super::infer::Guess;
use super::{cells, is_null, list_content};
use crate::error::{Error, Result};
use crate::table::builder::ColumnBuilder;
use crate::table::gzip;
use crate::table::read::{Chunks, assemble, positions};
use crate::table::{ColumnSchema, ColumnType, Layout, Table, ValueType};
use csv::{ErrorKind, StringRecord};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// The columns' descriptions, from the header lines alone.
pub(in crate::table) fn schema(path: &Path) -> Result<Vec<ColumnSchema>> {
    Ok(Lines::open(path)?.schemas())
}

/// Tables of at most `rows` rows.
pub(in crate::table) fn chunks(path: &Path, names: Option<&[&str]>, rows: usize) -> Result<Chunks> {
    let lines = Lines::open(path)?;
    let wanted = positions(path, &lines.names, names)?;
    let schemas = lines.schemas();
    let types = types(path, &lines, &wanted)?;
    let columns =
        wanted.iter().zip(types).map(|(&i, column_type)| (i, ColumnBuilder::new(schemas[i].clone(), column_type))).collect();
    let metadata = lines.header.as_ref().map(|header| header.metadata.clone()).unwrap_or_default();
    Ok(Box::new(LineRanges { lines, columns, metadata, rows, state: State::Fresh }))
}

/// Types of the wanted columns: the header's, and where it does not say them, those of all cells.
fn types(path: &Path, lines: &Lines, wanted: &[usize]) -> Result<Vec<ColumnType>> {
    match &lines.header {
        Some(header) => {
            let mut types: Vec<Option<ColumnType>> = wanted.iter().map(|&i| header.columns[i].1).collect();
            let mut again = Lines::open(path)?;
            while types.contains(&None) && again.advance()? {
                for (known, &i) in types.iter_mut().zip(wanted).filter(|(known, _)| known.is_none()) {
                    *known = text_or_list(&again.record[i]);
                }
            }
            Ok(types.into_iter().map(|known| known.unwrap_or(ColumnType::scalar(ValueType::Text))).collect())
        }
        None => {
            let mut guesses = vec![Guess::default(); wanted.len()];
            let mut again = Lines::open(path)?;
            while again.advance()? {
                guesses.iter_mut().zip(wanted).for_each(|(guess, &i)| guess.see(&again.record[i]));
            }
            Ok(guesses.into_iter().map(Guess::column_type).collect())
        }
    }
}

/// Whether the first value of a text column is a text or a list of numbers whose subtype is not declared.
fn text_or_list(cell: &str) -> Option<ColumnType> {
    if is_null(cell) {
        return None;
    }
    let is_list = list_content(cell).is_some() && cells::list_type(cell).is_some();
    Some(if is_list {
        ColumnType { values: ValueType::Float64, layout: Layout::Variable }
    } else {
        ColumnType::scalar(ValueType::Text)
    })
}

/// A file past its header, record by record.
struct Lines {
    path: PathBuf,
    reader: csv::Reader<BufReader<Box<dyn Read + Send>>>,
    header: Option<EcsvHeader>,
    names: Vec<String>,
    record: StringRecord,
    /// Lines before those that `reader` counts.
    n_comment_lines: u64,
}

impl Lines {
    fn open(path: &Path) -> Result<Self> {
        let mut file = BufReader::with_capacity(1 << 16, gzip::open(path)?);
        let mut comments = String::new();
        let mut n_comment_lines = 0;
        while file.fill_buf().map_err(|error| gzip::damaged(path, error))?.first() == Some(&b'#') {
            let mut line = String::new();
            file.read_line(&mut line).map_err(|error| gzip::damaged(path, error))?;
            let line = line.trim_end_matches(['\r', '\n']);
            comments.push_str(line.strip_prefix("# ").or_else(|| line.strip_prefix('#')).unwrap_or(line));
            comments.push('\n');
            n_comment_lines += 1;
        }
        let is_ecsv = comments.starts_with("%ECSV");
        let header = is_ecsv.then(|| header::parse(&comments)).transpose().map_err(|error| error.within(path.display()))?;
        let delimiter = header.as_ref().map_or(b',', |header| header.delimiter);
        let reader = csv::ReaderBuilder::new().delimiter(delimiter).buffer_capacity(1 << 16).from_reader(file);
        let path = path.to_owned();
        let mut lines = Self { path, reader, header, names: Vec::new(), record: StringRecord::new(), n_comment_lines };
        let names = lines.reader.headers().cloned().map_err(|error| lines.csv_error(error))?;
        let name_of = |(i, name): (usize, &str)| match name.trim() {
            "" => format!("column_{}", i + 1),
            name => name.to_owned(),
        };
        lines.names = names.iter().enumerate().map(name_of).collect();
        lines.check_names()?;
        Ok(lines)
    }

    fn check_names(&self) -> Result<()> {
        let place = || Error::data(format!("{}, line {}", self.path.display(), self.n_comment_lines + 1));
        if self.names.is_empty() {
            return Err(place().found("nothing").expected("the names of the columns"));
        }
        let declared: Vec<&str> =
            self.header.iter().flat_map(|header| &header.columns).map(|(schema, _)| schema.name.as_str()).collect();
        if self.header.is_some() && declared != self.names {
            return Err(place()
                .found(format!("the columns {}", self.names.join(", ")))
                .expected(format!("those of the ECSV header: {}", declared.join(", "))));
        }
        Ok(())
    }

    fn schemas(&self) -> Vec<ColumnSchema> {
        match &self.header {
            Some(header) => header.columns.iter().map(|(schema, _)| schema.clone()).collect(),
            None => self.names.iter().map(|name| ColumnSchema::new(name, "", "")).collect(),
        }
    }

    /// Reads the next record; false at the end.
    fn advance(&mut self) -> Result<bool> {
        self.reader.read_record(&mut self.record).map_err(|error| self.csv_error(error))
    }

    /// Line on which the present record starts, from 1.
    fn line(&self) -> u64 {
        self.n_comment_lines + self.record.position().map_or(0, csv::Position::line)
    }

    fn csv_error(&self, error: csv::Error) -> Error {
        let place = |position: Option<csv::Position>| {
            let line = position.map_or(0, |position| position.line());
            Error::data(format!("{}, line {}", self.path.display(), self.n_comment_lines + line))
        };
        match error.into_kind() {
            ErrorKind::Io(error) => gzip::damaged(&self.path, error),
            ErrorKind::UnequalLengths { pos, expected_len, len } => {
                place(pos).found(format!("{len} cells")).expected(format!("{expected_len}, one for every column"))
            }
            ErrorKind::Utf8 { pos, err } => place(pos).found(format!("bytes that are not UTF-8 ({err})")).expected("UTF-8 text"),
            other => Error::data(self.path.display().to_string()).found(format!("{other:?}")),
        }
    }
}

#[derive(PartialEq)]
enum State {
    Fresh,
    Running,
    Ended,
}

/// Ranges of lines one after the other; at least one, perhaps empty.
struct LineRanges {
    lines: Lines,
    /// Position in the record, and the column.
    columns: Vec<(usize, ColumnBuilder)>,
    metadata: BTreeMap<String, String>,
    rows: usize,
    state: State,
}

impl LineRanges {
    fn read(&mut self) -> Result<Table> {
        let mut n_rows = 0;
        while n_rows < self.rows {
            if !self.lines.advance()? {
                self.state = State::Ended;
                break;
            }
            for (i, builder) in &mut self.columns {
                cells::push(builder, &self.lines.record[*i]).map_err(|misfit| {
                    let place = format!("{}, line {}, column '{}'", self.lines.path.display(), self.lines.line(), builder.name());
                    Error::data(place).found(misfit.found).expected(misfit.expected)
                })?;
            }
            n_rows += 1;
        }
        let columns = self.columns.iter_mut().map(|(_, builder)| builder.take()).collect();
        assemble(&self.lines.path, columns, n_rows, &self.metadata)
    }
}

impl Iterator for LineRanges {
    type Item = Result<Table>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.state == State::Ended {
            return None;
        }
        let is_first = std::mem::replace(&mut self.state, State::Running) == State::Fresh;
        let table = self.read();
        if table.is_err() {
            self.state = State::Ended;
        }
        let is_nothing = table.as_ref().is_ok_and(|table| table.n_rows() == 0);
        (is_first || !is_nothing).then_some(table)
    }
}

#[cfg(test)]
mod tests {
    use crate::table::{read, read_chunks};
    use std::io::Write;

    fn failing(name: &str, content: &[u8]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        read(&path).unwrap_err().to_string()
    }

    #[test]
    fn bad_lines_are_named() {
        let error = failing("a.csv", b"# a comment\nx,y\n1,2\n3\n");
        assert!(error.contains("a.csv, line 4: found 1 cells, expected 2"), "{error}");
        let header = "# %ECSV 1.0\n# ---\n# delimiter: ','\n# datatype:\n# - {name: x, datatype: float64}\n";
        let error = failing("a.ecsv", format!("{header}x\n1.5\nbright\n").as_bytes());
        assert!(error.contains("line 8, column 'x': found 'bright', expected 64-bit float"), "{error}");
        let error = failing("a.ecsv", format!("{header}y\n1.5\n").as_bytes());
        assert!(error.contains("found the columns y, expected those of the ECSV header: x"), "{error}");
        let error = failing("a.csv", b"name\n\xff\n");
        assert!(error.contains("not UTF-8"), "{error}");
    }

    #[test]
    fn truncated_gzip_is_an_error() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        writeln!(encoder, "x").unwrap();
        (0..5000).for_each(|i| writeln!(encoder, "{}", i * 7919 % 4093).unwrap());
        let bytes = encoder.finish().unwrap();
        for length in [bytes.len() - 4, bytes.len() / 2, 11] {
            let error = failing("a.csv.gz", &bytes[..length]);
            assert!(error.contains("truncated"), "{error}");
        }
    }

    #[test]
    fn chunks_agree_on_types_that_only_late_rows_show() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        std::fs::write(&path, "id,x\n1,\n2,5\n3,2.5\n").unwrap();
        let chunks: Vec<_> = read_chunks(&path, 2).unwrap().map(Result::unwrap).collect();
        assert_eq!(chunks.iter().map(crate::table::Table::n_rows).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(chunks[0].column("x").unwrap().valid, Some(vec![false, true]));
        assert_eq!(chunks[0].column("x").unwrap().column_type(), chunks[1].column("x").unwrap().column_type());
        std::fs::write(&path, "id,\n").unwrap();
        assert_eq!(crate::table::read_schema(&path).unwrap()[1].name, "column_2");
        assert_eq!(read_chunks(&path, 2).unwrap().map(|chunk| chunk.unwrap().n_rows()).collect::<Vec<_>>(), [0]);
    }
}
