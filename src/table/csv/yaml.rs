//! YAML of bounded size: what an alias stands for is counted each time that it is put in, nesting has an end.

use crate::error::{Error, Result};
use std::collections::HashMap;
use yaml_rust2::Yaml;
use yaml_rust2::parser::{Event, Parser};
use yaml_rust2::scanner::TScalarStyle;

/// Bytes of a document; headers of surveys have some hundred thousand.
const MOST_BYTES: usize = 16 << 20;
/// Lists and mappings within one another; astropy's headers have about 10.
const MOST_LEVELS: usize = 64;
/// Bytes in memory, with [`NODE_BYTES`] for every scalar, list and mapping: so many for a byte of the
/// document, and those that any document may take. Without aliases a byte becomes 65 at most (`{a,a}`), twice
/// that under an anchor.
const EXPANSION: usize = 150;
const FLOOR: usize = 1 << 20;
const MOST_MEMORY: usize = 256 << 20;
const NODE_BYTES: usize = 64;

/// A scalar, list or mapping.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    /// The text as written; plain text (without quotes) may stand for a number, a boolean or nothing.
    Scalar {
        text: String,
        is_plain: bool,
    },
    List(Vec<Node>),
    /// Keys and values in order.
    Map(Vec<(String, Node)>),
}

impl Node {
    /// The first document of a text; nothing where there is none.
    ///
    /// # Errors
    /// When it is no YAML, or larger, deeper or (through its aliases) longer than any honest header. The
    /// place is `ECSV header`.
    pub fn parse(text: &str) -> Result<Option<Self>> {
        if text.len() > MOST_BYTES {
            return Err(too_much(format!("{} bytes of YAML", text.len()), format!("at most {} MiB", MOST_BYTES >> 20)));
        }
        let most = text.len().saturating_mul(EXPANSION).saturating_add(FLOOR).min(MOST_MEMORY);
        Builder { memory: Memory { used: 0, most }, ..Builder::default() }.run(text)
    }

    /// The value of a key; the last one where it stands twice, as astropy takes it.
    pub fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Map(entries) => entries.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value),
            _ => None,
        }
    }

    /// Keys and values of a mapping, or of a list of mappings (YAML's `!!omap`).
    pub fn entries(&self) -> Vec<(&str, &Self)> {
        match self {
            Self::Map(entries) => entries.iter().map(|(key, value)| (key.as_str(), value)).collect(),
            Self::List(list) => list.iter().flat_map(Self::entries).collect(),
            Self::Scalar { .. } => Vec::new(),
        }
    }

    /// Whether it is the absence of a value.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Scalar { text, is_plain: true } if Yaml::from_str(text) == Yaml::Null)
    }

    /// Scalars as they are written, lists and mappings as JSON.
    pub fn as_text(&self) -> String {
        match self {
            Self::Scalar { text, .. } => text.clone(),
            other => other.as_json().to_string(),
        }
    }

    fn as_json(&self) -> serde_json::Value {
        match self {
            Self::Scalar { text, is_plain: false } => text.as_str().into(),
            Self::Scalar { text, is_plain: true } => match Yaml::from_str(text) {
                Yaml::Integer(number) => number.into(),
                Yaml::Real(number) => number.parse().map_or_else(|_| number.into(), serde_json::Value::Number),
                Yaml::Boolean(value) => value.into(),
                Yaml::Null => serde_json::Value::Null,
                _ => text.as_str().into(),
            },
            Self::List(list) => list.iter().map(Self::as_json).collect(),
            Self::Map(entries) => entries.iter().map(|(key, value)| (key.clone(), value.as_json())).collect(),
        }
    }

    /// What a node weighs against the memory that is allowed.
    fn weight(&self) -> usize {
        NODE_BYTES
            + match self {
                Self::Scalar { text, .. } => text.len(),
                Self::List(list) => list.iter().map(Self::weight).sum(),
                Self::Map(entries) => entries.iter().map(|(key, value)| key.len() + value.weight()).sum(),
            }
    }
}

/// A list or mapping that is not yet complete.
enum Open {
    List(Vec<Node>),
    /// The entries so far, and a key whose value comes next.
    Map(Vec<(String, Node)>, Option<String>),
}

/// Puts the parser's events together.
#[derive(Default)]
struct Builder {
    /// Lists and mappings from the outermost to the innermost, each with its anchor (0 for none).
    open: Vec<(Open, usize)>,
    /// What aliases may stand for, with its weight.
    anchors: HashMap<usize, (Node, usize)>,
    memory: Memory,
    document: Option<Node>,
}

impl Builder {
    fn run(mut self, text: &str) -> Result<Option<Node>> {
        let mut parser = Parser::new_from_str(text);
        while self.document.is_none() {
            let (event, _) = parser.next_token().map_err(|error| {
                place()
                    .found(format!("no valid YAML ({error})"))
                    .remedy("Correct the header, or write the table again with astropy or this program.")
                    .source(error)
            })?;
            match event {
                Event::Scalar(text, style, anchor, tag) => {
                    let is_plain = style == TScalarStyle::Plain && tag.is_none_or(|tag| tag.suffix != "str");
                    self.memory.take(NODE_BYTES + text.len())?;
                    self.put(Node::Scalar { text, is_plain }, anchor)?;
                }
                Event::Alias(anchor) => {
                    let Some((node, weight)) = self.anchors.get(&anchor) else {
                        return Err(place().found("a YAML alias within what it stands for").expected("values that end"));
                    };
                    self.memory.take(*weight)?;
                    let node = node.clone();
                    self.put(node, 0)?;
                }
                Event::SequenceStart(anchor, _) => self.enter(Open::List(Vec::new()), anchor)?,
                Event::MappingStart(anchor, _) => self.enter(Open::Map(Vec::new(), None), anchor)?,
                Event::SequenceEnd | Event::MappingEnd => {
                    let node = match self.open.pop() {
                        Some((Open::List(list), anchor)) => (Node::List(list), anchor),
                        Some((Open::Map(entries, _), anchor)) => (Node::Map(entries), anchor),
                        None => continue,
                    };
                    self.put(node.0, node.1)?;
                }
                Event::StreamEnd => break,
                Event::Nothing | Event::StreamStart | Event::DocumentStart | Event::DocumentEnd => {}
            }
        }
        Ok(self.document)
    }

    fn enter(&mut self, open: Open, anchor: usize) -> Result<()> {
        self.memory.take(NODE_BYTES)?;
        if self.open.len() == MOST_LEVELS {
            return Err(too_much(format!("YAML of more than {MOST_LEVELS} levels"), format!("at most {MOST_LEVELS}")));
        }
        self.open.push((open, anchor));
        Ok(())
    }

    /// Puts a complete node where it belongs.
    fn put(&mut self, node: Node, anchor: usize) -> Result<()> {
        if anchor > 0 {
            let weight = node.weight();
            self.memory.take(weight)?;
            self.anchors.insert(anchor, (node.clone(), weight));
        }
        match self.open.last_mut() {
            None => self.document = Some(node),
            Some((Open::List(list), _)) => list.push(node),
            Some((Open::Map(entries, key), _)) => match key.take() {
                Some(key) => entries.push((key, node)),
                None => *key = Some(node.as_text()),
            },
        }
        Ok(())
    }
}

/// Bytes that are taken, and those that may be.
#[derive(Default)]
struct Memory {
    used: usize,
    most: usize,
}

impl Memory {
    fn take(&mut self, bytes: usize) -> Result<()> {
        self.used = self.used.saturating_add(bytes);
        if self.used <= self.most {
            return Ok(());
        }
        let most = format!("at most {} MiB in memory, {EXPANSION} bytes for one of the header", self.most.div_ceil(1 << 20));
        Err(too_much("YAML whose aliases stand for very much".into(), most))
    }
}

fn too_much(found: String, expected: String) -> Error {
    place().found(found).expected(expected).remedy("Do not trust the file, or write it again with a shorter header.")
}

fn place() -> Error {
    Error::data("ECSV header")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Node {
        Node::parse(text).unwrap().unwrap()
    }

    #[test]
    fn scalars_lists_mappings_and_aliases() {
        let node = parsed("a: &x {u: 1.50, t: '1'}\nb: [*x, null, True, 99999999999999999999]\nc: !unit {v: *x}\na: last\n");
        assert_eq!(node.get("a").unwrap().as_text(), "last");
        assert_eq!(node.get("b").unwrap().as_text(), "[{\"t\":\"1\",\"u\":1.5},null,true,1e+20]");
        assert_eq!(node.get("c").unwrap().get("v").unwrap().get("u").unwrap().as_text(), "1.50", "as written");
        assert!(parsed("a: ~").get("a").unwrap().is_null() && !parsed("a: ''").get("a").unwrap().is_null());
        assert_eq!(Node::parse("").unwrap(), None);
        assert_eq!(parsed("- {a: 1}\n- {b: 2}").entries().len(), 2);
    }

    #[test]
    fn what_grows_without_end_is_refused() {
        let list = |item: &str| format!("[{}]", [item; 10].join(","));
        let mut bomb = format!("a0: &a0 {}\n", list("x"));
        (1..12).for_each(|i| bomb.push_str(&format!("a{i}: &a{i} {}\n", list(&format!("*a{}", i - 1)))));
        let started = std::time::Instant::now();
        for (text, found) in [
            (bomb.as_str(), "aliases"),
            ("a: &a [*a]", "a YAML alias within what it stands for"),
            (&"[".repeat(100), "levels"),
            (&"- ".repeat(100_000), "levels"),
            (&(0..100).map(|i| format!("{}a:\n", " ".repeat(i))).collect::<String>(), "levels"),
            (&" ".repeat(MOST_BYTES + 1), "bytes of YAML"),
            ("a: *b", "no valid YAML"),
        ] {
            let error = Node::parse(text).unwrap_err().to_string();
            assert!(error.starts_with("ECSV header: found") && error.contains(found), "{error}");
        }
        assert!(started.elapsed().as_secs() < 10);
        // A few hundred bytes neither take long nor much memory before they are refused.
        let started = std::time::Instant::now();
        assert!((0..20).all(|_| Node::parse(&bomb).is_err()) && started.elapsed().as_secs() < 2);
        // What is dense but honest is read.
        for text in [format!("[{}]", vec!["a"; 500_000].join(",")), format!("&x [{}]", vec!["[]"; 200_000].join(","))] {
            assert!(Node::parse(&text).is_ok());
        }
        // A long text that is put in again and again counts with its length.
        let long = format!("a: &a '{}'\nb: [{}]\n", "x".repeat(1 << 20), ["*a"; 300].join(","));
        assert!(Node::parse(&long).is_err());
    }
}
