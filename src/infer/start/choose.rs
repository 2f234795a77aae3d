//! The choice of starting points: the best candidate, and rivals that lead elsewhere.

use crate::infer::breadth::Breadth;
use crate::infer::options::StartOptions;

/// A point that a search may start from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    /// Its number among the candidates.
    pub index: usize,
    pub score: f32,
    pub ln_parallax: f32,
}

/// The starts among the `candidates` (left in any order), within the limits of `breadth`, best first: each
/// differs from the better ones in luminosity (a dwarf for a giant) or labels. `separation` is the distance
/// of two candidates in standardised labels.
pub(super) fn choose(
    candidates: &mut Vec<Candidate>,
    breadth: Breadth,
    options: &StartOptions,
    separation: impl Fn(usize, usize) -> f32,
    chosen: &mut Vec<usize>,
) {
    chosen.clear();
    let (other_luminosity, other_labels) = (options.other_luminosity as f32, options.other_labels as f32);
    let best = |candidates: &[Candidate]| candidates.iter().copied().min_by(|a, b| a.score.total_cmp(&b.score));
    let mut next = best(candidates);
    let worst = next.map_or(f32::INFINITY, |best| best.score + breadth.window);
    while let Some(candidate) = next.filter(|_| chosen.len() < breadth.runs) {
        chosen.push(candidate.index);
        candidates.retain(|other| {
            other.score < worst
                && ((other.ln_parallax - candidate.ln_parallax).abs() > other_luminosity
                    || separation(other.index, candidate.index) > other_labels)
        });
        next = best(candidates);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_differ_from_all_better_ones_and_are_not_hopeless() {
        // Position on a line, ln ϖ and score.
        let points = [(0.0, 0.0, 3.0_f32), (0.1, 0.1, 2.0), (0.1, 1.0, 4.0), (2.0, 0.1, 5.0), (2.2, 0.0, 6.0), (5.0, 0.0, 33.0)];
        let candidates =
            points.iter().enumerate().map(|(index, &(_, ln_parallax, score))| Candidate { index, score, ln_parallax });
        let candidates: Vec<Candidate> = candidates.collect();
        let separation = |a: usize, b: usize| f32::abs(points[a].0 - points[b].0);
        let (mut chosen, options) = (vec![9], StartOptions::default());
        let limits = StartOptions { start_window: 30.0, ..options };
        let breadth = |runs| Breadth::new(f64::INFINITY, 61, &StartOptions { runs, ..limits });
        choose(&mut candidates.clone(), breadth(6), &options, separation, &mut chosen);
        assert_eq!(chosen, [1, 2, 3], "a neighbour of the best, one of the third, and a bad one are no starts");
        choose(&mut candidates.clone(), breadth(2), &options, separation, &mut chosen);
        assert_eq!(chosen, [1, 2]);
        choose(&mut Vec::new(), breadth(2), &options, separation, &mut chosen);
        assert!(chosen.is_empty());
    }
}
