//! The choice of starting points: the best candidate, and rivals that lead elsewhere.

/// Distance in standardised labels from which two optima count as different.
const OTHER_LABELS: f32 = 0.5;
/// |Δ ln ϖ| from which two optima count as stars of different luminosity.
const OTHER_LUMINOSITY: f32 = 0.35;
/// A candidate whose score is worse than the best by more than this is no start.
const RIVAL: f32 = 12.0;

/// A point that a search may start from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    /// Its number among the candidates.
    pub index: usize,
    pub score: f32,
    pub ln_parallax: f32,
}

/// At most `runs` of the `candidates` (left in any order), best first: each differs from the better ones in luminosity (a dwarf for a giant) or labels.
/// `separation` is the distance of two candidates in standardised labels.
pub(super) fn choose(
    candidates: &mut Vec<Candidate>,
    runs: usize,
    separation: impl Fn(usize, usize) -> f32,
    chosen: &mut Vec<usize>,
) {
    chosen.clear();
    let best = |candidates: &[Candidate]| candidates.iter().copied().min_by(|a, b| a.score.total_cmp(&b.score));
    let mut next = best(candidates);
    let worst = next.map_or(f32::INFINITY, |best| best.score + RIVAL);
    while let Some(candidate) = next.filter(|_| chosen.len() < runs) {
        chosen.push(candidate.index);
        candidates.retain(|other| {
            other.score < worst
                && ((other.ln_parallax - candidate.ln_parallax).abs() > OTHER_LUMINOSITY
                    || separation(other.index, candidate.index) > OTHER_LABELS)
        });
        next = best(candidates);
    }
}
