use super::*;
use crate::distance::mass_ratio::EQUAL_MASSES;
use crate::distance::measurements::Measurements;
use crate::distance::options::ParallaxContent;
use crate::testing::central_difference;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

/// Stars of predicted M with errors of `scatter` and parallaxes with errors of 0.01 to 0.06 mas, the first
/// tenth of them equal-mass binaries.
fn population(n: usize, scatter: f64, seed: u64) -> Vec<MixtureStar> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..n)
        .map(|star| {
            let offset = if star < n / 10 { EQUAL_MASSES } else { 0.0 };
            // Flat in ln d, and errors that tell nothing of it: what the evidence assumes.
            let distance = rng.gen_range(0.1f64.ln()..1.5f64.ln()).exp();
            let error = rng.gen_range(0.01..0.06);
            let noise: [f64; 2] = [rng.sample(StandardNormal), rng.sample(StandardNormal)];
            // The prediction is the primary's, the magnitude is of both.
            let modulus = 5.0 * distance.log10() + 10.0 - offset + scatter * noise[0];
            let ln_distance = Measurements::ln_distance_of_modulus(Measured { value: modulus, error: 0.01 });
            MixtureStar { parallax: Measured { value: distance.recip() + error * noise[1], error }, ln_distance }
        })
        .collect()
}

#[test]
fn probabilities_are_the_anchors_of_the_specification() {
    let mixture = BinaryMixture { single_fraction: 0.85, shift: 0.0, offset: 0.7, single_scatter: 0.12, binary_scatter: 0.12 };
    let parallax = Measured { value: 1.0, error: 0.05 };
    for (magnitude, expected) in [(16.0, 3.401_724_790_7e-5), (15.7, 0.058_215_532_1), (15.3, 0.999_748_982_1)] {
        let modulus = Measured { value: magnitude - 6.0, error: 1e-9 };
        let ln_distance = Measurements::ln_distance_of_modulus(modulus);
        let found = binary_probability(parallax, &Moduli::of_population(ln_distance, &mixture), &mut Workspace::default());
        // Spec 3 A6: 3.4e-5, 0.058216, 0.999749; scipy 1.17.1, integrate.quad, has the digits.
        assert!((found / expected - 1.0).abs() < 1e-7, "{found} is not {expected}");
    }
}

#[test]
fn probabilities_are_probabilities_whatever_the_numbers() {
    let mixture = BinaryMixture::default();
    for parallax in [-1e4, -0.1, 0.0, 1e-9, 1.0, 1e4] {
        for error in [1e-6, 0.1, 1e6] {
            for modulus in [-5.0, 10.0, 25.0] {
                let ln_distance = Measurements::ln_distance_of_modulus(Measured { value: modulus, error: 0.2 });
                let parallax = Measured { value: parallax, error };
                let found =
                    binary_probability(parallax, &Moduli::of_population(ln_distance, &mixture), &mut Workspace::default());
                assert!((0.0..=1.0).contains(&found), "{parallax:?} {modulus}: {found}");
                assert!(error < 1e6 || (found - 0.1).abs() < 1e-3, "no parallax, no news: {found}");
            }
        }
    }
}

#[test]
fn gradients_are_differences() {
    let stars = population(60, 0.15, 1);
    let likelihood = Population(&stars);
    let at = [1.5, 0.03, 0.6f64.ln(), 0.12f64.ln(), 0.2f64.ln()];
    let (_, found) = likelihood.value_and_gradient(&at);
    let expected = central_difference(|at| likelihood.value_and_gradient(at).0, &at);
    for (found, expected) in found.iter().zip(&expected) {
        assert!((found - expected).abs() < 1e-6 * expected.abs().max(1.0), "{found} is not {expected}");
    }
}

/// Spec 3 C: 20 000 stars with a tenth of equal-mass binaries: the offset within 0.01 of 0.7526 for σ ≤ 0.2;
/// and P_binary means what it says.
#[test]
fn a_population_of_equal_mass_binaries_is_recovered() {
    for (scatter, seed) in [(0.1, 2), (0.2, 3)] {
        let stars = population(20_000, scatter, seed);
        let start = BinaryMixture { offset: 0.5, ..BinaryMixture::default() };
        let FittedMixture { mixture, errors, .. } = start.fitted(&stars).unwrap();
        assert!((mixture.offset - 0.7526).abs() < 0.01, "{mixture:?}");
        assert!((mixture.single_fraction - 0.9).abs() < 0.01 && mixture.shift.abs() < 0.01, "{mixture:?}");
        assert!(
            (mixture.single_scatter - scatter).abs() < 0.01 && (mixture.binary_scatter - scatter).abs() < 0.03,
            "{mixture:?}"
        );
        assert!((mixture.offset - EQUAL_MASSES).abs() < 4.0 * errors[2] && errors[2] < 0.015, "{errors:?}");
        assert!((mixture.single_fraction - 0.9).abs() < 4.0 * errors[0]);
        // The true one: at 0.1 mag few stars are in doubt, and how many follows from the tails.
        assert_calibrated(
            &stars,
            &BinaryMixture { single_scatter: scatter, binary_scatter: scatter, ..BinaryMixture::default() },
        );
    }
}

/// Of the stars with P_binary near p, a fraction p are binaries.
fn assert_calibrated(stars: &[MixtureStar], mixture: &BinaryMixture) {
    let n_binaries = stars.len() / 10;
    let mut bins = [[0.0; 3]; 5];
    for (position, star) in stars.iter().enumerate() {
        let found =
            binary_probability(star.parallax, &Moduli::of_population(star.ln_distance, mixture), &mut Workspace::default());
        let bin = &mut bins[((found * 5.0) as usize).min(4)];
        bin[0] += 1.0;
        bin[1] += found;
        bin[2] += f64::from(u8::from(position < n_binaries));
    }
    for [n, expected, observed] in bins {
        let error = (expected * (1.0 - expected / n)).sqrt().max(1.0);
        assert!((observed - expected).abs() < 4.0 * error, "{observed} of {n}, {expected} expected");
    }
}

/// A fitted parallax with the measured one in it tells of the flux only when that is taken out.
#[test]
fn a_star_of_a_fit_has_the_distance_of_its_flux() {
    let with = |value: f64, error: f64| Measured { value, error };
    let (flux, measured) = (with(0.55, 0.03), with(0.5, 0.05));
    let weights = [flux, measured].map(|parallax| parallax.error.powi(-2));
    let sum = weights[0] + weights[1];
    let both = with((weights[0] * flux.value + weights[1] * measured.value) / sum, sum.sqrt().recip());
    let of = |spectroscopic_parallax: Measured, content: ParallaxContent| {
        let options = DistanceOptions { spectroscopic_parallax: content, ..DistanceOptions::default() };
        let star = Star { parallax: measured, spectroscopic_parallax, ..Star::MISSING };
        MixtureStar::of(&star, &options).unwrap().ln_distance
    };
    let (found, expected) = (of(both, ParallaxContent::FluxAndParallax), of(flux, ParallaxContent::Flux));
    assert!((found.value - expected.value).abs() < 1e-12 && (found.error - expected.error).abs() < 1e-12, "{found:?}");
    assert!(MixtureStar::of(&Star { parallax: measured, ..Star::MISSING }, &DistanceOptions::default()).is_none());
}

#[test]
fn few_stars_are_an_error() {
    let error = BinaryMixture::default().fitted(&population(50, 0.1, 4)).unwrap_err();
    assert!(error.to_string().contains("at least 100"), "{error}");
}
