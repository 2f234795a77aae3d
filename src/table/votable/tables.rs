//! The way through a document: to the data of the wanted table, and on to the end, with what stands around
//! tables (PARAM, INFO and the status of a query).

use super::choice::{Choice, Seen};
use super::document::{Document, Item};
use super::field::Field;
use super::null::Null;
use super::rows;
use crate::error::{Error, Result};
use crate::table::{ColumnSchema, Location};
use crate::warning::warn_once;
use std::collections::BTreeMap;
use std::path::Path;

/// Columns that a table may have; the widest of surveys have a few thousand.
const MAX_FIELDS: usize = 65_536;

/// A document on the way to a table, or past it.
pub(super) struct Tables {
    pub document: Document,
    choice: Choice,
    /// One for every open element.
    frames: Vec<Frame>,
    /// The error that a service gave, wherever it stands: the reason where no table is found.
    failure: Option<String>,
    is_truncated: bool,
    /// Whether a table without data is looked for: one whose rows are in another format.
    is_header: bool,
}

/// What a table says of itself before its data.
#[derive(Debug)]
pub(super) struct Head {
    pub fields: Vec<Field>,
    pub n_rows: Option<u64>,
    /// PARAM and INFO of the table and its resource.
    pub metadata: BTreeMap<String, String>,
}

/// An open element.
#[derive(Default)]
struct Frame {
    kind: Kind,
    metadata: BTreeMap<String, String>,
    status: Option<Status>,
    /// Whether the chosen table is within.
    holds_chosen: bool,
}

#[derive(Default)]
enum Kind {
    Root,
    Resource,
    Table(Box<(Seen, Head)>),
    #[default]
    Other,
}

/// QUERY_STATUS of a service (DALI 1.1, section 4.4).
#[derive(Clone)]
enum Status {
    Truncated,
    Failed(String),
}

impl Tables {
    /// # Errors
    /// When the file cannot be opened, or several tables are named.
    pub fn open(location: &Location) -> Result<Self> {
        let mut choice = Choice::new(location)?;
        if location.tables.is_empty()
            && let Some(number) = Self::first_with_rows(location)
        {
            choice.prefer(number);
        }
        Ok(Self::of(Document::open(&location.file)?, choice))
    }

    /// The number of the first table that holds a row: tables without are passed over, as in FITS. None where
    /// there is none, or where something is in the way that will be said when the table is read.
    fn first_with_rows(location: &Location) -> Option<usize> {
        let mut tables = Self::of(Document::open(&location.file).ok()?, Choice::new(location).ok()?);
        loop {
            tables.walk().ok()??;
            let number = tables.choice.release()?;
            if rows::has_row(&mut tables.document).ok()? {
                return Some(number);
            }
        }
    }

    fn of(document: Document, choice: Choice) -> Self {
        Self { document, choice, frames: Vec::new(), failure: None, is_truncated: false, is_header: false }
    }

    /// The head of a table, by its number from 1, in a document that describes another file's rows.
    ///
    /// # Errors
    /// When the document is damaged or does not have the table.
    pub fn described(path: &Path, text: String, number: usize) -> Result<Head> {
        let choice = Choice::new(&Location { file: path.to_owned(), tables: Vec::new() })?;
        let mut tables = Self::of(Document::within(path, text), choice);
        tables.is_header = true;
        for _ in 1..number {
            if tables.walk()?.is_none() {
                break;
            }
        }
        tables.walk()?.ok_or_else(|| tables.document.place().found(format!("a VOTable without the TABLE {number}")))
    }

    /// Goes to the data of the wanted table: the element DATA has been opened.
    ///
    /// # Errors
    /// When the document is damaged or no VOTable, its service says that it failed, or it does not have the
    /// table.
    pub fn find(&mut self) -> Result<Head> {
        let head = self.walk()?;
        if let Some(head) = head {
            let failed = self.frames.iter().find_map(|frame| match &frame.status {
                Some(Status::Failed(text)) => Some(text.clone()),
                _ => None,
            });
            self.is_truncated = self.frames.iter().any(|frame| matches!(frame.status, Some(Status::Truncated)));
            self.frames.iter_mut().for_each(|frame| frame.holds_chosen = true);
            return match failed {
                Some(text) => Err(self.failed(&text)),
                None if head.fields.is_empty() => Err(self.document.place().found("a table without FIELDs").expected("columns")),
                None => Ok(head),
            };
        }
        if let Some(text) = &self.failure {
            return Err(self.failed(text));
        }
        self.choice.finish()?;
        Err(self.document.place().found("no table with data"))
    }

    /// Goes from the data of the table to the end of the document, after `n_rows` rows have been read.
    ///
    /// # Errors
    /// When the rest of the document is damaged, the service says that it failed, or the table says that it
    /// has more or fewer rows.
    pub fn finish(&mut self, n_rows: u64, declared: Option<u64>) -> Result<()> {
        while self.walk()?.is_some() {}
        self.choice.finish()?;
        if self.is_truncated {
            warn_once(format!(
                "{}: the service cut its answer off after {n_rows} rows (QUERY_STATUS OVERFLOW): the table lacks the others. Ask for \
                 more rows (MAXREC), or in several parts.",
                self.document.path().display()
            ));
            return Ok(());
        }
        match declared {
            Some(declared) if declared != n_rows => Err(self
                .document
                .place()
                .found(format!("{n_rows} rows"))
                .expected(format!("{declared}, as the table says"))
                .remedy("If the file is truncated, copy or download it again.")),
            _ => Ok(()),
        }
    }

    fn failed(&self, text: &str) -> Error {
        self.document
            .place()
            .found(format!("the error of a service instead of its answer: {text}"))
            .expected("QUERY_STATUS OK")
            .remedy("Send the query again.")
    }

    /// Goes on to the data of a wanted table, or to the end.
    fn walk(&mut self) -> Result<Option<Head>> {
        // The rows were read without this walker: elements may have been closed, or opened (the BINARY around
        // a STREAM).
        self.frames.resize_with(self.document.depth(), Frame::default);
        loop {
            let n_open = self.document.depth();
            match self.document.next()? {
                Item::Open(element) => {
                    let parent = self.frames.last_mut();
                    let name = element.name();
                    match (parent.map(|frame| &mut frame.kind), name) {
                        (None, "VOTABLE") => self.frames.push(Frame { kind: Kind::Root, ..Frame::default() }),
                        (None, other) => {
                            let found = format!("an XML document of <{}>", other.chars().take(60).collect::<String>());
                            return Err(self
                                .document
                                .place()
                                .found(found)
                                .expected("<VOTABLE>")
                                .remedy("Check where the file comes from: it may be an error page of a service."));
                        }
                        (Some(_), "RESOURCE") => self.frames.push(Frame { kind: Kind::Resource, ..Frame::default() }),
                        (Some(_), "TABLE") => {
                            let [name, id, n_rows] = element.attributes(["name", "ID", "nrows"])?;
                            let head = Head { fields: Vec::new(), n_rows: n_rows.parse().ok(), metadata: BTreeMap::new() };
                            let kind = Kind::Table(Box::new((self.choice.see(name, id), head)));
                            self.frames.push(Frame { kind, ..Frame::default() });
                        }
                        (Some(Kind::Table(table)), "FIELD") => {
                            let attributes = element.attributes(["name", "ID", "datatype", "arraysize", "unit", "ucd"])?;
                            if table.1.fields.len() >= MAX_FIELDS {
                                return Err(self
                                    .document
                                    .place()
                                    .found(format!("more than {MAX_FIELDS} columns"))
                                    .expected("a table of fewer"));
                            }
                            table.1.fields.push(field(&mut self.document, attributes)?);
                        }
                        (Some(Kind::Table(table)), "DATA") if !self.is_header && self.choice.is_wanted(&table.0) => {
                            self.frames.push(Frame::default());
                            return Ok(Some(self.head()));
                        }
                        (Some(Kind::Root | Kind::Resource | Kind::Table(_)), "PARAM" | "INFO") => {
                            let is_info = name == "INFO";
                            let [name, value] = element.attributes(["name", "value"])?;
                            self.read_info(is_info, name, value)?;
                        }
                        _ => self.document.skip(n_open + 1)?,
                    }
                }
                Item::Close => {
                    if let Some(Frame { kind: Kind::Table(table), metadata, .. }) = self.frames.pop()
                        && self.is_header
                    {
                        return Ok(Some(Head { metadata, ..table.1 }));
                    }
                }
                Item::End if self.frames.is_empty() && n_open == 0 => return Ok(None),
                Item::Text(_) | Item::Other | Item::End => {}
            }
        }
    }

    /// A PARAM or INFO that has been opened, up to its end.
    fn read_info(&mut self, is_info: bool, name: String, value: String) -> Result<()> {
        let mut text = String::new();
        self.document.read_text(&mut text)?;
        let Some(frame) = self.frames.last_mut() else { return Ok(()) };
        if is_info && name.eq_ignore_ascii_case("QUERY_STATUS") {
            let status = match value.to_ascii_uppercase().as_str() {
                "OVERFLOW" => Some(Status::Truncated),
                "ERROR" => {
                    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
                    let text = if text.is_empty() { "without a word".to_owned() } else { text };
                    self.failure.get_or_insert_with(|| text.clone());
                    Some(Status::Failed(text))
                }
                _ => None,
            };
            match status {
                Some(Status::Failed(text)) if frame.holds_chosen => return Err(self.failed(&text)),
                Some(Status::Truncated) if frame.holds_chosen => self.is_truncated = true,
                Some(status) => frame.status = Some(status),
                None => {}
            }
        }
        if let Some(frame) = self.frames.last_mut()
            && !name.is_empty()
        {
            frame.metadata.insert(name, value);
        }
        Ok(())
    }

    /// The head of the table whose DATA is the innermost open element.
    fn head(&mut self) -> Head {
        let n_frames = self.frames.len();
        let mut metadata = match n_frames.checked_sub(3).and_then(|i| self.frames.get(i)) {
            Some(Frame { kind: Kind::Resource, metadata, .. }) => metadata.clone(),
            _ => BTreeMap::new(),
        };
        let empty = || Head { fields: Vec::new(), n_rows: None, metadata: BTreeMap::new() };
        let Some(frame) = n_frames.checked_sub(2).and_then(|i| self.frames.get_mut(i)) else { return empty() };
        metadata.append(&mut frame.metadata);
        let Kind::Table(table) = &mut frame.kind else { return empty() };
        Head { metadata, ..std::mem::replace(&mut table.1, empty()) }
    }
}

/// A FIELD that has been opened, up to its end.
fn field(document: &mut Document, attributes: [String; 6]) -> Result<Field> {
    let [name, id, datatype, arraysize, unit, ucd] = attributes;
    let depth = document.depth();
    let (mut description, mut null) = (String::new(), String::new());
    while document.depth() >= depth {
        let n_open = document.depth();
        if let Item::Open(element) = document.next()? {
            match element.name() {
                "DESCRIPTION" if n_open == depth => document.read_text(&mut description)?,
                "VALUES" if n_open == depth => {
                    let [value] = element.attributes(["null"])?;
                    if null.is_empty() {
                        null = value;
                    }
                    document.skip(n_open + 1)?;
                }
                _ => document.skip(n_open + 1)?,
            }
        }
    }
    let name = if name.is_empty() { id } else { name };
    if name.is_empty() {
        return Err(Error::data(format!("{}, a FIELD", document.path().display())).found("no name").expected("a name"));
    }
    let description = description.split_whitespace().collect::<Vec<_>>().join(" ");
    let place = format!("{}, FIELD '{name}'", document.path().display());
    Field::new(ColumnSchema::new(name, unit, description).with_ucd(ucd), &datatype, &arraysize, Null::new(&null))
        .map_err(|found| Error::data(place).found(found).expected("an arraysize of VOTable 1.4, as '55', '3x*' or '*'"))
}
