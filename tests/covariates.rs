//! What is known of every star beforehand (airmass, velocity, width of the line spread) enters as a shape
//! parameter with its measured value as a constraint: an effect reads it, fits hold it to the measurement
//! within its error.

use ndarray::Array2;
use photosphere::error::Result;
use photosphere::infer::{FitOptions, fit};
use photosphere::model::{Effect, FluxJet, ForwardModel, GaussianPrior, Parameter, Registry, StarParameters};
use photosphere::observations::{Grid, Observations};
use photosphere::prior::MixtureFit;
use photosphere::statistics::robust_scatter;
use photosphere::tensor::{Device, Jet, WeightSpecification, Weights};
use photosphere::train::TrainedModel;
use rand::{Rng, SeedableRng};
use rand_distr::StandardNormal;
use serde::{Deserialize, Serialize};

/// ln f = slope(λ) · colour, a star of one label.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Colour {}

fn slope(nm: f64) -> f64 {
    (nm / 600.0).ln()
}

/// Extinction of the atmosphere, k(λ) per airmass, which reddens: flux alone hardly tells it from the colour.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Atmosphere {}

fn atmosphere(nm: f64) -> f64 {
    0.02 - 0.3 * slope(nm)
}

fn row(star: &StarParameters<'_>, grid: &Grid, value: impl Fn(f64) -> f64) -> Jet {
    let values: Vec<f64> = grid.wavelength.iter().map(|&nm| value(nm)).collect();
    Jet::constant(star.device().tensor(&values, [1, grid.len()]))
}

impl Effect for Colour {
    const KIND: &'static str = "colour";

    fn parameters(&self) -> Vec<Parameter> {
        vec![Parameter::label("colour")]
    }

    fn weights(&self, _grid: &Grid, _seed: u64) -> Vec<WeightSpecification> {
        Vec::new()
    }

    fn apply(&self, star: &StarParameters<'_>, _weights: &Weights, grid: &Grid, flux: FluxJet) -> Result<FluxJet> {
        Ok(flux.multiply_exp(&star.value("colour")?.mul(&row(star, grid, slope))))
    }
}

impl Effect for Atmosphere {
    const KIND: &'static str = "atmosphere";

    fn parameters(&self) -> Vec<Parameter> {
        let prior = Some(GaussianPrior { mean: 1.4, standard_deviation: 0.4 });
        vec![Parameter { prior, start: 1.4, ..Parameter::new("airmass", "", "airmass of the observation") }]
    }

    fn weights(&self, _grid: &Grid, _seed: u64) -> Vec<WeightSpecification> {
        Vec::new()
    }

    fn apply(&self, star: &StarParameters<'_>, _weights: &Weights, grid: &Grid, flux: FluxJet) -> Result<FluxJet> {
        Ok(flux.multiply_exp(&star.value("airmass")?.mul(&row(star, grid, |nm| -atmosphere(nm)))))
    }
}

#[test]
fn an_airmass_that_is_known_corrects_the_label() {
    let registry = Registry::standard().with::<Colour>().with::<Atmosphere>();
    let wavelength: Vec<f64> = (0..12).map(|i| 420.0 + 40.0 * f64::from(i)).collect();
    let grid = Grid::new(wavelength.clone(), (0..12).map(|i| format!("b{i}")).collect()).unwrap();
    let effects = ["kind = 'colour'", "kind = 'atmosphere'"].map(|text| text.parse().unwrap());
    let model = ForwardModel::new(&registry, &effects, grid.clone(), 1, &Device::cpu()).unwrap();
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(4);
    let mut normal = || -> f64 { random.sample(StandardNormal) };
    let n = 400;
    let sample = Array2::from_shape_fn((2000, 1), |_| normal());
    let prior =
        MixtureFit { n_components: 1, n_restarts: 1, ..Default::default() }.fit(sample.view(), &["colour".into()], 1).unwrap();
    let trained = TrainedModel::new(model, prior).unwrap();

    let truth: Vec<[f64; 2]> = (0..n).map(|_| [0.5 * normal(), 1.0 + 0.4 * normal().abs()]).collect();
    let mut flux = Array2::zeros((n, 12));
    let mut error = Array2::zeros((n, 12));
    for (star, [colour, airmass]) in truth.iter().enumerate() {
        for (w, &nm) in wavelength.iter().enumerate() {
            let value = (colour * slope(nm) - airmass * atmosphere(nm)).exp();
            flux[[star, w]] = (value * (1.0 + 0.02 * normal())) as f32;
            error[[star, w]] = (0.02 * value) as f32;
        }
    }
    let measured = truth.iter().map(|[_, airmass]| airmass + 1e-3 * normal()).collect();
    let observations = Observations::new(grid, (0..n as i64).collect(), flux, error).unwrap();
    let observations = observations.with_constraint("airmass", measured, vec![1e-3; n]).unwrap();

    let fitted = |constraints: &[&str]| {
        let constraints = constraints.iter().map(|name| (*name).to_owned()).collect();
        let estimates = fit(&trained, &observations, &FitOptions { constraints, ..FitOptions::default() }).unwrap();
        let of = |k: usize| (0..n).map(|star| estimates.values[[star, k]] - truth[star][k]).collect::<Vec<f64>>();
        let pulls: Vec<f64> = (0..n).map(|star| of(0)[star] / estimates.error(star, 0)).collect();
        (robust_scatter(&of(0)), robust_scatter(&of(1)), robust_scatter(&pulls))
    };
    // A role stands for the names of all parameters of that role.
    let (known, unknown) = (fitted(&["shape"]), fitted(&[]));
    println!("scatter of colour, airmass, pulls: {known:?}; without the airmass: {unknown:?}");
    assert!(known.1 < 2e-3 && (0.9..1.1).contains(&known.2));
    assert!(unknown.0 > 1.5 * known.0, "an airmass that is not told costs precision");
}
