//! What figures take of a calibration.

use super::Calibration;
use super::calibration::{PIT_EXPECTED, RANK_CLASSES};
use crate::quantity::symbol;
use crate::validate::figure::{Classes, MapCell, PitHistogram};

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
    /// stars share; whether it does.
    pub fn maps(&self) -> (Vec<(&str, Vec<MapCell>)>, bool) {
        let cells = || self.rows.iter().filter(|row| row.selection.limits.len() == 2);
        let says = cells().any(|row| row.mean_pull_sharing.is_finite());
        let mut maps: Vec<(&str, Vec<MapCell>)> = Vec::new();
        for row in cells() {
            let [(_, x), (_, y)] = row.selection.limits.as_slice() else { continue };
            let mean_pull = if says { row.mean_pull_sharing } else { row.mean_pull };
            let cell = MapCell { x: *x, y: *y, bias: row.pulls.median.value, mean_pull };
            match maps.last_mut() {
                Some((name, cells)) if *name == row.quantity => cells.push(cell),
                _ => maps.push((&row.quantity, vec![cell])),
            }
        }
        (maps, says)
    }
}
