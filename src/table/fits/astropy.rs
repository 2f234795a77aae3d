//! The block of COMMENT cards in which astropy keeps what it finds no FITS keyword for: descriptions, and
//! UCDs as column metadata.

use super::cards::ascii_json;
use crate::error::Result;
use crate::table::csv::header;
use crate::table::{ColumnSchema, Table};

const BEGIN: &str = "--BEGIN-ASTROPY-SERIALIZED-COLUMNS--";
const END: &str = "--END-ASTROPY-SERIALIZED-COLUMNS--";
/// Characters of YAML a card holds; a backslash after them says that the line goes on.
const WIDTH: usize = 70;

/// The block for all columns with a description or UCD; none if there are none.
pub(super) fn cards(table: &Table) -> Vec<String> {
    let described = |schema: &ColumnSchema| !schema.description.is_empty() || !schema.ucd.is_empty();
    let columns: Vec<_> = table.columns().iter().filter(|column| described(&column.schema)).collect();
    if columns.is_empty() {
        return Vec::new();
    }
    let mut lines = vec!["datatype:".to_owned()];
    lines.extend(columns.into_iter().map(|column| format!("- {}", ascii_json(header::column_entry(column)))));
    lines.extend(["meta:".to_owned(), "  __serialized_columns__: {}".into()]);
    let mut cards = vec![format!("COMMENT {BEGIN}")];
    for line in &lines {
        let pieces: Vec<&[u8]> = line.as_bytes().chunks(WIDTH).collect();
        for (i, piece) in pieces.iter().enumerate() {
            let more = if i + 1 < pieces.len() { "\\" } else { "" };
            cards.push(format!("COMMENT {}{more}", String::from_utf8_lossy(piece)));
        }
    }
    cards.push(format!("COMMENT {END}"));
    cards
}

/// What the block among the COMMENT cards of a header says of its columns; nothing if there is no block.
///
/// # Errors
/// When the block cannot be understood: it may say what is masked.
pub(super) fn parse(comments: impl Iterator<Item = String>) -> Result<Vec<ColumnSchema>> {
    let mut block = comments.skip_while(|comment| comment != BEGIN).skip(1).take_while(|comment| comment != END).peekable();
    if block.peek().is_none() {
        return Ok(Vec::new());
    }
    let mut yaml = String::from("%ECSV\n");
    for line in block {
        match line.strip_suffix('\\').filter(|line| line.len() == WIDTH) {
            Some(piece) => yaml.push_str(piece),
            None => yaml.extend([line.as_str(), "\n"]),
        }
    }
    let header = header::parse(&yaml).map_err(|error| {
        error
            .within("astropy's block of COMMENT cards")
            .or_remedy("Write the table again with astropy, or remove the block between the two marks.")
    })?;
    Ok(header.columns.into_iter().map(|(schema, _)| schema).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::sample::sample_table;

    #[test]
    fn descriptions_come_back() {
        let cards = cards(&sample_table());
        assert!(cards.iter().all(|card| card.len() <= 80 && card.is_ascii()));
        let comments = cards.iter().filter_map(|card| card.strip_prefix("COMMENT ")).map(str::to_owned);
        let described = parse(comments).unwrap();
        assert_eq!(described[0], sample_table().columns()[0].schema);
        assert_eq!(described[1], sample_table().columns()[1].schema);
        assert_eq!(parse(["none".to_owned()].into_iter()).unwrap(), []);
    }
}
