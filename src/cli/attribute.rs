//! `photosphere attribute`: where in the spectrum the predictions of a direct network come from.

use super::figure_file;
use super::outcome::Outcome;
use super::progress::Progress;
use super::settings::{Settings, trimmed};
use crate::error::{Error, Result};
use crate::observations::{ObservationFiles, Sample};
use crate::quantity::symbol;
use crate::regress::{AttributionMaps, Class, MapOptions, RegressionModel};
use crate::run::inputs::{Inputs, require_utf8};
use crate::run::provenance::Provenance;
use crate::run::{expand, interrupt};
use crate::table::{self, Column, ColumnSchema, Format, Table, Values, check_target};
use crate::validate::figure::Figure;
use crate::validate::figure::axis::Axis;
use crate::validate::figure::canvas::Stroke;
use crate::validate::figure::panel::{Heading, Key, Mark, Panel};
use crate::validate::figure::theme::{INK, SERIES};
use crate::validate::number::significant;
use crate::warning::warn_once;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Bytes of observations that are read at once.
const BYTES: usize = 256 << 20;
/// Largest part of a difference of predictions that attributions may miss without a word.
const LARGEST_INCOMPLETENESS: f64 = 0.01;
/// Stars (whose spectra are in memory together), baselines and points that nobody has the time for.
const MOST: usize = 100_000;

/// Where in the spectrum predictions of a direct network come from: mean moduli of expected gradients, by
/// label and wavelength, for all stars and for thirds of them by their predictions.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Model directory of the kind `regression`.
    model: PathBuf,
    /// Observation file, or folder of them.
    observations: PathBuf,
    /// Table to write, one row per flux of the grid (.parquet, .fits, .ecsv, .csv).
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Figure of the maps to write too (.svg or .png).
    #[arg(long, value_name = "FILE")]
    figure: Option<PathBuf>,
    /// Most stars, chosen by a hash of their identifiers.
    #[arg(long, value_name = "N", default_value_t = MapOptions::default().stars)]
    stars: usize,
    /// Baselines of each star, which are others of them.
    #[arg(long, value_name = "N", default_value_t = MapOptions::default().baselines)]
    baselines: usize,
    /// Points of the integral between a star and a baseline.
    #[arg(long, value_name = "N", default_value_t = MapOptions::default().points)]
    points: usize,
    /// Predictions by whose thirds stars are divided; by default T_eff and [Fe/H], as far as they are
    /// predicted.
    #[arg(long, value_name = "LABELS", value_delimiter = ',', value_parser = trimmed)]
    split: Option<Vec<String>>,
    /// Replace table and figure if they exist.
    #[arg(long)]
    overwrite: bool,
}

/// Attributes.
pub fn run(arguments: &Arguments, settings: &Settings) -> Result<Outcome> {
    interrupt::watch()?;
    let paths = expand(std::slice::from_ref(&arguments.observations))?;
    let outputs = || [Some(&arguments.output), arguments.figure.as_ref()].into_iter().flatten();
    let inputs = Inputs::of(paths.iter().chain([&arguments.model]));
    for output in outputs() {
        require_utf8(output)?;
        inputs.require_other(output)?;
        check_target(output, arguments.overwrite)?;
    }
    Format::of_output(&arguments.output)?;
    arguments.figure.as_deref().map_or(Ok(()), figure_file::require_ending)?;
    let package = settings.package(&arguments.model)?;
    let model: &RegressionModel = package.require("attribute")?;
    let options = arguments.options(model)?;
    let sample = ObservationFiles::open(&paths, BYTES, |_| Ok(model.read_options()))?;
    let mut progress = Progress::of_fraction("attributing", settings);
    let maps = model.attribution_maps(&sample, &options, &mut |done| {
        progress.fraction(done, "");
        interrupt::check(|| arguments.output.display().to_string(), "Start again.")
    })?;
    let mut table = table_of(&maps, model)?;
    let provenance = Provenance::new("attribute").with("model_sha256", &model.sha256).with("options", json!(options).to_string());
    table.metadata.extend(provenance.with("observations_sha256", sample.sha256()).metadata());
    table::write(&table, &arguments.output, arguments.overwrite)?;
    if let Some(path) = &arguments.figure {
        figure_file::save(&figure(&maps, model), path)?;
    }
    let parameters = model.target.parameters();
    for (parameter, missed) in parameters.iter().zip(&maps.incompleteness).filter(|(_, missed)| **missed > LARGEST_INCOMPLETENESS)
    {
        warn_once(format!(
            "{}: attributions of {parameter} miss {} % of what predictions differ by: give more --points",
            arguments.output.display(),
            significant(100.0 * missed, 2)
        ));
    }
    tracing::info!("{}: attributions of {} stars", arguments.output.display(), maps.classes[0].n_stars);
    let classes = maps.classes.iter().map(|class| json!({ "chosen_by": class.chosen_by, "stars": class.n_stars }));
    Ok(Outcome::files(json!({
        "output": arguments.output,
        "figure": arguments.figure,
        "stars": maps.classes[0].n_stars,
        "classes": classes.collect::<Vec<_>>(),
        "incompleteness": parameters.iter().cloned().zip(maps.incompleteness.iter().copied()).collect::<BTreeMap<_, _>>(),
    })))
}

impl Arguments {
    fn options(&self, model: &RegressionModel) -> Result<MapOptions> {
        let parameters = model.target.parameters();
        for (key, number) in [("--stars", self.stars), ("--baselines", self.baselines), ("--points", self.points)] {
            if !(1..=MOST).contains(&number) {
                return Err(Error::usage(key)
                    .found(number.to_string())
                    .expected(format!("from 1 to {MOST}"))
                    .remedy("Give another number."));
            }
        }
        let split = self.split.clone().unwrap_or_else(|| {
            let known = MapOptions::default().split.into_iter();
            known.filter(|name| parameters.contains(name)).collect()
        });
        Ok(MapOptions { stars: self.stars, baselines: self.baselines, points: self.points, split })
    }
}

/// What a class is called in columns: nothing for all stars, else its place among the thirds.
fn suffix(maps: &AttributionMaps, position: usize) -> String {
    let Some(name) = maps.classes[position].split() else { return String::new() };
    let before = maps.classes[..position].iter().filter(|class| class.split() == Some(name));
    format!("_at_{}_{name}", ["low", "middle", "high"][before.count().min(2)])
}

fn meaning(class: &Class) -> String {
    match &class.chosen_by {
        None => format!("all {} stars", class.n_stars),
        Some((name, [low, high])) => {
            format!("{} stars of {name} {} to {}", class.n_stars, significant(*low, 4), significant(*high, 4))
        }
    }
}

fn table_of(maps: &AttributionMaps, model: &RegressionModel) -> Result<Table> {
    let grid = &model.inputs.grid;
    let mut table = Table::with_rows(grid.len());
    let mut push = |name: String, unit: &str, description: String, values: Values| {
        table.push(Column::scalar(ColumnSchema::new(name, unit, description), values))
    };
    push("name".into(), "", "entry of the grid".into(), Values::Text(grid.names.clone()))?;
    push("wavelength".into(), "nm", "wavelength of the grid".into(), Values::Float64(grid.wavelength.clone()))?;
    for (k, parameter) in model.target.parameters().iter().enumerate() {
        for (position, class) in maps.classes.iter().enumerate() {
            push(
                format!("{parameter}{}", suffix(maps, position)),
                &model.target.described(parameter, &model.units).1,
                format!("mean modulus of the attribution of {parameter}, {}", meaning(class)),
                Values::Float64(class.modulus.row(k).to_vec()),
            )?;
        }
    }
    Ok(table)
}

/// A row of panels for each parameter: all stars, and the thirds by each split beside each other.
fn figure(maps: &AttributionMaps, model: &RegressionModel) -> Figure {
    let parameters = model.target.parameters();
    let mut splits: Vec<Option<&str>> = maps.classes.iter().map(Class::split).collect();
    splits.dedup();
    // All stars are a panel of their own only where nothing divides them.
    splits.retain(|split| split.is_some() || maps.classes.len() == 1);
    let (rows, columns) = (parameters.len(), splits.len());
    let wavelength = &model.inputs.grid.wavelength;
    Figure::draw("attributions", 560 * columns as u32 + 60, 260 * rows as u32 + 20, |canvas| {
        let bounds = canvas.bounds;
        for (k, parameter) in parameters.iter().enumerate() {
            for (column, split) in splits.iter().enumerate() {
                let classes: Vec<&Class> = maps.classes.iter().filter(|class| class.split() == *split).collect();
                let colors = || if classes.len() == 1 { vec![INK] } else { SERIES.to_vec() };
                let of = |class: &Class| match &class.chosen_by {
                    None => meaning(class),
                    Some((_, [low, high])) => format!("{} to {}", significant(*low, 3), significant(*high, 3)),
                };
                let by = split.map_or_else(String::new, |split| format!(", thirds by {}", symbol(split)));
                let legend = classes.iter().zip(colors()).map(|(class, color)| Key::new(of(class), color, Mark::Line)).collect();
                // The title names the parameter.
                let label = match model.target.described(parameter, &model.units).1.as_str() {
                    "" => "|attribution|".to_owned(),
                    unit => format!("|attribution| ({unit})"),
                };
                let values = classes.iter().flat_map(|class| class.modulus.row(k).to_vec()).chain([0.0]);
                let x = Axis::covering("wavelength (nm)", wavelength.iter().copied());
                let y = Axis::covering(label, values);
                let heading = Heading { title: format!("{}{by}", symbol(parameter)), legend, ..Heading::default() };
                let cell = bounds.cell((rows, columns), (k, column));
                let mut panel = Panel::new(canvas, cell, &heading, x, y);
                for (class, color) in classes.iter().zip(colors()) {
                    panel.line(wavelength, &class.modulus.row(k).to_vec(), Stroke::solid(color, 1.25));
                }
            }
        }
    })
}
