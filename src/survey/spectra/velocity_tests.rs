//! Velocities of joined tables: what is missing, what cannot be used, and in which unit.

use super::ObservedSpectrum;
use super::recipe::{VelocityOptions, VelocitySource};
use super::star::Velocity;
use super::velocity::Velocities;
use crate::error::Result;
use crate::survey::prepare::{Duplicates, JoinedSource, TableSource, Used};
use crate::table::{self, Column, ColumnSchema, Table, Values};
use std::collections::BTreeMap;

fn column(name: &str, unit: &str, values: &[f64]) -> Column {
    Column::nullable(ColumnSchema::new(name, unit, ""), values.to_vec())
}

fn spectrum() -> ObservedSpectrum {
    ObservedSpectrum {
        id: None,
        place: String::new(),
        segments: Vec::new(),
        medium: None,
        flux_unit: String::new(),
        velocity: Some(7.0),
        facts: BTreeMap::new(),
        notes: 0,
        fault: None,
        n_following: 0,
    }
}

/// The velocities of the stars 1 to 9 by tables with these columns, whose rows are the stars from 1 on.
fn velocities(tables: &[&[Column]], change: impl Fn(&mut VelocityOptions)) -> Result<Vec<Velocity>> {
    let folder = tempfile::tempdir().unwrap();
    let source = |(number, columns): (usize, &&[Column])| {
        let ids = (1..).take(columns[0].n_rows()).collect();
        let id = Column::scalar(ColumnSchema::new("source_id", "", ""), Values::Int64(ids));
        let path = folder.path().join(format!("{number}.parquet"));
        table::write(&Table::new([id].into_iter().chain(columns.iter().cloned()).collect()).unwrap(), &path, true).unwrap();
        TableSource::of_file(path)
    };
    let sources: Vec<TableSource> = tables.iter().enumerate().map(source).collect();
    let joined = JoinedSource::read_all(&sources, &Used::default(), Duplicates::Error)?;
    let mut options = VelocityOptions { source: VelocitySource::Column, column: Some("v".into()), ..Default::default() };
    change(&mut options);
    let velocities = Velocities::new(&options, &joined)?;
    Ok((1..10).map(|id| velocities.of(id, &spectrum())).collect())
}

use Velocity::{Known, Missing, Unusable};

#[test]
fn stars_without_a_row_have_no_velocity_and_warnings_make_one_unusable() {
    let nan = f64::NAN;
    let v = column("v", "km/s", &[10.0, 20.0, nan, nan, 40.0, 5e4, -9999.0]);
    let warning = column("warning", "", &[0.0, 4.0, 0.0, 32.0, nan, 0.0, 0.0]);
    let warn = |options: &mut VelocityOptions| options.warning = Some("warning".into());
    let expected = [Known(10.0), Unusable, Missing, Unusable, Unusable, Unusable, Unusable, Missing, Missing];
    assert_eq!(velocities(&[&[v.clone(), warning.clone()]], warn).unwrap(), expected);
    // Warnings of another table, which has fewer stars.
    let few = column("warning", "", &[0.0, 4.0]);
    let expected = [Known(10.0), Unusable, Missing, Missing, Unusable, Unusable, Unusable, Missing, Missing];
    assert_eq!(velocities(&[std::slice::from_ref(&v), &[few]], warn).unwrap(), expected);
    let message = velocities(&[&[v]], warn).unwrap_err().to_string();
    assert!(
        message.contains("spectra.velocity") && message.contains("'warning'") && message.contains("(there are: source_id, v)")
    );
}

#[test]
fn velocities_and_errors_are_converted_each_by_its_own_unit() {
    let limited = |options: &mut VelocityOptions| {
        (options.error, options.largest_error) = (Some("e".into()), Some(20.0));
    };
    let found = |v: Column, e: Column| velocities(&[&[v, e]], limited).unwrap()[..3].to_vec();
    let v = column("v", "km/s", &[10.0, 20.0, 30.0]);
    let expected = [Known(10.0), Unusable, Unusable];
    // 5 and 50 km/s, and nothing.
    assert_eq!(found(v.clone(), column("e", "m/s", &[5e3, 5e4, f64::NAN])), expected);
    assert_eq!(found(v.clone(), column("e", "km.s**-1", &[5.0, 50.0, -1.0])), expected);
    assert_eq!(found(v.clone(), column("e", "", &[5.0, 50.0, 0.0])), expected);
    assert_eq!(found(column("v", "m/s", &[1e4, 2e4, 3e4]), column("e", "", &[5e3, 5e4, -9999.0])), expected, "as the velocities");
    // Redshifts and theirs.
    let c = 299_792.458;
    let redshift = |unit: &str, errors: [f64; 3]| {
        let change = |options: &mut VelocityOptions| {
            limited(options);
            options.redshift = true;
        };
        let z = column("v", unit, &[1e-4, 1e-4, 0.1]);
        velocities(&[&[z, column("e", if errors[0] > 1.0 { "km/s" } else { "" }, &errors)]], change)
    };
    for errors in [[1e-5, 1e-3, 1e-5], [3.0, 300.0, 3.0]] {
        assert_eq!(redshift("", errors).unwrap()[..3], [Known(1e-4 * c), Unusable, Unusable], "0.1 c is no star's");
    }
    let message = redshift("km/s", [1e-5; 3]).unwrap_err().to_string();
    assert!(message.contains("column 'v': found the unit 'km/s'"), "{message}");
    let message = velocities(&[&[column("v", "mas", &[1.0])]], |_| ()).unwrap_err().to_string();
    assert!(message.contains("spectra.velocity") && message.contains("'mas'") && message.contains("km/s"), "{message}");
}

#[test]
fn files_have_their_own() {
    assert_eq!(
        velocities(&[], |options| (options.source, options.column) = (VelocitySource::File, None)).unwrap(),
        [Known(7.0); 9]
    );
}
