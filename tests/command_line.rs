//! The command line as its users see it: help, a whole run on a tiny sample, and runs that are killed and
//! resumed.

mod common;

use common::{TINY_RECIPE, fail, files, json, model, observations, photosphere, run, succeed, write};
use photosphere::table::{self, Column, ColumnSchema, Table, Values};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};
use tempfile::tempdir;

const COMMANDS: [&str; 19] = [
    "demo",
    "simulate",
    "simulate spectra",
    "simulate library",
    "prepare",
    "train",
    "fit",
    "distance",
    "predict",
    "finalize",
    "validate",
    "diagnose",
    "audit",
    "import",
    "inspect",
    "bench",
    "recipe",
    "instruments",
    "cite",
];

#[test]
fn help_of_every_command() {
    let folder = tempdir().unwrap();
    let mut help = succeed(folder.path(), "--help");
    for command in COMMANDS {
        help.push_str(&format!("\n──── {command}\n{}", succeed(folder.path(), &format!("{command} --help"))));
    }
    insta::assert_snapshot!("help", help);
    assert!(succeed(folder.path(), "--version").starts_with("photosphere 0."));
    for wrong in ["", "fits", "fit", "train --output", "inspect x --star"] {
        assert_eq!(run(folder.path(), wrong).0, 2, "{wrong}");
    }
    // A negative number is a value, and what is wrong with it is said of its option.
    let (code, _, error) = run(folder.path(), "simulate -o x.fits --stars -1");
    assert!(code == 2 && error.contains("invalid value '-1' for '--stars <N>'"), "{error}");
}

#[test]
fn answers_without_any_file() {
    let folder = tempdir().unwrap();
    let names = json(folder.path(), "recipe --json")["names"].clone();
    for name in names.as_array().unwrap() {
        let text = succeed(folder.path(), &format!("recipe {}", name.as_str().unwrap()));
        toml::from_str::<toml::Table>(&text).unwrap();
    }
    assert!(succeed(folder.path(), "recipe xp --all-keys").contains("initial_damping"));
    assert_eq!(run(folder.path(), "recipe xpp").0, 2);
    let citation = succeed(folder.path(), "cite");
    assert!(citation.contains("Zhang") && citation.contains("DPAC") && citation.contains("GaiaXPy"), "{citation}");
    assert!(files(folder.path()).is_empty());
}

#[test]
fn from_simulation_to_validation() {
    let folder = tempdir().unwrap();
    let path = folder.path();
    std::fs::write(path.join("tiny.toml"), TINY_RECIPE).unwrap();
    assert_eq!(json(path, "simulate -o overlap.fits --stars 300 --seed 7 --json")["seed"], 7);
    succeed(path, "simulate -o new.parquet --stars 60 --new --seed 7");
    let trained = json(path, "train tiny.toml overlap.fits -o model --json");
    assert_eq!(
        files(&path.join("model")),
        ["model.toml", "prior.toml", "provenance.json", "training.json", "training_stars.parquet", "weights.safetensors"]
    );
    assert_eq!(json(path, "inspect model --json")["sha256"], trained["sha256"]);

    let fitted = json(path, "fit model new.parquet -o catalogue.fits --keep-truth --keep phot_g_mean_mag,parallax --json");
    assert_eq!((fitted["stars"].as_u64(), fitted["not_fitted"].as_u64()), (Some(60), Some(0)));
    let stages = fitted["processor_seconds"].as_object().unwrap();
    assert!(
        ["hash", "start", "optimise", "describe", "write", "rest"].iter().all(|stage| stages[*stage].as_f64().unwrap() >= 0.0)
    );
    assert!(stages["optimise"].as_f64().unwrap() > 0.0 && fitted["seconds"].as_f64().unwrap() > 0.0, "{fitted:#}");
    let catalogue = json(path, "inspect catalogue.fits --json");
    assert_eq!(catalogue["rows"], 60);
    let column = |name: &str| catalogue["columns"].as_array().unwrap().iter().find(|column| column["name"] == name).cloned();
    assert_eq!(column("teff").unwrap()["unit"], "K");
    assert!(column("true_teff").is_some() && column("phot_g_mean_mag").is_some() && column("flux").is_none());
    assert!(column("parallax").is_some() && column("measured_parallax").is_some(), "the estimate and what was measured");
    let metadata = &catalogue["metadata"];
    assert_eq!(metadata["model_sha256"], trained["sha256"]);
    assert!(metadata["inputs"].as_str().unwrap().contains(r#""name":"new.parquet","rows":60"#), "{metadata}");
    for key in ["program", "git_hash", "command", "options", "seed", "run_sha256", "model_path"] {
        assert!(metadata[key].is_string(), "{key}: {metadata}");
    }

    let comparison = json(path, "validate catalogue.fits new.parquet -o report --json");
    assert_eq!((&comparison["n_matched"], comparison["quantities"].as_array().unwrap().len()), (&60.into(), 5));
    assert_eq!(files(&path.join("report")), ["figures", "report.html"]);
    assert_eq!(run(path, "validate catalogue.fits new.parquet -o report").0, 1, "the report exists");
    assert!(succeed(path, "validate catalogue.fits new.parquet --quantity teff --flags-below 4096").contains("teff (K)"));

    let id = column("source_id").unwrap()["first"][0].as_str().unwrap().to_owned();
    let star = json(path, &format!("inspect model --star {id} --data new.parquet -o star.svg --json"));
    assert_eq!((star["source_id"].to_string(), star["parameters"].as_array().unwrap().len()), (id.clone(), 5));
    assert!(std::fs::read_to_string(path.join("star.svg")).unwrap().contains(&id));
    assert_eq!(run(path, "inspect model --star 1 --data new.parquet").0, 1);

    let prior = std::fs::read_to_string(path.join("model/prior.toml")).unwrap();
    std::fs::write(path.join("model/prior.toml"), format!("{prior}# of somebody else\n")).unwrap();
    let (code, _, said) = run(path, "inspect model");
    assert!(code == 0 && said.contains("prior.toml: not as the training wrote it"), "{said}");
}

/// The chain of `docs/src/payne.md`: lines, library, training, fit and diagnostics by commands alone, and
/// what wrong line strengths do to gradients.
#[test]
fn from_simulated_lines_to_diagnostics() {
    let folder = tempdir().unwrap();
    let path = folder.path();
    let lines = "--pixels 60 --labels 5 --seed 3";
    let made = json(path, &format!("simulate spectra -o training.parquet --stars 400 --snr 50,150 {lines} --json"));
    assert_eq!((&made["stars"], &made["seed"], &made["resolution"]), (&400.into(), &3.into(), &2500.0.into()));
    succeed(path, &format!("simulate spectra -o new.parquet --new --stars 300 --snr 100 --permuted {lines}"));
    succeed(path, &format!("simulate spectra -o clean.fits --new --stars 200 --snr 100 --permuted --noise-free {lines}"));
    succeed(path, &format!("simulate library -o library.safetensors --references 30 {lines}"));
    succeed(path, &format!("simulate library -o perturbed.safetensors --references 30 --strength-error 0.3 {lines}"));
    succeed(path, &format!("simulate library -o held_out.safetensors --new --references 30 --steps 40,0.08,0.1,0.05 {lines}"));
    let new = json(path, "inspect new.parquet --json");
    let has = |name: &str| new["columns"].as_array().unwrap().iter().any(|column| column["name"] == name);
    assert!(has("true_c_fe") && !has("c_fe") && !has("true_n_fe"), "{new:#}");
    assert!(new["metadata"]["simulation"].as_str().unwrap().contains("\"permuted\":true"));
    // The same command changes nothing and is refused without --resume or --overwrite.
    let again = format!("simulate library -o library.safetensors --references 30 {lines}");
    assert_eq!(run(path, &again).0, 1);
    succeed(path, &format!("{again} --resume"));
    fail(path, &format!("{again} --resume --ratios solar"), 2, &["library.safetensors"]);

    let correlations = |library: &str, model: &str| -> Vec<f64> {
        let recipe = format!(
            "kind = \"pixel_networks\"\nlabels = [\"teff\", \"logg\", \"v_mic\", \"feh\", \"c_fe\"]\nlibrary = \"{library}\"\n\
             resolution = 2500\n[training]\nhidden = 8\niterations = 12\noracle_pixels = 0\n"
        );
        std::fs::write(path.join("recipe.toml"), &recipe).unwrap();
        succeed(path, &format!("train recipe.toml training.parquet -o {model}"));
        succeed(path, &format!("fit {model} new.parquet -o {model}.parquet --keep-truth"));
        let judged = json(
            path,
            &format!(
                "diagnose {model} --library held_out.safetensors --spectra clean.fits --catalogue {model}.parquet -o {model}_report --json"
            ),
        );
        let labels = |what: &str| judged[what].as_array().unwrap().clone();
        assert_eq!((labels("gradients").len(), labels("cheat_test").len()), (5, 5), "{judged:#}");
        assert!(judged["precision"][0]["labels"].as_array().unwrap().iter().all(|label| label["ratio"].as_f64().unwrap() > 0.5));
        labels("gradients").iter().map(|label| label["r"].as_f64().unwrap()).collect()
    };
    let (right, wrong) = (correlations("library.safetensors", "model"), correlations("perturbed.safetensors", "wrong"));
    assert!(right.iter().all(|r| *r > 0.98), "{right:?}");
    assert!((0..5).all(|k| wrong[k] < right[k]) && wrong[1] < 0.96, "{wrong:?} against {right:?}");

    for (arguments, words) in [
        ("simulate spectra -o x.parquet --labels 16", "--labels"),
        ("simulate spectra -o x.parquet --snr 100,50", "'snr'"),
        ("simulate spectra -o x.parquet --snr 1,2,3", "--snr"),
        ("simulate library -o x.safetensors --steps 1,2", "library.steps"),
        ("simulate library -o x.safetensors --pixels 0", "n_pixels"),
        ("simulate spectra -o x.csv", "x.csv"),
    ] {
        fail(path, arguments, 2, &[words]);
    }
    assert_eq!(run(path, "simulate").0, 2);
    assert_eq!(run(path, "simulate spectra").0, 2);
    assert_eq!(run(path, "simulate library -o x.safetensors --ratios random").0, 2);
    let config = |text: &str| std::fs::write(path.join("lines.toml"), text).unwrap();
    config("labels = [\"teff\", \"Mg/Fe\"]\nn_pixels = 30\nlibrary = { n_references = 7 }\n");
    assert_eq!(json(path, "simulate library -o small.safetensors --config lines.toml --json")["references"], 7);
    config("wide = 3\n");
    fail(path, "simulate library -o x.safetensors --config lines.toml", 2, &["lines.toml", "wide"]);
}

#[test]
fn a_bench_measures_every_stage() {
    let folder = tempdir().unwrap();
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/models/xp-simulated");
    let report = json(folder.path(), &format!("bench --model {model} --stars 64 --repeats 1 --json"));
    let stages = report["stages"].as_array().unwrap();
    let names: Vec<&str> = stages.iter().map(|stage| stage["stage"].as_str().unwrap()).collect();
    assert_eq!(names, ["read", "prepare", "whiten", "start", "optimise", "fisher", "hessian", "write"]);
    assert!(stages.iter().all(|stage| stage["microseconds_per_star"][1].is_number()), "{report:#}");
    assert!(report["steps_per_star"].as_f64().unwrap() > 1.0 && report["machine"]["flops"].as_f64().unwrap() > 1e8);
    assert!(report["engines"]["engine"][2].as_f64().unwrap() < 0.05, "{report:#}");
    assert!(files(folder.path()).is_empty());
    let pixels = json(folder.path(), "bench --pixel-networks 4 --pixels 40 --trained-pixels 30 --stars 20 --repeats 1 --json");
    let times = &pixels["models"][0];
    assert!(
        times["fit_milliseconds_per_star"].as_f64().unwrap() > 0.0 && times["training"]["iterations"].as_f64().unwrap() > 2.0
    );
    assert_eq!(pixels["models"].as_array().unwrap().len(), 3, "networks, polynomials, a joint network");
    let other = json(folder.path(), "bench --pixel-networks 4 --labels 6 --pixels 64 --stars 20 --repeats 1 --json");
    let emulated = |k: usize| other["models"][k]["emulated_spectra_per_second"].as_f64().unwrap();
    assert!((0..3).all(|k| emulated(k) > 0.0) && other["models"][0]["training"].is_null());
    assert_eq!(run(folder.path(), "bench --pixel-networks 4 --labels 1").0, 2);
    assert_eq!(run(folder.path(), &format!("bench --model {model} --stars 0")).0, 2);
    assert_eq!(run(folder.path(), "bench --model nowhere").0, 1);
}

#[test]
fn catalogues_do_not_depend_on_threads_shards_or_a_second_run() {
    let folder = tempdir().unwrap();
    let path = folder.path();
    write(&observations(40), path, "stars.parquet");
    let fit = format!("fit {} stars.parquet", model().display());
    succeed(path, &format!("{fit} -o one.parquet --threads 1"));
    succeed(path, &format!("{fit} -o all.parquet"));
    let bytes = |name: &str| std::fs::read(path.join(name)).unwrap();
    assert_eq!(bytes("one.parquet"), bytes("all.parquet"));
    assert!(run(path, &format!("{fit} -o all.parquet --resume")).2.contains("finished already"));
    assert_eq!(run(path, &format!("{fit} -o all.parquet --resume --hold extinction=0")).0, 2, "other options");

    let all = table::read(&path.join("all.parquet")).unwrap();
    let ids = all.column("source_id").unwrap().to_i64().unwrap();
    let mut n_stars = 0;
    for shard in 0..3 {
        succeed(path, &format!("{fit} -o shard.parquet --shard {shard}/3 --overwrite"));
        let part = table::read(&path.join("shard.parquet")).unwrap();
        let part_ids = part.column("source_id").unwrap().to_i64().unwrap();
        let rows: Vec<usize> = part_ids.iter().map(|id| ids.iter().position(|other| other == id).unwrap()).collect();
        // as text, since NaN differs from itself
        assert!(format!("{:?}", part.columns()) == format!("{:?}", all.select(&rows).columns()), "shard {shard}");
        n_stars += rows.len();
    }
    assert_eq!(n_stars, 40);
}

#[test]
fn a_shard_or_a_file_without_stars_gives_an_empty_catalogue() {
    let folder = tempdir().unwrap();
    write(&observations(3).slice(0..0), folder.path(), "none.parquet");
    let fitted = json(folder.path(), &format!("fit {} none.parquet -o catalogue.parquet --json", model().display()));
    assert_eq!(fitted["stars"], 0);
    assert_eq!(json(folder.path(), "inspect catalogue.parquet --json")["rows"], 0);
}

#[test]
fn fluxes_are_predicted_at_labels_in_any_unit_and_incomplete_rows_are_flagged() {
    let folder = tempdir().unwrap();
    let path = folder.path();
    let column = |name: &str, unit: &str, values: &[f64]| {
        table::Column::nullable(table::ColumnSchema::new(name, unit, ""), values.to_vec())
    };
    let labels = |teff: table::Column| {
        let feh = column("feh", "", &[0.0, -0.5, 0.1, 0.0]);
        let logg = column("logg", "", &[4.4, 4.0, 2.5, f64::NAN]);
        let distance = column("distance", "kpc", &[1.0; 4]);
        table::Table::new(vec![teff, feh, logg, distance]).unwrap()
    };
    write(&labels(column("teff", "kK", &[5.77, 6.2, 4.6, 5.0])), path, "kilokelvin.fits");
    write(&labels(column("teff", "K", &[5770.0, 6200.0, 4600.0, 5000.0])), path, "kelvin.ecsv");
    let predict = format!("predict {}", model().display());
    let summary = json(path, &format!("{predict} kilokelvin.fits -o fluxes.parquet --json"));
    assert_eq!((summary["rows"].as_u64(), summary["predicted"].as_u64()), (Some(4), Some(3)));
    succeed(path, &format!("{predict} kelvin.ecsv -o near.parquet --hold parallax=2 --hold extinction=0.1"));
    let read = |name: &str| table::read(&path.join(name)).unwrap();
    let (fluxes, near) = (read("fluxes.parquet"), read("near.parquet"));
    let flux = |table: &table::Table| match &table.column("flux").unwrap().values {
        table::Values::Float64(values) => values.clone(),
        other => panic!("flux is {}", other.value_type()),
    };
    let (far, near_flux) = (flux(&fluxes), flux(&near));
    let n = far.len() / 4;
    assert!(far[..3 * n].iter().all(|value| *value > 0.0) && far[3 * n..].iter().all(|value| value.is_nan()));
    // Four times the flux, less what the dust takes: most in the blue.
    let ratio: Vec<f64> = (0..n).map(|i| near_flux[i] / far[i]).collect();
    assert!(ratio.iter().all(|ratio| *ratio < 4.0) && ratio[0] < ratio[n - 1] && ratio[n - 1] > 3.8, "{ratio:?}");
    assert_eq!(near.column("parallax").unwrap().to_f64().unwrap(), [2.0; 4]);
    // The output is a table of observations.
    succeed(path, &format!("fit {} fluxes.parquet -o again.parquet", model().display()));
    fail(path, &format!("{predict} kelvin.ecsv -o other.parquet --hold mass=1"), 2, &["'mass'", "teff"]);
    for (held, expected) in [("feh=400", "-10 to 3 dex"), ("teff=1e9", "300000 K"), ("parallax=0", "a positive number")] {
        fail(path, &format!("{predict} kelvin.ecsv -o other.parquet --hold {held}"), 2, &["--hold", expected]);
    }
    let without = table::Table::new(vec![column("teff", "K", &[5000.0]), column("feh", "", &[0.0])]).unwrap();
    write(&without, path, "without.fits");
    fail(path, &format!("{predict} without.fits -o other.parquet"), 1, &["'logg'", "--hold logg"]);
    // Nothing that is there in other capitals is passed over; a star has one row.
    let mut table = labels(column("teff", "K", &[5770.0; 4]));
    table.push(column("Extinction", "mag", &[0.5; 4])).unwrap();
    write(&table, path, "capitals.fits");
    fail(path, &format!("{predict} capitals.fits -o other.parquet"), 1, &["'extinction'", "but 'Extinction'"]);
    let mut table = labels(column("teff", "K", &[5770.0; 4]));
    table
        .push(table::Column::scalar(table::ColumnSchema::new("source_id", "", ""), table::Values::Int64(vec![1, 2, 1, 3])))
        .unwrap();
    write(&table, path, "twice.fits");
    fail(path, &format!("{predict} twice.fits -o other.parquet"), 1, &["twice.fits", "row 2: found identifier 1"]);
}

#[test]
fn a_training_says_what_it_knows_of_its_faults() {
    let trained = json(model().parent().unwrap(), &format!("inspect {} --json", model().display()));
    let report = &trained["report"];
    assert!(
        report["n_stars"].as_u64() > Some(0)
            && report["drifts"].as_array().unwrap().iter().any(|drift| drift["group"] == "dwarfs")
    );
    assert_eq!(trained["stages"].as_array().unwrap().len(), 3);
    let text = succeed(model().parent().unwrap(), &format!("inspect {}", model().display()));
    assert!(text.contains("what the training knows of its faults") && text.contains("cleaning removed 0 of"), "{text}");
    // Its warnings are in the card too.
    assert_eq!(report["warnings"].as_array().map(Vec::len), trained["card"]["warnings"].as_array().map(Vec::len).or(Some(0)));
}

#[test]
fn several_files_train_as_one() {
    let folder = tempdir().unwrap();
    let path = folder.path();
    let table =
        photosphere::simulate::simulate(&photosphere::simulate::SurveyConfig { n_stars: 300, ..Default::default() }).unwrap();
    write(&table.slice(0..100), path, "a.parquet");
    write(&table.slice(100..300), path, "b.fits");
    std::fs::write(path.join("tiny.toml"), TINY_RECIPE).unwrap();
    let trained = json(path, "train tiny.toml a.parquet b.fits -o model --json");
    let expected = json(path, &format!("inspect {} --json", model().display()));
    assert_eq!(trained["sha256"], expected["sha256"]);
}

/// Starts the program without waiting for it.
fn start(folder: &Path, arguments: &str) -> Child {
    let mut command = std::process::Command::new(photosphere(folder).get_program());
    command.current_dir(folder).args(arguments.split_whitespace()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Kills the program when `is_time`; whether it was still running then.
fn kill_when(child: &mut Child, mut is_time: impl FnMut() -> bool) -> bool {
    let limit = Instant::now() + Duration::from_secs(60);
    while !is_time() && child.try_wait().unwrap().is_none() && Instant::now() < limit {
        std::thread::sleep(Duration::from_millis(1));
    }
    let was_running = child.try_wait().unwrap().is_none();
    child.kill().unwrap();
    child.wait().unwrap();
    was_running
}

#[test]
fn a_killed_training_resumes_to_the_same_model() {
    let folder = tempdir().unwrap();
    let path = folder.path();
    std::fs::write(path.join("tiny.toml"), TINY_RECIPE.replace("epochs = 12", "epochs = 160")).unwrap();
    succeed(path, "simulate -o overlap.parquet --stars 300");
    let train = "train tiny.toml overlap.parquet --checkpoint-every 0";
    let expected = json(path, &format!("{train} -o whole --json"))["sha256"].clone();
    assert!(!path.join("whole.checkpoint").exists(), "a finished run leaves no checkpoint");

    let checkpoint = path.join("killed.checkpoint");
    let written = || std::fs::metadata(&checkpoint).and_then(|metadata| metadata.modified()).ok();
    for n_checkpoints in [1, 20, 50] {
        let (mut last, mut n_seen) = (None, 0);
        let mut child = start(path, &format!("{train} -o killed"));
        let was_running = kill_when(&mut child, || {
            let now = written();
            n_seen += usize::from(now.is_some() && now != last);
            last = now.or(last);
            n_seen >= n_checkpoints
        });
        assert!(was_running && !path.join("killed").exists(), "killed after {n_seen} checkpoints");
        let (code, _, error) = run(path, &format!("{train} -o killed"));
        assert!(code == 1 && error.contains("--resume") && checkpoint.exists(), "nothing is lost by mistake: {error}");
        let (code, _, error) = run(path, &format!("{train} -o killed --resume --seed 99"));
        assert!(code == 2 && error.contains("another recipe"), "{error}");
        assert_eq!(json(path, &format!("{train} -o killed --resume --json"))["sha256"], expected);
        assert_eq!(json(path, "inspect killed --json")["sha256"], expected);
        assert!(run(path, &format!("{train} -o killed --resume")).2.contains("finished already"));
        std::fs::remove_dir_all(path.join("killed")).unwrap();
    }
}

#[test]
fn a_killed_demo_goes_on_to_the_same_model() {
    let folder = tempdir().unwrap();
    let path = folder.path();
    std::fs::write(path.join("tiny.toml"), TINY_RECIPE).unwrap();
    let demo = "demo --stars 300 --new 60 --recipe tiny.toml --no-controls";
    let expected = json(path, &format!("{demo} -o whole --json"));
    assert!(Path::new(&path.join(expected["report"].as_str().unwrap())).is_file());
    for (n, moment) in ["overlap.parquet", "model.checkpoint", "catalogue.parquet"].iter().enumerate() {
        let output = path.join(format!("killed_{n}"));
        let mut child = start(path, &format!("{demo} -o killed_{n}"));
        kill_when(&mut child, || output.join(moment).exists());
        assert_eq!(json(path, &format!("{demo} -o killed_{n} --json"))["model_sha256"], expected["model_sha256"]);
        assert_eq!(files(&output), files(&path.join("whole")), "killed at {moment}");
    }
    let (code, _, error) = run(path, &format!("{demo} --seed 5 -o whole"));
    assert!(code == 2 && error.contains("--overwrite"), "{error}");
}

#[test]
fn a_killed_fit_leaves_a_whole_catalogue_or_none() {
    let folder = tempdir().unwrap();
    let path = folder.path();
    write(&observations(300), path, "stars.parquet");
    let fit = format!("fit {} stars.parquet -o catalogue.fits", model().display());
    for milliseconds in [10, 60, 150] {
        let (mut child, begin) = (start(path, &fit), Instant::now());
        kill_when(&mut child, || begin.elapsed() > Duration::from_millis(milliseconds));
        assert_eq!(json(path, &format!("{fit} --resume --json"))["stars"], 300);
        assert_eq!(json(path, "inspect catalogue.fits --json")["rows"], 300);
        std::fs::remove_file(path.join("catalogue.fits")).unwrap();
    }
}

/// Networks per pixel in the published layout (`w_array_0 [W,5,5]`, sigmoid, labels scaled to ±½), as other
/// programs write them: inspected, predicted, fitted.
#[test]
fn networks_from_elsewhere_become_models() {
    let folder = tempdir().unwrap();
    let path = folder.path();
    let (w, n, stars) = (60, 5, 40);
    let (x_min, x_max) = ([4000.0, 0.0, -2.5, -0.3, 0.5], [8000.0, 5.0, 0.5, 0.6, 3.0]);
    // Multiples of an irrational number modulo one: between −1 and 1.
    let mut nth = 0.0_f64;
    let mut draw = |size: f64| {
        nth += 1.0;
        size * (2.0 * (nth * 0.754_877_666_246_692_8 + nth * nth * 0.569_840_290_998_053_3).fract() - 1.0)
    };
    let mut drawn = |length: usize, size: f64| -> Vec<f64> { (0..length).map(|_| f64::from(draw(size) as f32)).collect() };
    let (w0, b0, w1, b1) = (drawn(w * n * n, 2.0), drawn(w * n, 1.0), drawn(w * n, 0.2), drawn(w, 0.5));
    let wavelength: Vec<f64> = (0..w).map(|i| 5000.0 + i as f64).collect();
    let tensors = |wavelength: &[f64], x_max: &[f64]| -> Vec<(&'static str, Vec<usize>, Vec<f64>)> {
        vec![
            ("w_array_0", vec![w, n, n], w0.clone()),
            ("b_array_0", vec![w, n], b0.clone()),
            ("w_array_1", vec![w, n], w1.clone()),
            ("b_array_1", vec![w], b1.clone()),
            ("x_min", vec![n], x_min.to_vec()),
            ("x_max", vec![n], x_max.to_vec()),
            ("wavelength", vec![wavelength.len()], wavelength.to_vec()),
        ]
    };
    let save = |name: &str, tensors: &[(&'static str, Vec<usize>, Vec<f64>)]| {
        use safetensors::tensor::{Dtype, TensorView};
        let bytes: Vec<Vec<u8>> =
            tensors.iter().map(|(_, _, v)| v.iter().flat_map(|value| value.to_le_bytes()).collect()).collect();
        let views = tensors
            .iter()
            .zip(&bytes)
            .map(|((name, shape, _), bytes)| (*name, TensorView::new(Dtype::F64, shape.clone(), bytes).unwrap()));
        let metadata = [("label_names", "teff,logg,feh,alpha_fe,v_mic"), ("label_units", "K,dex,dex,dex,km.s**-1")];
        let metadata = metadata.map(|(key, text)| (key.to_owned(), text.to_owned())).into();
        std::fs::write(path.join(name), safetensors::serialize(views, Some(metadata)).unwrap()).unwrap();
    };
    save("published.safetensors", &tensors(&wavelength, &x_max));
    let imported = json(path, "import published.safetensors -o model --resolution 1800 --description elsewhere --json");
    assert_eq!((imported["kind"].as_str(), imported["pixels"].as_u64()), (Some("pixel_networks"), Some(60)));
    assert!(succeed(path, "inspect model").contains("elsewhere"));
    assert_eq!(json(path, "inspect model --json")["sha256"], imported["sha256"]);

    // As published: einsum('ijk,k->ij') of the scaled labels, the sigmoid, einsum('ij,ij->i').
    let flux_at = |labels: &[f64]| -> Vec<f64> {
        let scaled: Vec<f64> = (0..n).map(|k| (labels[k] - x_min[k]) / (x_max[k] - x_min[k]) - 0.5).collect();
        let neuron = |i: usize, j: usize| {
            let inside: f64 = (0..n).map(|k| w0[(i * n + j) * n + k] * scaled[k]).sum::<f64>() + b0[i * n + j];
            w1[i * n + j] / (1.0 + (-inside).exp())
        };
        (0..w).map(|i| b1[i] + (0..n).map(|j| neuron(i, j)).sum::<f64>()).collect()
    };
    let labels: Vec<Vec<f64>> = (0..stars)
        .map(|_| drawn(n, 0.4).iter().enumerate().map(|(k, u)| x_min[k] + (x_max[k] - x_min[k]) * (0.5 + u)).collect())
        .collect();
    let names = ["teff", "logg", "feh", "alpha_fe", "v_mic"];
    let row = |labels: &Vec<f64>| labels.iter().map(f64::to_string).collect::<Vec<_>>().join(",");
    let lines: String = labels.iter().enumerate().map(|(i, labels)| format!("{},{}\n", i + 1, row(labels))).collect();
    std::fs::write(path.join("labels.csv"), format!("source_id,{}\n{lines}", names.join(","))).unwrap();
    succeed(path, "predict model labels.csv -o predicted.parquet");
    let predicted = table::read(&path.join("predicted.parquet")).unwrap().column("flux").unwrap().to_matrix(w).unwrap();
    for (labels, flux) in labels.iter().zip(predicted.outer_iter()) {
        assert!(flux_at(labels).iter().zip(flux).all(|(published, own)| (published - own).abs() < 1e-5));
    }

    // Spectra of S/N 1000 of these fluxes give the labels back.
    let column = |name: &str, values: Vec<f64>| Column::fixed(ColumnSchema::new(name, "", ""), Values::Float64(values), w);
    let ids = Column::scalar(ColumnSchema::new("source_id", "", ""), Values::Int64((1..=stars as i64).collect()));
    let flux = labels.iter().flat_map(|labels| flux_at(labels)).collect();
    let mut observed = Table::new(vec![ids, column("flux", flux), column("flux_error", vec![1e-3; w * stars])]).unwrap();
    let metadata = [
        ("wavelengths", format!("{wavelength:?}")),
        ("bands", format!("{:?}", (0..w).map(|pixel| pixel.to_string()).collect::<Vec<_>>())),
        ("wavelength_unit", "Angstrom".into()),
        ("wavelength_medium", "vacuum".into()),
    ];
    observed.metadata.extend(metadata.map(|(key, text)| (key.to_owned(), text)));
    write(&observed, path, "observed.parquet");
    for (k, model) in ["model", "of_stars"].into_iter().enumerate() {
        if k == 1 {
            succeed(path, &format!("import published.safetensors -o {model} --stars labels.csv"));
        }
        succeed(path, &format!("fit {model} observed.parquet -o {model}.parquet"));
        let catalogue = table::read(&path.join(format!("{model}.parquet"))).unwrap();
        let of = |name: &str| catalogue.column(name).unwrap().to_f64().unwrap();
        let is_found = |star: &usize| {
            (0..n).all(|k| (of(names[k])[*star] - labels[*star][k]).abs() < 0.3 * of(&format!("{}_error", names[k]))[*star])
        };
        let n_found = (0..stars).filter(is_found).count();
        assert!(n_found >= stars - 2, "{model}: {n_found} of {stars}");
    }

    save("kilokelvin.safetensors", &tensors(&wavelength, &[8.0, 5.0, 0.5, 0.6, 3.0]));
    fail(path, "import kilokelvin.safetensors -o x", 1, &["kilokelvin.safetensors"]);
    save("falling.safetensors", &tensors(&wavelength.iter().rev().copied().collect::<Vec<_>>(), &x_max));
    fail(path, "import falling.safetensors -o x", 1, &["wavelength"]);
    save("without.safetensors", &tensors(&wavelength, &x_max)[..6]);
    fail(path, "import without.safetensors -o x", 1, &["no tensor 'wavelength'", "Networks from elsewhere"]);
    save("nothing.safetensors", &tensors(&wavelength, &x_max)[4..]);
    fail(path, "import nothing.safetensors -o x", 1, &["w_array_0"]);
    fail(path, "import published.safetensors -o model", 1, &["model"]);
    std::fs::write(path.join("other.csv"), "teff,logg\n5000,4\n").unwrap();
    fail(path, "import published.safetensors -o x --stars other.csv", 1, &["none of 1", "other.csv"]);
}
