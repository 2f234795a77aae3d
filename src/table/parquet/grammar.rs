//! The structs of a Parquet file's footer and page headers, with the types of their fields (parquet.thrift of
//! apache/parquet-format 2.12, and what the decoder knows beyond).
//!
//! The decoder reads a field that it knows as the type that it should have, and passes over one that it does
//! not know by the type that is written. Where a known field is written with another type, it goes on from
//! the middle of a value, and may take anything for a list of two thousand million booleans. What follows the
//! grammar here, the decoder reads in the same steps.

use super::thrift::{BINARY, Compact, FALSE, LIST, STRUCT, TRUE};

/// What a field or an element of a list is.
pub(super) enum Shape {
    Boolean,
    Byte,
    /// Of 16, 32 or 64 bits, which are written alike.
    Integer,
    Double,
    Binary,
    List(&'static Shape),
    /// Fields by number; others may stand beside them.
    Struct(&'static [(i64, Shape)]),
}

use Shape::{Binary, Boolean, Byte, Double, Integer, List, Struct};

const EMPTY: Shape = Struct(&[]);
const TIME_UNIT: Shape = Struct(&[(1, EMPTY), (2, EMPTY), (3, EMPTY)]);
const TIME: Shape = Struct(&[(1, Boolean), (2, TIME_UNIT)]);
const LOGICAL_TYPE: Shape = Struct(&[
    (1, EMPTY),
    (2, EMPTY),
    (3, EMPTY),
    (4, EMPTY),
    (5, Struct(&[(1, Integer), (2, Integer)])),
    (6, EMPTY),
    (7, TIME),
    (8, TIME),
    (10, Struct(&[(1, Byte), (2, Boolean)])),
    (11, EMPTY),
    (12, EMPTY),
    (13, EMPTY),
    (14, EMPTY),
    (15, EMPTY),
    (16, Struct(&[(1, Byte)])),
    (17, Struct(&[(1, Binary)])),
    (18, Struct(&[(1, Binary), (2, Integer)])),
]);
const SCHEMA_ELEMENT: Shape = Struct(&[
    (1, Integer),
    (2, Integer),
    (3, Integer),
    (4, Binary),
    (5, Integer),
    (6, Integer),
    (7, Integer),
    (8, Integer),
    (9, Integer),
    (10, LOGICAL_TYPE),
]);
const KEY_VALUE: Shape = Struct(&[(1, Binary), (2, Binary)]);
const STATISTICS: Shape = Struct(&[
    (1, Binary),
    (2, Binary),
    (3, Integer),
    (4, Integer),
    (5, Binary),
    (6, Binary),
    (7, Boolean),
    (8, Boolean),
    (9, Integer),
]);
const BOX: Shape =
    Struct(&[(1, Double), (2, Double), (3, Double), (4, Double), (5, Double), (6, Double), (7, Double), (8, Double)]);
const COLUMN_METADATA: Shape = Struct(&[
    (1, Integer),
    (2, List(&Integer)),
    (3, List(&Binary)),
    (4, Integer),
    (5, Integer),
    (6, Integer),
    (7, Integer),
    (8, List(&KEY_VALUE)),
    (9, Integer),
    (10, Integer),
    (11, Integer),
    (12, STATISTICS),
    (13, List(&Struct(&[(1, Integer), (2, Integer), (3, Integer)]))),
    (14, Integer),
    (15, Integer),
    (16, Struct(&[(1, Integer), (2, List(&Integer)), (3, List(&Integer))])),
    (17, Struct(&[(1, BOX), (2, List(&Integer))])),
]);
const COLUMN_CHUNK: Shape = Struct(&[
    (1, Binary),
    (2, Integer),
    (3, COLUMN_METADATA),
    (4, Integer),
    (5, Integer),
    (6, Integer),
    (7, Integer),
    (8, EMPTY),
    (9, Binary),
]);
const ROW_GROUP: Shape = Struct(&[
    (1, List(&COLUMN_CHUNK)),
    (2, Integer),
    (3, Integer),
    (4, List(&Struct(&[(1, Integer), (2, Boolean), (3, Boolean)]))),
    (5, Integer),
    (6, Integer),
    (7, Integer),
]);
/// A footer.
pub(super) const FILE_METADATA: Shape = Struct(&[
    (1, Integer),
    (2, List(&SCHEMA_ELEMENT)),
    (3, Integer),
    (4, List(&ROW_GROUP)),
    (5, List(&KEY_VALUE)),
    (6, Binary),
    (7, List(&Struct(&[(1, EMPTY), (2, EMPTY)]))),
    (8, EMPTY),
    (9, Binary),
]);
/// The header of a page.
pub(super) const PAGE_HEADER: Shape = Struct(&[
    (1, Integer),
    (2, Integer),
    (3, Integer),
    (4, Integer),
    (5, Struct(&[(1, Integer), (2, Integer), (3, Integer), (4, Integer), (5, STATISTICS)])),
    (6, EMPTY),
    (7, Struct(&[(1, Integer), (2, Integer), (3, Boolean)])),
    (
        8,
        Struct(&[
            (1, Integer),
            (2, Integer),
            (3, Integer),
            (4, Integer),
            (5, Integer),
            (6, Integer),
            (7, Boolean),
            (8, STATISTICS),
        ]),
    ),
]);

/// Passes over a value of a written kind; `None` where it is no value of the shape, or ends too early.
pub(super) fn follow(compact: &mut Compact, shape: &Shape, kind: u8) -> Option<()> {
    match (shape, kind) {
        // The type of a field is its value; lists of booleans are not in the grammar.
        (Boolean, TRUE | FALSE) => Some(()),
        (Byte, 3) | (Integer, 4..=6) | (Double, 7) | (Binary, BINARY) => compact.skip(kind),
        (List(element), LIST) => {
            let (n, kind) = compact.list()?;
            (0..n).try_for_each(|_| follow(compact, element, kind))
        }
        (Struct(fields), STRUCT) => {
            let mut last = 0;
            while let Some((number, kind)) = compact.field(last)? {
                match fields.iter().find(|(known, _)| *known == number) {
                    Some((_, shape)) => follow(compact, shape, kind)?,
                    None => compact.skip(kind)?,
                }
                last = number;
            }
            Some(())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::thrift::PageHeader;
    use super::*;

    fn follows(bytes: &[u8], shape: &Shape) -> bool {
        follow(&mut Compact::new(bytes), shape, STRUCT).is_some()
    }

    #[test]
    fn known_fields_have_their_types_and_unknown_ones_any() {
        // KeyValue { 1: "k", 2: "v" }, and a field 5 of an integer.
        assert!(follows(&[0x18, 1, b'k', 0x18, 1, b'v', 0x35, 2, 0], &KEY_VALUE));
        // The value as an integer.
        assert!(!follows(&[0x18, 1, b'k', 0x15, 2, 0], &KEY_VALUE));
        // Numbers that are these again when they are cut to 16 bits: 65 538 as 2.
        assert!(!follows(&[0x18, 1, b'k', 0x05, 0x84, 0x80, 0x08, 2, 0], &KEY_VALUE));
        // An integer where statistics are declared: the decoder would take its bytes for the fields of a
        // struct.
        assert!(follows(&[0x7c, 0x36, 2, 0, 0], &STATISTICS_OF_A_COLUMN));
        assert!(!follows(&[0x76, 2, 0], &STATISTICS_OF_A_COLUMN));
    }

    const STATISTICS_OF_A_COLUMN: Shape = Struct(&[(7, STATISTICS)]);

    #[test]
    fn headers_of_pages_with_fields_of_other_types_are_none() {
        let header = [0x15, 0, 0x15, 20, 0x15, 20, 0x2c, 0x15, 2, 0x15, 0, 0x15, 6, 0x15, 6, 0, 0];
        assert!(PageHeader::parse(&header).is_some());
        // The sum of the page as a list of booleans, none of which has a byte.
        let mut other = header[..6].to_vec();
        other.extend([0x19, 0xf1, 0xff, 0xff, 0xff, 0xff, 7, 0]);
        assert_eq!(PageHeader::parse(&other), None);
        // Statistics of a page as text.
        let mut other = header[..15].to_vec();
        other.extend([0x18, 1, 7, 0, 0]);
        assert_eq!(PageHeader::parse(&other), None);
    }
}
