//! A few of many good draws, as different from one another as can be.
//!
//! The best draws of a star are often alike, and all lead to the same optimum; what another search would find is where they are not.

use super::score::{Draws, Scores};
use crate::tensor::lanes::{Block, LANES, Lanes, Portable, blocks, floats, floats_mut, has_avx2};

/// A difference of 1 in ln of a linear parameter counts as much as this many standardised units of a label.
const LOGARITHM_SCALE: f32 = 1.5;

/// Working memory for one star at a time.
#[derive(Default)]
pub(super) struct Spread {
    /// Labels and scaled ln ϖ of the draws, `[n + 1][C/8]`.
    features: Vec<Vec<Block>>,
    /// Squared distance to the nearest chosen draw.
    distance: Vec<Block>,
}

impl Spread {
    /// Replaces `good` draws by at most `most` of them: the first, then again and again the one that is farthest from all chosen ones, in the labels and
    /// the `logarithmic` linear parameter.
    pub fn choose(&mut self, draws: &Draws, scores: &Scores, logarithmic: Option<usize>, most: usize, good: &mut Vec<usize>) {
        let n = draws.labels.len() + usize::from(logarithmic.is_some());
        self.features.resize(n, Vec::new());
        for (k, feature) in self.features.iter_mut().enumerate() {
            let (values, scale) = match (draws.labels.get(k), logarithmic) {
                (Some(values), _) => (floats(values), 1.0),
                (None, Some(l)) => (floats(scores.linear_blocks(l)), LOGARITHM_SCALE),
                (None, None) => (&[][..], 1.0),
            };
            feature.resize(blocks(good.len()), Block::default());
            floats_mut(feature).iter_mut().zip(&*good).for_each(|(to, &draw)| *to = scale * values[draw]);
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
            for feature in &mut self.features {
                floats_mut(feature).swap(place, chosen);
            }
            floats_mut(&mut self.distance).swap(place, chosen);
            chosen = place;
        }
        good.truncate(most);
    }

    /// Takes the distance to draw `chosen` into account and returns the farthest draw.
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
        let mut largest = V::splat(f32::NEG_INFINITY);
        for (block, distance) in self.distance.iter_mut().enumerate() {
            let mut sum = V::splat(0.0);
            for feature in &self.features {
                let away = V::load(&feature[block].0).subtract(V::splat(floats(feature)[chosen]));
                sum = away.multiply_add(away, sum);
            }
            let nearest = sum.min(V::load(&distance.0));
            nearest.store(&mut distance.0);
            largest = nearest.max(largest);
        }
        let mut lanes = [0.0; LANES];
        largest.store(&mut lanes);
        let largest = lanes.into_iter().fold(f32::NEG_INFINITY, f32::max);
        floats(&self.distance).iter().position(|&distance| distance == largest).unwrap_or(chosen)
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
}
