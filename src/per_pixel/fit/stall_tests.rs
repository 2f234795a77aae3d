//! Fits of models with kinks, at which searches stall.

use super::*;
use crate::per_pixel::joint::random_network;
use crate::per_pixel::{Activation, JointEngine};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const L: usize = 8;
const N: usize = 400;

/// Spectra without noise, whose χ² is zero at the truth: most searches that end elsewhere have not converged
/// (the others are at optima of their own, which kinks have), and most that stall find the optimum from
/// another template.
#[test]
fn searches_that_stall_begin_again_and_are_not_converged_where_that_is_in_vain() {
    let network = random_network(L, &[24, 24], 160, Activation::LeakyRelu);
    let mut random = ChaCha8Rng::seed_from_u64(5);
    let mut labels = |n: usize| {
        let scaled = Array2::from_shape_fn((n, L), |_| random.gen_range(-0.45..0.45));
        network.space.unscale(scaled.view())
    };
    let (templates, truth) = (labels(60), labels(N));
    let engine: Arc<dyn PixelModel> = Arc::new(JointEngine::new(&network));
    let flux = crate::per_pixel::engine::emulate(engine.as_ref(), truth.view());
    let weight = Array2::from_elem(flux.dim(), 1e4);
    let fitter = SpectrumFitter::new(engine, templates.view(), SpectrumFitOptions::default()).unwrap();
    let fits = fitter.fit(flux.view(), weight.view()).unwrap();
    let elsewhere: Vec<usize> = (0..N).filter(|&i| fits.chi_square[i] > 1.0).collect();
    let unsaid = elsewhere.iter().filter(|&&i| fits.endings[i] == Ending::Converged && !fits.at_bound[i]).count();
    println!("{} of {N} elsewhere, {unsaid} of them unsaid", elsewhere.len());
    let converged = fits.endings.iter().filter(|ending| **ending == Ending::Converged).count();
    assert!(unsaid <= N / 10 && converged > N * 9 / 10, "{unsaid}, {converged}");
}
