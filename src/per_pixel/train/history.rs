//! How a training went: losses of the iterations, mean over the pixels (Zhang et al. 2024, Fig. 3, which has
//! one pixel).

use super::levenberg_marquardt::Iteration;
use super::trainer::PixelResult;

/// Most points of a pixel in a stage that are kept: millions of epochs would fill the memory.
const MOST_POINTS: usize = 200;

/// Mean losses of the pixels with spectra at one iteration.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HistoryRow {
    /// 0, and one more for every freeing of the labels.
    pub round: usize,
    /// Stage of the smoothing, of those that the round goes through.
    pub stage: usize,
    /// Iterations (of Adam and of joint networks epochs) of the stage that are over; in the row of what is
    /// kept as in the one before.
    pub iteration: usize,
    /// Pixels that were still being trained: the others stand at what they keep. None in the row of what is
    /// kept.
    pub n_training: usize,
    /// Whether this is the last row of a round: of the parameters that all pixels keep.
    pub is_kept: bool,
    /// χ² per training spectrum.
    pub flux: f64,
    /// The gradient term without smoothing.
    pub gradient: f64,
    /// χ² per validation spectrum; 0 without one.
    pub validation: f64,
}

/// Iterations of a pixel from one point that is kept to the next, where it may have `most`.
pub(super) fn stride(most: usize) -> usize {
    most.div_ceil(MOST_POINTS).max(1)
}

/// Every so many iterations of each stage, from its first.
pub(super) fn thinned(history: &[Iteration], stride: usize) -> Vec<Iteration> {
    let stages = history.chunk_by(|a, b| a.stage == b.stage);
    stages.flat_map(|stage| stage.iter().step_by(stride.max(1)).copied()).collect()
}

/// The mean of several histories, stage by stage, and how many of them have each iteration. Those that ended
/// a stage earlier stand at what the next one begins with, after the last stage at what is `kept`; the last
/// row is the mean of that, and of none's iteration.
pub(super) fn mean_history(histories: &[(&[Iteration], Iteration)]) -> Vec<(Iteration, usize)> {
    let n_stages = histories.iter().filter_map(|(history, _)| history.last()).map(|last| last.stage + 1).max().unwrap_or(1);
    let mut rows = Vec::new();
    for stage in 0..n_stages {
        let of_stage: Vec<(&[Iteration], Iteration)> = histories
            .iter()
            .map(|(history, kept)| {
                let first = history.partition_point(|iteration| iteration.stage < stage);
                let end = history.partition_point(|iteration| iteration.stage <= stage);
                (&history[first..end], history.get(end).copied().unwrap_or(*kept))
            })
            .collect();
        let longest = of_stage.iter().map(|(iterations, _)| iterations.len()).max().unwrap_or(0);
        let n_rows = longest + usize::from(stage + 1 == n_stages);
        for i in 0..n_rows {
            let at = of_stage.iter().map(|(iterations, standing)| iterations.get(i).unwrap_or(standing));
            let n_training = of_stage.iter().filter(|(iterations, _)| iterations.len() > i).count();
            rows.push((mean(stage, at), n_training));
        }
    }
    rows
}

fn mean<'a>(stage: usize, iterations: impl Iterator<Item = &'a Iteration>) -> Iteration {
    let mut sum = Iteration { stage, flux: 0.0, gradient: 0.0, validation: 0.0 };
    let mut n = 0.0;
    for iteration in iterations {
        sum.flux += iteration.flux;
        sum.gradient += iteration.gradient;
        sum.validation += iteration.validation;
        n += 1.0;
    }
    let n = f64::max(n, 1.0);
    Iteration { stage, flux: sum.flux / n, gradient: sum.gradient / n, validation: sum.validation / n }
}

/// The history of a round from those of its pixels, of which the ones without any spectrum take no part.
/// `iteration` is the number of a point from its place in its stage.
pub(crate) fn round_history(
    round: usize,
    pixels: &[PixelResult],
    has_spectra: impl Fn(usize) -> bool,
    iteration: impl Fn(usize) -> usize,
) -> Vec<HistoryRow> {
    let own = pixels.iter().enumerate().filter(|(pixel, _)| has_spectra(*pixel));
    let histories: Vec<(&[Iteration], Iteration)> = own.map(|(_, result)| (result.history.as_slice(), result.kept)).collect();
    if histories.is_empty() {
        return Vec::new();
    }
    let means = mean_history(&histories);
    let last = means.len() - 1;
    let mut rows: Vec<HistoryRow> = Vec::new();
    let mut place = 0;
    for (at, (mean, n_training)) in means.into_iter().enumerate() {
        let is_next_stage = rows.last().is_some_and(|row| row.stage != mean.stage);
        place = if is_next_stage { 0 } else { place };
        let before = rows.last().filter(|_| !is_next_stage).map_or(0, |row| row.iteration);
        let Iteration { stage, flux, gradient, validation } = mean;
        let (is_kept, iteration) = (at == last, if at == last { before } else { iteration(place) });
        rows.push(HistoryRow { round, stage, iteration, n_training, is_kept, flux, gradient, validation });
        place += 1;
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(stage: usize, flux: f64) -> Iteration {
        Iteration { stage, flux, gradient: 2.0 * flux, validation: 3.0 * flux }
    }

    fn pixel(history: Vec<Iteration>, kept: Iteration) -> PixelResult {
        PixelResult { parameters: Vec::new(), kept, n_iterations: history.len(), history }
    }

    #[test]
    fn pixels_that_ended_earlier_stand_at_what_they_keep() {
        let long = pixel(vec![point(0, 8.0), point(0, 4.0), point(0, 6.0), point(1, 4.0), point(1, 2.0)], point(1, 2.0));
        let short = pixel(vec![point(0, 10.0), point(1, 6.0)], point(1, 6.0));
        let empty = pixel(vec![point(0, f64::NAN)], point(0, f64::NAN));
        let rows = round_history(3, &[long, empty, short], |pixel| pixel != 1, |place| 5 * place);
        let found: Vec<_> = rows.iter().map(|row| (row.stage, row.iteration, row.n_training, row.is_kept, row.flux)).collect();
        let expected = [
            (0, 0, 2, false, 9.0),
            (0, 5, 1, false, 5.0),
            (0, 10, 1, false, 6.0),
            (1, 0, 2, false, 5.0),
            (1, 5, 1, false, 4.0),
            (1, 5, 0, true, 4.0),
        ];
        assert_eq!(found, expected);
        assert!(rows.iter().all(|row| row.round == 3 && row.gradient == 2.0 * row.flux && row.validation == 3.0 * row.flux));
        // What has no iterations has what is kept alone.
        let rows = round_history(0, &[pixel(Vec::new(), point(0, 7.0))], |_| true, |place| place);
        assert!(rows.len() == 1 && rows[0].is_kept && rows[0].flux == 7.0 && rows[0].iteration == 0);
        assert!(round_history(0, &[], |_| true, |place| place).is_empty());
    }

    #[test]
    fn long_histories_are_thinned_stage_by_stage() {
        assert_eq!([stride(30), stride(200), stride(201), stride(10_000), stride(0)], [1, 1, 2, 50, 1]);
        let history: Vec<Iteration> = (0..5).map(|i| point(0, f64::from(i))).chain([point(1, 9.0), point(1, 8.0)]).collect();
        let fluxes: Vec<f64> = thinned(&history, 2).iter().map(|point| point.flux).collect();
        assert_eq!(fluxes, [0.0, 2.0, 4.0, 9.0]);
    }
}
