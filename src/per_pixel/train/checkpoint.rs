//! Finished pixels of a training that goes on, in a file.

use super::super::tensor_file::{TensorFile, TensorWriter};
use super::levenberg_marquardt::Iteration;
use super::trainer::PixelResult;
use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::path::Path;

/// Numbers of a pixel beside its parameters.
const FACTS: usize = 5;
/// Numbers of a point of its history.
const POINT: usize = 4;

/// Pixels that are finished, by round and pixel. The labels of a round follow from the networks of the one
/// before, to the bit.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Checkpoint {
    pub pixels: BTreeMap<(usize, usize), PixelResult>,
}

impl Checkpoint {
    /// Writes the finished pixels of the run of that name, in place of what is there.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path, run: &str) -> Result<()> {
        let mut file = TensorWriter::default();
        let (n, p) = (self.pixels.len(), self.pixels.values().next().map_or(0, |result| result.parameters.len()));
        file.double("rounds", &[n], self.pixels.keys().map(|(round, _)| *round as f64));
        file.double("pixels", &[n], self.pixels.keys().map(|(_, pixel)| *pixel as f64));
        file.single("parameters", &[n, p], self.pixels.values().flat_map(|result| result.parameters.iter().copied()));
        let facts = self.pixels.values().flat_map(|result| {
            let Iteration { stage, flux, gradient, validation } = result.kept;
            [result.n_iterations as f64, stage as f64, flux, gradient, validation]
        });
        file.double("facts", &[n, FACTS], facts);
        let histories = self.pixels.values().map(|result| &result.history);
        let n_points: usize = histories.clone().map(Vec::len).sum();
        file.double("points", &[n], histories.clone().map(|history| history.len() as f64));
        let points = histories.flatten().flat_map(|point| [point.stage as f64, point.flux, point.gradient, point.validation]);
        file.double("history", &[n_points, POINT], points);
        file.text("run", run);
        file.write(path, true)
    }

    /// Reads the finished pixels of the run of that name.
    ///
    /// # Errors
    /// When the file is damaged, or of another run.
    pub fn read(path: &Path, run: &str) -> Result<Self> {
        let file = TensorFile::read(path)?;
        if file.text("run") != Some(run) {
            return Err(Error::output(file.place())
                .found("the checkpoint of a training with other inputs or another recipe")
                .expected("that of this training")
                .remedy("Give --overwrite to start anew, or name another output."));
        }
        let (rounds, pixels) = (file.required("rounds", "[n]")?, file.required("pixels", "[n]")?);
        let (parameters, facts) = (file.required("parameters", "[n, P]")?, file.required("facts", "[n, 5]")?);
        let n = pixels.len();
        if rounds.len() != n || parameters.shape()[0] != n || facts.shape() != [n, FACTS] {
            return Err(Error::data(file.place())
                .found(format!("{n} pixels with {:?} parameters and {:?} facts", parameters.shape(), facts.shape()))
                .expected("as many of each"));
        }
        let (points, history) = (file.required("points", "[n]")?, file.required("history", "[points, 4]")?);
        let ends: Vec<usize> = points
            .iter()
            .scan(0_usize, |end, points| {
                *end = end.saturating_add(*points as usize);
                Some(*end)
            })
            .collect();
        let n_points = ends.last().copied().unwrap_or(0);
        if ends.len() != n || history.shape() != [n_points, POINT] {
            return Err(Error::data(file.place())
                .found(format!("a history {:?} of {} pixels with {n_points} points", history.shape(), ends.len()))
                .expected(format!("{POINT} numbers of every point, of {n} pixels")));
        }
        let point = |at: usize| {
            let number = |k: usize| history[[at, k]];
            Iteration { stage: number(0) as usize, flux: number(1), gradient: number(2), validation: number(3) }
        };
        let result = |i: usize| {
            let fact = |k: usize| facts[[i, k]];
            let kept = Iteration { stage: fact(1) as usize, flux: fact(2), gradient: fact(3), validation: fact(4) };
            let parameters = (0..parameters.shape()[1]).map(|k| parameters[[i, k]] as f32).collect();
            let history = (if i > 0 { ends[i - 1] } else { 0 }..ends[i]).map(point).collect();
            let result = PixelResult { parameters, kept, n_iterations: fact(0) as usize, history };
            ((rounds[[i]] as usize, pixels[[i]] as usize), result)
        };
        Ok(Self { pixels: (0..n).map(result).collect() })
    }
}
