//! Whether the stars tell single stars and pairs apart: what is known of a trained mixture besides its loss.
//!
//! Two Gaussians fit anything better than one. That they are single stars and pairs is plausible where
//! networks of different seeds find the same two, where the brighter is about as much brighter as two stars
//! are than one, and where stars that none of them has learned from are likelier by two than by one.

use super::calibration::compass;
use super::mixture::{LARGEST_OFFSET, Mixture, MixtureOfMagnitudes, nodes};
use super::model::RegressionModel;
use super::objective::{meaning, parallaxes};
use super::target::Target;
use crate::error::Result;
use crate::observations::Stars;
use crate::statistics::median;
use ndarray::{Array2, Axis};
use std::collections::BTreeMap;

/// Offsets and fractions of single stars by which networks may differ.
const LARGEST_DIFFERENCE: [f64; 2] = [0.1, 0.05];
/// Offsets between which pairs of stars lie, mag: mass ratios above 0.7, and less than three equal stars.
const PAIRS: [f64; 2] = [0.3, 1.1];
/// ln of the ratio of likelihoods below which one Gaussian is as good.
const LEAST_GAIN: f64 = 5.0;
/// Stars of which the gain is found.
const MOST_STARS: usize = 4000;

/// What stars that were held out say of a mixture.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Identification {
    /// Medians over the stars, by network: offset in mag, and fraction of single stars.
    pub members: Vec<[f64; 2]>,
    /// The same of the mean of the networks.
    pub mean: [f64; 2],
    /// ln L by the mixture, less that by the best single Gaussians (all shifted and widened alike), and the
    /// stars that it is a sum over.
    pub gain: f64,
    pub n_stars: usize,
}

impl Identification {
    /// Of a model of mixtures, by the chosen ones of stars with `rows` of inputs `[N, D]`; `None` of others,
    /// and where no star with a parallax was held out.
    ///
    /// # Errors
    /// When the stars cannot be read.
    pub fn of(model: &RegressionModel, all: &Stars, rows: &Array2<f32>, stars: &[usize]) -> Result<Option<Self>> {
        if !matches!(model.target, Target::MixtureOfMagnitudes(_)) {
            return Ok(None);
        }
        let measured = parallaxes(all, &model.target)?;
        let with_parallax = stars.iter().copied().filter(|&star| measured[star][0].is_finite());
        let stars: Vec<usize> = with_parallax.take(MOST_STARS).collect();
        if stars.is_empty() {
            return Ok(None);
        }
        let rows = rows.select(Axis(0), &stars);
        let of_members: Vec<Vec<[f64; 5]>> = (model.predictors.iter())
            .map(|predictor| {
                let parameters = |outputs: Vec<f32>| {
                    let (values, _) = meaning(&model.target, &model.scaling, &outputs);
                    std::array::from_fn(|k| values[k])
                };
                predictor.predict(rows.view()).rows().into_iter().map(|outputs| parameters(outputs.to_vec())).collect()
            })
            .collect();
        let n_members = of_members.len() as f64;
        let mean: Vec<[f64; 5]> = (0..stars.len())
            .map(|star| std::array::from_fn(|k| of_members.iter().map(|member| member[star][k]).sum::<f64>() / n_members))
            .collect();
        let medians = |all: &Vec<[f64; 5]>| [1, 2].map(|k| median(&all.iter().map(|star| star[k]).collect::<Vec<_>>()));
        let likelihoods: Vec<(Mixture, Vec<[f64; 2]>)> = (stars.iter().zip(&mean))
            .map(|(&star, &parameters)| {
                let [parallax, error, magnitude] = measured[star];
                (MixtureOfMagnitudes::mixture(parameters), nodes(magnitude, parallax, error))
            })
            .collect();
        Ok(Some(Self {
            members: of_members.iter().map(medians).collect(),
            mean: medians(&mean),
            gain: gain(&likelihoods),
            n_stars: stars.len(),
        }))
    }

    /// Figures for the model card.
    pub fn metrics(&self) -> BTreeMap<String, f64> {
        let [offset, fraction] = self.mean;
        let figures = [("binary_offset", offset), ("single_fraction", fraction), ("ln_likelihood_over_one_gaussian", self.gain)];
        figures.into_iter().map(|(name, value)| (format!("held_out_{name}"), value)).collect()
    }

    /// Why the mixture should not be trusted, if there is a reason.
    pub fn warnings(&self) -> Vec<String> {
        let mut found = Vec::new();
        let [offset, fraction] = self.mean;
        let extremes = [0, 1].map(|k| {
            let values = self.members.iter().map(|member| member[k]);
            [values.clone().fold(f64::INFINITY, f64::min), values.fold(f64::NEG_INFINITY, f64::max)]
        });
        if extremes.iter().zip(LARGEST_DIFFERENCE).any(|([low, high], most)| high - low > most) {
            let [[nearest, farthest], [fewest, most]] = extremes;
            found.push(format!(
                "the networks do not find the same pairs: {nearest:.2} to {farthest:.2} mag brighter than single stars, which \
                 are {fewest:.2} to {most:.2} of all; more stars, or better parallaxes, would tell"
            ));
        }
        if !(PAIRS[0]..PAIRS[1]).contains(&offset) {
            found.push(format!(
                "the brighter component is {offset:.2} mag brighter (of 0 to {LARGEST_OFFSET:.2}), where two like stars are 0.3 to \
                 0.75: it is something other than pairs"
            ));
        }
        if self.gain < LEAST_GAIN {
            found.push(format!(
                "{} stars that were held out are likelier by {:.1} in ln L than by one Gaussian, with {fraction:.3} of single stars: \
                 pairs are not told from them",
                self.n_stars, self.gain
            ));
        }
        found
    }
}

/// ln L of stars by their mixtures, less that by single Gaussians whose magnitudes are shifted and whose
/// scatters are widened alike for all, as is likeliest.
fn gain(stars: &[(Mixture, Vec<[f64; 2]>)]) -> f64 {
    let sum = |of: &dyn Fn(&Mixture) -> Mixture| -> f64 {
        let ln = |(mixture, nodes): &(Mixture, Vec<[f64; 2]>)| {
            let [single, binary] = of(mixture).terms(nodes);
            let largest = single.max(binary);
            largest + ((single - largest).exp() + (binary - largest).exp()).ln()
        };
        stars.iter().map(ln).sum()
    };
    let by_two = sum(&|mixture| *mixture);
    let (_, lowest) = compass(vec![0.0, 0.0], |x| {
        -sum(&|mixture| Mixture {
            single_fraction: 1.0,
            single: mixture.single + x[0],
            single_scatter: mixture.single_scatter * x[1].exp(),
            ..*mixture
        })
    });
    by_two + lowest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(members: &[[f64; 2]], gain: f64) -> Vec<String> {
        let n = members.len() as f64;
        let mean = [0, 1].map(|k| members.iter().map(|member| member[k]).sum::<f64>() / n);
        Identification { members: members.to_vec(), mean, gain, n_stars: 500 }.warnings()
    }

    #[test]
    fn what_is_doubtful_is_said() {
        assert_eq!(found(&[[0.75, 0.9], [0.76, 0.89]], 80.0), Vec::<String>::new());
        for (members, gain, text) in [
            ([[0.75, 0.9], [0.62, 0.88]], 80.0, "0.62 to 0.75 mag"),
            ([[0.75, 0.9], [0.76, 0.8]], 80.0, "0.80 to 0.90 of all"),
            ([[0.1, 0.9], [0.12, 0.9]], 80.0, "something other than pairs"),
            ([[1.3, 0.9], [1.3, 0.9]], 80.0, "something other than pairs"),
            ([[0.75, 0.9], [0.75, 0.9]], 1.0, "not told"),
        ] {
            let warnings = found(&members, gain);
            assert!(warnings.len() == 1 && warnings[0].contains(text), "{warnings:?}");
        }
    }

    /// Parallaxes of 2 %, singles and pairs 0.75 mag brighter, scattered by 0.12 mag: two Gaussians are
    /// better by much; of single stars alone they are not.
    #[test]
    fn two_gaussians_gain_where_there_are_two() {
        use rand::{Rng, SeedableRng};
        use rand_distr::{Distribution, StandardNormal};
        let of = |share: f64| {
            let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(3);
            let stars: Vec<_> = (0..400)
                .map(|_| {
                    let is_pair = random.r#gen::<f64>() < share;
                    let mut normal = || -> f64 { StandardNormal.sample(&mut random) };
                    let magnitude = 5.0 + 0.12 * normal() - if is_pair { 0.7526 } else { 0.0 };
                    let parallax = 10f64.powf(0.2 * (magnitude - 15.0 + 10.0));
                    let mixture = Mixture {
                        single_fraction: 1.0 - share.max(0.05),
                        single: 5.0,
                        binary: 4.2474,
                        single_scatter: 0.12,
                        binary_scatter: 0.12,
                    };
                    (mixture, nodes(15.0, parallax * (1.0 + 0.02 * normal()), 0.02 * parallax))
                })
                .collect();
            gain(&stars)
        };
        let (with_pairs, without) = (of(0.1), of(0.0));
        println!("{with_pairs:.1} {without:.1}");
        assert!(with_pairs > 50.0 && without < LEAST_GAIN, "{with_pairs} {without}");
    }
}
