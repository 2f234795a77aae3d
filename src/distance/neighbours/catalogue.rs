//! Columns beside those of a catalogue of distances.

use super::estimate::NeighbourEstimate;
use super::flags::FLAGS;
use crate::catalogue::flags::description;
use crate::distance::Estimate;
use crate::error::Result;
use crate::statistics::Measured;
use crate::table::{Column, ColumnSchema, Table, Values};

/// Appends the columns of estimates by neighbours, in the order of the table's rows. A column of the same
/// name that is there already is not replaced.
///
/// # Errors
/// When there are not as many estimates as rows.
pub fn push_columns(table: &mut Table, found: &[NeighbourEstimate], distances: &[Estimate]) -> Result<()> {
    let mut pairs = |name: &str, unit: &str, ucd: &str, text: &str, of: &dyn Fn(usize) -> Option<Measured>| {
        for (name, ucd, text, part) in [
            (name.to_owned(), ucd.to_owned(), text.to_owned(), 0),
            (format!("{name}_error"), format!("stat.error;{ucd}"), format!("1-sigma error: {text}"), 1),
        ] {
            let number = |row| of(row).map_or(f64::NAN, |found: Measured| [found.value, found.error][part]);
            let values = (0..found.len()).map(number).collect();
            table.push(Column::nullable(ColumnSchema::new(name, unit, text).with_ucd(ucd), values))?;
        }
        Ok(())
    };
    let text = "reddening E(B-V) by star pairs: colours less those of stars with like labels";
    pairs("reddening", "mag", "phys.absorption.gal", text, &|row| Some(found[row].reddening.as_ref()?.reddening))?;
    let text = "extinction in the band of the absolute magnitude, of the reddening";
    pairs("extinction", "mag", "phys.absorption.gal", text, &|row| found[row].extinction)?;
    let text = "log10 of the distance in kpc of magnitude, absolute magnitude and extinction: (m - M - A - 10)/5";
    pairs("spectroscopic_log10_distance", "", "pos.distance;pos.heliocentric", text, &|row| {
        let parallax = distances.get(row)?.spectroscopic_parallax?;
        let error = std::f64::consts::LOG10_E * parallax.error / parallax.value;
        Some(Measured { value: -parallax.value.log10(), error })
    })?;
    let mut numbers = |name: &str, ucd: &str, text: &str, of: &dyn Fn(&NeighbourEstimate) -> Option<f64>| {
        let values = found.iter().map(|found| of(found).unwrap_or(f64::NAN)).collect();
        table.push(Column::nullable(ColumnSchema::new(name, "", text).with_ucd(ucd), values))
    };
    let text = "chi2 of the colours about their intrinsic values and the reddening";
    numbers("reddening_chi2", "stat.fit.chi2", text, &|found| Some(found.reddening.as_ref()?.chi_square))?;
    let text = "distance of the nearest control, in the scales of the labels";
    numbers("nearest_control", "stat.value", text, &|found| Some(found.reddening.as_ref()?.nearest))?;
    let mut counts = |name: &str, ucd: &str, text: &str, of: &dyn Fn(&NeighbourEstimate) -> Option<usize>| {
        let counts: Vec<Option<usize>> = found.iter().map(of).collect();
        let values = counts.iter().map(|count| count.map_or(0, |count| i32::try_from(count).unwrap_or(i32::MAX))).collect();
        table.push(Column {
            valid: Some(counts.iter().map(Option::is_some).collect()),
            ..Column::scalar(ColumnSchema::new(name, "", text).with_ucd(ucd), Values::Int32(values))
        })
    };
    let text = "degrees of freedom of reddening_chi2: colours less one";
    counts("reddening_n_dof", "stat.fit.dof", text, &|found| Some(found.reddening.as_ref()?.n_dof))?;
    let text = "controls whose colours the reddening follows from";
    counts("reddening_controls", "meta.number", text, &|found| Some(found.reddening.as_ref()?.n_controls))?;
    let text = "controls whose parallaxes the absolute magnitude follows from";
    counts("magnitude_controls", "meta.number", text, &|found| Some(found.absolute_magnitude.as_ref()?.n_controls))?;
    let schema = ColumnSchema::new("neighbour_flags", "", description(&FLAGS)).with_ucd("meta.code.qual");
    table.push(Column::scalar(schema, Values::Int32(found.iter().map(|found| found.flags).collect())))
}
