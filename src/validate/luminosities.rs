//! The report of luminosities from noisy parallaxes: are they unbiased where parallaxes say nothing, are
//! their errors right, and what do distances gain?

use super::figure::axis::Axis;
use super::figure::canvas::Stroke;
use super::figure::panel::{Heading, Panel};
use super::figure::theme::{BLUE, VERMILLION};
use super::figure::{BiasComparison, BiasSeries, Figure, PullHistogram, PullHistograms};
use super::number::aligned;
use super::report::Report;
use crate::error::Result;
use crate::statistics::{median, robust_scatter, scatter_about_zero};
use crate::table::Table;
use std::ops::Range;

/// Absolute magnitude that parts giants (brighter) from dwarfs.
const GIANTS: f64 = 2.8;
/// Groups of stars: name, true absolute magnitudes, true distances (kpc).
const GROUPS: [(&str, Range<f64>, Range<f64>); 4] = [
    ("dwarfs within 2 kpc", GIANTS..20.0, 0.0..2.0),
    ("dwarfs beyond 2 kpc", GIANTS..20.0, 2.0..1e9),
    ("giants within 30 kpc", -20.0..GIANTS, 0.0..30.0),
    ("giants beyond 30 kpc", -20.0..GIANTS, 30.0..1e9),
];
/// Edges of predicted parallax over the error of the measured one.
const RATIOS: [f64; 5] = [0.0, 1.0, 3.0, 10.0, 1e9];
/// Edges of the true distance, kpc.
const DISTANCES: [f64; 6] = [0.0, 1.0, 2.0, 5.0, 15.0, 1e9];
/// Fewest stars of a cell.
const FEWEST: usize = 20;

/// What a report is made of.
pub struct LuminosityReportInput<'a> {
    /// Catalogue with predictions, parallaxes and the truth.
    pub catalogue: &'a Table,
    /// The same stars by `photosphere distance`.
    pub distances: &'a Table,
    /// Names and absolute magnitudes `[N]` of negative controls.
    pub controls: &'a [(&'a str, Vec<f64>)],
    /// The comparison of a training: header and rows.
    pub comparison: (Vec<String>, Vec<Vec<String>>),
    pub n_training: usize,
}

struct Stars {
    predicted: Vec<f64>,
    error: Vec<f64>,
    truth: Vec<f64>,
    teff: Vec<f64>,
    /// Dereddened apparent magnitude.
    apparent: Vec<f64>,
    parallax: Vec<f64>,
    parallax_error: Vec<f64>,
    /// True distance, kpc.
    distance: Vec<f64>,
}

impl Stars {
    fn of(table: &Table) -> Result<Self> {
        let of = |name: &str| table.column(name)?.to_f64();
        let extinction = of("a_g")?;
        let apparent = of("phot_g_mean_mag")?.iter().zip(extinction).map(|(m, a)| m - a).collect();
        Ok(Self {
            predicted: of("absolute_magnitude")?,
            error: of("absolute_magnitude_error")?,
            truth: of("true_absolute_magnitude")?,
            teff: of("true_teff")?,
            apparent,
            parallax: of("parallax")?,
            parallax_error: of("parallax_error")?,
            distance: of("true_distance")?,
        })
    }

    fn len(&self) -> usize {
        self.truth.len()
    }

    /// Distance in kpc at an absolute magnitude.
    fn distance_at(&self, star: usize, magnitude: f64) -> f64 {
        10f64.powf(0.2 * (self.apparent[star] - magnitude) - 2.0)
    }

    /// Magnitude of 1/ϖ; NaN where ϖ is not positive.
    fn geometric(&self, star: usize) -> f64 {
        match self.parallax[star] > 0.0 {
            true => self.apparent[star] - 10.0 + 5.0 * self.parallax[star].log10(),
            false => f64::NAN,
        }
    }
}

/// The report, and its main table for a terminal.
///
/// # Errors
/// When a table lacks a column.
pub fn luminosity_report(input: &LuminosityReportInput) -> Result<(Report, String)> {
    let stars = Stars::of(input.catalogue)?;
    let everyone = || 0..stars.len();
    let negative = everyone().filter(|&star| stars.parallax[star] < 0.0).count();
    let mut report = Report::new("Luminosities from noisy parallaxes");
    report.section(
        "What was done",
        format!(
            "Networks learned absolute magnitudes from the spectra of {} stars, by a loss in the parallax: no star is left out for its parallax, \
             of which {:.0} % are negative. The {} stars below are new.",
            input.n_training,
            100.0 * negative as f64 / stars.len().max(1) as f64,
            stars.len()
        ),
    );
    let methods: Vec<(&str, &[f64])> = [("network", stars.predicted.as_slice())]
        .into_iter()
        .chain(input.controls.iter().map(|(name, values)| (*name, values.as_slice())))
        .collect();
    let (header, rows) = biases(&stars, &methods);
    report.table(
        "Median of predicted less true absolute magnitude (mag); the last columns are negative controls.",
        header.clone(),
        rows.clone(),
    );
    let text = aligned(&[header].into_iter().chain(rows).collect::<Vec<_>>());
    report.figure("Bias against the true distance; bands from the 16th to the 84th percentile.", bias_figure(&stars, &methods));
    report.figure(
        "Predicted magnitudes against those of good parallaxes (left), and against the truth (right).",
        figure_of_magnitudes(&stars),
    );
    report.figure(
        "Hertzsprung–Russell diagrams with predicted magnitudes (left) and with those of 1/ϖ, where that is positive (right).",
        figure_of_diagrams(&stars),
    );
    report.section("Errors", "Pulls are (predicted − true)/error. Parallaxes that say nothing of a star are most of those that are predicted to be small.");
    let pulls: Vec<f64> = everyone().map(|star| (stars.predicted[star] - stars.truth[star]) / stars.error[star]).collect();
    let one = PullHistogram { name: "M".into(), pulls: &pulls, beside: &[] };
    report.figure(
        "Pulls of all new stars.",
        PullHistograms { parameters: &[one], pulls_name: "network", beside_name: "" }.figure(),
    );
    let rows = RATIOS.windows(2).map(|edges| {
        let ratio = |star: &usize| 1.0 / stars.distance_at(*star, stars.predicted[*star]) / stars.parallax_error[*star];
        let inside: Vec<usize> = everyone().filter(|star| (edges[0]..edges[1]).contains(&ratio(star))).collect();
        let of = |pick: &dyn Fn(usize) -> f64| -> Vec<f64> { inside.iter().map(|&star| pick(star)).collect() };
        vec![
            interval(edges),
            inside.len().to_string(),
            number(inside.len(), scatter_about_zero(&of(&|star| pulls[star]))),
            number(inside.len(), median(&of(&|star| stars.error[star]))),
        ]
    });
    report.table(
        "By the predicted parallax over the error of the measured one.",
        ["ratio", "stars", "pulls", "median error"],
        rows.collect(),
    );
    report.section(
        "Parallaxes in bins of predicted distance",
        "z is the weighted mean of measured less predicted parallax over its error, the errors of the predictions included: it needs no truth. The second \
         column has the same in bins of the true distance, which shows the statistic itself.",
    );
    let predicted: Vec<f64> = everyone().map(|star| stars.distance_at(star, stars.predicted[star])).collect();
    let rows = DISTANCES.windows(2).map(|edges| {
        let of_network = mean_in_errors(&stars, &predicted, &stars.error, edges);
        let of_truth = mean_in_errors(&stars, &stars.distance, &vec![0.0; stars.len()], edges);
        vec![interval(edges), of_network.0.to_string(), number(of_network.0, of_network.1), number(of_truth.0, of_truth.1)]
    });
    report.table("", ["kpc", "stars", "z of the network", "z of the truth"], rows.collect());
    distances(&mut report, &stars, input.distances)?;
    report.section("Other regressions", "On the validation part of the training sample, judged where the predicted parallax is ten times the error of the measured one.");
    report.table("", input.comparison.0.clone(), input.comparison.1.clone());
    Ok((report, text))
}

fn interval(edges: &[f64]) -> String {
    if edges[1] > 1e6 { format!("above {}", edges[0]) } else { format!("{} to {}", edges[0], edges[1]) }
}

/// A number of some stars, where they are enough.
fn number(n: usize, value: f64) -> String {
    if n < FEWEST || !value.is_finite() { "–".into() } else { format!("{value:.2}").replace('-', "−") }
}

/// Number of stars in a bin of `distance`, and the mean parallax there less that of the distances, in its
/// errors.
fn mean_in_errors(stars: &Stars, distance: &[f64], error: &[f64], edges: &[f64]) -> (usize, f64) {
    let (mut n, mut sum, mut weight) = (0, 0.0, 0.0);
    for star in (0..stars.len()).filter(|&star| (edges[0]..edges[1]).contains(&distance[star])) {
        let expected = 1.0 / distance[star];
        let slope = expected * std::f64::consts::LN_10 / 5.0;
        let variance = stars.parallax_error[star].powi(2) + (slope * error[star]).powi(2);
        n += 1;
        sum += (stars.parallax[star] - expected) / variance;
        weight += 1.0 / variance;
    }
    (n, sum / f64::sqrt(weight))
}

fn biases(stars: &Stars, methods: &[(&str, &[f64])]) -> (Vec<String>, Vec<Vec<String>>) {
    let header = ["stars", "number"].map(String::from).into_iter().chain(methods.iter().map(|(name, _)| (*name).to_owned()));
    let row = |(name, magnitudes, distances): &(&str, Range<f64>, Range<f64>)| {
        let inside: Vec<usize> = (0..stars.len())
            .filter(|&star| magnitudes.contains(&stars.truth[star]) && distances.contains(&stars.distance[star]))
            .collect();
        let bias = |values: &[f64]| median(&inside.iter().map(|&star| values[star] - stars.truth[star]).collect::<Vec<_>>());
        let of = |(_, values): &(&str, &[f64])| number(inside.len(), bias(values));
        [(*name).to_owned(), inside.len().to_string()].into_iter().chain(methods.iter().map(of)).collect()
    };
    (header.collect(), GROUPS.iter().map(row).collect())
}

fn bias_figure(stars: &Stars, methods: &[(&str, &[f64])]) -> Figure {
    let residuals: Vec<Vec<f64>> =
        methods.iter().map(|(_, values)| values.iter().zip(&stars.truth).map(|(value, truth)| value - truth).collect()).collect();
    let series: Vec<BiasSeries> =
        (methods.iter().zip(&residuals)).map(|((name, _), residual)| BiasSeries { name, x: &stars.distance, residual }).collect();
    let comparison = BiasComparison {
        series: &series,
        x_label: "true distance (kpc)",
        y_label: "predicted less true M (mag)",
        logarithmic: true,
    };
    comparison.figure()
}

fn figure_of_magnitudes(stars: &Stars) -> Figure {
    let good: Vec<usize> = (0..stars.len()).filter(|&star| stars.parallax[star] > 10.0 * stars.parallax_error[star]).collect();
    let pick = |values: &[f64]| good.iter().map(|&star| values[star]).collect::<Vec<f64>>();
    let geometric: Vec<f64> = good.iter().map(|&star| stars.geometric(star)).collect();
    let panels = [
        ("stars with ϖ/σ > 10", "M of the parallax (mag)", geometric, pick(&stars.predicted)),
        ("all new stars", "true M (mag)", stars.truth.clone(), stars.predicted.clone()),
    ];
    let all = || Axis::covering("", stars.truth.iter().copied()).range();
    Figure::draw("magnitudes", 980, 500, |canvas| {
        let bounds = canvas.bounds;
        for (column, (title, label, x, y)) in panels.iter().enumerate() {
            let cell = bounds.cell((1, 2), (0, column));
            let axes = [Axis::linear(*label, all()), Axis::linear("predicted M (mag)", all())];
            let [horizontal, vertical] = axes;
            let mut panel = Panel::new(canvas, cell, &Heading::title(*title), horizontal, vertical);
            let outside = panel.scatter(x, y, BLUE);
            let line = [all().0, all().1];
            panel.line(&line, &line, Stroke::solid(VERMILLION, 1.5));
            panel.note_outside(outside);
        }
    })
}

fn figure_of_diagrams(stars: &Stars) -> Figure {
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

fn distances(report: &mut Report, stars: &Stars, table: &Table) -> Result<()> {
    let of = |name: &str| table.column(name)?.to_f64();
    let [low, middle, high] = [of("distance_low")?, of("distance_median")?, of("distance_high")?];
    let everyone = || 0..stars.len();
    let relative = |distance: &dyn Fn(usize) -> f64| -> Vec<f64> {
        everyone().map(|star| (distance(star) / stars.distance[star]).ln()).collect()
    };
    let methods = [
        ("parallax and spectrum", relative(&|star| middle[star])),
        ("spectrum alone", relative(&|star| stars.distance_at(star, stars.predicted[star]))),
        ("1/ϖ, where positive", relative(&|star| if stars.parallax[star] > 0.0 { 1.0 / stars.parallax[star] } else { f64::NAN })),
    ];
    let known: Vec<usize> = everyone().filter(|&star| middle[star].is_finite()).collect();
    let within = known.iter().filter(|&&star| (low[star]..=high[star]).contains(&stars.distance[star])).count();
    report.section(
        "Distances",
        format!(
            "photosphere distance combines parallaxes with the predicted magnitudes. The true distance lies between the 15.87th and the 84.13th percentile \
             of {:.1} % of the stars (68.3 % of perfect ones).",
            100.0 * within as f64 / known.len().max(1) as f64
        ),
    );
    let header = ["true distance (kpc)", "stars"].into_iter().chain(methods.iter().map(|(name, _)| *name));
    let rows = DISTANCES.windows(2).map(|edges| {
        let inside: Vec<usize> = everyone().filter(|&star| (edges[0]..edges[1]).contains(&stars.distance[star])).collect();
        let of = |values: &Vec<f64>| {
            let picked: Vec<f64> = inside.iter().map(|&star| values[star]).filter(|value| value.is_finite()).collect();
            format!("{} ± {}", number(picked.len(), median(&picked)), number(picked.len(), robust_scatter(&picked)))
        };
        [interval(edges), inside.len().to_string()].into_iter().chain(methods.iter().map(|(_, values)| of(values))).collect()
    });
    report.table("Median and 1.48 MAD of ln(estimate/truth).", header, rows.collect());
    let series: Vec<BiasSeries> =
        methods.iter().map(|(name, residual)| BiasSeries { name, x: &stars.distance, residual }).collect();
    let comparison =
        BiasComparison { series: &series, x_label: "true distance (kpc)", y_label: "ln(estimate/truth)", logarithmic: true };
    report.figure("Distances against the truth.", comparison.figure().named("distances"));
    Ok(())
}
