use super::*;
use crate::spectrum::Spacing;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

fn resampler(spacing: Spacing, variance: Variance) -> Resampler {
    Resampler::new(PixelGrid::new(&spacing).unwrap(), variance, 0.5)
}

fn wavelengths(n: usize, first: f64, step: f64) -> Vec<f64> {
    (0..n).map(|i| first + step * i as f64).collect()
}

#[test]
fn flux_is_conserved_and_a_flat_spectrum_stays_flat() {
    let mut random = ChaCha8Rng::seed_from_u64(3);
    let wavelength = wavelengths(2000, 4000.0, 0.73);
    let flux: Vec<f64> = wavelength.iter().map(|_| random.gen_range(-1.0..5.0)).collect();
    let total: f64 = flux.iter().sum::<f64>() * 0.73;
    for spacing in
        [Spacing::Linear([3900.0, 5600.0, 0.31]), Spacing::Linear([3900.0, 5600.0, 5.0]), Spacing::Log([3900.0, 5600.0, 1e-4])]
    {
        for factor in [1.0, 1.0007, 0.999] {
            // Every covered part counts, however small.
            let resampler = Resampler::new(PixelGrid::new(&spacing).unwrap(), Variance::Alone, 0.0);
            let ivar = vec![1.0; flux.len()];
            let found = resampler.resample(&wavelength, &flux, &ivar, &[], factor).unwrap();
            let edges = resampler.grid().edges();
            let (low, high) = (wavelength[0] - 0.365, wavelength[1999] + 0.365);
            let covered = |j: usize| (edges[j + 1] * factor).min(high) - (edges[j] * factor).max(low);
            let sum: f64 = (0..found.flux.len()).filter(|&j| found.ivar[j] > 0.0).map(|j| found.flux[j] * covered(j)).sum();
            assert!((sum / total - 1.0).abs() < 1e-12, "{spacing:?} {factor}: {}", sum / total - 1.0);
            let flat = resampler.resample(&wavelength, &vec![2.5; 2000], &ivar, &ivar, factor).unwrap();
            assert!(flat.flux.iter().all(|flux| flux.is_nan() || (flux - 2.5).abs() < 1e-12));
            assert!(flat.other.iter().zip(&flat.flux).all(|(other, flux)| flux.is_nan() || (other - 1.0).abs() < 1e-12));
        }
    }
}

#[test]
fn the_same_grid_changes_nothing() {
    let resampler = resampler(Spacing::Linear([4000.0, 4010.0, 0.8]), Variance::WithNeighbours);
    let wavelength = resampler.grid().centres().to_vec();
    let flux: Vec<f64> = (0..wavelength.len()).map(|i| (i as f64).sin()).collect();
    let ivar: Vec<f64> = (0..wavelength.len()).map(|i| 1.0 + i as f64).collect();
    let found = resampler.resample(&wavelength, &flux, &ivar, &[], 1.0).unwrap();
    assert!(found.flux.iter().zip(&flux).all(|(a, b)| (a - b).abs() < 1e-9));
    assert!(found.ivar.iter().zip(&ivar).all(|(a, b)| (a / b - 1.0).abs() < 1e-9));
}

/// specutils 2.4.0, numpy 2.4.6: `FluxConservingResampler()(Spectrum(flux=f, spectral_axis=w,
/// uncertainty=StdDevUncertainty(s)), grid)` for w = 5000 + 1.1 i (i = 0…19), f = 2 + sin(0.7 i), s = 0.1 +
/// 0.01 i, grid = 5003 + 0.9 k (k = 0…6).
#[test]
fn against_specutils() {
    let n = 20;
    let wavelength = wavelengths(n, 5000.0, 1.1);
    let flux: Vec<f64> = (0..n).map(|i| 2.0 + (0.7 * i as f64).sin()).collect();
    let ivar: Vec<f64> = (0..n).map(|i| (0.1 + 0.01 * i as f64).powi(-2)).collect();
    let found =
        resampler(Spacing::Linear([5003.0, 5008.4, 0.9]), Variance::Alone).resample(&wavelength, &flux, &ivar, &[], 1.0).unwrap();
    for (j, (flux, sigma)) in SPECUTILS.iter().enumerate() {
        assert!((found.flux[j] - flux).abs() < 1e-12, "{j}: {} {flux}", found.flux[j]);
        assert!((found.ivar[j].powf(-0.5) - sigma).abs() < 1e-12, "{j}: {} {sigma}", found.ivar[j].powf(-0.5));
    }
}

const SPECUTILS: [(f64, f64); 7] = [
    (2.890_373_891_835_435, 0.104_568_484_263_839_29),
    (2.569_753_135_264_069_2, 0.096_889_908_250_715_06),
    (2.106_397_690_873_832, 0.105_882_534_495_106_25),
    (1.591_350_934_008_009_2, 0.134_513_297_337_152_12),
    (1.128_424_227_586_412_3, 0.16),
    (1.029_867_036_287_910_3, 0.152_153_269_054_517_1),
    (1.251_671_370_543_556_5, 0.132_706_861_582_599_84),
];

#[test]
fn bad_pixels_take_no_part() {
    let resampler = resampler(Spacing::Linear([4001.0, 4008.0, 1.0]), Variance::WithNeighbours);
    let wavelength = wavelengths(10, 4000.0, 1.0);
    let mut flux = vec![1.0; 10];
    let mut ivar = vec![4.0; 10];
    (flux[3], flux[4], flux[5]) = (f64::NAN, f64::INFINITY, 1e9);
    (ivar[5], ivar[6], ivar[7]) = (0.0, -1.0, f64::INFINITY);
    let found = resampler.resample(&wavelength, &flux, &ivar, &[], 1.0).unwrap();
    for (j, is_good) in [true, true, false, false, false, false, false, true].into_iter().enumerate() {
        assert_eq!(found.ivar[j] > 0.0, is_good, "{j}");
        assert_eq!(found.flux[j].is_nan(), !is_good);
    }
    // Half a pixel of cover is enough here, a third is not.
    let shifted = resampler.resample(&wavelength, &flux, &ivar, &[], 1.0 + 0.4 / 4000.0).unwrap();
    assert!(shifted.ivar[1] > 0.0 && shifted.ivar[2] == 0.0, "{:?}", shifted.ivar);
    let far = resampler.resample(&wavelengths(10, 9000.0, 1.0), &[1.0; 10], &[1.0; 10], &[], 1.0).unwrap();
    assert!(far.ivar.iter().all(|&ivar| ivar == 0.0), "nothing in common");
    assert!(resampler.resample(&[3.0, 2.0], &[1.0; 2], &[1.0; 2], &[], 1.0).is_err());
}

/// The depth of a line wider than a pixel, fitted with pixels taken for independent: with the neighbours'
/// covariances the errors are right on any grid; without them (the negative control) they are too small by
/// √2 on a grid shifted by half a pixel.
#[test]
fn errors_of_fits_are_right_with_the_neighbours() {
    let mut random = ChaCha8Rng::seed_from_u64(8);
    let wavelength = wavelengths(120, 5000.0, 1.0);
    let line = |x: f64| (-((x - 5060.0) / 8.0_f64).powi(2) / 2.0).exp();
    for (first, step, too_small) in [(5000.5, 1.0, 2_f64.sqrt()), (5000.1, 0.37, 1.0 / 0.37_f64.sqrt()), (5000.0, 4.0, 1.0)] {
        for (variance, expected) in [(Variance::WithNeighbours, 1.0), (Variance::Alone, too_small)] {
            let resampler = resampler(Spacing::Linear([first, 5119.0, step]), variance);
            let templates: Vec<f64> = {
                let flux: Vec<f64> = wavelength.iter().map(|&x| line(x)).collect();
                resampler.resample(&wavelength, &flux, &[1.0; 120], &[], 1.0).unwrap().flux
            };
            let pulls: Vec<f64> = (0..3000)
                .map(|_| {
                    let noise: Vec<f64> = (0..120).map(|_| random.sample(StandardNormal)).collect();
                    let found = resampler.resample(&wavelength, &noise, &[1.0; 120], &[], 1.0).unwrap();
                    let sum = |f: &dyn Fn(usize) -> f64| -> f64 {
                        (0..templates.len()).filter(|&j| found.ivar[j] > 0.0 && templates[j].is_finite()).map(f).sum()
                    };
                    let weight = sum(&|j| templates[j].powi(2) * found.ivar[j]);
                    sum(&|j| templates[j] * found.flux[j] * found.ivar[j]) / weight.sqrt()
                })
                .collect();
            let sigma = (pulls.iter().map(|pull| pull * pull).sum::<f64>() / 3000.0).sqrt();
            // A standard deviation of 3000 draws is known to 1.3 per cent; edges of step 0.37 add a little.
            let is_as_expected = match variance {
                Variance::WithNeighbours => (sigma - expected).abs() < 0.05,
                Variance::Alone => sigma > 1.0 + 0.75 * (expected - 1.0) - 0.05,
            };
            assert!(is_as_expected, "{variance:?}, step {step}: pulls of {sigma}, expected {expected}");
        }
    }
}
