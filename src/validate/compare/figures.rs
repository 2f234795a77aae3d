//! What figures take of a calibration.

use super::Calibration;
use super::calibration::{CalibrationRow, PIT_EXPECTED, RANK_CLASSES};
use crate::quantity::symbol;
use crate::validate::figure::{Classes, MapCell, PitHistogram};

/// A quantity over the cells.
#[derive(Debug, Clone)]
pub struct QuantityMap<'a> {
    pub quantity: &'a str,
    pub cells: Vec<MapCell>,
    /// Whether the pulls of means are as the catalogue says what stars share of this quantity.
    pub is_sharing: bool,
}

impl Calibration {
    /// Histograms of probabilities of all stars, as figures take them.
    pub fn pit_histograms(&self) -> Vec<PitHistogram<'_>> {
        let all = self.rows.iter().filter(|row| row.selection.limits.is_empty());
        all.map(|row| {
            let probability = row.rank_probability.unwrap_or(f64::NAN);
            PitHistogram {
                name: symbol(&row.quantity),
                pit: Classes { counts: &row.pit, expected: &PIT_EXPECTED, probability: row.pit_probability },
                ranks: row.ranks.as_ref().map(|counts| Classes { counts, expected: &RANK_CLASSES, probability }),
            }
        })
        .collect()
    }

    /// The cells of every quantity as maps take them, with the pulls of means as the catalogue says what
    /// stars share, where it does of that quantity.
    pub fn maps(&self) -> Vec<QuantityMap<'_>> {
        let mut maps: Vec<QuantityMap<'_>> = Vec::new();
        let cells: Vec<_> = self.rows.iter().filter(|row| row.selection.limits.len() == 2).collect();
        for of_quantity in cells.chunk_by(|a, b| a.quantity == b.quantity) {
            let is_sharing = of_quantity.iter().any(|row| row.mean_pull_sharing.is_finite());
            let cell = |row: &CalibrationRow| {
                let [(_, x), (_, y)] = row.selection.limits.as_slice() else { return None };
                let mean_pull = if is_sharing { row.mean_pull_sharing } else { row.mean_pull };
                Some(MapCell { x: *x, y: *y, bias: row.pulls.median.value, mean_pull })
            };
            let cells = of_quantity.iter().filter_map(|row| cell(row)).collect();
            maps.extend(of_quantity.first().map(|row| QuantityMap { quantity: &row.quantity, cells, is_sharing }));
        }
        maps
    }
}

#[cfg(test)]
mod tests {
    use super::super::Selection;
    use super::*;
    use crate::statistics::pull_statistics;

    #[test]
    fn every_quantity_has_its_own_histogram_and_map() {
        let row = |quantity: &str, n_limits: usize, mean_pull_sharing: f64| CalibrationRow {
            quantity: quantity.into(),
            selection: Selection { limits: vec![("teff".into(), [4.0, 5.0]); n_limits] },
            bias: 0.0,
            pulls: pull_statistics(&[0.25; 9]),
            within_50: [0.5, 0.1],
            outliers: 0.0,
            pit: [3; 10],
            pit_probability: 0.5,
            ranks: (quantity == "logg").then_some([1, 2, 3, 3, 2, 1]),
            rank_probability: None,
            mean_pull: 4.0,
            mean_pull_sharing,
            group_pull: None,
        };
        let rows = vec![
            row("teff", 0, 1.0),
            row("teff", 1, 1.0),
            row("teff", 2, 1.0),
            row("teff", 2, f64::NAN),
            row("logg", 0, f64::NAN),
            row("logg", 2, f64::NAN),
        ];
        let calibration = Calibration { rows };
        let histograms = calibration.pit_histograms();
        assert_eq!(histograms.len(), 2);
        assert!(histograms[0].ranks.is_none() && histograms[1].ranks.is_some_and(|ranks| ranks.counts == [1, 2, 3, 3, 2, 1]));
        let maps = calibration.maps();
        let found: Vec<_> = maps.iter().map(|map| (map.quantity, map.cells.len(), map.is_sharing)).collect();
        assert_eq!(found, [("teff", 2, true), ("logg", 1, false)]);
        // The errors that one quantity shares say nothing of those of another.
        assert_eq!((maps[0].cells[0].mean_pull, maps[1].cells[0].mean_pull), (1.0, 4.0));
        assert!(maps[0].cells[1].mean_pull.is_nan() && maps[1].cells[0].bias == 0.25);
    }
}
