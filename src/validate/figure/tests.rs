//! Every figure kind with plausible data and with degenerate data. Set `PHOTOSPHERE_FIGURES` to a folder to
//! look at them.

use super::*;
use crate::per_pixel::Response;
use crate::per_pixel::train::HistoryRow;
use ndarray::{Array2, array};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

fn normal(n: usize, seed: u64) -> Vec<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..n).map(|_| rng.sample(StandardNormal)).collect()
}

fn xp_wavelengths() -> Vec<f64> {
    (0..61).map(|i| 392.0 + 10.0 * f64::from(i)).chain([1235.0, 1662.0, 2159.0, 3352.6, 4602.8]).collect()
}

fn training() -> Figure {
    let epochs: Vec<f64> = (0..120).map(f64::from).collect();
    let training: Vec<f64> =
        epochs.iter().map(|e| 66.0 + 4000.0 * (-e / 6.0).exp() + 30.0 * (-(e - 60.0).max(0.0) / 20.0).exp()).collect();
    let validation: Vec<f64> =
        training.iter().enumerate().map(|(i, loss)| if i % 5 == 0 { loss * 1.06 } else { f64::NAN }).collect();
    let stages = [
        (0.0, "network".to_owned()),
        (40.0, "stars".to_owned()),
        (60.0, "all, self-cleaned sample".to_owned()),
        (66.0, "curve".to_owned()),
    ];
    let loss_label = "−2 ln L per star";
    TrainingCurves { epochs: &epochs, training: &training, validation: &validation, stages: &stages, loss_label }.figure()
}

fn sample(n: usize) -> Figure {
    let (a, b, c) = (normal(n, 1), normal(n, 2), normal(n, 3));
    let dwarf = |i: usize| !i.is_multiple_of(3);
    let teff: Vec<f64> = (0..n).map(|i| if dwarf(i) { 5800.0 + 600.0 * a[i] } else { 4700.0 + 250.0 * a[i] }).collect();
    let logg: Vec<f64> =
        (0..n).map(|i| if dwarf(i) { 4.4 + 0.1 * b[i] } else { 2.4 + (teff[i] - 4700.0) / 400.0 + 0.2 * b[i] }).collect();
    let feh: Vec<f64> = c.iter().zip(&b).map(|(c, b)| -0.2 + 0.25 * c + 0.1 * b).collect();
    SampleDiagram { teff: &teff, logg: &logg, feh: &feh }.figure().named(format!("sample-{n}"))
}

fn extinction() -> Figure {
    let wavelength = xp_wavelengths();
    let reference: Vec<f64> = wavelength.iter().map(|w| (w / 550.0).powf(-1.35)).collect();
    let learned: Vec<f64> = reference.iter().zip(normal(66, 4)).map(|(r, noise)| 2.8 * r * (1.0 + 0.008 * noise)).collect();
    let reference_name = "CCM89, R_{V} = 3.1";
    ExtinctionCurves { wavelength: &wavelength, learned: &learned, reference: &reference, reference_name }.figure()
}

fn wavelength_residuals() -> Figure {
    let wavelength = xp_wavelengths();
    let noise = normal(400 * 66, 5);
    let normalised = Array2::from_shape_fn((400, 66), |(i, j)| noise[66 * i + j] + 0.2 * (j as f64 / 5.0).sin());
    let relative = normalised.mapv(|residual| 0.012 * residual);
    WavelengthResiduals { wavelength: &wavelength, normalised: normalised.view(), relative: relative.view() }.figure()
}

fn label_residuals(n: usize) -> Figure {
    let (a, b) = (normal(n, 6), normal(n, 7));
    let teff: Vec<f64> = a.iter().map(|a| 5500.0 + 700.0 * a).collect();
    let found: Vec<f64> = teff.iter().zip(&b).map(|(t, b)| t + 60.0 * b + 0.02 * (t - 5500.0)).collect();
    let extinction: Vec<f64> = a.iter().map(|a| 0.3 * (0.7 * a).exp()).collect();
    let fitted: Vec<f64> = extinction.iter().zip(&b).map(|(e, b)| e + 0.04 * b).collect();
    let labels = [
        LabelResidual { name: "T_{eff}".into(), unit: "K", reference: &teff, estimate: &found },
        LabelResidual { name: "[Fe/H]".into(), unit: "dex", reference: &a, estimate: &b },
        LabelResidual { name: "E".into(), unit: "", reference: &extinction, estimate: &fitted },
    ];
    LabelResiduals { labels: &labels }.figure().named(format!("label-residuals-{n}"))
}

fn pulls() -> Figure {
    let names = ["T_{eff}", "[Fe/H]", "log g", "E", "ϖ"];
    let pulls: Vec<Vec<f64>> = (0..5).map(|i| normal(5000, 10 + i)).collect();
    let beside: Vec<f64> = normal(5000, 20).iter().map(|pull| 0.9 * pull + 0.4).chain([9.0]).collect();
    let parameters: Vec<PullHistogram> = (names.iter().zip(&pulls).enumerate())
        .map(|(i, (&name, pulls))| PullHistogram { name: name.into(), pulls, beside: if i == 3 { &beside } else { &[] } })
        .collect();
    PullHistograms { parameters: &parameters, pulls_name: "likelihood", beside_name: "MAP" }.figure()
}

fn cleaning() -> Figure {
    let mut all: Vec<f64> = normal(9500, 30).iter().map(|x| 0.11 * x).collect();
    let binaries: Vec<f64> = normal(500, 31).iter().map(|x| -0.72 + 0.09 * x).collect();
    all.extend(&binaries);
    CleaningBump { all: &all, removed: &binaries }.figure()
}

fn correlations() -> Figure {
    let names = ["T_{eff}", "[Fe/H]", "log g", "E", "ϖ"].map(str::to_owned);
    let with = Array2::from_shape_fn((5, 5), |(i, j)| if i == j { 1.0 } else { 0.95 - 0.24 * (i + j) as f64 });
    let without = with.mapv(|c| if c == 1.0 { 1.0 } else { 0.9 * c });
    let matrices = [
        NamedMatrix { title: "without parallax", matrix: with.view() },
        NamedMatrix { title: "with parallax", matrix: without.view() },
    ];
    CorrelationMatrices { names: &names, matrices: &matrices }.figure()
}

fn star() -> Figure {
    let wavelength = xp_wavelengths();
    let fit: Vec<f64> = wavelength.iter().map(|w| 90.0 * (500.0 / w).powi(4) / ((500.0 / w).exp() - 0.6)).collect();
    let error: Vec<f64> = fit.iter().map(|f| 0.03 * f).collect();
    let mut flux: Vec<f64> = fit.iter().zip(normal(66, 40)).map(|(f, x)| f * (1.0 + 0.03 * x)).collect();
    flux[62] = f64::NAN;
    let estimate = |name: &'static str, unit, value, error| StarEstimate { name: name.into(), unit, value, error };
    let estimates = [
        estimate("T_{eff}", "K", 5772.3, 41.0),
        estimate("[Fe/H]", "dex", -0.123, 0.061),
        estimate("log g", "dex", 4.438, 0.052),
        estimate("E", "", 0.143, 0.021),
        estimate("ϖ", "mas", 3.2145, 0.0182),
    ];
    let sigma = array![41.0, 0.061, 0.052, 0.021, 0.0182];
    let correlation = array![
        [1.0, 0.4, 0.2, 0.9, 0.1],
        [0.4, 1.0, 0.3, 0.5, -0.2],
        [0.2, 0.3, 1.0, 0.1, 0.8],
        [0.9, 0.5, 0.1, 1.0, 0.05],
        [0.1, -0.2, 0.8, 0.05, 1.0]
    ];
    let covariance = Array2::from_shape_fn((5, 5), |(i, j)| correlation[[i, j]] * sigma[i] * sigma[j]);
    StarFigure {
        title: "Gaia DR3 4295806720, χ² = 63.1 for 60 degrees of freedom",
        fitted: FittedFlux {
            wavelength: &wavelength,
            flux: &flux,
            flux_error: &error,
            fit: &fit,
            flux_label: "flux (10^{−18} W m^{−2} nm^{−1})",
        },
        estimates: &estimates,
        covariance: Some(covariance.view()),
    }
    .figure()
}

fn bias() -> Figure {
    let n = 8000;
    let distance: Vec<f64> = normal(n, 50).iter().map(|x| 2.0 * (0.8 * x).exp()).collect();
    let good: Vec<f64> = normal(n, 51).iter().map(|x| 0.12 * x).collect();
    let bad: Vec<f64> = normal(n, 52).iter().zip(&distance).map(|(x, d)| 0.12 * x + 0.05 * d.ln().max(0.0)).collect();
    let series = [
        BiasSeries { name: "all parallaxes", x: &distance, residual: &good },
        BiasSeries { name: "control: ϖ/σ > 20 only", x: &distance, residual: &bad },
    ];
    let (x_label, y_label) = ("true distance (kpc)", "Δ distance modulus (mag)");
    BiasComparison { series: &series, x_label, y_label, logarithmic: true }.figure()
}

fn pit() -> Figure {
    let right = Classes { counts: &[205, 190, 210, 188, 202, 199, 207, 193, 201, 205], expected: &[0.1; 10], probability: 0.83 };
    let wide = Classes { counts: &[90, 150, 210, 260, 290, 295, 255, 215, 145, 90], probability: 3.1e-52, ..right };
    let expected = &[0.025, 0.135, 0.34, 0.34, 0.135, 0.025];
    let ranks = Classes { counts: &[60, 262, 690, 671, 268, 49], expected, probability: 0.31 };
    let parameters = [
        PitHistogram { name: "T_{eff}".into(), pit: right, ranks: Some(ranks) },
        PitHistogram { name: "log g".into(), pit: wide, ranks: None },
    ];
    PitHistograms { parameters: &parameters }.figure()
}

fn bias_maps() -> Figure {
    let noise = normal(128, 60);
    let cells: Vec<MapCell> = (0..64)
        .map(|i| {
            let (column, row) = (f64::from(i / 8), f64::from(i % 8));
            let (x, y) = ([4000.0 + 400.0 * column, 4400.0 + 400.0 * column], [1.0 + 0.5 * row, 1.5 + 0.5 * row]);
            let bias = if i == 9 { f64::NAN } else { 0.1 * noise[i as usize] };
            MapCell { x, y, bias, mean_pull: 10.0 * bias }
        })
        .collect();
    let parameters = [
        BiasMap { name: "T_{eff}".into(), cells: &cells, means_name: ", with what stars share" },
        BiasMap { name: "log g".into(), cells: &cells[..20], means_name: "" },
    ];
    let axes = [("T_{eff} (K)", true), ("log g (dex)", true)];
    BiasMaps { parameters: &parameters, axes }.figure()
}

fn losses() -> Figure {
    let row = |round: usize, stage: usize, iteration: usize, is_kept: bool| {
        let t = (10 * round + 5 * stage + iteration) as f64;
        let n_training = if is_kept { 0 } else { 300 };
        let (flux, gradient, validation) = (1.0 + 20.0 * (-t).exp(), 0.1 + 3.0 * (-0.4 * t).exp(), 1.1 + 20.0 * (-t).exp());
        HistoryRow { round, stage, iteration, n_training, is_kept, flux, gradient, validation }
    };
    let stages = (0..3).flat_map(|stage| (0..6).map(move |i| (0, stage, i, false)));
    let rounds = (0..4).map(|i| (1, 0, i, false));
    let places = stages.chain(Some((0, 2, 5, true))).chain(rounds).chain(Some((1, 0, 3, true)));
    let rows: Vec<HistoryRow> = places.map(|(round, stage, i, is_kept)| row(round, stage, i, is_kept)).collect();
    LossCurves { rows: &rows }.figure()
}

fn planes(n: usize) -> Figure {
    let (a, b, c) = (normal(n, 70), normal(n, 71), normal(n, 72));
    let feh: Vec<f64> = a.iter().map(|a| -0.3 + 0.4 * a).collect();
    let high = |i: usize| if i.is_multiple_of(3) { 0.25 } else { 0.05 };
    let mg: Vec<f64> = (0..n).map(|i| high(i) - 0.15 * feh[i] + 0.03 * b[i]).collect();
    let plane = |name: &'static str, ratio| AbundancePlane { name: name.into(), feh: &feh, ratio };
    let elements = [plane("[Mg/Fe]", &mg), plane("[C/Fe]", &c), plane("[O/Fe]", &b)];
    AbundancePlanes { elements: &elements }.figure().named(format!("abundance-planes-{n}"))
}

fn gradients() -> Figure {
    let wavelength: Vec<f64> = (0..400).map(|i| 500.0 + 0.1 * f64::from(i)).collect();
    let line =
        |width: f64| move |w: &f64| -0.3 * (-((w - 517.0) / width).powi(2)).exp() - 0.1 * (-((w - 535.0) / 0.4).powi(2)).exp();
    let of = |width: f64| wavelength.iter().map(line(width)).collect::<Vec<f64>>();
    let label = |title: &str| LabelGradient {
        title: title.into(),
        truth: of(0.5),
        models: vec![("model", of(0.6)), ("control", of(2.0))],
    };
    let labels = [label("[Mg/Fe] at T_{eff} 5800"), label("[C/Fe]")];
    GradientComparison { wavelength: &wavelength, labels: &labels }.figure()
}

fn responses() -> Figure {
    let of = |own: f64, predicted: f64| -> Vec<Response> {
        let response = |(k, label): (usize, &&str)| {
            let own = if k == 2 { f64::NAN } else { own + 0.01 * k as f64 };
            Response { label: (*label).to_owned(), n_stars: 300, own, predicted, spread: 0.05 }
        };
        ["teff", "logg", "mg_fe", "al_fe"].iter().enumerate().map(response).collect()
    };
    let (honest, cheat) = (of(1.0, 0.01), of(0.4, 0.5));
    ResponseFigure { models: &[("with physics", &honest), ("without physics", &cheat)] }.figure()
}

fn precision() -> Figure {
    let bin = |snr: [f64; 2], factor: f64| {
        let label = |(k, label): (usize, &&str)| {
            let bound = 0.02 * factor * (1.0 + k as f64);
            let of = LabelPrecision {
                label: (*label).into(),
                unit: "dex",
                n: 200,
                bound,
                scatter: 1.3 * bound,
                ratio: 1.3,
                ratio_error: 0.1,
            };
            LabelPrecision { ratio: if k == 3 { f64::NAN } else { 1.3 }, ..of }
        };
        PrecisionBin { snr, labels: ["teff", "logg", "feh", "mg_fe"].iter().enumerate().map(label).collect() }
    };
    let bins = [bin([20.0, 45.2], 3.0), bin([45.2, 80.0], 1.5), bin([100.0, 100.0], 1.0)];
    PrecisionChart { bins: &bins }.figure()
}

fn all() -> Vec<Figure> {
    vec![
        training(),
        sample(2000),
        sample(20_000),
        extinction(),
        wavelength_residuals(),
        label_residuals(1200),
        label_residuals(20_000),
        pulls(),
        cleaning(),
        correlations(),
        star(),
        bias(),
        pit(),
        bias_maps(),
        losses(),
        planes(800),
        planes(20_000),
        gradients(),
        responses(),
        precision(),
    ]
}

/// Number of nearly black pixels: text and axes.
fn ink(png: &[u8]) -> usize {
    let pixels = tiny_skia::Pixmap::decode_png(png).unwrap();
    pixels.pixels().iter().filter(|pixel| pixel.red().max(pixel.green()).max(pixel.blue()) < 80).count()
}

#[test]
fn every_figure_renders_with_its_text() {
    let folder = std::env::var_os("PHOTOSPHERE_FIGURES");
    for figure in all() {
        let png = figure.to_png(figure.width).unwrap();
        let mut silent = figure.clone();
        silent.svg = figure.svg.replace("fill=\"#222222\"", "fill=\"none\"");
        let text = ink(&png) - ink(&silent.to_png(figure.width).unwrap());
        assert!(text > 300, "{}: {text} pixels of text", figure.name);
        assert!(figure.svg.len() < 1_500_000, "{}: {} bytes", figure.name, figure.svg.len());
        if let Some(folder) = &folder {
            figure.save_svg(&Path::new(folder).join(format!("{}.svg", figure.name))).unwrap();
            std::fs::write(Path::new(folder).join(format!("{}.png", figure.name)), png).unwrap();
        }
    }
}

#[test]
fn every_character_used_is_in_the_embedded_font() {
    let svg: String = all().iter().map(|figure| figure.svg.clone()).collect();
    let face_id = FONTS.faces().next().unwrap().id;
    let covered = FONTS.with_face_data(face_id, |data, _| data.len()).unwrap();
    assert_eq!(covered, FONT.len());
    // a missing glyph is drawn as nothing: every character alone must leave ink
    let characters: std::collections::BTreeSet<char> = svg.chars().filter(|c| !c.is_ascii()).collect();
    for character in characters {
        let figure = Figure::draw("glyph", 40, 40, |canvas| {
            canvas.text((20.0, 20.0), &character.to_string(), 30.0, theme::INK, canvas::Align::Centre);
        });
        assert!(ink(&figure.to_png(40).unwrap()) > 10, "'{character}' is not in the font");
    }
}

#[test]
fn degenerate_data_give_figures_not_panics() {
    let degenerate: [&[f64]; 9] = [
        &[],
        &[f64::NAN],
        &[f64::NAN; 40],
        &[1.5],
        &[0.0; 30],
        &[-3.0; 30],
        &[f64::INFINITY, f64::NEG_INFINITY, 1.0],
        &[1e300, -1e300, 1e-300, 0.0],
        &[1.0, 1.0 + 1e-15],
    ];
    for x in degenerate {
        for y in degenerate {
            let figures = degenerate_figures(x, y);
            for figure in figures {
                let parsed = figure.to_png(figure.width / 4);
                assert!(parsed.is_ok(), "{} with {x:?}, {y:?}: {parsed:?}", figure.name);
                assert!(!figure.svg.contains("NaN") && !figure.svg.contains("inf\""), "{}", figure.name);
            }
        }
    }
}

fn degenerate_figures(x: &[f64], y: &[f64]) -> Vec<Figure> {
    let matrix = Array2::from_shape_fn((y.len(), x.len()), |(i, j)| y[i] + x[j]);
    let names: Vec<String> = (0..x.len()).map(|i| i.to_string()).collect();
    let stages: Vec<(f64, String)> = x.iter().map(|&at| (at, "stage".to_owned())).collect();
    let estimates: Vec<StarEstimate> =
        x.iter().map(|&value| StarEstimate { name: "a".into(), unit: "", value, error: value }).take(3).collect();
    let covariance = Array2::from_shape_fn((estimates.len(), estimates.len()), |_| y.first().copied().unwrap_or(0.0));
    let star = StarFigure {
        title: "",
        fitted: FittedFlux { wavelength: x, flux: y, flux_error: x, fit: y, flux_label: "flux" },
        estimates: &estimates,
        covariance: Some(covariance.view()),
    };
    let series = [BiasSeries { name: "a", x, residual: y }];
    let counts: Vec<u64> = x.iter().map(|value| value.abs() as u64 / 64).collect();
    let pit = Classes { counts: &counts, expected: y, probability: f64::NAN };
    let cell = |(&x, &y): (&f64, &f64)| MapCell { x: [x, y], y: [y, x], bias: x, mean_pull: y };
    let (cells, axes) = (x.iter().zip(y).map(cell).collect::<Vec<MapCell>>(), [("x", false), ("y", true)]);
    let number = |of: &[f64], i: usize| of.get(i).copied().unwrap_or(f64::NAN);
    let row = |(i, loss): (usize, &f64)| HistoryRow {
        round: i / 3,
        stage: i % 3,
        iteration: i,
        n_training: i,
        is_kept: i % 4 == 3,
        flux: *loss,
        gradient: number(y, i),
        validation: *loss,
    };
    let rows: Vec<HistoryRow> = x.iter().enumerate().map(row).collect();
    let response =
        |value: &f64| Response { label: "teff".into(), n_stars: 0, own: *value, predicted: number(y, 0), spread: *value };
    let responses: Vec<Response> = x.iter().map(response).collect();
    let of = |value: &f64| LabelPrecision {
        label: "teff".into(),
        unit: "K",
        n: 0,
        bound: *value,
        scatter: number(y, 0),
        ratio: *value,
        ratio_error: number(y, 0),
    };
    let bins = [PrecisionBin { snr: [number(x, 0), number(y, 0)], labels: x.iter().map(of).collect() }];
    let gradient = LabelGradient { title: "a".into(), truth: y.to_vec(), models: vec![("model", y.to_vec())] };
    vec![
        LossCurves { rows: &rows }.figure(),
        AbundancePlanes { elements: &[AbundancePlane { name: "a".into(), feh: x, ratio: y }] }.figure(),
        AbundancePlanes { elements: &[] }.figure(),
        GradientComparison { wavelength: x, labels: &[gradient] }.figure(),
        GradientComparison { wavelength: x, labels: &[] }.figure(),
        ResponseFigure { models: &[("model", &responses)] }.figure(),
        ResponseFigure { models: &[] }.figure(),
        PrecisionChart { bins: &bins }.figure(),
        PrecisionChart { bins: &[] }.figure(),
        TrainingCurves { epochs: x, training: y, validation: y, stages: &stages, loss_label: "loss" }.figure(),
        SampleDiagram { teff: x, logg: y, feh: x }.figure(),
        ExtinctionCurves { wavelength: x, learned: y, reference: y, reference_name: "a" }.figure(),
        WavelengthResiduals { wavelength: x, normalised: matrix.view(), relative: matrix.view() }.figure(),
        LabelResiduals { labels: &[LabelResidual { name: "a".into(), unit: "", reference: x, estimate: y }] }.figure(),
        LabelResiduals { labels: &[] }.figure(),
        PullHistograms {
            parameters: &[PullHistogram { name: "a".into(), pulls: x, beside: y }],
            pulls_name: "a",
            beside_name: "b",
        }
        .figure(),
        PullHistograms { parameters: &[], pulls_name: "", beside_name: "" }.figure(),
        CleaningBump { all: x, removed: y }.figure(),
        CorrelationMatrices { names: &names, matrices: &[NamedMatrix { title: "a", matrix: matrix.view() }] }.figure(),
        CorrelationMatrices { names: &[], matrices: &[] }.figure(),
        star.figure(),
        BiasComparison { series: &series, x_label: "x", y_label: "y", logarithmic: true }.figure(),
        BiasComparison { series: &series, x_label: "x", y_label: "y", logarithmic: false }.figure(),
        PitHistograms { parameters: &[PitHistogram { name: "a".into(), pit, ranks: Some(pit) }] }.figure(),
        PitHistograms { parameters: &[] }.figure(),
        BiasMaps { parameters: &[BiasMap { name: "a".into(), cells: &cells, means_name: "" }], axes }.figure(),
        BiasMaps { parameters: &[], axes }.figure(),
    ]
}

#[test]
fn impossible_widths_are_errors() {
    assert!(training().to_png(0).is_err());
    assert!(training().to_png(u32::MAX).is_err());
}
