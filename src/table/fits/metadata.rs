//! A table's metadata in its header: the cards that describe neither the layout nor a column; and what other
//! programs make of such cards in other formats.

use super::cards;
use super::header::Header;
use std::collections::{BTreeMap, HashMap};

/// What TOPCAT and STILTS leave before the name of a long keyword.
const HIERARCH: &str = "HIERARCH ";

/// Keywords of the layout.
const LAYOUT: [&str; 20] = [
    "simple", "xtension", "bitpix", "naxis", "naxis1", "naxis2", "pcount", "gcount", "groups", "tfields", "theap", "extend",
    "checksum", "datasum", "longstrn", "extname", "ztable", "zimage", "end", "comment",
];
/// Starts of the keywords of columns, which end in a number.
const COLUMN: [&str; 16] = [
    "ttype", "tform", "tunit", "tucd", "tcomm", "tnull", "tscal", "tzero", "tdisp", "tdim", "tlmin", "tlmax", "tdmin", "tdmax",
    "tutyp", "tctyp",
];

/// Whether a name of metadata (in lower case) is that of a keyword with a meaning for the layout.
pub(super) fn is_reserved(name: &str) -> bool {
    let is_number = |rest: &str| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit());
    LAYOUT.contains(&name) || COLUMN.iter().any(|root| name.strip_prefix(root).is_some_and(is_number))
}

/// Names and values. FITS has capitals only, and programs differ in which names they make HIERARCH cards of:
/// all are in lower case.
pub(super) fn of_header(header: &Header) -> BTreeMap<String, String> {
    let names = header.entries().iter().map(|entry| (entry.keyword.to_ascii_lowercase(), &entry.value));
    let kept: HashMap<String, &String> = names.filter(|(name, _)| !is_reserved(name)).collect();
    kept.into_iter().map(|(name, value)| (name, value.clone())).collect()
}

/// The metadata of a copy of one of our files, as that file has them. TOPCAT and STILTS hand the cards of a
/// header on as parameters of a VOTable: in the spelling of FITS (`HIERARCH WAVELENGTHS`, `OPTIONS`), with
/// texts as the cards store them, and with those of the layout. Parameters in other spellings stay, and so do
/// all of a document that is no such copy.
pub(in crate::table) fn of_copy(parameters: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let is_ours = |(name, value): (&String, &String)| name.eq_ignore_ascii_case("program") && value.starts_with("photosphere");
    if !parameters.iter().any(|entry| entry.0.starts_with(HIERARCH) || is_ours(entry)) {
        return parameters;
    }
    let (cards, others): (BTreeMap<_, _>, BTreeMap<_, _>) =
        parameters.into_iter().partition(|(name, _)| !name.contains(|letter: char| letter.is_ascii_lowercase()));
    let mut metadata = others;
    for (name, value) in cards {
        let name = name.strip_prefix(HIERARCH).unwrap_or(&name).trim().to_ascii_lowercase();
        if !is_reserved(&name) {
            metadata.entry(name).or_insert_with(|| cards::decoded(value));
        }
    }
    metadata
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(parameters: &[(&str, &str)]) -> BTreeMap<String, String> {
        parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn parameters_of_copies_are_the_metadata_of_the_file() {
        let copy = of(&[
            ("HIERARCH WAVELENGTHS", "[392.0]"),
            ("HIERARCH EXTINCTION_LAW", "\"R_V \\u003d 3.1\""),
            ("OPTIONS", "\"\\\"chunk = 512\\\\n\\\"\""),
            ("PROGRAM", "photosphere 0.1.0"),
            ("CHECKSUM", "8c8e9Z5Z8b5b8Z5Z"),
            ("COMMENT", "--BEGIN-ASTROPY-SERIALIZED-COLUMNS--"),
            ("note", "\"of the user\""),
        ]);
        let expected = of(&[
            ("wavelengths", "[392.0]"),
            ("extinction_law", "R_V = 3.1"),
            ("options", "\"chunk = 512\\n\""),
            ("program", "photosphere 0.1.0"),
            ("note", "\"of the user\""),
        ]);
        assert_eq!(of_copy(copy), expected);
        let foreign = of(&[("RELEASE", "\"DR3\""), ("COMMENT", "of a service")]);
        assert_eq!(of_copy(foreign.clone()), foreign);
    }
}
