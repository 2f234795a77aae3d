//! Checkpoints: everything that a run needs to go on to the same bits, optimiser state included.

use super::binaries::Binaries;
use super::clean::CleaningReport;
use super::run::StageRecord;
use super::state::{EpochRecord, TrainingState};
use crate::error::{Error, Result};
use crate::learn::{Checkpoints, Parts, Standing, Walk};
use crate::model::ParameterSpace;
use crate::observations::Constraint;
use serde::{Deserialize, Serialize};

/// Names of what is written.
const CURRENT: &str = "current";
const BEST: &str = "best";
const BINARIES: &str = "binaries";
const KEPT: &str = "kept";
const MOMENTUM: &str = "momentum";
const WEIGHTS: &str = "weights";

/// What is written beside the arrays, as TOML, whose floats come back to the bit.
#[derive(Serialize, Deserialize)]
struct Header {
    stage: usize,
    /// Where the walk over the epochs of the stage stands.
    walk: Option<Standing>,
    stages: Vec<StageRecord>,
    history: Vec<EpochRecord>,
    cleanings: Vec<CleaningReport>,
    space: ParameterSpace,
    /// Share of binaries, if they have been estimated.
    binaries: Option<f64>,
    /// Whether the stars of the stage have weights.
    #[serde(default)]
    weighted: bool,
}

/// The part of a run besides its [`TrainingState`].
#[derive(Clone, Default)]
pub(super) struct Progress {
    /// The walk over the epochs of the stage that was interrupted, with the optimiser's state.
    pub walk: Option<(Walk, Vec<u8>)>,
    pub cleanings: Vec<CleaningReport>,
    pub stages: Vec<StageRecord>,
    /// Weights of the stars `[N]` in the stage, as they were at its beginning, if it has any.
    pub weights: Option<Vec<f64>>,
}

/// Writes a checkpoint in place of the last one, atomically; `walk` is that of the stage, with the
/// optimiser's state.
pub(super) fn write(
    checkpoints: &Checkpoints<'_>,
    state: &TrainingState,
    progress: &Progress,
    walk: Option<(&Walk, Vec<u8>)>,
) -> Result<()> {
    let header = Header {
        stage: state.stage,
        walk: walk.as_ref().map(|(walk, _)| walk.standing.clone()),
        stages: progress.stages.clone(),
        history: state.history.clone(),
        cleanings: progress.cleanings.clone(),
        space: state.model.space.clone(),
        binaries: state.binaries.as_ref().map(|binaries| binaries.share),
        weighted: progress.weights.is_some(),
    };
    let header = toml::to_string(&header)
        .map_err(|error| Error::output("header of the checkpoint").found(error.to_string()).source(error))?;
    let mut parts = Parts::default();
    parts.put(CURRENT, &state.learned()?);
    parts.bytes.insert(KEPT.into(), state.kept.iter().map(|&kept| u8::from(kept)).collect());
    if let Some((walk, momentum)) = walk {
        parts.put(BEST, walk.best.as_ref().unwrap_or(&Parts::default()));
        parts.bytes.insert(MOMENTUM.into(), momentum);
    }
    if let Some(binaries) = &state.binaries {
        let (values, errors) = binaries.constraint.values_and_errors();
        let arrays = [("probability", &binaries.probability[..]), ("values", values), ("errors", errors)];
        let numbers = arrays.map(|(name, values)| (name.to_owned(), values.to_vec())).into();
        parts.put(BINARIES, &Parts { numbers, ..Default::default() });
    }
    if let Some(weights) = &progress.weights {
        let numbers = [(WEIGHTS.to_owned(), weights.clone())].into();
        parts.put(WEIGHTS, &Parts { numbers, ..Default::default() });
    }
    checkpoints.write(&header, &parts)
}

/// Puts the checkpoint, if there is one to take up, into a freshly started state of the same run.
///
/// # Errors
/// When the file is damaged or belongs to another recipe or other data.
pub(super) fn read(checkpoints: &Checkpoints<'_>, state: &mut TrainingState) -> Result<Option<Progress>> {
    let Some((header, mut parts)) = checkpoints.read()? else { return Ok(None) };
    let damaged = |what: String| {
        Error::data(checkpoints.file.path.display().to_string())
            .found(what)
            .expected("a complete checkpoint")
            .remedy("Start again with --overwrite.")
    };
    let header: Header = toml::from_str(&header).map_err(|error| damaged(error.to_string()))?;
    let kept = parts.bytes.remove(KEPT).unwrap_or_default();
    if kept.len() != state.kept.len() {
        return Err(damaged(format!("{} stars", kept.len())));
    }
    if let Some(share) = header.binaries {
        let of = parts.under(BINARIES);
        let [probability, values, errors] =
            ["probability", "values", "errors"].map(|name| of.numbers_of(name).map(<[f64]>::to_vec));
        let (probability, constraint) = (probability?, Constraint::new(values?, errors?).0);
        if [probability.len(), constraint.values_and_errors().0.len()] != [kept.len(); 2] {
            return Err(damaged(format!("probabilities of {} stars", probability.len())));
        }
        state.binaries = Some(Binaries { share, probability, constraint });
    }
    let weights = header.weighted.then(|| parts.under(WEIGHTS).numbers_of(WEIGHTS).map(<[f64]>::to_vec)).transpose()?;
    if weights.as_ref().is_some_and(|weights| weights.len() != kept.len()) {
        return Err(damaged("weights of other stars".into()));
    }
    state.restore(&parts.under(CURRENT))?;
    let pairs = header.space.parameters.into_iter().zip(&state.model.space.parameters);
    state.model.space = ParameterSpace { parameters: pairs.map(|(found, declared)| found.as_declared(declared)).collect() };
    state.kept = kept.into_iter().map(|byte| byte == 1).collect();
    state.stage = header.stage;
    state.history = header.history;
    let momentum = parts.bytes.remove(MOMENTUM).unwrap_or_default();
    let walk = header.walk.map(|standing| (Walk { standing, best: Some(parts.under(BEST)) }, momentum));
    Ok(Some(Progress { walk, cleanings: header.cleanings, stages: header.stages, weights }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::CheckpointFile;
    use crate::model::{ForwardModel, Registry};
    use crate::observations::{Observations, ReadOptions};
    use crate::simulate::{SurveyConfig, simulate};
    use crate::tensor::Device;
    use crate::train::Recipe;
    use std::time::Duration;

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
        let file = CheckpointFile { path: &path, interval: Duration::ZERO, resume: true };
        let checkpoints = Checkpoints { file, run: "run" };
        write(&checkpoints, &state, &Progress::default(), None).unwrap();
        let mut resumed = start();
        assert!(read(&checkpoints, &mut resumed).unwrap().is_some());
        assert_eq!(resumed.model.space, state.model.space);
        assert_eq!(resumed.binaries, state.binaries);
        assert!(resumed.model.space.distance_position().is_some());
    }
}
