//! The report of luminosities from noisy parallaxes: are they unbiased where parallaxes say nothing, are
//! their errors right, and what do distances gain?

use super::figure::{BiasComparison, BiasSeries, Figure, PullHistogram, PullHistograms};
use super::luminosity_figures::{of_diagrams, of_magnitudes, of_moduli, of_ratios, of_uncertainties};
use super::number::{aligned, decimals};
use super::report::Report;
use crate::error::Result;
use crate::statistics::{median, robust_scatter, scatter_about_zero};
use crate::table::Table;
use std::ops::Range;

/// Absolute magnitude that parts giants (brighter) from dwarfs.
pub(super) const GIANTS: f64 = 2.8;
/// Groups of stars: name, absolute magnitudes, distances (kpc).
const GROUPS: [(&str, Range<f64>, Range<f64>); 7] = [
    ("dwarfs", GIANTS..20.0, 0.0..1e9),
    ("dwarfs within 2 kpc", GIANTS..20.0, 0.0..2.0),
    ("dwarfs beyond 2 kpc", GIANTS..20.0, 2.0..1e9),
    ("giants", -20.0..GIANTS, 0.0..1e9),
    ("giants within 10 kpc", -20.0..GIANTS, 0.0..10.0),
    ("giants of 10 to 30 kpc", -20.0..GIANTS, 10.0..30.0),
    ("giants beyond 30 kpc", -20.0..GIANTS, 30.0..1e9),
];
/// Edges of predicted parallax over the error of the measured one.
const RATIOS: [f64; 5] = [0.0, 1.0, 3.0, 10.0, 1e9];
/// Edges of distances, kpc.
const DISTANCES: [f64; 9] = [0.0, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 100.0, 1e9];
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

pub(super) struct Stars {
    pub predicted: Vec<f64>,
    pub error: Vec<f64>,
    pub truth: Vec<f64>,
    pub teff: Vec<f64>,
    /// Dereddened apparent magnitude.
    pub apparent: Vec<f64>,
    pub parallax: Vec<f64>,
    pub parallax_error: Vec<f64>,
    /// True distance, kpc.
    pub distance: Vec<f64>,
    /// Signal-to-noise ratio of the continuum in a pixel.
    pub ratio: Vec<f64>,
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
            ratio: of("snr")?,
        })
    }

    pub fn len(&self) -> usize {
        self.truth.len()
    }

    /// Distance in kpc at an absolute magnitude.
    pub fn distance_at(&self, star: usize, magnitude: f64) -> f64 {
        10f64.powf(0.2 * (self.apparent[star] - magnitude) - 2.0)
    }

    /// Relative error of the distance of the spectrum: 10^(0.2 σ) − 1 (Li et al. 2025, sec. 3.3).
    pub fn relative_error(&self, star: usize) -> f64 {
        (0.2 * std::f64::consts::LN_10 * self.error[star]).exp_m1()
    }

    /// Magnitude of 1/ϖ; NaN where ϖ is not positive.
    pub fn geometric(&self, star: usize) -> f64 {
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
    let (header, rows) = biases(&stars, &methods, false);
    report.table(
        "Median of predicted less true absolute magnitude (mag), by true magnitude and distance; the last columns are negative controls.",
        header.clone(),
        rows.clone(),
    );
    let (by_prediction, chosen) = biases(&stars, &methods, true);
    report.table(
        "The same, by predicted magnitude and distance (of each method). Stars that are chosen by the truth are off by what noise moves any \
         estimate towards the middle of the population; stars that are chosen by the prediction are not.",
        by_prediction,
        chosen,
    );
    let text = aligned(&[header].into_iter().chain(rows).collect::<Vec<_>>());
    report.figure("Bias against the true distance; bands from the 16th to the 84th percentile.", bias_figure(&stars, &methods));
    report.figure(
        "Predicted magnitudes against those of good parallaxes, by signal-to-noise ratio (as figure 3 of Li et al. 2025); dashed, where pairs of \
         equal stars would be.",
        of_magnitudes(&stars),
    );
    report.figure(
        "Hertzsprung–Russell diagrams with predicted magnitudes (left) and with those of 1/ϖ, where that is positive (right; their figure 4).",
        of_diagrams(&stars),
    );
    report.figure(
        "Predicted against true moduli, of all stars and of those with small errors (their figure 5).",
        of_moduli(&stars),
    );
    report.section("Errors", "Pulls are (predicted − true)/error. Parallaxes that say nothing of a star are most of those that are predicted to be small.");
    let pulls: Vec<f64> = everyone().map(|star| (stars.predicted[star] - stars.truth[star]) / stars.error[star]).collect();
    let one = PullHistogram { name: "M".into(), pulls: &pulls, beside: &[] };
    report.figure(
        "Pulls of all new stars.",
        PullHistograms { parameters: &[one], pulls_name: "network", beside_name: "" }.figure(),
    );
    report.figure(
        "Relative errors of distances of the spectrum alone: all, by signal-to-noise ratio, by predicted distance (their figure 8).",
        of_uncertainties(&stars),
    );
    report.figure(
        "Median relative errors of distances of giants and dwarfs: as given (their figure 9), and as they are (1.48 medians of |ln(d/truth)|).",
        of_ratios(&stars),
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
    decimals(if n < FEWEST { f64::NAN } else { value }, 2)
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

/// Medians of groups that are chosen by the truth, or by what each method predicts.
fn biases(stars: &Stars, methods: &[(&str, &[f64])], by_prediction: bool) -> (Vec<String>, Vec<Vec<String>>) {
    let header = ["stars", "number"].map(String::from).into_iter().chain(methods.iter().map(|(name, _)| (*name).to_owned()));
    let row = |(name, magnitudes, distances): &(&str, Range<f64>, Range<f64>)| {
        let inside = |values: &[f64]| -> Vec<usize> {
            let is_inside = |star: &usize| {
                let magnitude = if by_prediction { values[*star] } else { stars.truth[*star] };
                magnitudes.contains(&magnitude) && distances.contains(&stars.distance_at(*star, magnitude))
            };
            (0..stars.len()).filter(is_inside).collect()
        };
        let of = |(_, values): &(&str, &[f64])| {
            let differences: Vec<f64> = inside(values).into_iter().map(|star| values[star] - stars.truth[star]).collect();
            number(differences.len(), median(&differences))
        };
        let n = inside(methods[0].1).len();
        [(*name).to_owned(), n.to_string()].into_iter().chain(methods.iter().map(of)).collect()
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
