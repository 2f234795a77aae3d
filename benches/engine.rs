//! The steps that decide how long training and fitting take: `cargo bench` (figures in
//! docs/src/performance.md).

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use ndarray::Array2;
use photosphere::error::Result;
use photosphere::model::{ForwardModel, Registry};
use photosphere::noise::{EigenvalueFloor, Whitening};
use photosphere::observations::{Observations, ReadOptions};
use photosphere::optimise::{LevenbergMarquardt, Method, NormalEquations, Problems, minimise_in_chunks};
use photosphere::posterior::{Posterior, Terms, minimise_on_device};
use photosphere::simulate::{SurveyConfig, simulate};
use photosphere::survey::xp::{Band, DEFAULT_WAVELENGTHS, ErrorConvention, Instrument, Spectrum};
use photosphere::tensor::{Device, Order};
use photosphere::train::TrainedModel;
use std::hint::black_box;
use std::path::Path;

/// Stars of a batch: the chunk of the fit and the batch of the recipes.
const N_STARS: usize = 512;

/// The standard model with fresh weights, and coordinates near the middle of its parameters.
fn model(observations: &Observations) -> Result<(ForwardModel, Array2<f64>)> {
    let effects: Vec<toml::Table> = ["emulator", "extinction", "distance"]
        .map(|kind| [("kind".to_string(), toml::Value::from(kind))].into_iter().collect())
        .to_vec();
    let model = ForwardModel::new(&Registry::standard(), &effects, observations.grid.clone(), 1, &Device::cpu())?;
    let coordinates =
        Array2::from_shape_fn((N_STARS, model.space.len()), |(star, p)| (((star * 7 + p * 3) % 11) as f64 - 5.0) / 10.0);
    Ok((model, coordinates))
}

fn engine(criterion: &mut Criterion) -> Result<()> {
    let table = simulate(&SurveyConfig { n_stars: N_STARS, ..SurveyConfig::default() })?;
    let packed =
        table.column("xp_covariance_triu")?.to_matrix(DEFAULT_WAVELENGTHS.len() * (DEFAULT_WAVELENGTHS.len() + 1) / 2)?;
    let constraints = ["parallax", "teff", "feh", "logg", "extinction"].map(String::from);
    let options = ReadOptions { constraints: constraints.to_vec(), ..ReadOptions::default() };
    let observations = Observations::from_table(table, &options)?;
    let (model, coordinates) = model(&observations)?;
    let flat: Vec<f64> = coordinates.iter().copied().collect();
    let shape = [N_STARS, model.space.len()];
    let free: Vec<usize> = (0..model.space.len()).collect();

    let mut group = criterion.benchmark_group("512_stars");
    group.throughput(Throughput::Elements(N_STARS as u64)).sample_size(20);
    for (name, order) in [("flux", Order::Value), ("flux_and_jacobian", Order::First), ("flux_jacobian_hessian", Order::Second)] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| black_box(model.flux(model.device().tensor(&flat, shape), &free, order)));
        });
    }

    let terms = Terms { constraints: &constraints, mixture: None, jacobians: true };
    let posterior = Posterior::new(&model, &observations, &terms, &[], coordinates.clone())?;
    let stars: Vec<usize> = (0..N_STARS).collect();
    group.bench_function("normal_equations", |bencher| {
        bencher.iter(|| black_box(posterior.normal_equations(&stars, coordinates.view())));
    });
    group.bench_function("exact_hessians", |bencher| {
        bencher.iter(|| black_box(posterior.hessian(&stars, coordinates.view())));
    });
    let reference = Posterior::new(&model, &observations, &terms, &[], coordinates.clone())?.with_tensors();
    group.bench_function("normal_equations_of_the_tensor_engine", |bencher| {
        bencher.iter(|| black_box(reference.normal_equations(&stars, coordinates.view())));
    });
    let method = Method::LevenbergMarquardt(LevenbergMarquardt { max_iterations: 5, ..LevenbergMarquardt::default() });
    group.bench_function("five_levenberg_marquardt_steps", |bencher| {
        bencher.iter(|| black_box(minimise_in_chunks(&method, &posterior, coordinates.view(), None, N_STARS)));
    });

    let taped = model.to(&model.device().taped());
    group.bench_function("gradient_of_all_weights", |bencher| {
        bencher.iter(|| {
            let flux = taped.flux(taped.device().tensor(&flat, shape), &[], Order::Value).map(|jet| jet.value.sum());
            black_box(flux.map(|loss| taped.weights.host_gradients(loss)))
        });
    });

    let tail = observations.flux_error.slice(ndarray::s![.., DEFAULT_WAVELENGTHS.len()..]).to_owned();
    group.bench_function("whitening_of_61x61_covariances", |bencher| {
        bencher.iter_batched(
            || packed.mapv(|value| value as f32),
            |packed| black_box(Whitening::from_covariances(packed.view(), tail.view(), EigenvalueFloor::default())),
            BatchSize::LargeInput,
        );
    });
    group.finish();

    let sampling = Instrument::standard()?.sampling(&DEFAULT_WAVELENGTHS, 55, 55)?;
    let band = || Band {
        coefficients: (0..55).map(|i| 100.0 * (-f64::from(i) / 9.0).exp()).collect(),
        errors: vec![0.3; 55],
        correlations: Some((0..55 * 54 / 2).map(|i| 0.02 * f64::from(i % 7 - 3)).collect()),
        standard_deviation: 1.1,
    };
    let spectrum = Spectrum { source_id: 1, bp: Some(band()), rp: Some(band()) };
    criterion.bench_function("xp_coefficients_to_flux_and_covariance", |bencher| {
        bencher.iter(|| black_box((sampling.flux(&spectrum), sampling.covariance(&spectrum, ErrorConvention::Published))));
    });
    Ok(())
}

/// Whole minimisations of unlabelled stars with the model of the repository, from starts about half a
/// standard deviation of the sample off, by both engines for any model.
fn minimisation(criterion: &mut Criterion) -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/xp-simulated");
    let trained = TrainedModel::load(&folder, &Registry::standard(), &Device::cpu())?;
    let (model, constraints) = (&trained.model, ["parallax".to_string()]);
    let config = SurveyConfig { n_stars: N_STARS, first_star: 5_000_000, labelled_fraction: 0.0, ..SurveyConfig::default() };
    let options =
        ReadOptions { constraints: constraints.to_vec(), model_error: model.model_error.clone(), ..ReadOptions::default() };
    let observations = Observations::from_table(simulate(&config)?, &options)?;
    let mut starts = Array2::zeros((N_STARS, model.space.len()));
    for (parameter, mut column) in model.space.parameters.iter().zip(starts.columns_mut()) {
        let truth = observations.auxiliary.column(&format!("true_{}", parameter.name))?.to_f64()?;
        for (star, (slot, value)) in column.iter_mut().zip(truth).enumerate() {
            let value = if parameter.name == "extinction" { value.max(0.05) } else { value };
            *slot = parameter.coordinate_from_file(value) + 0.5 * (star as f64).sin();
        }
    }
    let terms = Terms { constraints: &constraints, mixture: Some(&trained.prior), jacobians: true };
    let posterior = Posterior::new(model, &observations, &terms, &[], starts.clone())?;
    let tensors = Posterior::new(model, &observations, &terms, &[], starts.clone())?.with_tensors();
    let stars: Vec<usize> = (0..N_STARS).collect();
    let damped = LevenbergMarquardt::default();
    let method = Method::LevenbergMarquardt(damped.clone());

    let mut group = criterion.benchmark_group("512_stars_to_the_optimum");
    group.throughput(Throughput::Elements(N_STARS as u64)).sample_size(20);
    group.bench_function("standard_engine", |bencher| {
        bencher.iter(|| black_box(minimise_in_chunks(&method, &posterior, starts.view(), None, posterior.batch(N_STARS))));
    });
    group.bench_function("tensor_engine", |bencher| {
        bencher.iter(|| black_box(minimise_in_chunks(&method, &tensors, starts.view(), None, N_STARS)));
    });
    group.bench_function("device_engine_on_the_processor", |bencher| {
        bencher.iter(|| black_box(minimise_on_device(&posterior, &stars, starts.clone(), None, &damped, N_STARS)));
    });
    group.bench_function("exact_hessian_of_the_tensor_engine", |bencher| {
        bencher.iter(|| black_box(tensors.hessian(&stars, starts.view())));
    });
    group.finish();
    Ok(())
}

fn run(criterion: &mut Criterion) {
    if let Err(error) = engine(criterion).and_then(|()| minimisation(criterion)) {
        eprintln!("{error}");
        std::process::exit(i32::from(error.exit_code()));
    }
}

criterion_group!(benches, run);
criterion_main!(benches);
