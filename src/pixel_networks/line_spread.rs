//! Whether spectra have the line spread of a model: lines that are broader or narrower than those that it was
//! trained with move labels by several of their errors, and χ² of faint stars does not show it.

use crate::observations::Observations;
use crate::quantity::in_unit;
use crate::spectrum::FWHM_OF_SIGMA;
use crate::statistics::median;
use crate::table::Shape;
use crate::unit;
use crate::warning::warn_once;

/// Column of the standard deviations of the line spread, `[W]` a star, as `prepare` writes it.
const COLUMN: &str = "line_spread";
/// Part by which resolutions may differ: v_mic and [Fe/H] of a spectrum of S/N 100 are off by an error then.
const TOLERANCE: f64 = 0.03;

/// Resolving powers λ/FWHM of the spectra, the medians of their pixels: NaN of a star without a line spread,
/// `None` where the observations have none, or a column of that name that is something else.
fn resolving_powers(observations: &Observations) -> Option<Vec<f64>> {
    let column = observations.auxiliary.get(COLUMN).filter(|column| column.shape != Shape::Scalar)?;
    let mut column = column.clone();
    if unit::is_absent(&column.schema.unit) {
        warn_once(format!("column '{COLUMN}' states no unit: taken for Å"));
        column.schema.unit = "Angstrom".into();
    }
    let spread = in_unit(&column, "nm").and_then(|column| column.to_matrix(observations.grid.len()));
    let spread = match spread {
        Ok(spread) => spread,
        // It is no obstacle to a fit.
        Err(error) => {
            warn_once(format!("the line spread of the spectra is not looked at: {error}"));
            return None;
        }
    };
    let of_star = |spread: ndarray::ArrayView1<f64>| {
        let pixels = observations.grid.wavelength.iter().zip(spread);
        let powers =
            pixels.filter(|(_, sigma)| **sigma > 0.0 && sigma.is_finite()).map(|(nm, sigma)| nm / (FWHM_OF_SIGMA * sigma));
        median(&powers.collect::<Vec<f64>>())
    };
    Some(spread.outer_iter().map(of_star).collect())
}

/// What is wrong with the line spreads of the spectra of `stars` for a model of a `resolution` (0 where it is
/// not known).
pub(super) fn fault_of_line_spread(
    observations: &Observations,
    stars: impl IntoIterator<Item = usize>,
    resolution: f64,
) -> Option<String> {
    let all = resolving_powers(observations).filter(|_| resolution > 0.0)?;
    let powers: Vec<f64> = stars.into_iter().map(|star| all[star]).collect();
    let is_other = |power: &&f64| (*power / resolution - 1.0).abs() > TOLERANCE;
    let other: Vec<f64> = powers.iter().filter(is_other).copied().collect();
    if other.is_empty() {
        return None;
    }
    let (lowest, highest) = other.iter().fold((f64::INFINITY, 0.0_f64), |(low, high), &power| (low.min(power), high.max(power)));
    let found = if highest - lowest < 1.0 { format!("{lowest:.0}") } else { format!("{lowest:.0} to {highest:.0}") };
    Some(format!(
        "column '{COLUMN}': {} of {} spectra have a resolution of {found}, more than {:.0} % from {resolution}",
        other.len(),
        powers.len(),
        100.0 * TOLERANCE
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{Column, ColumnSchema, Table, Values};

    #[test]
    fn spectra_of_another_resolution_are_told_with_their_number() {
        let wavelength = vec![500.0, 501.0, 502.0];
        let table = Table::new(vec![
            Column::scalar(ColumnSchema::new("source_id", "", ""), Values::Int64(vec![1, 2, 3])),
            list("flux", "", vec![1.0; 9]),
            list("flux_error", "", vec![0.01; 9]),
            // R 2500, 2450 and unknown, in Å.
            list("line_spread", "Angstrom", spreads([2500.0, 2450.0, f64::NAN], &wavelength)),
        ]);
        let mut table = table.unwrap();
        for (key, value) in [("wavelengths", "[500.0, 501.0, 502.0]"), ("bands", r#"["a", "b", "c"]"#)] {
            table.metadata.insert(key.into(), value.into());
        }
        let observations = |table: &Table| Observations::from_table(table.clone(), &Default::default()).unwrap();
        let powers = resolving_powers(&observations(&table)).unwrap();
        assert!((powers[0] - 2500.0).abs() < 1e-6 && (powers[1] - 2450.0).abs() < 1e-6 && powers[2].is_nan());
        let fault = |table: &Table, resolution| fault_of_line_spread(&observations(table), 0..3, resolution);
        assert_eq!(fault(&table, 2500.0), None);
        assert_eq!(fault(&table, 0.0), None, "a model that does not know its own");
        let text = fault(&table, 2540.0).unwrap();
        assert!(text.contains("1 of 3 spectra have a resolution of 2450,"), "{text}");
        let text = fault(&table, 1800.0).unwrap();
        assert!(text.contains("2 of 3 spectra have a resolution of 2450 to 2500,"), "{text}");
        // No unit is Å, another unit or length is no line spread and no obstacle.
        let with = |unit: &str, length: usize| {
            let values = [2500.0, 2450.0, f64::NAN].map(|power| vec![5010.0 / (FWHM_OF_SIGMA * power); length]).concat();
            let mut table = table.clone();
            table.replace(Column { shape: Shape::Fixed(length), ..list("line_spread", unit, values) }).unwrap();
            table
        };
        assert!(fault(&with("", 3), 2540.0).is_some());
        assert_eq!([fault(&with("km/s", 3), 1800.0), fault(&with("Angstrom", 2), 1800.0)], [None, None]);
        table.take("line_spread");
        assert_eq!(fault(&table, 1800.0), None);
    }

    fn spreads(powers: [f64; 3], wavelength: &[f64]) -> Vec<f64> {
        powers.iter().flat_map(|power| wavelength.iter().map(move |nm| 10.0 * nm / (FWHM_OF_SIGMA * power))).collect()
    }

    fn list(name: &str, unit: &str, values: Vec<f64>) -> Column {
        Column { shape: Shape::Fixed(3), ..Column::scalar(ColumnSchema::new(name, unit, ""), Values::Float64(values)) }
    }
}
