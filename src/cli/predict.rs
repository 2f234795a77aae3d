//! `photosphere predict`: the fluxes of a model at given parameters.

use super::fit::held;
use super::outcome::Outcome;
use super::predict_spectra;
use super::settings::Settings;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{ForwardModel, Parameter, Role, Transform, check_held};
use crate::observations::columns;
use crate::pixel_networks::{SpectralCore, spectral_core};
use crate::quantity::{self, Notices, Quantity};
use crate::run::identifiers::Identifiers;
use crate::run::inputs::{Inputs, require_utf8};
use crate::run::provenance::{Input, Provenance, sha256_of_file};
use crate::table::{Column, ColumnSchema, Table, Values, Writer, check_target, read_chunks, row_count};
use crate::text::first_repeated;
use crate::train::TrainedModel;
use crate::warning::warn_once;
use ndarray::Array2;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Rows that are predicted at once.
const ROWS: usize = 16_384;

/// Predict fluxes: a model at the labels, extinctions and parallaxes of a table.
///
/// Forward models, and models of spectra (imported ones too), which need nothing but their labels; direct
/// networks predict no fluxes. The output is a table as observations are: identifiers, flux, its error (that
/// of the model; 0 where the model knows none, and a fit needs errors of its own), and the parameters as they
/// were used. A row whose parameters are incomplete or impossible has lists of NaN for fluxes, and says so in
/// `is_predicted`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Model directory.
    model: PathBuf,
    /// Table of any format with the parameters of the model in columns of their names (teff, feh, logg,
    /// extinction, parallax), in any unit that it states.
    parameters: PathBuf,
    /// Table to write (.parquet, .fits, .ecsv, .csv).
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// A parameter for all rows, in the model's unit in files, in place of a column; without column and
    /// value, amounts (extinction) are 0, the distance is that at which it starts (1 mas) and any other
    /// parameter is at the mean of its prior. May be repeated.
    #[arg(long, value_name = "PARAMETER=VALUE", value_parser = held)]
    hold: Vec<(String, f64)>,
    /// Replace the output if it exists.
    #[arg(long)]
    overwrite: bool,
}

/// Predicts.
pub fn run(arguments: &Arguments, settings: &Settings) -> Result<Outcome> {
    let (input, output) = (&arguments.parameters, &arguments.output);
    require_utf8(output)?;
    Inputs::of([input, &arguments.model]).require_other(output)?;
    check_target(output, arguments.overwrite)?;
    let package = settings.package(&arguments.model)?;
    if let Some(name) = first_repeated(arguments.hold.iter().map(|(name, _)| name)) {
        let error = Error::usage(format!("--hold {name}")).found("it twice").expected("every parameter once");
        return Err(error.remedy("Leave one out."));
    }
    let held: BTreeMap<String, f64> = arguments.hold.iter().cloned().collect();
    let predicting = match spectral_core(package.as_ref()) {
        Some(core) => Predicting::Spectra(core),
        None => {
            let forward = package.require::<TrainedModel>("predict").map_err(|error| {
                error
                    .expected("a forward model or a model of spectra, from whose parameters or labels fluxes follow")
                    .remedy("Name one; a direct network goes from fluxes to labels: `photosphere fit` predicts these.")
            })?;
            Predicting::of(&forward.model)?
        }
    };
    predicting.check(&held)?;
    let (n_known, n_fluxes) = (predicting.n_errors(), package.grid().len());
    if n_known < n_fluxes {
        warn_once(format!(
            "column '{}': the model knows no error of {} of its {n_fluxes} fluxes, which is 0: give the file errors before it is \
             fitted",
            columns::FLUX_ERROR,
            n_fluxes - n_known
        ));
    }
    let described = Input { path: input.clone(), n_rows: row_count(input)?, sha256: sha256_of_file(input)? };
    let provenance = Provenance::new("predict")
        .with("model_sha256", package.sha256())
        .with("hold", json!(held).to_string())
        .with_inputs(&[described])
        .metadata();
    let mut writer = Writer::create(output, arguments.overwrite)?;
    let mut notices = Notices::default();
    let mut identifiers = Identifiers::default();
    let (mut n, mut n_predicted, mut n_outside) = (0, 0, 0);
    for chunk in read_chunks(input, ROWS)? {
        let chunk = chunk?;
        let within = |error: Error| error.within(input.display());
        let predicted = predicting.predicted(&chunk, &held, n, &mut notices).map_err(within)?;
        let ids = match chunk.column_if_any(columns::ID).map_err(within)? {
            Some(column) => identifiers.add_column(column, input, n)?,
            None => (n..n + chunk.n_rows()).map(|row| row as i64).collect(),
        };
        n_predicted += predicted.is_complete.iter().filter(|complete| **complete).count();
        n_outside += predicted.is_outside.iter().filter(|outside| **outside).count();
        let mut table = predicted.table(ids).map_err(within)?;
        table.metadata.extend(provenance.clone());
        writer.write(&table)?;
        n += chunk.n_rows();
    }
    writer.finish()?;
    notices.say(&input.display().to_string());
    if n_predicted < n {
        warn_once(format!(
            "{}: {} of {n} rows are not predicted: a parameter is missing there, or has an impossible value (a distance parameter \
             that is not positive)",
            output.display(),
            n - n_predicted
        ));
    }
    tracing::info!(
        "{}: {n_predicted} of {n} rows predicted, {n_outside} of them outside the training range of a label",
        output.display()
    );
    Ok(Outcome::files(json!({ "output": output, "rows": n, "predicted": n_predicted, "outside_training_range": n_outside })))
}

/// What predicts.
enum Predicting<'a> {
    Forward(Box<ForwardModel>),
    Spectra(&'a SpectralCore),
}

impl Predicting<'_> {
    /// A forward model whose amounts are moved as themselves: fits may find less dust than none, and that can
    /// be predicted too.
    fn of(model: &ForwardModel) -> Result<Self> {
        let mut moved = model.clone();
        for amount in model.space.parameters.iter().filter(|parameter| parameter.is_amount()) {
            moved.set_transform(&amount.name, Transform::Identity)?;
        }
        Ok(Self::Forward(Box::new(moved)))
    }

    /// Refuses values that cannot be held.
    fn check(&self, held: &BTreeMap<String, f64>) -> Result<()> {
        let model = match self {
            Self::Forward(model) => model,
            Self::Spectra(core) => return predict_spectra::check(core, held),
        };
        held.iter().try_for_each(|(name, value)| {
            let parameter = model.space.get(name).map_err(|error| error.of_kind(ErrorKind::Usage).within("--hold"))?;
            check_held(&format!("--hold {name}"), parameter, *value, parameter.transform)
        })
    }

    /// Number of fluxes whose errors the model knows.
    fn n_errors(&self) -> usize {
        match self {
            Self::Forward(model) => model.model_error.iter().filter(|error| **error > 0.0).count(),
            Self::Spectra(_) => 0,
        }
    }

    /// Rows of a part of a table, which begins with its row `first`.
    fn predicted(&self, chunk: &Table, held: &BTreeMap<String, f64>, first: usize, notices: &mut Notices) -> Result<Predicted> {
        match self {
            Self::Forward(model) => Rows::read(model, chunk, held, first, notices)?.predicted(model),
            Self::Spectra(core) => predict_spectra::predicted(core, chunk, held, first, notices),
        }
    }
}

/// The parameters of some rows.
struct Rows {
    /// Model values `[n, P]`; NaN where one is missing or impossible.
    values: Array2<f64>,
    is_complete: Vec<bool>,
    /// Whether a label lies outside the range of the training.
    is_outside: Vec<bool>,
}

impl Rows {
    fn read(
        model: &ForwardModel,
        chunk: &Table,
        held: &BTreeMap<String, f64>,
        first: usize,
        notices: &mut Notices,
    ) -> Result<Self> {
        let n = chunk.n_rows();
        let mut values = Array2::from_elem((n, model.space.len()), f64::NAN);
        for (position, parameter) in model.space.parameters.iter().enumerate() {
            let factor = parameter.model_units_per_file_unit;
            let mut target = values.column_mut(position);
            match given((&parameter.name, &parameter.unit), (chunk, first), held, notices)? {
                Some(values) => target.iter_mut().zip(values).for_each(|(target, value)| *target = value * factor),
                None => {
                    let value = default(parameter, chunk)?;
                    if first == 0 {
                        tracing::info!("no column '{}': {} for all rows", parameter.name, value / factor);
                    }
                    target.fill(value);
                }
            }
        }
        let finite = |row: usize| {
            let pairs = values.row(row).into_iter().zip(&model.space.parameters);
            pairs.into_iter().all(|(value, parameter)| parameter.coordinate(*value).is_finite())
        };
        let outside = |row: usize| {
            let pairs = values.row(row).into_iter().zip(&model.space.parameters);
            pairs
                .filter(|(_, parameter)| parameter.is_label())
                .any(|(value, parameter)| parameter.training_range.is_some_and(|[low, high]| !(low..=high).contains(value)))
        };
        let is_complete: Vec<bool> = (0..n).map(finite).collect();
        let is_outside = (0..n).map(|row| is_complete[row] && outside(row)).collect();
        Ok(Self { is_complete, is_outside, values })
    }

    /// Fluxes and the parameters that were used.
    fn predicted(self, model: &ForwardModel) -> Result<Predicted> {
        let (n, w) = (self.is_complete.len(), model.grid.len());
        let complete: Vec<usize> = (0..n).filter(|&row| self.is_complete[row]).collect();
        let coordinates = Array2::from_shape_fn((complete.len(), model.space.len()), |(row, position)| {
            model.space.parameters[position].coordinate(self.values[[complete[row], position]])
        });
        let predicted = model.predict(coordinates.view())?;
        let (mut flux, mut error) = (vec![f64::NAN; n * w], vec![f64::NAN; n * w]);
        for (row, values) in complete.iter().zip(predicted.rows()) {
            for (i, value) in values.iter().enumerate().filter(|(_, value)| value.is_finite()) {
                flux[row * w + i] = *value;
                error[row * w + i] = value * model.model_error[i];
            }
        }
        let column = |(position, parameter): (usize, &Parameter)| {
            let factor = parameter.model_units_per_file_unit;
            let in_files = |value: &f64| if value.is_finite() { value / factor } else { f64::NAN };
            let values: Vec<f64> = self.values.column(position).iter().map(in_files).collect();
            Column::nullable(ColumnSchema::new(&parameter.name, &parameter.unit, &parameter.description), values)
        };
        let instrument = model.grid.instrument.iter().map(|text| (columns::XP_INSTRUMENT, text.clone()));
        let texts = [
            (columns::WAVELENGTHS, json!(model.grid.wavelength).to_string()),
            (columns::BANDS, json!(model.grid.names).to_string()),
            (columns::FLUX_UNIT, model.flux_unit.clone()),
        ];
        Ok(Predicted {
            flux,
            error,
            unit: model.flux_unit.clone(),
            parameters: model.space.parameters.iter().enumerate().map(column).collect(),
            metadata: texts.into_iter().chain(instrument).map(|(key, text)| (key.to_owned(), text)).collect(),
            is_complete: self.is_complete,
            is_outside: self.is_outside,
        })
    }
}

/// Predictions of some rows.
pub(super) struct Predicted {
    /// `[n, W]`, NaN where there is none.
    pub flux: Vec<f64>,
    pub error: Vec<f64>,
    /// Of the flux.
    pub unit: String,
    pub is_complete: Vec<bool>,
    /// Whether a label lies outside the range of the training.
    pub is_outside: Vec<bool>,
    /// The parameters that were used.
    pub parameters: Vec<Column>,
    pub metadata: BTreeMap<String, String>,
}

impl Predicted {
    fn table(self, ids: Vec<i64>) -> Result<Table> {
        let w = self.flux.len() / ids.len().max(1);
        let lists = |name: &str, ucd: &str, text: &str, values: Vec<f64>| {
            Column::fixed(ColumnSchema::new(name, &self.unit, text).with_ucd(ucd), Values::Float64(values), w)
        };
        let flag =
            |name: &str, text: &str, values: Vec<bool>| Column::scalar(ColumnSchema::new(name, "", text), Values::Bool(values));
        let id =
            ColumnSchema::new(columns::ID, "", "Identifier, or the row of the table without one").with_ucd("meta.id;meta.main");
        let mut table = Table::new(vec![
            Column::scalar(id, Values::Int64(ids)),
            lists(columns::FLUX, "phot.flux.density", "Predicted flux at the wavelengths of the metadata", self.flux),
            lists(columns::FLUX_ERROR, "stat.error;phot.flux.density", "Error of the model, 1 sigma", self.error),
            flag("is_predicted", "whether all parameters were given and possible", self.is_complete),
            flag("is_outside_training", "whether a label lies outside the training range", self.is_outside),
        ])?;
        self.parameters.into_iter().try_for_each(|column| table.push(column))?;
        table.metadata.extend(self.metadata);
        Ok(table)
    }
}

/// The model value of a parameter that the table does not have.
fn default(parameter: &Parameter, chunk: &Table) -> Result<f64> {
    let value = match parameter.role {
        Role::Amount => Some(0.0),
        Role::Distance => Some(parameter.start),
        Role::Label | Role::Shape => parameter.prior.map(|prior| prior.mean),
    };
    value.ok_or_else(|| not_given(&parameter.name, "parameters", chunk))
}

/// The values of a parameter in its unit in files, held for all rows or in a column of a part of the table
/// that begins with row `first`; `None` where there is neither.
pub(super) fn given(
    (name, unit): (&str, &str),
    (chunk, first): (&Table, usize),
    held: &BTreeMap<String, f64>,
    notices: &mut Notices,
) -> Result<Option<Vec<f64>>> {
    match (held.get(name), chunk.column_if_any(name)?) {
        (Some(value), _) => Ok(Some(vec![*value; chunk.n_rows()])),
        (None, Some(column)) => {
            let quantity = Quantity::of(name).with_unit(unit);
            Ok(Some(quantity.read_from(column.clone(), quantity::Role::Value, None, first, notices)?.to_f64()?))
        }
        (None, None) => Ok(None),
    }
}

/// The error for one of the model's `kind` (parameters, labels) that is neither held nor in a column.
pub(super) fn not_given(name: &str, kind: &str, chunk: &Table) -> Error {
    let names: Vec<&str> = chunk.columns().iter().map(|column| column.schema.name.as_str()).collect();
    Error::data(format!("column '{name}'"))
        .found(format!("only {}", names.join(", ")))
        .expected(format!("the {kind} of the model in columns of their names"))
        .remedy(format!("Rename the column, or give --hold {name}=VALUE."))
}
