//! Checkpoints: one safetensors file with everything a run needs to go on to the same bits, optimiser state
//! included.

use super::binaries::Binaries;
use super::clean::CleaningReport;
use super::run::StageRecord;
use super::star_step::Losses;
use super::state::{EpochRecord, Position, TrainingState};
use crate::error::{Error, Result};
use crate::model::ParameterSpace;
use crate::observations::Constraint;
use crate::tensor::Weights;
use crate::tensor::file::{self, Entry};
use safetensors::tensor::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::Path;

/// What is written beside the arrays, as TOML: its floats come back to the bit, which those of `serde_json`
/// need not.
#[derive(Serialize, Deserialize)]
struct Header {
    /// SHA-256 over recipe and data: a checkpoint of another run is refused.
    run: String,
    position: Position,
    best: Option<BestLosses>,
    stages: Vec<StageRecord>,
    history: Vec<EpochRecord>,
    cleanings: Vec<CleaningReport>,
    space: ParameterSpace,
    /// Share of binaries, if they have been estimated.
    binaries: Option<f64>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
struct BestLosses {
    losses: Losses,
    epoch: u32,
}

/// The part of a run besides its [`TrainingState`].
#[derive(Clone, Default)]
pub(super) struct Progress {
    /// Optimiser state of the current stage.
    pub optimiser: Option<Vec<u8>>,
    /// The best state of the stage.
    pub best: Option<Best>,
    pub cleanings: Vec<CleaningReport>,
    pub stages: Vec<StageRecord>,
}

/// The state with the lowest loss of the stopping stars.
#[derive(Clone)]
pub(super) struct Best {
    pub losses: Losses,
    /// Epochs of the stage after which it was.
    pub epoch: u32,
    pub weights: Weights,
    pub coordinates: ndarray::Array2<f64>,
}

/// Writes a checkpoint in place of the last one, atomically.
pub(super) fn write(path: &Path, run: &str, state: &TrainingState, progress: &Progress) -> Result<()> {
    let header = Header {
        run: run.into(),
        position: state.position,
        best: progress.best.as_ref().map(|best| BestLosses { losses: best.losses, epoch: best.epoch }),
        stages: progress.stages.clone(),
        history: state.history.clone(),
        cleanings: progress.cleanings.clone(),
        space: state.model.space.clone(),
        binaries: state.binaries.as_ref().map(|binaries| binaries.share),
    };
    let failed = |error: String| {
        Error::output(path.display().to_string())
            .found(error)
            .remedy("Check that the folder is writable and has space left; --resume goes on from the last checkpoint.")
    };
    let mut parts: Vec<Entry> = Vec::new();
    let text = toml::to_string(&header).map_err(|error| failed(error.to_string()))?.into_bytes();
    parts.push(("header".into(), Dtype::U8, vec![text.len()], text));
    let kept: Vec<u8> = state.kept.iter().map(|&kept| u8::from(kept)).collect();
    parts.push(("kept".into(), Dtype::U8, vec![kept.len()], kept));
    if let Some(optimiser) = &progress.optimiser {
        parts.push(("optimiser".into(), Dtype::U8, vec![optimiser.len()], optimiser.clone()));
    }
    if let Some(binaries) = &state.binaries {
        let (values, errors) = binaries.constraint.values_and_errors();
        for (name, values) in [("probability", &binaries.probability[..]), ("values", values), ("errors", errors)] {
            let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            parts.push((format!("binaries.{name}"), Dtype::F64, vec![values.len()], bytes));
        }
    }
    let mut snapshot = |prefix: &str, weights: &Weights, coordinates: &ndarray::Array2<f64>| -> Result<()> {
        let shape = vec![coordinates.nrows(), coordinates.ncols()];
        let bytes = coordinates.iter().flat_map(|value| value.to_le_bytes()).collect();
        parts.push((format!("{prefix}.coordinates"), Dtype::F64, shape, bytes));
        for name in weights.names() {
            let values = weights.values(name)?;
            let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            parts.push((format!("{prefix}.weights.{name}"), Dtype::F64, vec![values.len()], bytes));
        }
        Ok(())
    };
    snapshot("current", &state.model.weights, &state.coordinates)?;
    if let Some(best) = &progress.best {
        snapshot("best", &best.weights, &best.coordinates)?;
    }
    let bytes = file::bytes(&parts, None).map_err(|error| failed(error.to_string()))?;
    crate::table::write_atomically(path, true, |file| file.write_all(&bytes))
}

/// Puts a checkpoint into a freshly started state of the same run.
///
/// # Errors
/// When the file is damaged or belongs to another recipe or other data.
pub(super) fn read(path: &Path, run: &str, state: &mut TrainingState) -> Result<Progress> {
    let bytes = std::fs::read(path).map_err(|error| Error::reading(path, error))?;
    let place = path.display().to_string();
    let damaged =
        |what: String| Error::data(&place).found(what).expected("a complete checkpoint").remedy("Start again with --overwrite.");
    let tensors = SafeTensors::deserialize(&bytes).map_err(|error| damaged(error.to_string()))?;
    let part = |name: &str| tensors.tensor(name).map_err(|error| damaged(error.to_string()));
    let header: Header = toml::from_slice(part("header")?.data()).map_err(|error| damaged(error.to_string()))?;
    if header.run != run {
        return Err(Error::usage(place)
            .found("a checkpoint of another recipe, other data or another program version")
            .expected("one of this run")
            .remedy("Resume with the same recipe and data, or start again with --overwrite."));
    }
    let numbers = |name: &str| -> Result<Vec<f64>> {
        let (chunks, _) = part(name)?.data().as_chunks::<8>();
        Ok(chunks.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect())
    };
    let device = state.model.device().clone();
    let snapshot = |prefix: &str, state: &TrainingState| -> Result<(Weights, ndarray::Array2<f64>)> {
        let mut weights = state.model.weights.clone();
        for name in state.model.weights.names() {
            weights.set(name, &numbers(&format!("{prefix}.weights.{name}"))?, &device)?;
        }
        let coordinates = ndarray::Array2::from_shape_vec(state.coordinates.dim(), numbers(&format!("{prefix}.coordinates"))?)
            .map_err(|error| damaged(error.to_string()))?;
        Ok((weights, coordinates))
    };
    let best = match header.best {
        None => None,
        Some(BestLosses { losses, epoch }) => {
            let (weights, coordinates) = snapshot("best", state)?;
            Some(Best { losses, epoch, weights, coordinates })
        }
    };
    let (weights, coordinates) = snapshot("current", state)?;
    let kept = part("kept")?.data().iter().map(|&byte| byte == 1).collect::<Vec<bool>>();
    if kept.len() != state.kept.len() {
        return Err(damaged(format!("{} stars", kept.len())));
    }
    if let Some(share) = header.binaries {
        let [probability, values, errors] = ["probability", "values", "errors"].map(|name| numbers(&format!("binaries.{name}")));
        let (probability, constraint) = (probability?, Constraint::new(values?, errors?).0);
        if [probability.len(), constraint.values_and_errors().0.len()] != [kept.len(); 2] {
            return Err(damaged(format!("probabilities of {} stars", probability.len())));
        }
        state.binaries = Some(Binaries { share, probability, constraint });
    }
    state.model.weights = weights;
    let pairs = header.space.parameters.into_iter().zip(&state.model.space.parameters);
    state.model.space = ParameterSpace { parameters: pairs.map(|(found, declared)| found.as_declared(declared)).collect() };
    state.coordinates = coordinates;
    state.kept = kept;
    state.position = header.position;
    state.history = header.history;
    let optimiser = tensors.tensor("optimiser").ok().map(|view| view.data().to_vec());
    Ok(Progress { optimiser, best, cleanings: header.cleanings, stages: header.stages })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ForwardModel, Registry};
    use crate::observations::{Observations, ReadOptions};
    use crate::simulate::{SurveyConfig, simulate};
    use crate::tensor::Device;
    use crate::train::Recipe;

    /// A file says of a parameter whether it is a label; whether it is an amount or the distance, its start
    /// and its range must come back too. So must what is known of binaries.
    #[test]
    fn parameters_are_what_they_were() {
        let recipe = "description = 'test'\n[[effect]]\nkind = 'emulator'\nhidden = [4]\n[[effect]]\nkind = 'extinction'\nvariation = true\n\
                      [[effect]]\nkind = 'distance'\n[[stage]]\nkind = 'learn'\nname = 'first'\nepochs = 1\nlearning_rate = 1e-3\n";
        let recipe = Recipe::parse(recipe, "test").unwrap();
        let constraints = ["teff", "feh", "logg", "parallax", "extinction"].map(String::from).to_vec();
        let table = simulate(&SurveyConfig { n_stars: 40, ..Default::default() }).unwrap();
        let observations = Observations::from_table(table, &ReadOptions { constraints, ..Default::default() }).unwrap();
        let start = || {
            let grid = observations.grid.clone();
            let model = ForwardModel::new(&Registry::standard(), &recipe.effects, grid, 1, &Device::cpu()).unwrap();
            TrainingState::start(model, &observations, &recipe.data).unwrap()
        };
        let folder = tempfile::tempdir().unwrap();
        let (path, mut state) = (folder.path().join("run.checkpoint"), start());
        let (constraint, _) = Constraint::new((0..40).map(f64::from).collect(), vec![0.5; 40]);
        state.binaries = Some(Binaries { share: 0.04, probability: vec![0.1; 40], constraint });
        write(&path, "run", &state, &Progress::default()).unwrap();
        let mut resumed = start();
        read(&path, "run", &mut resumed).unwrap();
        assert_eq!(resumed.model.space, state.model.space);
        assert_eq!(resumed.binaries, state.binaries);
        assert!(resumed.model.space.distance_position().is_some());
    }
}
