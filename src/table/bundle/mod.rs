//! Zip archives with a table for every source, as the Gaia archive's DataLink gives them (`XP_CONTINUOUS-Gaia
//! DR3 5853498713190525696.csv`). Read only: the rows of all members, in the order of their names.
//!
//! Every member has its format by its name. Nothing is written under a name that the archive says: members go
//! one by one through one temporary file. `bundle.zip[XP_CONTINUOUS]` takes only the members in whose names
//! that text stands.

mod members;

use super::alike;
use super::read::{read as read_table, read_columns, read_schema};
use super::{Column, ColumnSchema, Location, Table, Values};
use crate::error::{Error, Result};
use members::{Archive, Member};
use std::path::Path;

/// The column that a member may lack if its name says the source.
const IDENTIFIER: &str = "source_id";
/// Digits of Gaia's identifiers.
const DIGITS: std::ops::RangeInclusive<usize> = 8..=19;

/// The descriptions of the columns of the first member.
pub(super) fn schema(location: &Location) -> Result<Vec<ColumnSchema>> {
    let mut archive = Archive::open(location)?;
    let member = archive.members.first().cloned();
    let Some(member) = member else { return Ok(Vec::new()) };
    let file = archive.extract(&member)?;
    let table = table(&archive, &member, &file, None)?;
    Ok(table.columns().iter().map(|column| column.schema.clone()).collect())
}

/// Reads all members as one table.
///
/// # Errors
/// When the archive or a member cannot be read, or the members' columns, or their units, differ.
pub(super) fn read(location: &Location, names: Option<&[&str]>) -> Result<Table> {
    let mut archive = Archive::open(location)?;
    let mut joined: Option<(Table, Member)> = None;
    for member in archive.members.clone() {
        let file = archive.extract(&member)?;
        let table = table(&archive, &member, &file, names)?;
        match &mut joined {
            None => joined = Some((table, member)),
            Some((whole, first)) => alike::append(whole, table).map_err(|difference| {
                Error::data(format!("{}, member '{}'", archive.path.display(), member.name))
                    .found(difference.found)
                    .expected(format!("{}, as in member '{}'", difference.expected, first.name))
                    .remedy(format!(
                        "Read tables of one kind, by a part of their names: {}[{}].",
                        archive.path.display(),
                        member.name.split(['-', '.', '/']).next().unwrap_or_default()
                    ))
            })?,
        }
    }
    Ok(joined.map(|(table, _)| table).unwrap_or_default())
}

/// The table of a member, with the identifier from the member's name where the table has none.
fn table(archive: &Archive, member: &Member, file: &Path, names: Option<&[&str]>) -> Result<Table> {
    let place = format!("{}, member '{}'", archive.path.display(), member.name);
    let renamed = |error: Error| error.renamed(file, &place);
    let has_identifier = || -> Result<bool> { Ok(read_schema(file)?.iter().any(|schema| schema.name == IDENTIFIER)) };
    let mut table = match names {
        None => read_table(file),
        Some(names) if names.contains(&IDENTIFIER) && !has_identifier().map_err(renamed)? => {
            let others: Vec<&str> = names.iter().copied().filter(|name| *name != IDENTIFIER).collect();
            read_columns(file, &others)
        }
        Some(names) => read_columns(file, names),
    }
    .map_err(renamed)?;
    let wants_identifier = names.is_none_or(|names| names.contains(&IDENTIFIER));
    if wants_identifier && table.get(IDENTIFIER).is_none() {
        match identifier(&member.name) {
            Some(identifier) => table.columns.insert(0, identifiers(identifier, table.n_rows)),
            None if names.is_some() => {
                return Err(Error::data(place)
                    .found(format!("neither a column '{IDENTIFIER}' nor an identifier at the end of the member's name"))
                    .expected("either")
                    .remedy("Add the column, or name the member as the Gaia archive does, '… Gaia DR3 <identifier>.csv'."));
            }
            None => {}
        }
    }
    if let Some(names) = names {
        table.columns.sort_by_key(|column| names.iter().position(|name| *name == column.schema.name));
    }
    let from = file.display().to_string();
    for odd in table.columns.iter_mut().filter_map(|column| column.schema.odd_cell.as_mut()) {
        odd.place = odd.place.replace(&from, &place);
    }
    for unheld in table.columns.iter_mut().filter_map(|column| column.schema.unheld.as_mut()) {
        unheld.place = unheld.place.replace(&from, &place);
    }
    Ok(table)
}

fn identifiers(identifier: i64, n_rows: usize) -> Column {
    let schema =
        ColumnSchema::new(IDENTIFIER, "", "Gaia's identifier, from the name of the member").with_ucd("meta.id;meta.main");
    Column::scalar(schema, Values::Int64(vec![identifier; n_rows]))
}

/// The identifier at the end of a name like `XP_SAMPLED-Gaia DR3 5853498713190525696.csv`: only digits that
/// follow the release are one.
fn identifier(name: &str) -> Option<i64> {
    let file = name.rsplit('/').next()?;
    let stem = file.split('.').next()?;
    let (before, digits) = stem.rsplit_once([' ', '_'])?;
    let release = before.rsplit([' ', '_', '-']).next()?;
    let is_release = release
        .strip_prefix("DR")
        .or_else(|| release.strip_prefix("EDR"))
        .is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()));
    let is_number = DIGITS.contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_release && is_number && before.contains("Gaia") { digits.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{read_chunks, read_columns, write};
    use std::io::Write;
    use zip::write::SimpleFileOptions;

    fn bundle(members: &[(&str, &[u8])]) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("datalink.zip");
        let mut writer = zip::ZipWriter::new(std::fs::File::create(&path).unwrap());
        for (name, content) in members {
            writer.start_file(*name, SimpleFileOptions::default()).unwrap();
            writer.write_all(content).unwrap();
        }
        writer.finish().unwrap();
        (folder, path)
    }

    fn failing(members: &[(&str, &[u8])]) -> String {
        read_table(&bundle(members).1).unwrap_err().to_string()
    }

    /// A table as the bytes of a file of that name.
    fn file(table: &Table, name: &str) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        write(table, &folder.path().join(name), false).unwrap();
        std::fs::read(folder.path().join(name)).unwrap()
    }

    #[test]
    fn members_in_the_order_of_their_names() {
        let (_folder, path) = bundle(&[
            ("b/XP_CONTINUOUS-Gaia DR3 20.csv", b"source_id,n,f\n20,,\"[1.5,2]\"\n"),
            ("a.csv", b"n,source_id,f\n55,10,\"[1]\"\n54,11,\n"),
            ("c.csv", b"source_id,n,f\n30,1.5,null\n"),
            ("readme.txt", b"text"),
            ("__MACOSX/._a.csv", b"\x00"),
        ]);
        let table = read_table(&path).unwrap();
        assert_eq!(table.column("source_id").unwrap().to_i64().unwrap(), [10, 11, 20, 30]);
        let n = table.column("n").unwrap();
        assert_eq!((n.is_valid(2), n.to_f64().unwrap()[3]), (false, 1.5), "integers, nothing, and floats are floats");
        assert_eq!(table.column("f").unwrap().range(2).len(), 2);
        assert_eq!(read_chunks(&path, 3).unwrap().map(|chunk| chunk.unwrap().n_rows()).collect::<Vec<_>>(), [3, 1]);
        let names: Vec<String> =
            read_columns(&path, &["f", "n"]).unwrap().columns().iter().map(|c| c.schema.name.clone()).collect();
        assert_eq!(names, ["f", "n"]);
        assert_eq!(crate::table::read_schema(&path).unwrap().len(), 3);
        assert!(crate::warning::said().iter().any(|text| text.contains("datalink.zip") && text.contains("readme.txt")));
        let chosen = format!("{}[XP_CONTINUOUS]", path.display());
        assert_eq!(read_table(Path::new(&chosen)).unwrap().n_rows(), 1);
        let error = read_table(Path::new(&format!("{}[RVS]", path.display()))).unwrap_err().to_string();
        assert!(error.contains("a.csv") && error.contains("RVS"), "{error}");
    }

    #[test]
    fn every_format_can_be_a_member() {
        let table = crate::table::sample::sample_table();
        let n_rows = table.n_rows();
        for name in ["a.fits", "a.ecsv", "a.parquet", "a.ecsv.gz"] {
            let content = file(&table, name);
            let (_folder, path) = bundle(&[(name, &content), (&format!("b/{name}"), &content)]);
            let read = read_table(&path).unwrap();
            assert_eq!(read.n_rows(), 2 * n_rows, "{name}");
            assert!(read.slice(n_rows..2 * n_rows).columns().iter().zip(table.columns()).all(|(a, b)| a.same_as(b)), "{name}");
        }
    }

    #[test]
    fn identifiers_from_names() {
        assert_eq!(identifier("x/XP_SAMPLED-Gaia DR3 5853498713190525696.csv"), Some(5_853_498_713_190_525_696));
        assert_eq!(identifier("MEAN_SPECTRUM_XP-Gaia_DR4_5853498713190525696.csv.gz"), Some(5_853_498_713_190_525_696));
        for name in ["XP-Gaia DR3.csv", "XP 5853498713190525696.csv", "Gaia DR3 20.csv", "Gaia DRx 5853498713190525696.csv"] {
            assert_eq!(identifier(name), None, "{name}");
        }
        let spectrum = b"wavelength,flux\n336,1\n338,2\n";
        let (_folder, path) = bundle(&[("XP_SAMPLED-Gaia DR3 5853498713190525696.csv", spectrum)]);
        let table = read_columns(&path, &["flux", "source_id"]).unwrap();
        assert_eq!(table.columns()[1].to_i64().unwrap(), [5_853_498_713_190_525_696; 2]);
        let (_folder, path) = bundle(&[("spectrum.csv", spectrum)]);
        let error = read_columns(&path, &["source_id"]).unwrap_err().to_string();
        assert!(error.contains("datalink.zip, member 'spectrum.csv': found neither a column"), "{error}");
        assert_eq!(read_table(&path).unwrap().columns().len(), 2);
    }

    #[test]
    fn differences_name_both_members() {
        let error = failing(&[("a.csv", b"source_id,x\n1,2\n"), ("b.csv", b"source_id,y\n1,2\n")]);
        assert!(
            error.contains("member 'b.csv': found the columns source_id, y, expected source_id, x, as in member 'a.csv'"),
            "{error}"
        );
        let error = failing(&[("a.csv", b"x\n1\n"), ("b.csv", b"x\nbright\n")]);
        assert!(error.contains("column 'x' with text") && error.contains("64-bit integer, as in member 'a.csv'"), "{error}");
        let ecsv =
            |unit: &str| format!("# %ECSV 1.0\n# ---\n# datatype:\n# - {{name: x, datatype: float64, unit: {unit}}}\nx\n1.0\n");
        let error = failing(&[("a.ecsv", ecsv("mas").as_bytes()), ("b.ecsv", ecsv("uas").as_bytes())]);
        assert!(error.contains("column 'x' in 'uas', expected 'mas', as in member 'a.ecsv'"), "{error}");
    }

    #[test]
    fn places_of_errors_are_members() {
        let error = failing(&[("a.csv", b"x,y\n1\n")]);
        assert!(error.contains("datalink.zip, member 'a.csv', line 2: found 1 cells"), "{error}");
        let (_folder, path) = bundle(&[("a.csv", b"x\n1\nNA\n")]);
        let error = read_table(&path).unwrap().column("x").unwrap().to_f64().unwrap_err().to_string();
        assert!(error.contains("datalink.zip, member 'a.csv', line 3, column 'x': found 'NA'"), "{error}");
    }

    #[test]
    fn damaged_and_hostile_archives() {
        assert!(failing(&[]).contains("no tables"));
        assert!(failing(&[("a.txt", b"")]).contains("no tables"));
        let (_folder, path) = bundle(&[("../../a.csv", b"x\n1\n"), ("inner.zip", b"PK\x03\x04")]);
        assert_eq!(read_table(&path).unwrap().n_rows(), 1, "a name is no place to write to");
        let zeros = vec![b'\n'; 300 << 20];
        let error = failing(&[("a.csv", &zeros)]);
        assert!(error.contains("datalink.zip") && error.contains("--max-expansion"), "{error}");
        let (_folder, path) = bundle(&[("a.csv", b"x\n1\n")]);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 30]).unwrap();
        assert!(read_table(&path).unwrap_err().to_string().contains("datalink.zip"));
    }
}
