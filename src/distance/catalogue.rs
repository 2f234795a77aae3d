//! Estimates as a catalogue.

use super::flags;
use super::star::Estimate;
use crate::catalogue::flags::description;
use crate::error::Result;
use crate::statistics::Measured;
use crate::table::{Column, ColumnSchema, Table, Values};

/// The catalogue: one row per star, in the order of the stars. Distances in kpc.
///
/// # Errors
/// When there are not as many identifiers as estimates.
pub fn to_table(ids: &[i64], estimates: &[Estimate]) -> Result<Table> {
    let id = ColumnSchema::new("source_id", "", "identifier of the star").with_ucd("meta.id;meta.main");
    let mut table = Table::new(vec![Column::scalar(id, Values::Int64(ids.to_vec()))])?;
    let mut numbers = |name: &str, unit: &str, ucd: &str, text: &str, of: &dyn Fn(&Estimate) -> Option<f64>| {
        let values = estimates.iter().map(|estimate| of(estimate).unwrap_or(f64::NAN)).collect();
        table.push(Column::nullable(ColumnSchema::new(name, unit, text).with_ucd(ucd), values))
    };
    let distance = "pos.distance;pos.heliocentric";
    numbers("distance", "kpc", distance, "distance of the greatest density per kpc", &|star| Some(star.posterior?.mode))?;
    for (name, position, text) in [
        ("distance_low", 0, "15.87th percentile of the distance"),
        ("distance_median", 1, "50th percentile of the distance"),
        ("distance_high", 2, "84.13th percentile of the distance"),
    ] {
        numbers(name, "kpc", distance, text, &move |star| Some(star.posterior?.percentiles[position]))?;
    }
    numbers("distance_mean", "kpc", distance, "mean of the distance", &|star| Some(star.posterior?.mean))?;
    let mut pairs = |name: &str, unit: &str, ucd: &str, text: &str, of: &dyn Fn(&Estimate) -> Option<Measured>| {
        numbers(name, unit, ucd, text, &|star| Some(of(star)?.value))?;
        let (name, ucd) = (format!("{name}_error"), format!("stat.error;{ucd}"));
        numbers(&name, unit, &ucd, &format!("1-sigma error: {text}"), &|star| Some(of(star)?.error))
    };
    let log10 = "mean and standard deviation of log10 of the distance in kpc";
    pairs("log10_distance", "", distance, log10, &|star| Some(star.posterior?.log10))?;
    let combined = "log10 of the distance in kpc, of parallax and spectrum weighted by inverse variances, without a prior";
    pairs("combined_log10_distance", "", distance, combined, &|star| Some(star.combination?.log10))?;
    pairs("corrected_parallax", "mas", "pos.parallax", "parallax less its zero point", &|star| star.parallax)?;
    let spectroscopic = "parallax of magnitude and spectrum";
    pairs("spectroscopic_parallax", "mas", "pos.parallax", spectroscopic, &|star| star.spectroscopic_parallax)?;
    let predicted = "predicted absolute magnitude, on the scale and with the errors of the error model";
    pairs("absolute_magnitude", "mag", "phys.magAbs", predicted, &|star| star.absolute_magnitude)?;
    let geometric = "absolute magnitude of apparent magnitude and parallax";
    pairs("geometric_absolute_magnitude", "mag", "phys.magAbs", geometric, &|star| star.geometric_magnitude)?;
    let zero_point = "what was subtracted from the parallax";
    numbers("parallax_zero_point", "mas", "pos.parallax;arith.zp", zero_point, &|star| Some(star.zero_point))?;
    let excess = "spectroscopic less measured parallax, in its errors";
    numbers("parallax_excess", "", "stat.snr;pos.parallax", excess, &|star| star.parallax_excess)?;
    let probability = "probability to be a binary of about equal stars";
    numbers("binary_probability", "", "stat.probability", probability, &|star| star.binary_probability)?;
    for (axis, name) in ["galactocentric_x", "galactocentric_y", "galactocentric_z"].into_iter().enumerate() {
        let text = "Galactocentric position at the distance (astropy's defaults v4.0: the Sun at 8.122 kpc and 20.8 pc)";
        numbers(name, "kpc", "pos.cartesian;pos.galactocentric", text, &move |star| Some(star.galactocentric?[axis]))?;
    }
    let schema = ColumnSchema::new("is_binary", "", "whether the star is taken for an unresolved binary (null: not known)");
    table.push(Column {
        values: Values::Bool(estimates.iter().map(|estimate| estimate.is_binary == Some(true)).collect()),
        valid: Some(estimates.iter().map(|estimate| estimate.is_binary.is_some()).collect()),
        ..Column::scalar(schema.with_ucd("meta.code.multip"), Values::Bool(Vec::new()))
    })?;
    let schema = ColumnSchema::new("quality_flags", "", description(&flags::FLAGS)).with_ucd("meta.code.qual");
    let bits = estimates.iter().map(|estimate| estimate.flags).collect();
    table.push(Column::scalar(schema, Values::Int32(bits)))?;
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distance::simulated::stars_at;
    use crate::distance::{DistanceEstimator, DistanceOptions, Star};

    #[test]
    fn a_row_is_a_star_and_what_is_not_known_is_null() {
        let mut estimator = DistanceEstimator::new(DistanceOptions::default()).unwrap();
        let estimates = [stars_at(&[1.0], 0.2, 1)[0], Star::MISSING].map(|star| estimator.estimate(&star));
        let table = to_table(&[3, 4], &estimates).unwrap();
        let known: Vec<bool> = (0..2).map(|row| table.column("distance").unwrap().is_valid(row)).collect();
        assert_eq!(known, [true, false]);
        for column in table.columns().iter().filter(|column| !["source_id", "quality_flags"].contains(&&*column.schema.name)) {
            assert!(!column.is_valid(1), "{}", column.schema.name);
            assert!(column.is_valid(0), "{}", column.schema.name);
            assert!(!column.schema.description.is_empty());
        }
        let of = |name: &str| table.column(name).unwrap().to_f64().unwrap()[0];
        assert!(of("distance_low") < of("distance_median") && of("distance_median") < of("distance_high"));
    }
}
