//! Training on a small simulated overlap: every tensor moves, binaries are found, the wavelength step does
//! what alternation cannot, a stage that would destroy the state does not, priors give way to data, and what
//! is not there is refused at once.

use photosphere::error::Error;
use photosphere::infer::{FitOptions, fit, read_options};
use photosphere::learn::CheckpointFile;
use photosphere::model::Registry;
use photosphere::observations::{Observations, ReadOptions};
use photosphere::simulate::{SurveyConfig, simulate};
use photosphere::table::{Table, Values};
use photosphere::tensor::Device;
use photosphere::train::{Recipe, TrainedModel, train};

const HEAD: &str = "description = 'test'\n[transforms]\nextinction = 'identity'\n[loss]\nrobust_scale = 1000.0\n\
    [prior]\nn_components = 2\nn_restarts = 1\n\
    [[effect]]\nkind = 'emulator'\nhidden = [16, 16]\n[[effect]]\nkind = 'extinction'\n[[effect]]\nkind = 'distance'\n";
const FIRST: &str = "[[stage]]\nkind = 'learn'\nname = 'first'\nepochs = 40\nbatch = 64\nlearning_rate = 5e-3\n";
const ALTERNATE: &str = "[[stage]]\nkind = 'learn'\nname = 'stars'\nepochs = 25\nbatch = 64\nlearning_rate = 2e-3\n\
    schedule = { shape = 'cosine', end_fraction = 0.05 }\nstars = { method = 'levenberg_marquardt', iterations = 2 }\n";
const SOLVE: &str = "[[stage]]\nkind = 'solve'\nname = 'solve'\nsteps = 3\n";
const CLEAN: &str = "[[stage]]\nkind = 'refine'\nname = 'refine'\n[[stage]]\nkind = 'clean'\nname = 'clean'\n";

fn survey(n_stars: usize) -> Observations {
    observe(table(n_stars))
}

fn table(n_stars: usize) -> Table {
    simulate(&SurveyConfig { n_stars, ..Default::default() }).unwrap()
}

fn observe(table: Table) -> Observations {
    let constraints = ["teff", "feh", "logg", "parallax", "extinction"].map(String::from).to_vec();
    Observations::from_table(table, &ReadOptions { constraints, ..Default::default() }).unwrap()
}

fn run(observations: &Observations, stages: &[&str]) -> (TrainedModel, Table) {
    let recipe = Recipe::parse(&format!("{HEAD}{}", stages.concat()), "test").unwrap();
    train(&recipe, observations, &Registry::standard(), &Device::cpu(), None, &mut |_, _| Ok(())).unwrap()
}

/// Deconvolved, the prior gives the true labels of the training stars a higher density than the fit to the
/// measured ones, whose Gaussians have the noise in them.
#[test]
fn the_prior_is_that_of_labels_without_their_noise() {
    let table = table(3000);
    let names = ["true_teff", "true_feh", "true_logg"];
    let [teff, feh, logg] = names.map(|name| table.column(name).unwrap().to_f64().unwrap());
    let observations = observe(table);
    let short = "[[stage]]\nkind = 'learn'\nname = 'short'\nepochs = 1\nlearning_rate = 1e-3\n";
    let ln_density = |deconvolve: bool| {
        let head = HEAD.replace("n_components = 2", &format!("n_components = 6\ndeconvolve = {deconvolve}"));
        let recipe = Recipe::parse(&format!("{head}{short}"), "test").unwrap();
        let trained = train(&recipe, &observations, &Registry::standard(), &Device::cpu(), None, &mut |_, _| Ok(())).unwrap().0;
        assert!(trained.prior.ln_density_threshold().is_some());
        (0..3000).map(|star| trained.prior.ln_density(&[1e-3 * teff[star], feh[star], logg[star]])).sum::<f64>() / 3000.0
    };
    let [measured, deconvolved] = [false, true].map(ln_density);
    println!("mean ln p of true labels: {measured:.3} of the fit to measured ones, {deconvolved:.3} deconvolved");
    assert!(deconvolved > measured + 0.05, "{deconvolved} {measured}");
}

/// Errors of labels that are said three times too large are found, and a second training with the factors is
/// the result; a wavelength at which no star has a flux is refused.
#[test]
fn errors_that_are_off_are_found_and_mended_by_a_second_training() {
    let with_errors = |factor: f64| {
        let mut table = table(2400);
        for name in ["teff_error", "feh_error", "logg_error"] {
            let mut column = table.take(name).unwrap();
            column.values = Values::Float64(column.to_f64().unwrap().iter().map(|error| factor * error).collect());
            table.push(column).unwrap();
        }
        observe(table)
    };
    let recipe = |data: &str| {
        let head = HEAD.replace("[transforms]", &format!("[data]\n{data}\n[transforms]"));
        Recipe::parse(&format!("{head}{FIRST}{ALTERNATE}{SOLVE}"), "test").unwrap()
    };
    let observations = with_errors(3.0);
    let mut told = Vec::new();
    let learning = recipe("learn_error_factors = true");
    let train_both = |report: &mut dyn FnMut(f64, &str) -> Result<(), Error>| {
        train(&learning, &observations, &Registry::standard(), &Device::cpu(), None, report)
    };
    let (mended, _) = train_both(&mut |done, _| {
        told.push(done);
        Ok(())
    })
    .unwrap();
    assert!(told.windows(2).all(|pair| pair[1] >= pair[0]) && told.last().is_some_and(|last| (0.5..=1.0).contains(last)));
    let used = Recipe::parse(&mended.card.recipe, "card").unwrap();
    let factors = &used.data.error_factors;
    println!("factors {factors:?}");
    let is_mended = factors.get("feh").is_some_and(|factor| (0.2..0.5).contains(factor));
    assert!(!used.data.learn_error_factors && is_mended && factors.values().all(|factor| *factor < 0.8), "{factors:?}");
    // The card's recipe gives that model again.
    let again = train(&used, &observations, &Registry::standard(), &Device::cpu(), None, &mut |_, _| Ok(())).unwrap().0;
    assert_eq!(again.sha256, mended.sha256);

    let mut dark = survey(300);
    dark.flux_error.column_mut(5).fill(f32::INFINITY);
    let short = Recipe::parse(&format!("{HEAD}{FIRST}"), "test").unwrap();
    let error = train(&short, &dark, &Registry::standard(), &Device::cpu(), None, &mut |_, _| Ok(())).unwrap_err().to_string();
    assert!(error.contains(&format!("none with a flux in {}", dark.grid.names[5])), "{error}");
}

/// What no star has measured is not learned: said of E and of parallaxes, with impossible errors beside.
#[test]
fn what_nothing_measures_is_said() {
    let mut table = table(600);
    for name in ["extinction", "extinction_error"] {
        table.take(name).unwrap();
    }
    let mut error = table.take("logg_error").unwrap();
    let mut values = error.to_f64().unwrap();
    values.iter_mut().step_by(3).for_each(|value| *value = -1.0);
    (error.values, error.valid) = (Values::Float64(values), None);
    table.push(error).unwrap();
    let head = HEAD.replace("[transforms]", "[data]\noptional = ['extinction']\n[transforms]");
    let short = "[[stage]]\nkind = 'learn'\nname = 'short'\nepochs = 1\nlearning_rate = 1e-3\n";
    let recipe = Recipe::parse(&format!("{head}{short}"), "test").unwrap();
    let (trained, _) = train(&recipe, &observe(table), &Registry::standard(), &Device::cpu(), None, &mut |_, _| Ok(())).unwrap();
    let warnings = trained.card.warnings.join("\n");
    assert!(warnings.contains("no star has a measured extinction"), "{warnings}");
    assert!(!warnings.contains("no star has a measured parallax"), "{warnings}");
    assert!(warnings.contains("200 of 600 stars have an impossible value among those of teff"), "{warnings}");
}

/// A label that is the same for all stars is refused before the first epoch.
#[test]
fn labels_without_a_spread_are_refused_first() {
    let mut table = table(600);
    let mut feh = table.take("feh").unwrap();
    (feh.values, feh.valid) = (Values::Float64(vec![-0.5; 600]), None);
    table.push(feh).unwrap();
    let recipe = Recipe::parse(&format!("{HEAD}{FIRST}"), "test").unwrap();
    let mut epochs = 0;
    let trained = train(&recipe, &observe(table), &Registry::standard(), &Device::cpu(), None, &mut |_, _| {
        epochs += 1;
        Ok(())
    });
    let message = trained.err().unwrap().to_string();
    assert!(message.contains("column 'feh': found -0.5 for all"), "{message}");
    assert_eq!(epochs, 0);
}

#[test]
fn pairs_of_stars_are_known_without_cleaning() {
    let observations = survey(1500);
    let (trained, stars) = run(&observations, &[FIRST, ALTERNATE, SOLVE, "[binaries]\nshare = 0.05\n"]);
    let share = trained.log.report.unwrap().binaries.unwrap();
    let probability = stars.column("binary_probability").unwrap().to_f64().unwrap();
    let Values::Bool(binary) = &stars.column("true_is_binary").unwrap().values else { panic!("true_is_binary") };
    let mean = |of: bool| {
        let members: Vec<f64> =
            (0..1500).filter(|&i| binary[i] == of && probability[i].is_finite()).map(|i| probability[i]).collect();
        members.iter().sum::<f64>() / members.len() as f64
    };
    println!("share {share:.3}; mean probability {:.2} of pairs, {:.3} of single stars", mean(true), mean(false));
    assert!((0.01..0.2).contains(&share) && mean(true) > 5.0 * mean(false));
}

#[test]
fn every_tensor_moves_and_binaries_are_cleaned() {
    let observations = survey(1500);
    let (trained, stars) = run(&observations, &[FIRST, ALTERNATE, CLEAN]);
    let start = "[[stage]]\nkind = 'learn'\nname = 'still'\nepochs = 1\nlearning_rate = 1e-30\n";
    let (untrained, _) = run(&observations, &[start]);
    for name in trained.model.weights.names() {
        let (moved, initial) = (trained.model.weights.values(name).unwrap(), untrained.model.weights.values(name).unwrap());
        let still = moved.iter().zip(&initial).filter(|(a, b)| a == b).count();
        assert_eq!(still, 0, "{still} of {} values of {name} did not move", moved.len());
    }
    let flag = |name: &str| match &stars.column(name).unwrap().values {
        Values::Bool(values) => values.clone(),
        other => panic!("{name} is {}", other.value_type()),
    };
    let (kept, binary) = (flag("is_kept"), flag("true_is_binary"));
    let share = |of: bool| {
        let all = binary.iter().filter(|&&is| is == of).count() as f64;
        (0..kept.len()).filter(|&i| binary[i] == of && !kept[i]).count() as f64 / all
    };
    println!("removed {:.2} of binaries and {:.3} of single stars", share(true), share(false));
    assert!(share(true) > 5.0 * share(false));
}

#[test]
fn the_wavelength_step_moves_what_alternation_cannot() {
    // The zero point of E trades off against the colour of the emulator: only the measured reddenings, of
    // little weight beside the fluxes, decide. Both runs see the same stars; the mean of what they measure is
    // what the zero point should become.
    let observations = survey(1500);
    let zero_point = |stages: &[&str]| {
        let (_, stars) = run(&observations, stages);
        let column = |name: &str| stars.column(name).unwrap().to_f64().unwrap();
        let (fitted, measured, error) = (column("fitted_extinction"), column("extinction"), column("extinction_error"));
        let (mut sum, mut weight) = (0.0, 0.0);
        for i in 0..fitted.len() {
            sum += (fitted[i] - measured[i]) / error[i].powi(2);
            weight += error[i].powi(-2);
        }
        sum / weight
    };
    let (alternating, solved) = (zero_point(&[FIRST, ALTERNATE]), zero_point(&[FIRST, ALTERNATE, SOLVE]));
    println!("mean difference to the measured reddenings: {alternating:+.5} alternating, {solved:+.5} solved");
    assert!(solved.abs() < 0.5 * alternating.abs());
}

#[test]
fn a_rate_that_would_destroy_the_solved_state_is_found_out_and_the_state_kept() {
    let observations = survey(1500);
    let wild = "[[stage]]\nkind = 'learn'\nname = 'wild'\nepochs = 12\nbatch = 64\nlearning_rate = 0.1\n\
        stars = { method = 'levenberg_marquardt', iterations = 2 }\n";
    let unguarded = format!("{wild}largest_increase = inf\nwarm_up = 0.0\n");
    let losses = |stage: &str| {
        let (trained, _) = run(&observations, &[FIRST, ALTERNATE, SOLVE, stage]);
        let [solved, after] = [2, 3].map(|at: usize| trained.log.stages[at].loss);
        let worst = trained.log.history.iter().filter(|epoch| epoch.stage == "wild").map(|epoch| epoch.validation_loss);
        (solved, after, worst.fold(0.0, f64::max), trained.log.stages[3].returns)
    };
    let (solved, after, _, returns) = losses(wild);
    println!("loss {solved:.3} solved, {after:.3} after a wild stage with {returns} returns");
    assert!(returns > 0 && after <= 1.001 * solved);
    // Without the guard the epochs run away, as they did; the best state is kept all the same.
    let (solved, after, worst, returns) = losses(&unguarded);
    println!("unguarded: up to {worst:.1}");
    assert!(returns == 0 && worst > 3.0 * solved && after <= 1.001 * solved);
}

#[test]
fn a_prior_of_the_infrared_index_gives_way_where_a_penalty_overrules_the_data() {
    // The index of the simulated curve is 1.61; the effect is told 1.0.
    let observations = survey(1500);
    let head = HEAD.replace("kind = 'extinction'\n", "kind = 'extinction'\ninfrared_index = 1.0\n");
    let index = |section: &str| {
        let stages = [FIRST, ALTERNATE, SOLVE].concat();
        let recipe = Recipe::parse(&format!("{head}{stages}{section}\ninfrared_index = 1.0\n"), "test").unwrap();
        let (trained, _) =
            train(&recipe, &observations, &Registry::standard(), &Device::cpu(), None, &mut |_, _| Ok(())).unwrap();
        let ln_curve = trained.model.weights.values("extinction.ln_curve").unwrap();
        let nm = &trained.model.grid.wavelength;
        let at = |wanted: f64| nm.iter().position(|nm| (nm - wanted).abs() < 1.0).unwrap();
        (ln_curve[at(992.0)] - ln_curve[at(2159.0)]) / (2159.0_f64 / 992.0).ln()
    };
    let (prior, penalty) = (index("[priors]"), index("[penalties]"));
    println!("index {prior:.3} with the prior, {penalty:.3} with the penalty");
    assert!((prior - 1.61).abs() < 0.25 && penalty < 1.4);
}

#[test]
fn what_the_recipe_names_and_the_file_lacks_is_refused_before_the_first_epoch() {
    let refusal = |change: &dyn Fn(&mut Table), recipe: &dyn Fn(String) -> String| {
        let mut table = table(300);
        change(&mut table);
        let recipe = Recipe::parse(&recipe(format!("{HEAD}{FIRST}")), "test").unwrap();
        let observations = observe(table);
        let mut epochs = 0;
        let trained = train(&recipe, &observations, &Registry::standard(), &Device::cpu(), None, &mut |_, _| {
            epochs += 1;
            Ok(())
        });
        assert!(trained.is_ok() || epochs == 0);
        trained.err().map(|error| error.to_string())
    };
    let fill = |table: &mut Table, name: &str, value: f64| {
        let mut column = table.column(name).unwrap().clone();
        column.values = Values::Float64(vec![value; column.n_rows()]);
        table.replace(column).unwrap();
    };
    let same = |text: String| text;
    let nothing = |_: &mut Table| ();
    let take = |name: &'static str| move |table: &mut Table| drop(table.take(name));
    let optional = |text: String| format!("{text}[data]\noptional = ['extinction']\n");
    let message = refusal(&take("extinction_error"), &same).unwrap();
    assert!(message.contains("extinction_error") && message.contains("no errors") && message.contains("optional"), "{message}");
    let message = refusal(&|table| fill(table, "parallax", f64::NAN), &same).unwrap();
    assert!(message.contains("'parallax'") && message.contains("no star of 300"), "{message}");
    assert!(refusal(&|table| fill(table, "feh_error", 0.0), &same).unwrap().contains("'feh'"));
    let without = |text: String| format!("{text}[data]\nconstraints = ['teff', 'feh', 'parallax', 'extinction']\n");
    assert!(refusal(&nothing, &without).unwrap().contains("label 'logg'"));
    let components = |text: String| text.replace("n_components = 2", "n_components = 100");
    assert!(refusal(&nothing, &components).unwrap().contains("at least 400"));
    let cut = |text: String| text.replace("epochs = 40\n", "epochs = 40\ncut = [{ quantity = 'parallax', minimum = 1e3 }]\n");
    assert!(refusal(&nothing, &cut).unwrap().contains("none of"));
    assert_eq!(refusal(&take("extinction_error"), &optional), None);
}

#[test]
fn a_model_of_labels_alone_is_trained_and_fitted_with_the_default_options() {
    // Spectra of stars at 1 mas without dust.
    let mut table = table(400);
    let parallax = table.column("true_parallax").unwrap().to_f64().unwrap();
    for name in ["flux", "flux_error"] {
        let mut column = table.column(name).unwrap().clone();
        let n = column.range(0).len();
        let Values::Float32(values) = &mut column.values else { panic!("{name} is {}", column.values.value_type()) };
        values.iter_mut().enumerate().for_each(|(i, flux)| *flux /= parallax[i / n].powi(2) as f32);
        table.replace(column).unwrap();
    }
    table.take("xp_covariance_triu");
    let recipe = format!(
        "description = 'labels'\n[data]\nconstraints = ['teff', 'feh', 'logg']\n[prior]\nn_components = 2\n\
        [[effect]]\nkind = 'emulator'\nhidden = [8]\n{FIRST}"
    );
    let recipe = Recipe::parse(&recipe, "test").unwrap();
    let observations = observe(table.clone());
    let (trained, _) = train(&recipe, &observations, &Registry::standard(), &Device::cpu(), None, &mut |_, _| Ok(())).unwrap();
    let options = FitOptions::default();
    let observations = Observations::from_table(table, &read_options(&trained, &options)).unwrap();
    let estimates = fit(&trained, &observations, &options).unwrap();
    assert!(estimates.values.iter().filter(|value| value.is_finite()).count() > estimates.values.len() * 9 / 10);
}

/// Cuts on the whole sample leave stars out of the training and of the table of its stars.
#[test]
fn a_cut_on_the_sample_leaves_stars_out() {
    let observations = survey(600);
    let recipe =
        format!("{HEAD}{FIRST}[data]\ncut = [{{ quantity = 'teff', minimum = 5000.0 }}]\n").replace("epochs = 40", "epochs = 2");
    let recipe = Recipe::parse(&recipe, "test").unwrap();
    let (trained, stars) =
        train(&recipe, &observations, &Registry::standard(), &Device::cpu(), None, &mut |_, _| Ok(())).unwrap();
    let expected = (0..600).filter(|&star| observations.constraint("teff", star).is_some_and(|(teff, _)| teff >= 5000.0)).count();
    assert_eq!((stars.n_rows(), trained.card.n_training + trained.card.n_validation), (expected, expected));
    assert!((100..500).contains(&expected));
}

/// Whoever watches a training can end it; it goes on from there to the weights of one that nobody ended.
#[test]
fn a_training_that_is_stopped_goes_on_to_the_same_weights() {
    let observations = survey(200);
    let stages = [FIRST, ALTERNATE].concat().replace("epochs = 40", "epochs = 6").replace("epochs = 25", "epochs = 4");
    let recipe = Recipe::parse(&format!("{HEAD}{stages}"), "test").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = CheckpointFile::path_of(&folder.path().join("model"));
    let train = |resume: bool, stop_after: usize| {
        let checkpoints = CheckpointFile { path: &path, interval: std::time::Duration::from_secs(3600), resume };
        let mut n_reports = 0;
        let mut report = |_: f64, _: &str| {
            n_reports += 1;
            if n_reports == stop_after { Err(Error::data("the watcher").found("enough")) } else { Ok(()) }
        };
        train(&recipe, &observations, &Registry::standard(), &Device::cpu(), Some(checkpoints), &mut report)
    };
    let whole = train(false, usize::MAX).unwrap().0.sha256;
    for stop_after in [4, 9] {
        assert!(train(false, stop_after).err().unwrap().to_string().contains("enough"));
        assert!(path.is_file());
        assert_eq!(train(true, usize::MAX).unwrap().0.sha256, whole, "stopped after report {stop_after}");
    }
}
