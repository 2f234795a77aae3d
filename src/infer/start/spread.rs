//! A few of many good draws, as different from one another as can be.
//!
//! The best draws of a star are often alike, and all lead to the same optimum; what another search would find
//! is where they are not.

use super::score::{Draws, Scores};
use crate::tensor::lanes::{Block, LANES, Lanes, Portable, blocks, floats, floats_mut, has_avx2};

/// A difference of 1 in ln of a linear parameter counts as much as this many standardised units of a label.
const LOGARITHM_SCALE: f32 = 1.5;

/// Features of a draw, at most: labels and ln ϖ.
const MOST_FEATURES: usize = super::MOST_PARAMETERS;

/// Working memory for one star at a time.
#[derive(Default)]
pub(super) struct Spread {
    /// Labels and scaled ln ϖ of the draws, `[C/8][n]`.
    features: Vec<Block>,
    /// n.
    n_features: usize,
    /// Squared distance to the nearest chosen draw.
    distance: Vec<Block>,
}

impl Spread {
    /// Replaces `good` draws by at most `most` of them: the first, then again and again the one that is
    /// farthest from all chosen ones, in the labels and the `logarithmic` linear parameter.
    pub fn choose(&mut self, draws: &Draws, scores: &Scores, logarithmic: Option<usize>, most: usize, good: &mut Vec<usize>) {
        let of_labels = draws.labels.iter().map(|values| (floats(values), 1.0));
        let of_distance = logarithmic.map(|l| (floats(scores.linear_blocks(l)), LOGARITHM_SCALE));
        self.n_features = draws.labels.len() + usize::from(logarithmic.is_some());
        self.features.clear();
        self.features.resize(blocks(good.len()) * self.n_features, Block::default());
        for (k, (values, scale)) in of_labels.chain(of_distance).enumerate() {
            for (column, draws) in self.features[k..].iter_mut().step_by(self.n_features).zip(good.chunks(LANES)) {
                column.0.iter_mut().zip(draws).for_each(|(to, &draw)| *to = scale * values[draw]);
            }
        }
        // Places beyond the last draw are never far.
        self.distance.clear();
        self.distance.resize(blocks(good.len()), Block([f32::NEG_INFINITY; LANES]));
        floats_mut(&mut self.distance)[..good.len()].fill(f32::INFINITY);
        let mut chosen = 0;
        for place in 0..most.min(good.len()) {
            if place > 0 {
                chosen = self.farthest(chosen);
                if floats(&self.distance)[chosen] <= 0.0 {
                    good.truncate(place);
                    return;
                }
            }
            // Chosen draws gather at the front; what stood there takes the place of the chosen one.
            good.swap(place, chosen);
            for k in 0..self.n_features {
                let (one, other) = (self.feature(k, place), self.feature(k, chosen));
                floats_mut(&mut self.features).swap(one, other);
            }
            floats_mut(&mut self.distance).swap(place, chosen);
            chosen = place;
        }
        good.truncate(most);
    }

    /// Where feature `k` of the draw at `place` is among the floats of all features.
    fn feature(&self, k: usize, place: usize) -> usize {
        (place / LANES * self.n_features + k) * LANES + place % LANES
    }

    /// Takes the distance to the draw at `chosen` into account and returns the place of the farthest draw.
    fn farthest(&mut self, chosen: usize) -> usize {
        #[cfg(target_arch = "x86_64")]
        if has_avx2() {
            // SAFETY: AVX2 and FMA were detected.
            return unsafe { self.farthest_avx2(chosen) };
        }
        self.farthest_in::<Portable>(chosen)
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    fn farthest_avx2(&mut self, chosen: usize) -> usize {
        self.farthest_in::<crate::tensor::lanes::Avx2>(chosen)
    }

    #[inline(always)]
    fn farthest_in<V: Lanes>(&mut self, chosen: usize) -> usize {
        let mut here = [V::splat(0.0); MOST_FEATURES];
        for (k, here) in here.iter_mut().take(self.n_features).enumerate() {
            *here = V::splat(floats(&self.features)[self.feature(k, chosen)]);
        }
        let mut largest = V::splat(f32::NEG_INFINITY);
        for (block, distance) in self.distance.iter_mut().enumerate() {
            let mut sum = V::splat(0.0);
            let features = &self.features[block * self.n_features..][..self.n_features];
            for (feature, here) in features.iter().zip(&here) {
                let away = V::load(&feature.0).subtract(*here);
                sum = away.multiply_add(away, sum);
            }
            let nearest = sum.min(V::load(&distance.0));
            nearest.store(&mut distance.0);
            largest = nearest.max(largest);
        }
        let mut lanes = [0.0; LANES];
        largest.store(&mut lanes);
        let largest = lanes.into_iter().fold(f32::NEG_INFINITY, f32::max);
        // Eight comparisons at once: the place may be anywhere.
        let holds = |block: &Block| block.0.iter().fold(false, |holds, &distance| holds | (distance == largest));
        let Some(block) = self.distance.iter().position(holds) else { return chosen };
        let lane = self.distance[block].0.iter().position(|&distance| distance == largest);
        block * LANES + lane.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::lanes::padded;

    #[test]
    fn the_farthest_draws_are_taken_one_after_the_other() {
        let line = [0.0, 0.1, 5.0, 6.0, 2.0, 0.0, 9.0, 4.0, 1.0, 9.1];
        let draws = Draws {
            ln_flux: Vec::new(),
            middle: Vec::new(),
            prior_loss: Vec::new(),
            labels: vec![padded(line)],
            slopes: Vec::new(),
        };
        let choose = |most: usize, good: &[usize]| {
            let mut good = good.to_vec();
            Spread::default().choose(&draws, &Scores::default(), None, most, &mut good);
            good
        };
        // From 1.0: 9.1 is farthest, then 5.0 (distances 4 and 4.1), then 2.0 or 0.0 (1 each, 3 from 5.0).
        assert_eq!(choose(3, &[8, 0, 1, 2, 3, 4, 6, 9])[..3], [8, 9, 2]);
        assert_eq!(choose(9, &[0, 5]), [0], "a draw at the same place adds nothing");
        assert_eq!(choose(4, &[7]), [7]);
    }

    #[test]
    fn many_draws_with_several_features_are_spread_as_a_plain_search_spreads_them() {
        let value = |k: usize, draw: usize| ((draw * (7 + 2 * k)) as f32 * 0.37).sin() * (1 + k) as f32;
        let draws = Draws {
            ln_flux: Vec::new(),
            middle: Vec::new(),
            prior_loss: Vec::new(),
            labels: (0..3).map(|k| padded((0..40).map(|draw| value(k, draw)))).collect(),
            slopes: Vec::new(),
        };
        let good: Vec<usize> = (0..40).filter(|draw| draw % 5 != 3).collect();
        let distance = |a: usize, b: usize| (0..3).map(|k| (value(k, a) - value(k, b)).powi(2)).sum::<f32>();
        let mut expected = vec![good[0]];
        while expected.len() < 12 {
            let nearest = |draw: usize| expected.iter().map(|&chosen| distance(draw, chosen)).fold(f32::INFINITY, f32::min);
            let farthest = good.iter().copied().max_by(|&a, &b| nearest(a).total_cmp(&nearest(b))).unwrap();
            expected.push(farthest);
        }
        let mut spread = Spread::default();
        // Working memory of another star does no harm.
        spread.choose(&draws, &Scores::default(), None, 3, &mut (0..40).collect());
        let mut found = good.clone();
        spread.choose(&draws, &Scores::default(), None, 12, &mut found);
        assert_eq!(found, expected);
        // Without any feature all draws are the same.
        let mut found = good;
        spread.choose(&Draws { labels: Vec::new(), ..draws }, &Scores::default(), None, 12, &mut found);
        assert_eq!(found, [0]);
    }
}
