//! Losses of a training of a model of spectra against the iteration, flux and gradients apart (Zhang et al.
//! 2024, Fig. 3).

use super::Figure;
use super::axis::Axis;
use super::canvas::Stroke;
use super::panel::{Heading, Key, Mark, Panel};
use super::theme::{BLUE, Color, GREEN, MUTED, VERMILLION};
use crate::per_pixel::train::HistoryRow;

/// A history, round by round and stage by stage.
#[derive(Debug, Clone, Copy)]
pub struct LossCurves<'a> {
    pub rows: &'a [HistoryRow],
}

/// A loss of a row.
type Loss = fn(&HistoryRow) -> f64;

/// Iterations of all stages on one axis, and where rounds and stages begin.
fn places(rows: &[HistoryRow]) -> (Vec<f64>, Vec<(f64, String)>) {
    let (mut at, mut marks) = (Vec::new(), Vec::new());
    let (mut start, mut before): (usize, Option<&HistoryRow>) = (0, None);
    for row in rows {
        if let Some(before) = before.filter(|before| (before.round, before.stage) != (row.round, row.stage)) {
            start += before.iteration;
            let name = if before.round == row.round { format!("stage {}", row.stage + 1) } else { "labels freed".into() };
            marks.push((start as f64, name));
        }
        at.push((start + row.iteration) as f64);
        before = Some(row);
    }
    (at, marks)
}

impl LossCurves<'_> {
    /// Lines of the iterations and points of what is kept, on a logarithmic axis. Losses of zero (without
    /// physics, without spectra for validation) are left out.
    pub fn figure(&self) -> Figure {
        let (at, marks) = places(self.rows);
        // Validation is dashed, since that of training lies below it where all is well.
        let losses: [(&str, (Color, Mark), Loss); 3] = [
            ("flux, training", (BLUE, Mark::Line), |row| row.flux),
            ("flux, validation", (VERMILLION, Mark::Dashed), |row| row.validation),
            ("gradients", (GREEN, Mark::Line), |row| row.gradient),
        ];
        let of = |value: Loss| -> Vec<f64> { self.rows.iter().map(value).collect() };
        let shown: Vec<f64> = losses.iter().flat_map(|(.., value)| of(*value)).filter(|loss| *loss > 0.0).collect();
        let is_known = |value: Loss| of(value).iter().any(|loss| *loss > 0.0);
        let legend: Vec<Key> = (losses.iter().filter(|(.., value)| is_known(*value)))
            .map(|(name, (color, mark), _)| Key::new(*name, *color, *mark))
            .chain(Some(Key::new("what is kept", MUTED, Mark::Point)))
            .collect();
        let x = Axis::covering("iteration", at.iter().copied());
        let y = Axis::covering_logarithmic("mean loss of a pixel", shown.iter().copied());
        Figure::draw("losses", 820, 440, |canvas| {
            let bounds = canvas.bounds;
            let mut panel = Panel::new(canvas, bounds, &Heading::legend(legend), x, y);
            panel.verticals(&marks, Stroke::dashed(MUTED, 1.0));
            for (_, (color, mark), value) in losses {
                let loss = of(value);
                // A round is a line: between the rounds labels change.
                for round in self.rows.chunk_by(|a, b| a.round == b.round) {
                    let first = self.rows.iter().position(|row| row.round == round[0].round).unwrap_or(0);
                    let own: Vec<usize> = (first..first + round.len()).filter(|&i| !self.rows[i].is_kept).collect();
                    let pick = |values: &[f64]| own.iter().map(|&i| values[i]).collect::<Vec<f64>>();
                    let stroke = if mark == Mark::Dashed { Stroke::dashed(color, 1.75) } else { Stroke::solid(color, 1.75) };
                    panel.line(&pick(&at), &pick(&loss), stroke);
                }
                let kept: Vec<usize> = (0..self.rows.len()).filter(|&i| self.rows[i].is_kept).collect();
                let pick = |values: &[f64]| kept.iter().map(|&i| values[i]).collect::<Vec<f64>>();
                panel.points(&pick(&at), &pick(&loss), 4.0, color);
            }
            if shown.is_empty() {
                panel.note("no loss above zero");
            }
        })
    }
}
