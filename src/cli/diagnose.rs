//! `photosphere diagnose`: is a model of spectra honest, and what do its catalogues look like?

use super::outcome::Outcome;
use super::settings::{Settings, trimmed};
use super::validate::Files;
use crate::catalogue::flags::BASIC_CUT;
use crate::error::{Error, Result};
use crate::observations::{Observations, columns};
use crate::package::Request;
use crate::per_pixel::{GradientLibrary, LabelSpace};
use crate::pixel_networks::{STARS_FILE, SpectralCore, read_history, spectral_core};
use crate::quantity::{Notices, Quantity, Role};
use crate::run::inputs::Inputs;
use crate::table::{self, Table};
use crate::validate::diagnosis::{
    AbundanceStars, CheatInput, CheatTest, GradientTest, LARGEST_ERROR, Precision, References, section_of_cheat_test,
    section_of_gradients, section_of_losses, section_of_precision, sections_of_abundances,
};
use crate::validate::number::aligned;
use crate::validate::report::{FIGURES, PAGE, Report};
use crate::warning::warn_once;
use ndarray::{Array2, ArrayView2};
use serde_json::{Map, Value, json};
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

/// Judge a model of spectra: losses of its training, gradients, the cheat test, scatter over the Cramér–Rao
/// bound, Kiel diagram and abundance planes.
///
/// What is asked for decides what is in the report: the training's losses always; with a gradient library the
/// gradients and the cheat test at its references; with a catalogue the planes, and with known or repeated
/// labels the scatter.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Model directory of networks per pixel, polynomials per pixel, or a joint network.
    model: PathBuf,
    /// Folder for the report (report.html) with figures.
    #[arg(short, long, value_name = "FOLDER")]
    output: PathBuf,
    /// Replace the report if it exists.
    #[arg(long)]
    overwrite: bool,
    /// Gradient library whose references did not train the model: gradients, and the cheat test on its
    /// spectra.
    #[arg(long, value_name = "FILE")]
    library: Option<PathBuf>,
    /// Observation file of spectra without noise with their labels (<label> or true_<label>), abundances
    /// permuted: the cheat test on these.
    #[arg(long, value_name = "FILE")]
    spectra: Option<PathBuf>,
    /// Signal-to-noise ratio whose bounds say which stars tell a label in the cheat test.
    #[arg(long, value_name = "RATIO", default_value_t = 100.0, value_parser = positive)]
    snr: f64,
    /// Labels whose gradients are drawn; commas between several.
    #[arg(long, value_name = "LABELS", value_delimiter = ',', value_parser = trimmed, requires = "library")]
    mark: Vec<String>,
    /// Reference whose gradients are drawn, from 0, of those within the range of the training [default: the
    /// one nearest to its middle].
    #[arg(long, value_name = "NUMBER", requires = "library")]
    reference: Option<usize>,
    /// Catalogue that the model made; of a folder, all tables in it.
    #[arg(long, value_name = "FILE")]
    catalogue: Option<PathBuf>,
    /// Table with source_id and true or other labels (true_<label> or <label>) of the catalogue's stars
    /// [default: the catalogue's own true_<label>, where it has them].
    #[arg(long, value_name = "FILE", requires = "catalogue")]
    truth: Option<PathBuf>,
    /// Column of the catalogue that names the star of every spectrum: scatter between spectra of the same
    /// star, in place of a truth.
    #[arg(long, value_name = "COLUMN", requires = "catalogue", conflicts_with = "truth")]
    repeats: Option<String>,
    /// Leave out stars with quality_flags of this or more (8: the basic cut).
    #[arg(long, value_name = "FLAGS", default_value_t = i64::from(BASIC_CUT), requires = "catalogue")]
    flags_below: i64,
    /// Error of [X/Fe], in dex, up to which a star is in the plane of an element.
    #[arg(long, value_name = "DEX", default_value_t = LARGEST_ERROR, value_parser = positive, requires = "catalogue")]
    largest_error: f64,
}

fn positive(text: &str) -> std::result::Result<f64, String> {
    text.parse::<f64>().ok().filter(|value| *value > 0.0 && value.is_finite()).ok_or_else(|| "expected a positive number".into())
}

/// What is told of a label in the terminal.
#[derive(Default)]
struct Told {
    columns: Vec<(&'static str, Vec<(String, f64)>)>,
}

impl Told {
    fn add(&mut self, name: &'static str, values: impl Iterator<Item = (String, f64)>) {
        self.columns.push((name, values.collect()));
    }

    fn text(&self, labels: &[String]) -> String {
        if self.columns.is_empty() {
            return String::new();
        }
        let header = ["label"].into_iter().chain(self.columns.iter().map(|(name, _)| *name)).map(str::to_owned).collect();
        let value = |label: &String, values: &[(String, f64)]| {
            let found = values.iter().find(|(name, _)| name == label).map(|(_, value)| *value);
            found.filter(|value| value.is_finite()).map_or_else(|| "–".to_owned(), |value| format!("{value:.3}"))
        };
        let row = |label: &String| -> Vec<String> {
            [label.clone()].into_iter().chain(self.columns.iter().map(|(_, values)| value(label, values))).collect()
        };
        aligned(&[header].into_iter().chain(labels.iter().map(row)).collect::<Vec<_>>())
    }
}

/// Judges.
pub fn run(arguments: &Arguments, settings: &Settings) -> Result<Outcome> {
    let folder = &arguments.output;
    let others = [&arguments.library, &arguments.spectra, &arguments.catalogue, &arguments.truth];
    let inputs = Inputs::of([&arguments.model].into_iter().chain(others.into_iter().flatten()));
    [folder.clone(), folder.join(PAGE), folder.join(FIGURES)].iter().try_for_each(|output| inputs.require_other(output))?;
    let package = settings.package(&arguments.model)?;
    let Some(core) = spectral_core(package.as_ref()) else {
        return Err(Error::usage("diagnose")
            .found(format!("a model of the kind '{}'", package.kind()))
            .expected("a model of spectra: networks or polynomials per pixel, or a joint network")
            .remedy("`photosphere validate` compares the catalogue of any model with a reference."));
    };
    let name = arguments.model.file_name().unwrap_or_default().to_string_lossy();
    let mut report = Report::new(format!("Diagnostics of {name}"));
    let mut told = Told::default();
    let mut summary = Map::from_iter([("model_sha256".to_owned(), json!(core.sha256()))]);
    model(&mut report, core);
    let history = read_history(&arguments.model)?.unwrap_or_default();
    section_of_losses(&mut report, &history);
    let kept = history.iter().filter(|row| row.is_kept);
    let kept = kept.map(|row| json!({ "flux": row.flux, "validation": row.validation, "gradient": row.gradient }));
    summary.insert("losses".into(), kept.collect());
    let library = arguments.library.as_deref().map(GradientLibrary::read).transpose()?;
    let references = library.as_ref().map(|library| References::of(core, library)).transpose()?;
    if let Some(references) = &references {
        let test = GradientTest::of(core, references, &arguments.mark, arguments.reference)?;
        section_of_gradients(&mut report, core, references, &test);
        told.add("gradients r", test.fidelity.iter().map(|of| (of.label.clone(), of.correlation)));
        told.add("amplitude", test.fidelity.iter().map(|of| (of.label.clone(), of.amplitude)));
        let of = |of: &crate::per_pixel::Fidelity| json!({ "label": of.label, "r": of.correlation, "amplitude": of.amplitude });
        summary.insert("gradients".into(), test.fidelity.iter().map(of).collect());
    }
    if arguments.spectra.is_some() || references.is_some() {
        cheat_test(arguments, settings, (core, references.as_ref()), (&mut report, &mut told, &mut summary))?;
    }
    if let Some(catalogue) = &arguments.catalogue {
        of_catalogue(arguments, core, catalogue, (&mut report, &mut told, &mut summary))?;
    }
    let page = report.write(folder, arguments.overwrite)?;
    summary.insert("report".into(), json!(page));
    let text = format!("{}\nreport: {}\n", told.text(&core.space().names), page.display());
    Ok(Outcome::answer(text.trim_start().to_owned(), Value::Object(summary)))
}

/// What a report and its summaries are written to.
type Sinks<'a> = (&'a mut Report, &'a mut Told, &'a mut Map<String, Value>);

/// What the model is.
fn model(report: &mut Report, core: &SpectralCore) {
    let (card, space) = (&core.card, core.space());
    let library = if card.library.is_empty() { "no gradients: it may cheat" } else { &card.library };
    let description = if card.description.is_empty() { String::new() } else { format!("{}. ", card.description) };
    report.section(
        "Model",
        format!(
            "{description}{} {} ({}: {}) with {} labels on {} pixels, of which {} were not trained. {} stars trained it, {} were for validation. \
             Held to: {library}.",
            core.kind,
            core.id(),
            core.shape.0,
            core.shape.1,
            space.len(),
            card.grid.len(),
            card.untrained.len(),
            card.n_training,
            card.n_validation
        ),
    );
}

/// Labels `[n, L]` of a table, the true ones before others; NaN where there is none.
pub(super) fn table_labels(table: &Table, space: &LabelSpace, place: &str) -> Result<Array2<f64>> {
    let mut labels = Array2::from_elem((table.n_rows(), space.len()), f64::NAN);
    let mut notices = Notices::default();
    for (k, (name, unit)) in space.names.iter().zip(&space.units).enumerate() {
        let Some(column) = table.get(&format!("true_{name}")).or_else(|| table.get(name)) else { continue };
        let read = Quantity::of(name).with_unit(unit).read(column.clone(), Role::Value, None, &mut notices);
        let values = read.and_then(|column| column.to_f64()).map_err(|error| error.within(place))?;
        labels.column_mut(k).iter_mut().zip(values).for_each(|(to, from)| *to = from);
    }
    notices.say(place);
    Ok(labels)
}

/// Labels of the stars that a model was trained on; of models without their table those at which fits begin.
fn natural(model: &Path, core: &SpectralCore) -> Result<Array2<f64>> {
    let path = model.join(STARS_FILE);
    if path.exists() {
        let table = table::read(&path)?;
        let labels = table_labels(&table, core.space(), &path.display().to_string())?;
        let known: Vec<usize> =
            (0..labels.nrows()).filter(|&star| labels.row(star).iter().all(|label| label.is_finite())).collect();
        if !known.is_empty() {
            return Ok(labels.select(ndarray::Axis(0), &known));
        }
    }
    warn_once(format!("{}: no labels of the training stars: those at which fits begin stand for them", model.display()));
    Ok(core.templates.clone())
}

fn cheat_test(
    arguments: &Arguments,
    settings: &Settings,
    (core, references): (&SpectralCore, Option<&References>),
    (report, told, summary): Sinks<'_>,
) -> Result<()> {
    let natural = natural(&arguments.model, core)?;
    let observed = match &arguments.spectra {
        Some(path) => Some(spectra(arguments, settings, core, path)?),
        None => None,
    };
    let mut remarks = Vec::new();
    let (name, truth, flux): (String, ArrayView2<'_, f64>, ArrayView2<'_, f32>) = match (&observed, references) {
        (Some((name, truth, flux)), _) => (name.clone(), truth.view(), flux.view()),
        (None, Some(references)) => {
            let library = &references.library;
            remarks = library.weaknesses(core.space());
            remarks.iter().for_each(|weakness| warn_once(format!("the cheat test says little: {weakness}")));
            (format!("those of the library's references ({})", references.len()), library.labels.view(), library.flux.view())
        }
        (None, None) => return Ok(()),
    };
    let input = CheatInput { name: &name, truth, flux, natural: natural.view(), ratio: arguments.snr, remarks: &remarks };
    let test = CheatTest::of(core, &input)?;
    section_of_cheat_test(report, &test, &input);
    told.add("b", test.responses.iter().map(|of| (of.label.clone(), of.own)));
    told.add("c", test.responses.iter().map(|of| (of.label.clone(), of.predicted)));
    let of = |of: &crate::per_pixel::Response| json!({ "label": of.label, "stars": of.n_stars, "b": of.own, "c": of.predicted, "spread": of.spread });
    summary.insert("cheat_test".into(), test.responses.iter().map(of).collect());
    Ok(())
}

/// Spectra without noise: what they are, their labels `[N, L]` and fluxes `[N, W]`.
fn spectra(
    arguments: &Arguments,
    settings: &Settings,
    core: &SpectralCore,
    path: &Path,
) -> Result<(String, Array2<f64>, Array2<f32>)> {
    let place = path.display().to_string();
    let options = settings.package(&arguments.model)?.estimator(&Request::default())?.read_options();
    let table = table::read(path)?;
    let truth = table_labels(&table, core.space(), &place)?;
    if let Some(k) = (0..core.space().len()).find(|&k| truth.column(k).iter().all(|label| !label.is_finite())) {
        let label = &core.space().names[k];
        return Err(Error::data(format!("{place}, column '{label}'"))
            .found("no such column, nor true_ one, with a number")
            .expected("the labels of noise-free spectra, all of the model's")
            .remedy("Join the labels that the spectra were computed with."));
    }
    let observations = Observations::from_table_of(&place, table, &options).map_err(|error| error.within(&place))?;
    core.card.grid.require_same_pixels(&observations.grid)?;
    let mut flux = observations.flux.clone();
    // A pixel without an error is missing.
    flux.zip_mut_with(&observations.flux_error, |flux, error| {
        if !error.is_finite() {
            *flux = f32::NAN;
        }
    });
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok((format!("{} of {name}", flux.nrows()), truth, flux))
}

fn of_catalogue(arguments: &Arguments, core: &SpectralCore, path: &Path, (report, told, summary): Sinks<'_>) -> Result<()> {
    let place = path.display().to_string();
    let within = |error: Error| error.within(&place);
    let files = Files::of(path)?;
    let has = |name: &String| files.schema.iter().any(|column| column.name == *name);
    let mut wanted: BTreeSet<String> = AbundanceStars::columns(core.space()).into_iter().filter(has).collect();
    wanted.extend(core.space().names.iter().map(|name| format!("true_{name}")).filter(has));
    if let Some(column) = &arguments.repeats {
        if !has(column) {
            return Err(Error::usage("--repeats")
                .found(format!("no column '{column}' in {place}"))
                .expected("the column that names the star of every spectrum")
                .remedy("Carry it along with `photosphere fit --keep COLUMN`."));
        }
        wanted.insert(column.clone());
    }
    let catalogue = files.read(&wanted)?;
    let stars = AbundanceStars::of(core, &catalogue, arguments.flags_below).map_err(within)?;
    let precision = match (&arguments.repeats, &arguments.truth) {
        (Some(column), _) => {
            let found = Precision::of_repeats(&stars, catalogue.column(column)?).map_err(within)?;
            Some((found, "another spectrum of the same star".to_owned()))
        }
        (None, Some(truth)) => {
            let labels = joined(&catalogue, truth, core.space())?;
            let name = truth.file_name().unwrap_or_default().to_string_lossy().into_owned();
            Some((Precision::against_truth(&stars, labels.view()).map_err(within)?, name))
        }
        (None, None) => {
            let mut names = core.space().names.iter().map(|name| format!("true_{name}"));
            match names.any(|name| has(&name)) {
                false => None,
                true => {
                    let mut truth = Table::with_rows(catalogue.n_rows());
                    let columns = catalogue.columns().iter().filter(|column| column.schema.name.starts_with("true_"));
                    columns.cloned().try_for_each(|column| truth.push(column))?;
                    let labels = table_labels(&truth, core.space(), &place)?;
                    Some((Precision::against_truth(&stars, labels.view()).map_err(within)?, "the truth".to_owned()))
                }
            }
        }
    };
    if let Some((precision, reference)) = &precision {
        section_of_precision(report, precision, reference);
        told.add("scatter/bound", precision.all.labels.iter().map(|of| (of.label.clone(), of.ratio)));
        let bin = |bin: &crate::validate::figure::PrecisionBin| -> Value {
            let of = |of: &crate::validate::figure::LabelPrecision| {
                json!({ "label": of.label, "unit": of.unit, "n": of.n, "bound": of.bound, "scatter": of.scatter,
                        "ratio": of.ratio, "ratio_error": of.ratio_error })
            };
            json!({ "snr": bin.snr, "labels": bin.labels.iter().map(of).collect::<Vec<Value>>() })
        };
        summary.insert("precision".into(), precision.bins.iter().map(bin).collect());
    }
    sections_of_abundances(report, &stars, arguments.largest_error);
    summary.insert("stars".into(), json!({ "all": stars.n_all, "in_cut": stars.len() }));
    Ok(())
}

/// Labels of another table for the rows of the catalogue `[n, L]`; NaN of stars that it lacks.
fn joined(catalogue: &Table, path: &Path, space: &LabelSpace) -> Result<Array2<f64>> {
    let place = path.display().to_string();
    let files = Files::of(path)?;
    let names = space.names.iter().flat_map(|name| [name.clone(), format!("true_{name}")]);
    let wanted = names.chain([columns::ID.to_owned()]).filter(|name| files.schema.iter().any(|column| column.name == *name));
    let table = files.read(&wanted.collect())?;
    let labels = table_labels(&table, space, &place)?;
    let ids = table.column(columns::ID).and_then(table::Column::to_i64).map_err(|error| error.within(&place))?;
    let mut rows = HashMap::new();
    for (row, id) in ids.into_iter().enumerate() {
        if rows.insert(id, row).is_some() {
            return Err(Error::data(format!("{place}, column '{}'", columns::ID))
                .found(format!("{id} twice"))
                .expected("every star once")
                .remedy("Leave one of its rows out."));
        }
    }
    let own = catalogue.column(columns::ID)?.to_i64()?;
    if !own.iter().any(|id| rows.contains_key(id)) {
        return Err(Error::data(format!("{place}, column '{}'", columns::ID))
            .found("no star of the catalogue")
            .expected("the same stars in both tables")
            .remedy("Check that both tables come from the same sample."));
    }
    let value = |(i, k): (usize, usize)| rows.get(&own[i]).map_or(f64::NAN, |&row| labels[[row, k]]);
    Ok(Array2::from_shape_fn((own.len(), space.len()), value))
}
