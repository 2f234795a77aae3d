//! Figures of the report of luminosities, as those of Li et al. (2025): their 3 (predicted beside geometric
//! magnitudes by S/N), 4 (Hertzsprung–Russell diagrams), 5 (moduli beside the truth), 8 and 9 (relative
//! errors of distances).

use super::figure::Figure;
use super::figure::axis::Axis;
use super::figure::canvas::Stroke;
use super::figure::histogram::Histogram;
use super::figure::panel::{Heading, Key, Mark, Panel};
use super::figure::theme::{BLUE, INK, VERMILLION, faded};
use super::luminosities::{GIANTS, Stars};
use crate::statistics::{RunningBin, percentiles, robust_scatter, running_median};

/// Fewest stars of a bin that is shown.
const FEWEST: usize = 20;
/// An equal pair is so much brighter than one of its stars, mag.
const EQUAL_PAIR: f64 = 0.753;
/// Errors of a modulus below which stars are shown by themselves, mag.
const SMALL_ERROR: f64 = 0.5;
/// Largest relative error of a distance that is shown.
const LARGEST: f64 = 1.5;
/// Bins of the running medians.
const BINS: usize = 12;
const RATIO: &str = "signal-to-noise ratio of the continuum in a pixel";

/// Predicted against geometric magnitudes of good parallaxes, in quarters of the signal-to-noise ratio.
pub(super) fn of_magnitudes(stars: &Stars) -> Figure {
    let good: Vec<usize> = (0..stars.len()).filter(|&star| stars.parallax[star] > 10.0 * stars.parallax_error[star]).collect();
    let ratios: Vec<f64> = good.iter().map(|&star| stars.ratio[star]).collect();
    let edges = percentiles(&ratios, [0.0, 25.0, 50.0, 75.0, 100.0]);
    let range = Axis::covering("", good.iter().map(|&star| stars.truth[star])).range();
    Figure::draw("magnitudes", 980, 900, |canvas| {
        let bounds = canvas.bounds;
        for (part, pair) in edges.windows(2).enumerate() {
            let is_last = part + 2 == edges.len();
            let inside =
                |star: &&usize| (pair[0]..pair[1]).contains(&stars.ratio[**star]) || is_last && stars.ratio[**star] >= pair[1];
            let chosen: Vec<usize> = good.iter().filter(inside).copied().collect();
            let geometric: Vec<f64> = chosen.iter().map(|&star| stars.geometric(star)).collect();
            let predicted: Vec<f64> = chosen.iter().map(|&star| stars.predicted[star]).collect();
            let difference: Vec<f64> = predicted.iter().zip(&geometric).map(|(a, b)| a - b).collect();
            let cell = bounds.cell((2, 2), (part / 2, part % 2));
            let axes = [Axis::linear("M of the parallax (mag)", range), Axis::linear("predicted M (mag)", range)];
            let [x, y] = axes;
            let title = format!("S/N of {:.0} to {:.0}, ϖ/σ > 10", pair[0], pair[1]);
            let mut panel = Panel::new(canvas, cell, &Heading::title(title), x, y);
            let outside = panel.scatter(&geometric, &predicted, BLUE);
            let line = [range.0, range.1];
            panel.line(&line, &line, Stroke::solid(VERMILLION, 1.5));
            panel.line(&line, &line.map(|value| value + EQUAL_PAIR), Stroke::dashed(VERMILLION, 1.5));
            let text = format!("1.48 MAD {:.2} mag", robust_scatter(&difference));
            panel.corner_text([text.as_str()], super::figure::canvas::Align::Left);
            panel.note_outside(outside);
        }
    })
}

/// Diagrams of predicted magnitudes and of those of the measured parallaxes.
pub(super) fn of_diagrams(stars: &Stars) -> Figure {
    let geometric: Vec<f64> = (0..stars.len()).map(|star| stars.geometric(star)).collect();
    let panels = [("predicted from spectra", &stars.predicted), ("of the measured parallaxes", &geometric)];
    let (low, high) = Axis::covering("", stars.truth.iter().copied()).range();
    let range = (low - 2.0, high + 2.0);
    Figure::draw("hertzsprung-russell", 980, 500, |canvas| {
        let bounds = canvas.bounds;
        for (column, (title, values)) in panels.into_iter().enumerate() {
            let cell = bounds.cell((1, 2), (0, column));
            let x = Axis::covering("true T_{eff} (K)", stars.teff.iter().copied()).reversed();
            let y = Axis::linear("M (mag)", range).reversed();
            let mut panel = Panel::new(canvas, cell, &Heading::title(title), x, y);
            let outside = panel.scatter(&stars.teff, values, BLUE);
            panel.note_outside(outside);
        }
    })
}

/// Predicted against true moduli, of all stars and of those with small errors.
pub(super) fn of_moduli(stars: &Stars) -> Figure {
    let modulus = |distance: f64| 5.0 * distance.log10() + 10.0;
    let everyone: Vec<usize> = (0..stars.len()).collect();
    let certain: Vec<usize> = everyone.iter().copied().filter(|&star| stars.error[star] < SMALL_ERROR).collect();
    let range = Axis::covering("", stars.distance.iter().map(|distance| modulus(*distance))).range();
    Figure::draw("moduli", 980, 500, |canvas| {
        let bounds = canvas.bounds;
        let panels = [("all new stars".to_owned(), &everyone), (format!("errors below {SMALL_ERROR} mag"), &certain)];
        for (column, (title, chosen)) in panels.into_iter().enumerate() {
            let truth: Vec<f64> = chosen.iter().map(|&star| modulus(stars.distance[star])).collect();
            let predicted: Vec<f64> = chosen.iter().map(|&star| stars.apparent[star] - stars.predicted[star]).collect();
            let cell = bounds.cell((1, 2), (0, column));
            let axes = [Axis::linear("true modulus (mag)", range), Axis::linear("predicted modulus (mag)", range)];
            let [x, y] = axes;
            let mut panel = Panel::new(canvas, cell, &Heading::title(title), x, y);
            let outside = panel.scatter(&truth, &predicted, BLUE);
            let line = [range.0, range.1];
            panel.line(&line, &line, Stroke::solid(VERMILLION, 1.5));
            let difference: Vec<f64> = predicted.iter().zip(&truth).map(|(a, b)| a - b).collect();
            let text = format!("{} stars, 1.48 MAD {:.2} mag", chosen.len(), robust_scatter(&difference));
            panel.corner_text([text.as_str()], super::figure::canvas::Align::Left);
            panel.note_outside(outside);
        }
    })
}

/// Relative errors of distances of the spectrum alone: how many have which, against the signal-to-noise ratio
/// and against the predicted distance.
pub(super) fn of_uncertainties(stars: &Stars) -> Figure {
    let relative: Vec<f64> = (0..stars.len()).map(|star| stars.relative_error(star)).collect();
    let predicted: Vec<f64> = (0..stars.len()).map(|star| stars.distance_at(star, stars.predicted[star])).collect();
    let y = || Axis::linear("relative error of the distance", (0.0, LARGEST));
    Figure::draw("uncertainties", 980, 1100, |canvas| {
        let bounds = canvas.bounds;
        let histogram = Histogram::new(&relative, (0.0, LARGEST), 60);
        let most = histogram.counts.iter().copied().fold(1.0, f64::max);
        let axes = [Axis::linear("relative error of the distance", (0.0, LARGEST)), Axis::linear("stars", (0.0, 1.08 * most))];
        let [x, counts] = axes;
        let mut panel = Panel::new(canvas, bounds.cell((3, 1), (0, 0)), &Heading::title("all new stars"), x, counts);
        panel.steps(&histogram.edges, &histogram.counts, Stroke::solid(BLUE, 1.75), Some(faded(BLUE, 0.2)));
        panel.note_outside(histogram.outside);
        let against = [
            (&stars.ratio, Axis::covering(RATIO, stars.ratio.iter().copied())),
            (&predicted, Axis::covering_logarithmic("predicted distance (kpc)", percentiles(&predicted, [0.2, 99.8]))),
        ];
        for (row, (values, x)) in against.into_iter().enumerate() {
            let edges: Vec<f64> = (0..=BINS).map(|i| x.value(i as f64 / BINS as f64)).collect();
            let heading = Heading::legend(vec![Key::new("median", VERMILLION, Mark::Line)]);
            let mut panel = Panel::new(canvas, bounds.cell((3, 1), (row + 1, 0)), &heading, x, y());
            let outside = panel.scatter(values, &relative, BLUE);
            draw_medians(&mut panel, &medians(values, &relative, &edges), Stroke::solid(VERMILLION, 2.0));
            panel.note_outside(outside);
        }
    })
}

/// Median relative errors of distances against the signal-to-noise ratio, of giants and of dwarfs, as they
/// are given and as they are.
pub(super) fn of_ratios(stars: &Stars) -> Figure {
    let axis = Axis::covering(RATIO, stars.ratio.iter().copied());
    let edges: Vec<f64> = (0..=BINS).map(|i| axis.value(i as f64 / BINS as f64)).collect();
    let of = |are_giants: bool| -> [Vec<RunningBin>; 2] {
        let chosen: Vec<usize> = (0..stars.len()).filter(|&star| (stars.truth[star] < GIANTS) == are_giants).collect();
        let ratio: Vec<f64> = chosen.iter().map(|&star| stars.ratio[star]).collect();
        let given: Vec<f64> = chosen.iter().map(|&star| stars.relative_error(star)).collect();
        // 1.48 medians of |ln(d/truth)| are the scatter about the truth.
        let real: Vec<f64> = chosen
            .iter()
            .map(|&star| 1.4826 * (stars.distance_at(star, stars.predicted[star]) / stars.distance[star]).ln().abs())
            .collect();
        [given, real].map(|values| medians(&ratio, &values, &edges))
    };
    let classes = [("giants", of(true), INK), ("dwarfs", of(false), VERMILLION)];
    let top = classes.iter().flat_map(|(_, bins, _)| bins.iter().flatten()).map(|bin| bin.median).fold(0.0, f64::max);
    Figure::draw("errors-by-ratio", 820, 460, |canvas| {
        let bounds = canvas.bounds;
        let keys = classes.iter().flat_map(|(name, _, color)| {
            [
                Key::new(format!("{name}, as given"), *color, Mark::Line),
                Key::new(format!("{name}, as they are"), *color, Mark::Dashed),
            ]
        });
        let heading = Heading::legend(keys.collect());
        let y = Axis::linear("relative error of the distance", (0.0, 1.15 * top.max(0.1)));
        let mut panel = Panel::new(canvas, bounds, &heading, axis, y);
        for (_, [given, real], color) in &classes {
            draw_medians(&mut panel, given, Stroke::solid(*color, 1.75));
            draw_medians(&mut panel, real, Stroke::dashed(*color, 1.75));
        }
        if top == 0.0 {
            panel.note(&format!("no bin with {FEWEST} stars"));
        }
    })
}

fn medians(x: &[f64], y: &[f64], edges: &[f64]) -> Vec<RunningBin> {
    running_median(x, y, edges).into_iter().filter(|bin| bin.n >= FEWEST).collect()
}

fn draw_medians(panel: &mut Panel<'_, '_>, bins: &[RunningBin], stroke: Stroke) {
    let of = |pick: fn(&RunningBin) -> f64| bins.iter().map(pick).collect::<Vec<f64>>();
    panel.line(&of(|bin| bin.centre), &of(|bin| bin.median), stroke);
}
