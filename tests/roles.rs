//! What a parameter is decides how it is treated, not what it is called: renamed parameters, models of labels
//! alone, two amounts.

use ndarray::Array2;
use photosphere::error::Result;
use photosphere::infer::audit::{AuditOptions, audit};
use photosphere::infer::{Engine, Estimates, FitOptions, Fitter, fit, flags, read_options};
use photosphere::model::{Effect, FluxJet, ForwardModel, Parameter, Registry, Role, StarParameters};
use photosphere::observations::{Grid, Observations};
use photosphere::optimise::Problems;
use photosphere::posterior::{Posterior, Terms};
use photosphere::prior::MixtureFit;
use photosphere::simulate::{SurveyConfig, simulate};
use photosphere::statistics::pull_statistics;
use photosphere::table::{self, Table};
use photosphere::tensor::{Device, Jet, Tensor, WeightSpecification, Weights};
use photosphere::train::{Recipe, TrainedModel, train};
use photosphere::validate::audit::AuditSummary;
use rand::{Rng, SeedableRng};
use rand_distr::{Exp1, StandardNormal};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Other names of the parameters of the shipped model.
const NAMES: [(&str, &str); 2] = [("extinction", "dust"), ("parallax", "distance_factor")];

/// The shipped model, as it is and with other names for its amount of dust and its distance parameter.
fn models() -> [TrainedModel; 2] {
    let original = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/xp-simulated");
    let folder = tempfile::tempdir().unwrap();
    for name in ["weights.safetensors", "prior.toml"] {
        std::fs::copy(original.join(name), folder.path().join(name)).unwrap();
    }
    let text = std::fs::read_to_string(original.join("model.toml")).unwrap();
    let (description, card) = text.split_once("[card]").unwrap();
    let mut description = description
        .replace("kind = \"extinction\"", "kind = \"extinction\"\namount = \"dust\"")
        .replace("kind = \"distance\"", "kind = \"distance\"\nparameter = \"distance_factor\"");
    for (name, other) in NAMES {
        description = description.replace(&format!("name = \"{name}\""), &format!("name = \"{other}\""));
    }
    std::fs::write(folder.path().join("model.toml"), format!("{description}[card]{card}")).unwrap();
    [original.as_path(), folder.path()].map(|folder| TrainedModel::load(folder, &Registry::standard(), &Device::cpu()).unwrap())
}

/// Stars with some parallaxes three hundred of their errors too small, which no star has.
fn stars(n: usize) -> Table {
    let mut table = simulate(&SurveyConfig { n_stars: n, first_star: 7_000_000, ..Default::default() }).unwrap();
    let error = table.column("parallax_error").unwrap().to_f64().unwrap();
    let mut parallax = table.take("parallax").unwrap();
    let values = parallax.to_f64().unwrap();
    parallax.values = table::Values::Float64(
        values
            .iter()
            .zip(error)
            .enumerate()
            .map(|(i, (value, error))| if i % 40 == 0 { value - 300.0 * error } else { *value })
            .collect(),
    );
    table.push(parallax).unwrap();
    table
}

fn renamed(mut table: Table) -> Table {
    for (name, other) in NAMES {
        for end in ["", "_error"] {
            let mut column = table.take(&format!("{name}{end}")).unwrap();
            column.schema.name = format!("{other}{end}");
            table.push(column).unwrap();
        }
    }
    table
}

#[test]
fn a_model_with_other_names_gets_the_same_starts_limits_flags_and_columns() {
    let [original, other] = models();
    let roles =
        |trained: &TrainedModel| trained.model.space.parameters.iter().map(|parameter| parameter.role).collect::<Vec<_>>();
    assert_eq!(roles(&other), [Role::Label, Role::Label, Role::Label, Role::Amount, Role::Distance]);
    let table = stars(400);
    for jacobians in [false, true] {
        let options = FitOptions { jacobians, ..Default::default() };
        let run = |trained: &TrainedModel, table: Table| {
            fit(trained, &Observations::from_table(table, &read_options(trained, &options)).unwrap(), &options).unwrap()
        };
        let (first, second) = (run(&original, table.clone()), run(&other, renamed(table.clone())));
        assert_eq!(first.values, second.values, "the same starts, steps and limits give the same bits");
        assert_eq!((&first.covariance, &first.flags), (&second.covariance, &second.flags));
        assert_eq!(first.derived[0].1, second.derived[0].1);
        let catalogue = second.to_table(other.id()).unwrap();
        for name in ["dust", "dust_error", "distance_factor", "distance_factor_error", "a_550"] {
            assert!(
                catalogue.column(name).unwrap().to_f64().unwrap().iter().filter(|value| value.is_finite()).count() > 390,
                "{name}"
            );
        }
        let n_off = (0..400).step_by(40).filter(|&star| second.flags[star] & flags::CONSTRAINT_VIOLATED != 0).count();
        assert!(n_off >= 2, "{n_off} of 10 stars with a wrong distance parameter are flagged");
        if !jacobians {
            assert!((0..400).any(|star| second.values[[star, 3]] == 0.0), "an amount has a bound at zero");
        }
    }
    // Held at an impossible value.
    let hold = FitOptions { hold: [("distance_factor".into(), 0.0)].into(), ..Default::default() };
    let message = Fitter::new(other.clone(), &hold).err().unwrap().to_string();
    assert!(message.contains("distance_factor") && message.contains("a positive number"), "{message}");
}

/// ln f = a(λ) + b(λ) x + c(λ) y + d(λ) x², a star of two labels whose spectrum is known.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Known {}

/// Coefficients of ln f at a wavelength in nm.
fn coefficients(nm: f64) -> [f64; 4] {
    let x = (nm / 550.0).ln();
    [0.3 - 0.5 * x * x, 0.8 * (-x).exp() - 0.4, 0.25 * (6.0 * x).sin(), 0.1 * (-x).exp()]
}

impl Effect for Known {
    const KIND: &'static str = "known";

    fn parameters(&self) -> Vec<Parameter> {
        ["heat", "metal"].map(Parameter::label).to_vec()
    }

    fn weights(&self, _grid: &Grid, _seed: u64) -> Vec<WeightSpecification> {
        Vec::new()
    }

    fn apply(&self, star: &StarParameters<'_>, _weights: &Weights, grid: &Grid, flux: FluxJet) -> Result<FluxJet> {
        let row = |k: usize| {
            let values: Vec<f64> = grid.wavelength.iter().map(|&nm| coefficients(nm)[k]).collect();
            Jet::constant(star.device().tensor(&values, [1, grid.len()]))
        };
        let (heat, metal) = (star.value("heat")?, star.value("metal")?);
        let linear = heat.mul(&row(1)).add(&metal.mul(&row(2)));
        Ok(flux.multiply_exp(&linear.add(&heat.mul(&heat).mul(&row(3))).add(&row(0))))
    }
}

/// A second amount: grains that dim the light with a curve of their own.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Grit {}

fn grit_curve(nm: f64) -> f64 {
    1.2 + 0.8 * (-((nm - 900.0) / 150.0).powi(2)).exp()
}

impl Effect for Grit {
    const KIND: &'static str = "grit";

    fn parameters(&self) -> Vec<Parameter> {
        vec![Parameter::amount("grit", "", "optical depth of grains", 0.1, 50.0)]
    }

    fn weights(&self, _grid: &Grid, _seed: u64) -> Vec<WeightSpecification> {
        Vec::new()
    }

    fn apply(&self, star: &StarParameters<'_>, _weights: &Weights, grid: &Grid, flux: FluxJet) -> Result<FluxJet> {
        let curve: Vec<f64> = grid.wavelength.iter().map(|&nm| -grit_curve(nm)).collect();
        let curve: Tensor<2> = star.device().tensor(&curve, [1, grid.len()]);
        Ok(flux.multiply_exp(&star.value("grit")?.mul(&Jet::constant(curve))))
    }
}

fn grid() -> Grid {
    let wavelength: Vec<f64> = (0..16).map(|i| 400.0 * (0.11 * f64::from(i)).exp()).collect();
    let names = (0..16).map(|i| format!("b{i}")).collect();
    Grid::new(wavelength, names).unwrap()
}

/// ln f of an amount of dust of one: −R(λ) as an untrained extinction effect has it.
fn dust_curve(nm: f64) -> f64 {
    2.9 * (nm / 550.0).powf(-1.4)
}

/// What stars are: labels, two amounts (a third of each zero) and the distance parameter.
fn truths(n: usize, seed: u64) -> Array2<f64> {
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let mut truth = Array2::zeros((n, 5));
    for mut row in truth.rows_mut() {
        for k in 0..2 {
            row[k] = random.sample::<f64, _>(StandardNormal) * [0.8, 0.4][k];
        }
        for k in 2..4 {
            let is_clean = random.r#gen::<f64>() < 1.0 / 3.0;
            let amount: f64 = random.sample(Exp1);
            row[k] = if is_clean { 0.0 } else { 0.2 * amount };
        }
        row[4] = (0.5 * random.sample::<f64, _>(StandardNormal)).exp();
    }
    truth
}

/// Fluxes of such stars with errors of 1 %, and their distance parameters measured to 5 %. Without effects:
/// the labels alone.
fn observed(truth: &Array2<f64>, with_effects: bool, seed: u64) -> Observations {
    let (grid, n) = (grid(), truth.nrows());
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let mut noise = |scale: f64| scale * random.sample::<f64, _>(StandardNormal);
    let (mut flux, mut error) = (Array2::zeros((n, grid.len())), Array2::zeros((n, grid.len())));
    for (i, row) in truth.rows().into_iter().enumerate() {
        for (w, &nm) in grid.wavelength.iter().enumerate() {
            let [a, b, c, d] = coefficients(nm);
            let mut ln_flux = a + b * row[0] + c * row[1] + d * row[0] * row[0];
            if with_effects {
                ln_flux += 2.0 * row[4].ln() - row[2] * dust_curve(nm) - row[3] * grit_curve(nm);
            }
            let sigma = 0.01 * ln_flux.exp();
            flux[[i, w]] = (ln_flux.exp() + noise(sigma)) as f32;
            error[[i, w]] = sigma as f32;
        }
    }
    let sigma: Vec<f64> = (0..n).map(|i| 0.05 * truth[[i, 4]]).collect();
    let distances = (0..n).map(|i| truth[[i, 4]] + noise(sigma[i])).collect();
    let observations = Observations::new(grid, (0..n as i64).collect(), flux, error).unwrap();
    observations.with_constraint("dilution", distances, sigma).unwrap()
}

/// MAD-σ and median of (fit − truth)/σ of a parameter for some stars.
fn pulls(estimates: &Estimates, truth: &[f64], position: usize, which: impl Fn(usize) -> bool) -> (f64, f64) {
    let stars = (0..estimates.len()).filter(|&star| which(star));
    let pulls: Vec<f64> =
        stars.map(|star| (estimates.values[[star, position]] - truth[star]) / estimates.error(star, position)).collect();
    let statistics = pull_statistics(&pulls);
    (statistics.scatter.value, statistics.median.value)
}

#[test]
fn two_amounts_have_two_barriers_and_are_found() {
    let registry = Registry::standard().with::<Known>().with::<Grit>();
    let effects = [
        "kind = 'known'",
        "kind = 'extinction'\namount = 'dust'",
        "kind = 'grit'",
        "kind = 'distance'\nparameter = 'dilution'\nunit = ''",
    ];
    let tables = effects.map(|text| text.parse().unwrap());
    let model = ForwardModel::new(&registry, &tables, grid(), 1, &Device::cpu()).unwrap();
    let sample = truths(4000, 1);
    let names = ["heat", "metal"].map(String::from);
    let prior = MixtureFit { n_components: 2, n_restarts: 1, ..Default::default() };
    let prior = prior.fit(sample.slice(ndarray::s![.., ..2]), &names, 1).unwrap();
    let trained = TrainedModel::new(model, prior).unwrap();

    let truth = truths(1500, 2);
    let observations = observed(&truth, true, 3);
    let terms = Terms { constraints: &["dilution".into()], mixture: Some(&trained.prior), jacobians: true };
    let fixed = Array2::zeros((1500, 5));
    let posterior = Posterior::new(&trained.model, &observations, &terms, &["metal".into()], fixed).unwrap();
    let barriers: Vec<usize> = posterior.barriers().iter().map(|barrier| barrier.position).collect();
    assert_eq!(barriers, [1, 2], "dust and grit among the free parameters heat, dust, grit and dilution");

    for jacobians in [true, false] {
        let options = FitOptions { jacobians, ..Default::default() };
        let estimates = fit(&trained, &observations, &options).unwrap();
        let n_flagged = estimates.flags.iter().filter(|&&flags| flags & (flags::NOT_CONVERGED | flags::NOT_FITTED) != 0).count();
        assert!(n_flagged <= 3, "{n_flagged}");
        let found = (estimates.values.view(), estimates.covariance.view());
        let audited = audit(&trained, &observations, found, &options, &AuditOptions { starts: 8, seed: 5 }).unwrap();
        let summary = AuditSummary::new(&audited, &estimates.flags);
        println!("jacobians {jacobians}: {summary}");
        assert!(summary.all.gaps[0].fraction < 0.005 && summary.reached > 0.9);
        let device = fit(&trained, &observations, &FitOptions { engine: Engine::Device, ..options.clone() }).unwrap();
        let far = (0..1500).filter(|&star| (device.ln_posterior[star] - estimates.ln_posterior[star]).abs() > 0.005).count();
        assert!(far <= 3, "{far} stars end elsewhere on the device");
        for (position, name) in [(0, "heat"), (2, "dust"), (3, "grit"), (4, "dilution")] {
            let column = truth.column(position).to_vec();
            // Where an amount is well above zero, its wall does not matter.
            let clear = |star: usize| (2..4).all(|p| truth[[star, p]] > 4.0 * estimates.error(star, p));
            let (scatter, median) = pulls(&estimates, &column, position, clear);
            println!("{name}: MAD-sigma {scatter:.3}, median {median:+.3}");
            assert!((0.9..1.1).contains(&scatter) && (jacobians || median.abs() < 0.2), "{name}");
        }
        let at_zero = (0..1500).filter(|&star| (2..4).any(|p| estimates.values[[star, p]] == 0.0)).count();
        assert_eq!(at_zero > 300, !jacobians, "{at_zero} stars without one of the two");
    }
}

#[test]
fn a_model_of_labels_alone_trains_fits_and_writes_a_catalogue() {
    let recipe = Recipe::parse(
        "description = 'labels alone'\n[prior]\nn_components = 2\nn_restarts = 1\n[penalties]\n\
        [[effect]]\nkind = 'emulator'\nlabels = ['heat', 'metal']\nhidden = [16, 16]\n\
        [[stage]]\nkind = 'learn'\nname = 'first'\nepochs = 60\nbatch = 64\nlearning_rate = 1e-2\n\
        schedule = { shape = 'cosine', end_fraction = 0.02 }\n\
        [[stage]]\nkind = 'learn'\nname = 'stars'\nepochs = 30\nbatch = 64\nlearning_rate = 2e-3\n\
        schedule = { shape = 'cosine', end_fraction = 0.05 }\nstars = { method = 'levenberg_marquardt', iterations = 2 }\n\
        [[stage]]\nkind = 'solve'\nname = 'solve'\nsteps = 2\n[[stage]]\nkind = 'refine'\nname = 'refine'\n\
        [[stage]]\nkind = 'clean'\nname = 'clean'\n",
        "labels.toml",
    )
    .unwrap();
    assert_eq!(recipe.constraints(&Registry::standard()).unwrap(), ["heat", "metal"]);
    let truth = truths(4000, 11);
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(12);
    let mut training = observed(&truth, false, 13);
    for (k, name) in ["heat", "metal"].into_iter().enumerate() {
        let measured = (0..4000).map(|i| truth[[i, k]] + 0.02 * random.sample::<f64, _>(StandardNormal)).collect();
        training = training.with_constraint(name, measured, vec![0.02; 4000]).unwrap();
    }
    let (trained, _) = train(&recipe, &training, &Registry::standard(), &Device::cpu(), None, &mut |_, _| Ok(())).unwrap();

    let truth = truths(1000, 14);
    let observations = observed(&truth, false, 15);
    let estimates = fit(&trained, &observations, &FitOptions::default()).unwrap();
    for (position, name) in ["heat", "metal"].into_iter().enumerate() {
        let outside = |star: usize| estimates.flags[star] & flags::OUTSIDE_TRAINING_RANGE != 0;
        let (scatter, median) = pulls(&estimates, &truth.column(position).to_vec(), position, |star| !outside(star));
        println!("{name}: MAD-sigma {scatter:.3}, median {median:+.3}");
        assert!((0.85..1.15).contains(&scatter) && median.abs() < 0.2, "{name}");
    }
    let n_good = estimates.flags.iter().filter(|&&flags| flags < flags::BASIC_CUT).count();
    assert!(n_good > 900, "{n_good} of 1000 in the basic cut");

    let folder = tempfile::tempdir().unwrap();
    trained.save(&folder.path().join("model"), false).unwrap();
    let loaded = TrainedModel::load(&folder.path().join("model"), &Registry::standard(), &Device::cpu()).unwrap();
    assert_eq!(loaded.sha256, trained.sha256);
    let path = folder.path().join("catalogue.parquet");
    table::write(&estimates.to_table(loaded.id()).unwrap(), &path, false).unwrap();
    let names: Vec<String> = table::read(&path).unwrap().columns().iter().map(|column| column.schema.name.clone()).collect();
    assert!(
        ["heat", "heat_error", "metal", "covariance_triu", "quality_flags"].iter().all(|name| names.iter().any(|n| n == name))
    );
    assert!(!names.iter().any(|name| ["a_550", "parallax", "extinction"].contains(&name.as_str())), "{names:?}");
}
