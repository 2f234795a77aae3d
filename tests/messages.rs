//! The texts of errors, as a snapshot: where, what was found, what was expected, and what to do about it. One
//! run of the program for each.

mod common;

use common::{TINY_RECIPE, model, observations, run, set, succeed, with_column, write};
use photosphere::table::{Table, Values};
use std::fmt::Write;
use std::path::Path;
use tempfile::{TempDir, tempdir};

/// A folder in which a model, observations and recipes lie, to be spoiled.
struct Trials {
    folder: TempDir,
    messages: String,
}

impl Trials {
    fn new() -> Self {
        let folder = tempdir().unwrap();
        let path = folder.path();
        copy_of_the_model(path);
        write(&observations(6), path, "stars.parquet");
        write(&observations(1), path, "there.parquet");
        std::fs::write(path.join("tiny.toml"), TINY_RECIPE).unwrap();
        Self { folder, messages: String::new() }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Runs what must fail, and keeps its message under a name.
    fn fails(&mut self, name: &str, arguments: &str) {
        let (code, _, error) = run(self.path(), arguments);
        let line = error.lines().find_map(|line| line.strip_prefix("error: "));
        let message = line.unwrap_or_else(|| panic!("{name}: exit code {code}, {error}"));
        let message = message.replace(&self.path().display().to_string(), "FOLDER");
        let without_numbers = message.split("SHA-256").next().unwrap_or_default();
        writeln!(self.messages, "{name} ({code})\n    {without_numbers}").unwrap();
        // A sentence after what was found and expected says what to do.
        assert!(message.trim_end().ends_with('.'), "{name}: {message}");
    }

    /// Runs with a file whose first `from` is `to`; the file is restored.
    fn fails_with(&mut self, name: &str, arguments: &str, file: &str, (from, to): (&str, &str)) {
        let path = self.path().join(file);
        let whole = std::fs::read_to_string(&path).unwrap();
        let changed = whole.replacen(from, to, 1);
        assert_ne!(changed, whole, "{name}: {from}");
        std::fs::write(&path, changed).unwrap();
        self.fails(name, arguments);
        std::fs::write(&path, whole).unwrap();
    }

    /// Runs with a file of this content.
    fn fails_on(&mut self, name: &str, arguments: &str, file: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path().join(file), content).unwrap();
        self.fails(name, arguments);
    }

    /// Fits a file of this content, and keeps the warnings before the error, or all where it does not fail.
    fn reads(&mut self, name: &str, file: &str, content: impl AsRef<[u8]>) {
        let bare = file.split('[').next().unwrap_or(file);
        std::fs::write(self.path().join(bare), content).unwrap();
        self.says(name, &format!("fit model {file} -o {file}.parquet"), bare);
    }

    /// Joins a file of this content to a spectrum.
    fn joins(&mut self, name: &str, file: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path().join(file), content).unwrap();
        self.says(name, &format!("fit model spectrum.json --join {file} -o {file}.parquet"), file);
    }

    fn says(&mut self, name: &str, arguments: &str, file: &str) {
        let (code, _, said) = run(self.path(), arguments);
        writeln!(self.messages, "{name} ({code})").unwrap();
        let is_of_file = |line: &&str| line.starts_with("error: ") || line.contains("WARN") && line.contains(file);
        for line in said.lines().filter(is_of_file) {
            let line = line.split_once("WARN ").map_or(line.to_owned(), |(_, warning)| format!("warning: {warning}"));
            writeln!(self.messages, "    {}", line.replace(&self.path().display().to_string(), "FOLDER")).unwrap();
            assert!(line.starts_with("warning: ") || line.trim_end().ends_with('.'), "{name}: {line}");
        }
    }

    /// Fits a table.
    fn table_fails(&mut self, name: &str, table: &Table) {
        write(table, self.path(), "bad.parquet");
        self.fails(name, "fit model bad.parquet -o catalogue.parquet");
    }
}

fn copy_of_the_model(folder: &Path) {
    std::fs::create_dir(folder.join("model")).unwrap();
    for entry in std::fs::read_dir(model()).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), folder.join("model").join(entry.file_name())).unwrap();
    }
}

const FIT: &str = "fit model stars.parquet -o catalogue.parquet";
const TRAIN: &str = "train tiny.toml stars.parquet -o new_model";

#[test]
fn observations_and_outputs() {
    let mut trials = Trials::new();
    trials.fails("absent observations", "fit model absent.fits -o catalogue.parquet");
    trials.fails("a folder without tables", "fit model model/ -o out/");
    trials.fails_on("an empty list", "fit model @list.txt -o out/", "list.txt", "# nothing\n");
    let mut table = observations(3);
    table.take("flux");
    trials.table_fails("a column is absent", &table);
    let floats = with_column(observations(2), "source_id", |ids| ids.values = Values::Float64(vec![1.0, 2.0]));
    trials.table_fails("identifiers that are floats", &floats);
    trials.table_fails("a star twice", &observations(3).select(&[0, 1, 0]));
    let null = with_column(observations(2), "source_id", |ids| ids.valid = Some(vec![true, false]));
    trials.table_fails("an identifier is null", &null);
    trials.fails("an output of no format", "fit model stars.parquet -o catalogue.table");
    trials.fails("an output that is only read", "fit model stars.parquet -o catalogue.xml");
    trials.fails("an output that exists", "fit model stars.parquet -o there.parquet");
    trials.fails("an output in no folder", "fit model stars.parquet -o absent/catalogue.parquet");
    trials.fails("an output that is the input", &format!("{} --overwrite", FIT.replace("catalogue.parquet", "stars.parquet")));
    trials.fails("a folder that is read and written", "fit model . -o ./");
    trials.fails("a device that is none", &format!("{FIT} --device tpu"));
    trials.fails("a parameter the model has not", &format!("{FIT} --constraint age"));
    trials.fails("a parameter held that the model has not", &format!("{FIT} --hold age=3"));
    trials.fails("a temperature held in kK", &format!("{FIT} --hold teff=5.777"));
    trials.fails("a parallax held below zero", &format!("{FIT} --hold parallax=-1"));
    trials.fails(
        "all parameters held",
        &format!("{FIT} --hold teff=5000 --hold feh=0 --hold logg=4 --hold extinction=0 --hold parallax=1"),
    );
    trials.fails("a column to keep that is absent", &format!("{FIT} --keep colour"));
    trials.fails("a table to join to what is prepared", &format!("{FIT} --join stars.parquet"));
    trials.fails_on("an unknown option", &format!("{FIT} --config options.toml"), "options.toml", "chunks = 3");
    trials.fails_on(
        "an impossible option",
        &format!("{FIT} --config options.toml"),
        "options.toml",
        "[start]\ndraws = 99999999999",
    );
    trials.fails("no options", &format!("{FIT} --config absent.toml"));
    insta::assert_snapshot!("fit", trials.messages);
}

#[test]
fn runs_and_catalogues() {
    let mut trials = Trials::new();
    let path = trials.path().to_owned();
    succeed(&path, FIT);
    trials.fails("no run to finalise", "finalize model");
    std::fs::create_dir(path.join("in")).unwrap();
    write(&observations(3), &path.join("in"), "a.parquet");
    succeed(&path, "fit model in -o out/");
    trials.fails("a run that is finished", "fit model in -o out/");
    trials.fails("a run with other options", "fit model in -o out/ --resume --hold extinction=0");
    write(&observations(2), &path.join("in"), "a.parquet");
    trials.fails("a run over an input that changed", "fit model in -o out/ --resume");
    trials.fails_on("a run whose manifest is damaged", "fit model in -o out/ --resume", "out/.photosphere/run.json", "{");
    trials.fails("two inputs of one name", "fit model in/a.parquet a.fits -o other/");
    trials.fails("the output of another run", &format!("{FIT} --resume --hold extinction=0"));
    trials.fails("an audit of what is no catalogue", "audit model stars.parquet stars.parquet");
    let others = with_column(observations(4), "source_id", |ids| ids.values = Values::Int64(vec![1, 2, 3, 4]));
    write(&others, &path, "others.parquet");
    trials.fails("an audit of other stars", "audit model others.parquet catalogue.parquet");
    trials.fails("an audit of nothing", "audit model stars.parquet catalogue.parquet --sample 0");
    trials.fails("what is not there", "inspect absent");
    trials.fails("a folder of tables", "inspect in");
    trials.fails("a folder of nothing", "inspect out/.photosphere/locks");
    trials.fails("a star that is not there", "inspect model --star 1 --data stars.parquet");
    trials.fails("another kind of figure", "inspect model --star 1 --data stars.parquet -o star.pdf");
    trials.fails("a recipe that is not built in", "recipe xpp");
    trials.fails("a bench of no stars", "bench --model model --stars 0");
    insta::assert_snapshot!("runs", trials.messages);
}

#[test]
fn recipes() {
    let mut trials = Trials::new();
    trials.fails("no training recipe", "train absent.toml stars.parquet -o new_model");
    for (name, from, to) in [
        ("an unknown key", "epochs = 12", "epochs = 12\nepoch = 3"),
        ("a rate below zero", "learning_rate = 1e-2", "learning_rate = -1.0"),
        ("no epochs", "epochs = 12", "epochs = 0"),
        ("nothing that moves", "learning_rate = 1e-2", ""),
        ("a validation fraction", "[data]", "[data]\nvalidation_fraction = 1.0"),
        ("a cut without bounds", "[data]", "[data]\ncut = [{ quantity = \"ruwe\" }]"),
        ("a cut that nothing passes", "[data]", "[data]\ncut = [{ quantity = \"ruwe\", minimum = 2.0, maximum = 1.0 }]"),
        ("a constraint that no effect has", "\"parallax\", ", "\"parallax\", \"age\", "),
        ("a transform that no effect has", "extinction = \"identity\"", "age = \"identity\""),
        ("a penalty that no effect has", "[transforms]", "[penalties]\nkernle = 1.0\n[transforms]"),
        ("an unknown effect", "kind = \"extinction\"", "kind = \"extincton\""),
        (
            "an effect twice",
            "[[effect]]\nkind = \"distance\"",
            "[[effect]]\nkind = \"distance\"\n[[effect]]\nkind = \"distance\"",
        ),
        ("an effect without a kind", "kind = \"distance\"", ""),
        ("a label twice", "hidden = [8]", "hidden = [8]\nlabels = [\"teff\", \"teff\"]"),
        ("layers too wide", "hidden = [8]", "hidden = [1000000000]"),
        ("too many weights", "hidden = [8]", "hidden = [65536, 65536]"),
        ("an index below zero", "kind = \"extinction\"", "kind = \"extinction\"\ninfrared_index = -1.0"),
        ("a prior of no components", "[transforms]", "[prior]\nn_components = 0\n[transforms]"),
    ] {
        trials.fails_with(name, TRAIN, "tiny.toml", (from, to));
    }
    let kilokelvin = with_column(observations(40), "teff", |teff| match &mut teff.values {
        Values::Float32(values) => values.iter_mut().for_each(|value| *value *= 1e-3),
        Values::Float64(values) => values.iter_mut().for_each(|value| *value *= 1e-3),
        other => panic!("{other:?}"),
    });
    write(&kilokelvin, trials.path(), "kilokelvin.parquet");
    trials.fails("temperatures in kK", "train tiny.toml kilokelvin.parquet -o new_model");
    trials.fails("a folder to train on", "train tiny.toml model -o new_model");
    std::fs::create_dir(trials.path().join("home")).unwrap();
    trials.fails_on(
        "a folder of other things to be replaced",
        "train tiny.toml stars.parquet -o home --overwrite",
        "home/thesis.tex",
        "",
    );

    trials.fails("no recipe for prepare", "prepare absent.toml -o a.parquet");
    for (name, text) in [
        ("a recipe without stars", ""),
        ("a recipe without fluxes", "[[tables]]\nfiles = [\"stars.parquet\"]"),
        ("an unknown key for prepare", "[xp]\nfile = \"x\""),
        ("a file that is absent", "labels = []\n[xp]\nfiles = [\"absent\"]"),
        ("an unknown set of bands", "labels = []\n[xp]\nfiles = [\"x\"]\n[photometry]\nsets = [\"2mas\"]"),
        ("a zero-point of parallaxes", "parallax_zero_point = 40\n[xp]\nfiles = [\"x\"]"),
        ("an inflation below zero", "[xp]\nfiles = [\"x\"]\n[xp.inflation]\ncommon = -1"),
        ("a grid that is none", "[xp]\nfiles = [\"x\"]\ngrid = { range = [400, 500, 0] }"),
        (
            "a column renamed to the identifier",
            "[xp]\nfiles = [\"x\"]\n[[tables]]\nfiles = [\"x\"]\nrename = { a = \"source_id\" }",
        ),
        ("a column twice", "[xp]\nfiles = [\"x\"]\n[[tables]]\nfiles = [\"x\"]\ncolumns = [\"a\", \"a\"]"),
        ("a sentinel that is NaN", "[xp]\nfiles = [\"x\"]\n[[tables]]\nfiles = [\"x\"]\nsentinels = { a = nan }"),
    ] {
        trials.fails_on(name, "prepare prepare.toml -o a.parquet", "prepare.toml", text);
    }
    for (name, text) in [
        ("a fraction of binaries", "binary_fraction = 2"),
        ("an unknown key of a simulation", "n_star = 2"),
        ("limits of magnitude", "g_limits = [17, 12]"),
        ("shares of phases", "phases = { subgiant = -1 }"),
        ("too many stars", "n_stars = 99999999999999"),
    ] {
        trials.fails_on(name, "simulate --config simulate.toml -o a.parquet", "simulate.toml", text);
    }
    insta::assert_snapshot!("recipes", trials.messages);
}

#[test]
fn models() {
    let mut trials = Trials::new();
    trials.fails("no model", "fit absent stars.parquet -o catalogue.parquet");
    let xi = "[[parameter]]\nname = \"xi\"\nunit = \"\"\ndescription = \"\"\nmodel_units_per_file_unit = 1.0\ncentre = 0.0\nscale = 1.0\n\n";
    let description = std::fs::read_to_string(trials.path().join("model/model.toml")).unwrap();
    let line = |start: &str| description.lines().find(|line| line.starts_with(start)).unwrap().to_owned();
    let with_xi = |from: &str| (from.to_owned(), format!("{xi}{from}"));
    let (parallax, before_parallax) = with_xi("[[parameter]]\nname = \"parallax\"");
    for (name, from, to) in [
        ("another format", "format = 2", "format = 99"),
        ("another kind", "kind = \"forward_model\"", "kind = \"image\""),
        ("an unknown key", "[card]", "[card]\ncolour = \"red\""),
        ("no TOML", "[card]", "[card"),
        ("an unknown effect", "kind = \"distance\"", "kind = \"teleport\""),
        (
            "an effect twice",
            "[[effect]]\nkind = \"distance\"",
            "[[effect]]\nkind = \"distance\"\n\n[[effect]]\nkind = \"distance\"",
        ),
        ("layers of 1e9", "hidden = [8]", "hidden = [1000000000, 1000000000]"),
        ("more weights than memory", "hidden = [8]", "hidden = [60000, 60000]"),
        ("other layers than tensors", "hidden = [8]", "hidden = [9]"),
        ("a wavelength below zero", "wavelength = [392.0", "wavelength = [-392.0"),
        ("a band twice", "\"xp_402\"", "\"xp_392\""),
        ("a band too few", "\"xp_402\", ", ""),
        ("model errors too few", line("model_error").as_str(), "model_error = [0.0]"),
        ("a model error below zero", "model_error = [", "model_error = [-0.5, "),
        ("a scale of zero", line("scale").as_str(), "scale = 0.0"),
        ("a centre that is no number", line("centre").as_str(), "centre = nan"),
        ("a factor below zero", "model_units_per_file_unit = 0.001", "model_units_per_file_unit = -0.001"),
        ("another unit", "unit = \"K\"", "unit = \"kK\""),
        ("a label that is none", "is_label = true", "is_label = false"),
        ("temperatures in K", line("training_range").as_str(), "training_range = [3500.0, 7800.0]"),
        ("a range that is none", line("training_range").as_str(), "training_range = [7.0, 4.0]"),
        ("a parameter too many", parallax.as_str(), before_parallax.as_str()),
        ("a tensor too few", "\"extinction.ln_curve\" = [66]", ""),
        ("a tensor of another shape", "\"extinction.ln_curve\" = [66]", "\"extinction.ln_curve\" = [2, 33]"),
    ] {
        trials.fails_with(name, FIT, "model/model.toml", (from, to));
    }
    // ξ without its prior: the same parameter in a model whose extinction curve varies.
    let varied = description.replacen("variation = false", "variation = true", 1).replacen(&parallax, &before_parallax, 1);
    trials.fails_on("a parameter without its prior", FIT, "model/model.toml", varied);
    let square = |rows: [[f64; 5]; 5]| format!("[calibration]\ncovariance = {rows:?}\nstandard_error = {:?}\n\n", [[0.1; 5]; 5]);
    let mut rows = [[0.0; 5]; 5];
    (0..5).for_each(|i| rows[i][i] = 1.0);
    let bare = match (description.find("[calibration]"), description.find("[[parameter]]")) {
        (Some(from), Some(to)) => format!("{}{}", &description[..from], &description[to..]),
        _ => description.clone(),
    };
    for (name, i, j, value, mirrored) in [
        ("a calibration that is not symmetric", 0, 1, 0.5, 0.4),
        ("a calibration that is no covariance", 0, 1, 2.0, 2.0),
        ("a calibration below zero", 2, 2, -1.0, -1.0),
        ("a calibration that is no number", 2, 3, f64::NAN, f64::NAN),
    ] {
        let mut changed = rows;
        (changed[i][j], changed[j][i]) = (value, mirrored);
        let text = bare.replacen("[[parameter]]", &format!("{}[[parameter]]", square(changed).replace("NaN", "nan")), 1);
        trials.fails_on(name, FIT, "model/model.toml", text);
    }
    std::fs::write(trials.path().join("model/model.toml"), &description).unwrap();

    let prior = std::fs::read_to_string(trials.path().join("model/prior.toml")).unwrap();
    let weight = prior.lines().find(|line| line.starts_with("weight = ")).unwrap().to_owned();
    let mean = prior.lines().find(|line| line.starts_with("mean = ")).unwrap().to_owned();
    let covariance = prior.lines().find(|line| line.starts_with("covariance = ")).unwrap().to_owned();
    for (name, from, to) in [
        ("weights that do not add up", weight.as_str(), "weight = 3.0"),
        ("a mean too short", mean.as_str(), "mean = [5.0]"),
        ("a mean that is no number", mean.as_str(), "mean = [nan, 0.0, 4.0]"),
        ("a covariance that is none", covariance.as_str(), "covariance = [[1.0, 2.0, 0.0], [2.0, 1.0, 0.0], [0.0, 0.0, 1.0]]"),
        ("a covariance too short", covariance.as_str(), "covariance = [[1.0, 2.0], [2.0, 1.0]]"),
        ("a parameter of another model", "\"teff\"", "\"age\""),
        ("a parameter twice", "\"feh\"", "\"teff\""),
        ("a parameter that is no label", "\"feh\"", "\"parallax\""),
        ("an unknown key of the prior", "format = 1", "format = 1\nversion = 2"),
    ] {
        trials.fails_with(name, FIT, "model/prior.toml", (from, to));
    }
    let in_kelvin: String = prior
        .lines()
        .map(|line| match line.strip_prefix("mean = [") {
            Some(rest) => {
                let (teff, rest) = rest.split_once(',').unwrap();
                format!("mean = [{:?},{rest}\n", 1e3 * teff.parse::<f64>().unwrap())
            }
            None => format!("{line}\n"),
        })
        .collect();
    trials.fails_on("a prior in K", FIT, "model/prior.toml", in_kelvin);
    // The mean itself is in the message.
    let text = trials.messages.split("mean of the components").next().unwrap().to_owned();
    assert!(trials.messages[text.len()..].contains("K where kK belong"), "{}", trials.messages);
    trials.messages = text;
    std::fs::remove_file(trials.path().join("model/prior.toml")).unwrap();
    writeln!(trials.messages).unwrap();
    trials.fails("no prior", FIT);
    std::fs::write(trials.path().join("model/prior.toml"), &prior).unwrap();
    trials.fails_on("a history that is damaged", FIT, "model/training.json", "{");
    std::fs::remove_file(trials.path().join("model/training.json")).unwrap();
    let weights = std::fs::read(trials.path().join("model/weights.safetensors")).unwrap();
    trials.fails_on("weights that are cut", FIT, "model/weights.safetensors", &weights[..100]);
    trials.fails_on("weights that are noise", FIT, "model/weights.safetensors", vec![7_u8; weights.len()]);
    std::fs::remove_file(trials.path().join("model/weights.safetensors")).unwrap();
    trials.fails("no weights", FIT);
    insta::assert_snapshot!("models", trials.messages);
}

/// Impossible fluxes stay data, not errors; here for the contrast.
#[test]
fn a_bad_star_is_no_error() {
    let trials = Trials::new();
    let table = with_column(observations(3), "flux", |flux| set(flux, 0, f64::INFINITY));
    write(&table, trials.path(), "bad.parquet");
    succeed(trials.path(), "fit model bad.parquet -o catalogue.parquet");
}

/// A binary table of one identifier, with further cards, after an empty primary HDU.
fn fits(tables: &[&[&str]]) -> Vec<u8> {
    let block = |cards: &[&str]| {
        let text: String = cards.iter().chain(&["END"]).map(|card| format!("{card:<80}")).collect();
        format!("{text:<2880}").into_bytes()
    };
    let mut bytes = block(&["SIMPLE  =                    T", "BITPIX  = 8", "NAXIS   = 0"]);
    for further in tables {
        let layout = [
            "XTENSION= 'BINTABLE'",
            "BITPIX  = 8",
            "NAXIS   = 2",
            "NAXIS1  = 8",
            "NAXIS2  = 1",
            "PCOUNT  = 0",
            "GCOUNT  = 1",
            "TFIELDS = 1",
            "TTYPE1  = 'source_id'",
            "TFORM1  = 'K'",
        ];
        bytes.extend(block(&[&layout, *further].concat()));
        bytes.extend(1_i64.to_be_bytes());
        bytes.resize(bytes.len().next_multiple_of(2880), 0);
    }
    bytes
}

/// A spectrum of `n` coefficients in BP and in RP.
fn spectrum(n: usize) -> String {
    let band = |name: &str| {
        let coefficients: Vec<f64> = (0..n).map(|k| 1e4 * 0.5_f64.powi(k as i32)).collect();
        format!(
            "\"{name}_coefficients\":{coefficients:?},\"{name}_coefficient_errors\":{:?},\"{name}_coefficient_correlations\":{:?}",
            vec![1.0; n],
            vec![0.0; n * (n - 1) / 2]
        )
    };
    format!("[{{\"source_id\":1,{},{}}}]", band("bp"), band("rp"))
}

/// A parallax in a unit, as ECSV.
fn parallax(unit: &str) -> String {
    format!(
        "# %ECSV 1.0\n# ---\n# datatype:\n# - {{name: source_id, datatype: int64}}\n\
         # - {{name: parallax, unit: {unit}, datatype: float64}}\n\
         # - {{name: parallax_error, unit: {unit}, datatype: float64}}\nsource_id parallax parallax_error\n1 2 0.1\n"
    )
}

#[test]
fn readers() {
    let mut trials = Trials::new();
    let tables = "<VOTABLE><RESOURCE><TABLE><FIELD name='source_id' datatype='long'/><DATA><TABLEDATA><TR><TD>";
    trials.reads("XML that declares entities", "a.xml", "<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b 'c'>]><VOTABLE/>");
    trials.reads("another encoding", "b.xml", "<?xml version='1.0' encoding='EBCDIC'?><VOTABLE/>");
    trials.reads("a page of a service", "c.xml", "<html><body>503</body></html>");
    let status = "<VOTABLE><RESOURCE><INFO name='QUERY_STATUS' value='ERROR'>Too many rows</INFO></RESOURCE></VOTABLE>";
    trials.reads("an error of a service", "d.xml", status);
    trials.reads("a cut VOTable", "e.xml", format!("{tables}1"));
    trials.reads(
        "a cell that is none",
        "f.xml",
        format!("{tables}one</TD></TR></TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>"),
    );

    trials.reads("a cut FITS table", "a.fits", &fits(&[&[]])[..5761]);
    trials.reads("no FITS", "b.fits", "");
    trials.reads("FITS without a table", "c.fits", fits(&[]));
    trials.reads("a tile-compressed table", "d.fits", fits(&[&["ZTABLE  =                    T"]]));
    let two = fits(&[&["EXTNAME = 'STARS'"], &["EXTNAME = 'OTHERS'"]]);
    trials.reads("two tables", "e.fits", &two);
    trials.reads("a table that is not there", "e.fits[NOPE]", &two);
    let mut damaged = {
        write(&observations(3), trials.path(), "whole.fits");
        std::fs::read(trials.path().join("whole.fits")).unwrap()
    };
    let middle = damaged.len() - 2880;
    damaged[middle] ^= 1;
    trials.reads("a sum that is another", "f.fits", damaged);
    let column_wise = [
        "SIMPLE  =                    T",
        "BITPIX  = 8",
        "NAXIS   = 0",
        "COLFITS =                    T",
        "VOTMETA =                    T",
    ];
    let primary: String = column_wise.iter().chain(&["END"]).map(|card| format!("{card:<80}")).collect();
    trials.reads("a table column by column", "g.fits", [format!("{primary:<2880}").as_bytes(), &fits(&[&[]])[2880..]].concat());

    trials.reads("UTF-16", "a.csv", [0xff, 0xfe, b's', 0, b'\n', 0]);
    trials.reads("a name twice", "b.csv", "source_id,flux,flux\n1,2,3\n");
    trials.reads("an open quote", "c.csv", "source_id,flux\n1,\"2\n");
    trials.reads("semicolons", "d.csv", "source_id;flux\n1;2\n");
    trials.reads("a row too short", "e.csv", "source_id,flux\n1,2\n2\n");
    trials.reads("no metadata", "f.csv", "source_id,flux\n1,2\n");
    trials.reads("a header that is no YAML", "g.ecsv", "# %ECSV 1.0\n# ---\n# datatype: [\nsource_id\n1\n");
    trials.reads("cut JSON", "a.json", "{\"source_id\": [1");
    trials.reads("a damaged archive", "a.zip", [b"PK\x03\x04".as_slice(), &[0; 60]].concat());
    let parquet = std::fs::read(trials.path().join("stars.parquet")).unwrap();
    trials.reads("cut Parquet", "a.parquet", &parquet[..parquet.len() / 2]);

    trials.reads("51 coefficients", "b.json", spectrum(51));
    trials.reads("epoch spectra", "h.csv", "source_id,transit_id,bp_flux\n1,2,3\n");
    std::fs::write(trials.path().join("spectrum.json"), spectrum(55)).unwrap();
    trials.joins("identifiers twice", "i.csv", "source_id,parallax,parallax_error\n1,2,0.1\n1,2,0.1\n");
    trials.joins("a unit of another kind", "j.ecsv", parallax("K"));
    trials.joins("a unit that is not known", "k.ecsv", parallax("parsnip"));
    trials.joins("a value beyond reason", "l.csv", "source_id,parallax,parallax_error\n1,1e20,0.1\n");
    insta::assert_snapshot!("readers", trials.messages);
}
