//! The cheat test with its controls, at reduced size: networks whose gradients are held to physics at
//! references with scattered abundances measure every element from its own lines; without physics, or with
//! references of solar ratios, they do not.

use super::polynomial::train_polynomials;
use super::train::{Checkpoint, TrainingOptions, TrainingSet, train};
use super::*;
use crate::simulate::line_list::{LABELS, LineList, Population, References, Synthesis};
use crate::statistics::robust_scatter;
use ndarray::{Array2, Axis, s};
use std::sync::Arc;

const PIXELS: usize = 96;
const TRAINING: usize = 1000;

struct Case {
    synthesis: Synthesis,
    set: TrainingSet,
    /// Stars whose abundance ratios are permuted.
    permuted: Array2<f64>,
}

fn case(kind: Option<References>) -> Case {
    let sizes = [PIXELS, TRAINING, 200, 500];
    case_of(&LineList::default(), &Population::default(), kind, sizes)
}

/// Of so many pixels, spectra for training and validation, and new stars.
fn case_of(list: &LineList, population: &Population, kind: Option<References>, sizes: [usize; 4]) -> Case {
    let [n_pixels, n_training, n_validation, n_new] = sizes;
    let list = LineList { n_pixels, ..list.clone() };
    let synthesis = Synthesis::new(&list);
    let n_taught = n_training + n_validation;
    let labels = population.labels(n_taught + n_new);
    let all = population.observe(&synthesis, labels.slice(s![..n_taught, ..]), [20.0, 120.0]);
    let [names, units] = [LABELS.map(|label| label.0.to_owned()), LABELS.map(|label| label.1.to_owned())];
    let set = TrainingSet {
        space: LabelSpace::covering(&names, &units, all.labels.view()).unwrap(),
        wavelength: list.wavelength(),
        spectra: all.select(&(0..n_training).collect::<Vec<_>>()),
        validation: all.select(&(n_training..n_taught).collect::<Vec<_>>()),
        library: kind.map(|kind| synthesis.library(population.references(kind, 101).view())),
    };
    Case { synthesis, set, permuted: population.permuted(labels.slice(s![n_taught.., ..])) }
}

fn networks(case: &Case) -> Arc<dyn PixelModel> {
    let trained = train(&case.set, &TrainingOptions::default(), &Checkpoint::default(), &|_, _| Ok(())).unwrap();
    Arc::new(NetworkEngine::new(&trained.model))
}

fn polynomials(case: &Case, options: &PolynomialOptions) -> Arc<dyn PixelModel> {
    Arc::new(PolynomialEngine::new(&train_polynomials(&case.set, options, &Checkpoint::default(), &|_, _| Ok(())).unwrap().model))
}

/// Of every label, MAD-σ of the pulls of spectra of this signal-to-noise ratio, of all stars and of those
/// that are not at a bound, and the median error.
fn pulls(case: &Case, fitter: &SpectrumFitter, ratio: f64) -> Vec<[f64; 3]> {
    let noisy = Population { seed: 5, ..Population::default() }.observe(&case.synthesis, case.permuted.view(), [ratio; 2]);
    let fits = fitter.fit(noisy.flux.view(), noisy.inverse_variance.view()).unwrap();
    let of = |k: usize| {
        let errors: Vec<f64> = fits.covariance.axis_iter(Axis(0)).map(|covariance| covariance[[k, k]].sqrt()).collect();
        let all: Vec<f64> = (0..errors.len()).map(|i| (fits.labels[[i, k]] - case.permuted[[i, k]]) / errors[i]).collect();
        let within: Vec<f64> = (0..errors.len()).filter(|&i| !fits.at_bound[i]).map(|i| all[i]).collect();
        [robust_scatter(&all), robust_scatter(&within), crate::statistics::median(&errors)]
    };
    (0..LABELS.len()).map(of).collect()
}

/// Noise-free responses, gradient fidelities, and pulls of noisy spectra.
fn judge(case: &Case, engine: Arc<dyn PixelModel>, ratio: f64) -> (Vec<Response>, Vec<Fidelity>, Vec<f64>) {
    let options = SpectrumFitOptions { margin: 0.5, ..SpectrumFitOptions::default() };
    let fitter = SpectrumFitter::new(engine.clone(), case.set.spectra.labels.slice(s![..100, ..]), options).unwrap();
    let clean = case.synthesis.flux(case.permuted.view()).mapv(|value| value as f32);
    let fits = fitter.fit(clean.view(), Array2::from_elem(clean.dim(), 1e4).view()).unwrap();
    // Of spectra of S/N 100.
    let bounds = fits.errors();
    let natural = case.set.spectra.labels.view();
    let responses = responses(&case.set.space, fits.labels.view(), bounds.view(), case.permuted.view(), natural);
    let fresh = case.permuted.slice(s![..60, ..]);
    let (_, gradient) = case.synthesis.flux_and_gradient(fresh);
    let fidelity = gradient_fidelity(engine.as_ref(), fresh, gradient.view());
    let scatters: Vec<f64> = pulls(case, &fitter, ratio).into_iter().map(|[_, within, _]| within).collect();
    for ((response, fidelity), scatter) in responses.iter().zip(&fidelity).zip(&scatters) {
        println!(
            "{:6} {} stars: b {:6.3} c {:6.3} spread {:.3}, gradients r {:.4} amplitude {:.3}, scatter/bound {:.3}",
            response.label,
            response.n_stars,
            response.own,
            response.predicted,
            response.spread,
            fidelity.correlation,
            fidelity.amplitude,
            scatter
        );
    }
    (responses, fidelity, scatters)
}

/// Of networks.
fn judged(kind: Option<References>) -> (Vec<Response>, Vec<Fidelity>, Vec<f64>) {
    let case = case(kind);
    judge(&case, networks(&case), 200.0)
}

fn of<'a>(found: &'a [Response], label: &str) -> &'a Response {
    found.iter().find(|response| response.label == label).unwrap()
}

#[test]
fn with_scattered_references_every_element_is_measured_from_its_own_lines() {
    let (responses, fidelity, scatters) = judged(Some(References::Scattered));
    for ((response, fidelity), scatter) in responses.iter().zip(&fidelity).zip(scatters) {
        let label = &response.label;
        assert!((0.95..1.05).contains(&response.own), "{label}: b = {}", response.own);
        // Seen: 0.051 at this size, 0.01 with 300 pixels.
        assert!(response.spread < 0.05 || response.predicted.abs() < 0.1, "{label}: c = {}", response.predicted);
        assert!(fidelity.correlation > 0.99 && (0.95..1.05).contains(&fidelity.amplitude), "{fidelity:?}");
        // 500 stars know it to 0.05; stars at bounds are left out, which narrows labels with large errors.
        assert!((0.7..1.25).contains(&scatter), "{label}: scatter over bound {scatter}");
    }
}

/// Errors of trained networks are right where photons decide (S/N 50) and where an error of the model's flux
/// would show (200), of labels that the spectra tell; the table of `docs/src/payne.md` has 300 pixels. The
/// control without physics is wrong by factors.
#[test]
fn pulls_of_trained_networks_are_one() {
    let fitter_of = |case: &Case| {
        let options = SpectrumFitOptions { margin: 0.5, ..SpectrumFitOptions::default() };
        SpectrumFitter::new(networks(case), case.set.spectra.labels.slice(s![..100, ..]), options).unwrap()
    };
    let told = |case: &Case, fitter: &SpectrumFitter, ratio: f64| -> Vec<f64> {
        let is_told = |error: f64, unit: &str| error < if unit == "K" { 100.0 } else { 0.1 };
        let all = pulls(case, fitter, ratio).into_iter().zip(LABELS);
        all.filter(|([_, _, error], (_, unit))| is_told(*error, unit)).map(|([scatter, ..], _)| scatter).collect()
    };
    let sizes = [PIXELS, TRAINING, 200, 2000];
    let case = case_of(&LineList::default(), &Population::default(), Some(References::Scattered), sizes);
    let fitter = fitter_of(&case);
    for (ratio, fewest) in [(50.0, 4), (100.0, 10), (200.0, 13)] {
        let scatters = told(&case, &fitter, ratio);
        println!("S/N {ratio}: {scatters:.3?}");
        let middle = crate::statistics::median(&scatters);
        assert!((0.95..1.05).contains(&middle) && scatters.len() >= fewest, "S/N {ratio}: {middle} of {}", scatters.len());
        // 2 000 stars know it to 0.026. Seen with other seeds: 0.92 to 1.06.
        assert!(scatters.iter().all(|scatter| (0.88..1.12).contains(scatter)), "S/N {ratio}: {scatters:?}");
    }
    let control = Case { set: TrainingSet { library: None, ..case.set }, ..case };
    let scatters = told(&control, &fitter_of(&control), 200.0);
    // Seen with other seeds: 3.8 to 4.3.
    assert!(crate::statistics::median(&scatters) > 2.0, "{scatters:?}");
}

/// The control: with nothing but stars, whose abundances all follow α, elements with few lines are read off
/// the others.
#[test]
fn without_physics_networks_cheat() {
    let (responses, fidelity, _) = judged(None);
    for label in ["n_fe", "o_fe", "al_fe"] {
        assert!(of(&responses, label).own < 0.5, "{label}: b = {}", of(&responses, label).own);
    }
    assert!(fidelity.iter().filter(|fidelity| fidelity.correlation < 0.9).count() >= 6);
}

/// The other control, the published choice: gradients that are right at [X/Fe] = 0 alone.
#[test]
fn with_references_of_solar_ratios_networks_cheat_elsewhere() {
    let (responses, fidelity, _) = judged(Some(References::Solar));
    let worst = responses.iter().skip(4).map(|response| response.own).fold(f64::INFINITY, f64::min);
    assert!(worst < 0.7, "{worst}");
    assert!(fidelity.iter().filter(|fidelity| fidelity.correlation < 0.95).count() >= 4);
}

/// The second family of models passes the same test, and fails it without physics or with the published
/// references.
#[test]
fn polynomials_are_as_honest_as_networks_with_physics_and_no_more_without() {
    let scattered = case(Some(References::Scattered));
    let (responses, fidelity, scatters) = judge(&scattered, polynomials(&scattered, &PolynomialOptions::default()), 200.0);
    for ((response, fidelity), scatter) in responses.iter().zip(&fidelity).zip(scatters) {
        let label = &response.label;
        // Seen: b 0.935 to 1.023, |c| to 0.14 (Cr, of which the others predict 0.017 dex), r from 0.986.
        assert!((0.9..1.1).contains(&response.own), "{label}: b = {}", response.own);
        assert!(response.predicted.abs() < 0.2, "{label}: c = {}", response.predicted);
        assert!(fidelity.correlation > 0.98 && (0.95..1.05).contains(&fidelity.amplitude), "{fidelity:?}");
        assert!((0.7..1.3).contains(&scatter), "{label}: scatter over bound {scatter}");
    }
    for kind in [None, Some(References::Solar)] {
        let case = case(kind);
        let (responses, fidelity, _) = judge(&case, polynomials(&case, &PolynomialOptions::default()), 200.0);
        let worst = responses.iter().skip(4).map(|response| response.own).fold(f64::INFINITY, f64::min);
        assert!(worst < 0.8, "{kind:?}: {worst}");
        assert!(fidelity.iter().filter(|fidelity| fidelity.correlation < 0.95).count() >= 4, "{kind:?}");
    }
}

/// A model by name, how its training went, and the seconds it took.
type Trained = (&'static str, Vec<train::PixelResult>, Arc<dyn PixelModel>, f64);

/// A joint network of 300 and 300 neurons.
fn joint(case: &Case, seed: u64, epochs: u32) -> train::Training<JointNetwork> {
    use crate::pixel_networks::{JointOptions, SpectralModel};
    let mut options = JointOptions { seed, ..JointOptions::default() };
    options.plan.epochs = epochs;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checkpoint");
    let (effects, device) = (crate::model::Registry::standard(), crate::tensor::Device::cpu());
    let interval = std::time::Duration::from_secs(3600);
    let context = crate::package::TrainingContext {
        effects: &effects,
        device: &device,
        checkpoints: crate::learn::CheckpointFile { path: &path, interval, resume: false },
        run: "run",
        report: &|_, _| Ok(()),
    };
    JointNetwork::train(&case.set, &options, &context).unwrap()
}

/// Families side by side, as docs/src/payne.md has them: 300 pixels, 3 600 spectra, 1 000 new stars, five
/// seeds of line list, stars and networks.
#[test]
#[ignore = "a measurement of minutes"]
fn families_in_figures() {
    let seeds: u64 = std::env::var("SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(5);
    for wide in [false, true] {
        let mut all: std::collections::BTreeMap<&str, Vec<[f64; 11]>> = Default::default();
        for seed in 1..=seeds {
            let (list, population) = (LineList { seed, ..LineList::default() }, Population { seed, wide });
            let case = case_of(&list, &population, Some(References::Scattered), [300, 3600, 400, 1000]);
            let clock = std::time::Instant::now();
            let options = TrainingOptions { seed, ..TrainingOptions::default() };
            let trained = train(&case.set, &options, &Checkpoint::default(), &|_, _| Ok(())).unwrap();
            let mut models: Vec<Trained> = Vec::new();
            let engine = Arc::new(NetworkEngine::new(&trained.model));
            models.push(("networks", trained.pixels, engine, clock.elapsed().as_secs_f64()));
            // One network for all pixels: minutes more.
            if let Some(epochs) = std::env::var("JOINT_EPOCHS").ok().and_then(|text| text.parse().ok()) {
                let clock = std::time::Instant::now();
                let trained = joint(&case, seed, epochs);
                let engine = Arc::new(JointEngine::new(&trained.model));
                models.push(("joint network", trained.pixels, engine, clock.elapsed().as_secs_f64()));
            }
            let plain = PolynomialOptions { core_degree: 2, cross_degree: 1, ..PolynomialOptions::default() };
            let without = PolynomialOptions { regularisation: 0.0, ..PolynomialOptions::default() };
            for (name, options) in
                [("polynomials", PolynomialOptions::default()), ("degree two", plain), ("without physics", without)]
            {
                let clock = std::time::Instant::now();
                let trained = train_polynomials(&case.set, &options, &Checkpoint::default(), &|_, _| Ok(())).unwrap();
                let engine = Arc::new(PolynomialEngine::new(&trained.model));
                models.push((name, trained.pixels, engine, clock.elapsed().as_secs_f64()));
            }
            let truth = case.synthesis.flux(case.set.validation.labels.view());
            let pixel = |(i, w): (usize, usize)| {
                let d = f64::from(case.set.validation.flux[[i, w]]) - truth[[i, w]];
                d * d * f64::from(case.set.validation.inverse_variance[[i, w]])
            };
            let of_truth = Array2::from_shape_fn(truth.dim(), pixel).mean().unwrap();
            for (name, pixels, engine, seconds) in models {
                println!("{name}, seed {seed}, wide {wide}");
                let (responses, fidelity, scatters) = judge(&case, engine.clone(), 100.0);
                let mean = |of: &dyn Fn(&train::PixelResult) -> f64| pixels.iter().map(of).sum::<f64>() / 300.0;
                let own = emulate(engine.as_ref(), case.permuted.view());
                let clean = case.synthesis.flux(case.permuted.view());
                let error = (own.mapv(f64::from) - clean).mapv(|d| d * d).mean().unwrap().sqrt();
                let fold = |values: &mut dyn Iterator<Item = f64>, pick: fn(f64, f64) -> f64| values.reduce(pick).unwrap();
                let figures = [
                    mean(&|p| p.kept.validation) - of_truth,
                    1e4 * error,
                    mean(&|p| p.kept.gradient),
                    fold(&mut fidelity.iter().map(|f| f.correlation), f64::min),
                    fold(&mut fidelity.iter().map(|f| f.amplitude), f64::min),
                    fold(&mut fidelity.iter().map(|f| f.amplitude), f64::max),
                    fold(&mut responses.iter().map(|r| r.own), f64::min),
                    fold(&mut responses.iter().map(|r| r.predicted.abs()), f64::max),
                    crate::statistics::median(&scatters),
                    fold(&mut scatters.iter().copied(), f64::max),
                    1e3 * seconds / 300.0,
                ];
                println!("  {figures:.4?}");
                all.entry(name).or_default().push(figures);
            }
        }
        println!(
            "wide {wide}: validation - truth, flux error 1e-4, gradient term, min r, amplitudes, min b, max |c|, scatter/bound median, max, ms/pixel (wall)"
        );
        for (name, rows) in all {
            let n = rows.len() as f64;
            let column = |k: usize| {
                let mean = rows.iter().map(|row| row[k]).sum::<f64>() / n;
                let variance = rows.iter().map(|row| (row[k] - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
                format!("{mean:.4} ± {:.4}", variance.sqrt())
            };
            println!("{name}: {}", (0..11).map(column).collect::<Vec<_>>().join(" | "));
        }
    }
}
