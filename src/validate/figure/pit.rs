//! Histograms of probabilities: where truths lie in the distributions that estimates claim. They are even
//! where the claims are right.

use super::Figure;
use super::axis::Axis;
use super::canvas::{Align, Canvas, Rect, Stroke};
use super::panel::{Heading, Key, Mark, Panel};
use super::theme::{BLUE, INK, LABEL_SIZE, MUTED, VERMILLION, faded};
use crate::statistics::binomial_quantile;
use crate::validate::number::significant;
use std::borrow::Cow;

/// Stars by classes of a probability.
#[derive(Debug, Clone, Copy)]
pub struct Classes<'a> {
    pub counts: &'a [u64],
    /// Probability of every class.
    pub expected: &'a [f64],
    /// That of a χ² as large as that of the counts.
    pub probability: f64,
}

/// Probabilities of one parameter.
#[derive(Debug, Clone)]
pub struct PitHistogram<'a> {
    /// Name as written in titles, such as "T_{eff}".
    pub name: Cow<'a, str>,
    /// Of a normal distribution with the claimed error (the probability integral transform).
    pub pit: Classes<'a>,
    /// Among the quantiles of posteriors, where there are some.
    pub ranks: Option<Classes<'a>>,
}

/// Probabilities of several parameters.
#[derive(Debug, Clone, Copy)]
pub struct PitHistograms<'a> {
    pub parameters: &'a [PitHistogram<'a>],
}

/// Probability of counts below the band of right errors, and above it, at most.
const TAIL: f64 = 0.025;

impl PitHistograms<'_> {
    /// Up to three panels a row: counts over those that right errors expect, with the band in which each lies
    /// in 95 % of all cases, of the PIT and of the ranks. Of too wide errors the middle is too high, of too
    /// narrow ones the ends, of biased ones a side.
    pub fn figure(&self) -> Figure {
        let columns = self.parameters.len().clamp(1, 3);
        let rows = self.parameters.len().div_ceil(columns).max(1);
        let (width, height) = (370 * columns as u32, 320 * rows as u32);
        Figure::draw("pit", width, height, |canvas| {
            let bounds = canvas.bounds;
            for (i, parameter) in self.parameters.iter().enumerate() {
                panel(canvas, bounds.cell((rows, columns), (i / columns, i % columns)), parameter);
            }
            if self.parameters.is_empty() {
                let centre = (bounds.width() / 2.0, bounds.height() / 2.0);
                canvas.text(centre, "no quantity with errors", LABEL_SIZE, MUTED, Align::Centre);
            }
        })
    }
}

/// Edges of the classes and the counts in them over the expected ones.
fn relative(Classes { counts, expected, .. }: &Classes<'_>) -> (Vec<f64>, Vec<f64>) {
    let n = counts.iter().sum::<u64>().max(1) as f64;
    let mut edges = vec![0.0];
    expected.iter().for_each(|share| edges.push(edges.last().copied().unwrap_or(0.0) + share));
    (edges, counts.iter().zip(*expected).map(|(&count, share)| count as f64 / (n * share)).collect())
}

/// Over the expected count of every class, the least and largest count of right errors, beyond each of which
/// is a [`TAIL`] at most.
fn band(Classes { counts, expected, .. }: &Classes<'_>) -> Vec<[f64; 2]> {
    let n = counts.iter().sum::<u64>();
    let relative = |share: &f64| [TAIL, 1.0 - TAIL].map(|of| binomial_quantile(n, *share, of) / (n.max(1) as f64 * share));
    expected.iter().map(relative).collect()
}

fn panel(canvas: &mut Canvas, cell: Rect, parameter: &PitHistogram) {
    let n: u64 = parameter.pit.counts.iter().sum();
    let (edges, pit) = relative(&parameter.pit);
    let ranks = parameter.ranks.as_ref().map(|ranks| (relative(ranks), band(ranks)));
    let of_pit = band(&parameter.pit);
    let heights = pit.iter().chain(ranks.iter().flat_map(|((_, heights), _)| heights)).copied();
    let bands = of_pit.iter().chain(ranks.iter().flat_map(|(_, bands)| bands)).map(|[_, high]| *high);
    let shown = heights.chain(bands);
    let highest = shown.filter(|height| height.is_finite()).fold(1.3, f64::max);

    let mut legend = vec![Key::new("PIT", faded(BLUE, 0.45), Mark::Band)];
    if ranks.is_some() {
        legend.push(Key::new("ranks", VERMILLION, Mark::Line));
    }
    legend.push(Key::new("95 % of right errors", faded(MUTED, 0.3), Mark::Band));
    let heading = Heading { title: parameter.name.to_string(), legend, colour_bar: false };
    let x = Axis::linear("probability of the reference", (0.0, 1.0));
    // Room above the histogram for the numbers.
    let mut panel = Panel::new(canvas, cell, &heading, x, Axis::linear("stars / expected", (0.0, 1.35 * highest)));
    if n == 0 {
        panel.note("no finite pull");
        return;
    }
    panel.steps(&edges, &pit, Stroke::solid(BLUE, 1.0), Some(faded(BLUE, 0.35)));
    for (edges, [low, high]) in edges.windows(2).zip(&of_pit) {
        panel.band(edges, &[*low; 2], &[*high; 2], faded(MUTED, 0.3));
    }
    if let Some(((edges, _), bands)) = &ranks {
        for (edges, [low, high]) in edges.windows(2).zip(bands) {
            panel.band(edges, &[*low; 2], &[*high; 2], faded(VERMILLION, 0.18));
        }
    }
    panel.horizontal(1.0, Stroke::dashed(INK, 1.5));
    if let Some(((edges, ranks), _)) = &ranks {
        panel.steps(edges, ranks, Stroke::solid(VERMILLION, 1.5), None);
    }
    let mut lines = vec![format!("χ²: p = {}", significant(parameter.pit.probability, 2))];
    lines.extend(parameter.ranks.map(|ranks| format!("ranks: p = {}", significant(ranks.probability, 2))));
    panel.corner_text(lines.iter().map(String::as_str), Align::Left);
    panel.corner_text([format!("{n} stars").as_str()], Align::Right);
}
