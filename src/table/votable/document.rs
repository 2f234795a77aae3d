//! An XML document as a stream of elements and text, in memory that is bounded whatever the document says of
//! itself: nothing is kept of what has been passed but the names of the open elements, and no entity is known
//! but XML's own five and character references.

use super::encoding;
use crate::error::{Error, Result};
use crate::table::gzip;
use quick_xml::XmlVersion;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::reader::Reader;
use std::borrow::Cow;
use std::io::{self, BufRead, Read};
use std::path::{Path, PathBuf};

/// Elements that may be open at once; VOTables need about ten.
const MAX_DEPTH: usize = 128;
/// Bytes that one tag, comment or piece of text may have. Base64 streams are not read as one piece.
const MAX_PIECE: usize = 256 << 20;

/// A document that is being read.
pub(super) struct Document {
    path: PathBuf,
    reader: Reader<Bounded>,
    buffer: Vec<u8>,
    depth: usize,
    /// Whether the element that was opened last is an empty one, `<TD/>`, to be closed next.
    is_empty: bool,
}

/// The next thing in a document. An empty element is opened and closed.
pub(super) enum Item<'a> {
    Open(Element<'a>),
    Text(Cow<'a, str>),
    /// The end of the innermost open element.
    Close,
    /// A comment, a processing instruction, or another thing without a meaning for tables.
    Other,
    /// The end of the document.
    End,
}

/// An element with its attributes.
pub(super) struct Element<'a> {
    start: BytesStart<'a>,
    path: &'a Path,
    position: u64,
}

impl Element<'_> {
    /// The name without a namespace prefix.
    pub fn name(&self) -> &str {
        self.start.local_name().into_inner()
    }

    /// The values of the attributes of these names, trimmed; empty where there is none.
    ///
    /// # Errors
    /// When the attributes are not well-formed or use an unknown entity.
    pub fn attributes<const N: usize>(&self, names: [&str; N]) -> Result<[String; N]> {
        let mut values = [const { String::new() }; N];
        // Without the search for attributes that come twice, whose time grows with the square of their
        // number.
        for attribute in self.start.attributes().with_checks(false) {
            let attribute = attribute.map_err(|error| damaged(self.path, self.position, error.into()))?;
            if let Some(position) = names.iter().position(|name| *name == attribute.key.into_inner()) {
                let value = attribute
                    .normalized_value(XmlVersion::Explicit1_0)
                    .map_err(|error| damaged(self.path, self.position, error))?;
                value.trim().clone_into(&mut values[position]);
            }
        }
        Ok(values)
    }
}

impl Document {
    /// # Errors
    /// As [`encoding::open`].
    pub fn open(path: &Path) -> Result<Self> {
        Ok(Self::new(path, encoding::open(path)?))
    }

    /// A document in UTF-8 that stands within another file.
    pub fn within(path: &Path, text: String) -> Self {
        Self::new(path, Box::new(io::Cursor::new(text.into_bytes())))
    }

    fn new(path: &Path, bytes: Box<dyn BufRead + Send>) -> Self {
        let reader = Reader::from_reader(Bounded { inner: bytes, left: MAX_PIECE });
        Self { path: path.to_owned(), reader, buffer: Vec::new(), depth: 0, is_empty: false }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// An error in the file as a whole.
    pub fn place(&self) -> Error {
        Error::data(self.path.display().to_string())
    }

    /// Number of open elements.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// # Errors
    /// When the document is not well-formed, ends within an element, nests too deeply, has too large a piece,
    /// or declares or uses entities of its own.
    pub fn next(&mut self) -> Result<Item<'_>> {
        if std::mem::take(&mut self.is_empty) {
            self.depth -= 1;
            return Ok(Item::Close);
        }
        self.buffer.clear();
        self.reader.get_mut().left = MAX_PIECE;
        let event = match self.reader.read_event_into(&mut self.buffer) {
            Ok(event) => event,
            Err(error) => return Err(damaged(&self.path, self.reader.error_position(), error)),
        };
        let place = || Error::data(self.path.display().to_string());
        Ok(match event {
            Event::Start(_) | Event::Empty(_) if self.depth >= MAX_DEPTH => {
                return Err(place()
                    .found(format!("more than {MAX_DEPTH} elements inside one another"))
                    .expected("a VOTable")
                    .remedy("Check where the file comes from: it is no table."));
            }
            Event::Start(start) => {
                self.depth += 1;
                Item::Open(Element { start, path: &self.path, position: self.reader.buffer_position() })
            }
            Event::Empty(start) => {
                self.depth += 1;
                self.is_empty = true;
                Item::Open(Element { start, path: &self.path, position: self.reader.buffer_position() })
            }
            Event::End(_) => {
                self.depth -= 1;
                Item::Close
            }
            Event::Text(text) => Item::Text(with_line_feeds(text.into_inner())),
            Event::CData(text) => Item::Text(with_line_feeds(text.into_inner())),
            Event::GeneralRef(reference) => Item::Text(resolved(&reference).map_err(|found| {
                place()
                    .found(found)
                    .expected("&lt;, &gt;, &amp;, &quot;, &apos; or a character's number")
                    .remedy("Write the characters themselves.")
            })?),
            Event::DocType(declaration) => match own_declarations(&declaration) {
                None => Item::Other,
                Some(found) => {
                    return Err(place()
                        .found(found)
                        .expected("no declarations of the document's own")
                        .remedy("Remove them from the file's start: VOTables need none."));
                }
            },
            Event::Eof if self.depth > 0 => {
                return Err(place()
                    .found("the end of the file inside an element")
                    .expected("a whole VOTable")
                    .remedy("If it is truncated, copy or download it again."));
            }
            Event::Eof => Item::End,
            Event::Comment(_) | Event::PI(_) | Event::Decl(_) => Item::Other,
        })
    }

    /// Passes over what is left of the element that was opened last, which has `depth` open elements with
    /// itself.
    ///
    /// # Errors
    /// As [`Document::next`].
    pub fn skip(&mut self, depth: usize) -> Result<()> {
        while self.depth >= depth {
            if matches!(self.next()?, Item::Open(element) if element.name() == "STREAM") {
                while !self.raw_text()?.is_empty() {
                    let length = self.raw_text()?.len();
                    self.pass(length);
                }
            }
        }
        Ok(())
    }

    /// Reads the text of the element that was opened last, up to its end, into `text`; that of elements
    /// within it is passed over.
    ///
    /// # Errors
    /// As [`Document::next`].
    pub fn read_text(&mut self, text: &mut String) -> Result<()> {
        text.clear();
        let depth = self.depth;
        while self.depth >= depth {
            let is_own = self.depth == depth;
            match self.next()? {
                Item::Text(piece) if is_own => text.push_str(&piece),
                _ => {}
            }
        }
        Ok(())
    }

    /// The text at this place as it stands in the file, as far as it is in memory: a stream is read piece by
    /// piece in turn with [`Document::pass`]. Empty where something else than text follows, or a reference.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn raw_text(&mut self) -> Result<&[u8]> {
        if self.is_empty {
            return Ok(&[]);
        }
        let reader = self.reader.get_mut();
        reader.left = MAX_PIECE;
        let path = &self.path;
        let available = reader.fill_buf().map_err(|error| gzip::damaged(path, error))?;
        Ok(&available[..memchr::memchr2(b'<', b'&', available).unwrap_or(available.len())])
    }

    /// Passes over `length` bytes of text.
    pub fn pass(&mut self, length: usize) {
        self.reader.stream().consume(length);
    }
}

fn damaged(path: &Path, position: u64, error: quick_xml::Error) -> Error {
    if let quick_xml::Error::Io(error) = error {
        return match std::sync::Arc::try_unwrap(error) {
            Ok(error) => gzip::damaged(path, error),
            Err(error) => Error::reading(path, error).remedy("If it is truncated, copy or download it again."),
        };
    }
    let place = format!("{}, byte {position}", path.display());
    Error::data(place)
        .found(format!("no well-formed XML ({error})"))
        .expected("a whole VOTable")
        .remedy("If it is truncated, copy or download it again.")
        .source(error)
}

/// What a DOCTYPE declares itself: its internal subset. An outer one is never read.
fn own_declarations(declaration: &str) -> Option<&'static str> {
    if declaration.contains("<!ENTITY") {
        Some("a DOCTYPE that declares entities")
    } else if declaration.contains('[') {
        Some("a DOCTYPE with declarations")
    } else {
        None
    }
}

fn resolved(reference: &BytesRef) -> std::result::Result<Cow<'static, str>, String> {
    match reference.resolve_char_ref() {
        Ok(Some(character)) => Ok(Cow::Owned(character.to_string())),
        Ok(None) => resolve_xml_entity(reference).map(Cow::Borrowed).ok_or_else(|| format!("the entity '&{};'", &**reference)),
        Err(error) => Err(format!("the reference '&{};' ({error})", &**reference)),
    }
}

/// Line ends as XML reads them: `\r\n` and `\r` are `\n`.
fn with_line_feeds(text: Cow<'_, str>) -> Cow<'_, str> {
    if memchr::memchr(b'\r', text.as_bytes()).is_none() {
        return text;
    }
    Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n"))
}

/// A reader that fails after [`MAX_PIECE`] bytes, unless `left` is set anew.
struct Bounded {
    inner: Box<dyn BufRead + Send>,
    left: usize,
}

impl Read for Bounded {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let n_read = self.fill_buf()?.read(into)?;
        self.consume(n_read);
        Ok(n_read)
    }
}

impl BufRead for Bounded {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.left == 0 {
            let found = format!("a piece of text or a tag of more than {} MiB", MAX_PIECE >> 20);
            return Err(io::Error::new(io::ErrorKind::InvalidData, found));
        }
        self.inner.fill_buf()
    }

    fn consume(&mut self, length: usize) {
        self.inner.consume(length);
        self.left = self.left.saturating_sub(length);
    }
}
