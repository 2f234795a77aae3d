//! A table's metadata in its header: the cards that describe neither the layout nor a column.

use super::header::Header;
use std::collections::{BTreeMap, HashMap};

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
