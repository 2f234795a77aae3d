//! Broadening beside the labels: shares against SciPy, exact lines, and stars of known rotation.

use super::broadening::{Broadening, Profile, shares};
use super::nuisance_tests::{L, LIGHT, Lines, both_with, fitter};
use super::nuisances::Nuisances;
use super::*;
use crate::statistics::{median, robust_scatter};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use std::f64::consts::{FRAC_PI_2, PI};

const W: usize = 401;
const N_STARS: usize = 1500;
const RATIO: f64 = 100.0;
const LIMB_DARKENING: f64 = 0.6;
const ROTATION: SpectrumFitOptions = both_with(true, false, [30.0, 100.0, 100.0]);
const GAUSSIAN: SpectrumFitOptions = both_with(false, true, [30.0, 200.0, 40.0]);

/// Lines on pixels of 3 km/s, of 9 km/s FWHM.
fn lines(is_logarithmic: bool) -> Lines {
    let wavelength: Vec<f64> = match is_logarithmic {
        true => (0..W).map(|i| 5000.0 * (1e-5 * i as f64).exp()).collect(),
        false => (0..W).map(|i| 5000.0 + 0.05 * i as f64).collect(),
    };
    let mut random = ChaCha8Rng::seed_from_u64(13);
    let lines = (0..24).map(|i| (random.gen_range(4999.0..5021.0), i % L, random.gen_range(0.1..0.5))).collect();
    Lines { wavelength, lines, width: 3.0 * 0.05 / 2.3548, ..Lines::new(true) }
}

/// Velocities over that of the broadening, and how much of the light has them.
fn velocities(is_rotation: bool) -> Vec<[f64; 2]> {
    let n = 80;
    let at = |i: usize| (f64::from(i as u32) + 0.5) / f64::from(n as u32);
    match is_rotation {
        true => (0..n)
            .map(|i| {
                let angle = PI * at(i) - FRAC_PI_2;
                let (x, cosine) = (angle.sin(), angle.cos());
                let profile = (2.0 * (1.0 - LIMB_DARKENING) * cosine + FRAC_PI_2 * 2.0 * LIMB_DARKENING * 0.5 * cosine * cosine)
                    / (PI * (1.0 - LIMB_DARKENING / 3.0));
                [x, profile * cosine * PI / f64::from(n as u32)]
            })
            .collect(),
        false => (0..n)
            .map(|i| {
                let x = 12.0 * at(i) - 6.0;
                [x, 12.0 / f64::from(n as u32) * (-0.5 * x * x).exp() / (2.0 * PI).sqrt()]
            })
            .collect(),
    }
}

/// As it is seen with `nuisances`: the broadening's velocity, the velocity, two coefficients of a continuum.
fn observed(lines: &Lines, profile: &[[f64; 2]], scaled: &[f64], nuisances: &[f64]) -> Vec<f64> {
    let of = |i: usize| {
        let x = 2.0 * i as f64 / (W - 1) as f64 - 1.0;
        let at = lines.wavelength[i] / (1.0 + nuisances[1] / LIGHT);
        let broadened: f64 =
            profile.iter().map(|[u, part]| part * lines.at(at * (1.0 - u * nuisances[0] / LIGHT), scaled)[0]).sum();
        (1.0 + nuisances[2] + nuisances[3] * x) * broadened
    };
    (0..W).map(of).collect()
}

fn close(found: f64, expected: f64, tolerance: f64, what: &str) {
    assert!((found - expected).abs() < tolerance, "{what}: {found} {expected}");
}

#[test]
fn shares_are_those_of_scipy_and_of_exact_lines() {
    let row = |i: f64| {
        1.0 - 0.5 * (-0.5 * ((i - 30.3) / 1.3_f64).powi(2)).exp() - 0.3 * (-0.5 * ((i - 37.9) / 1.3_f64).powi(2)).exp()
            + 0.05 * (1.7 * i).sin()
    };
    let at = |profile: &Profile, s: f64, i: usize, row: &dyn Fn(f64) -> f64| {
        let half = profile.half(s);
        let [shares, _] = shares(profile, s * s, half);
        let i = i as f64;
        shares[0] * row(i) + (1..=half).map(|k| shares[k] * (row(i - k as f64) + row(i + k as f64))).sum::<f64>()
    };
    // scipy 1.17.1: scipy.ndimage.gaussian_filter1d(row, s, truncate=10.), row[i] of i = 0 to 69 as above.
    let pixels = [29, 31, 34, 38, 40];
    for (s, tolerance, expected) in [
        (1.5, 5e-6, [0.734_144_158, 0.693_068_028, 0.915_693_836, 0.805_491_920, 0.885_988_653]),
        (2.5, 1e-6, [0.791_663_054, 0.769_432_819, 0.849_485_185, 0.856_172_632, 0.894_533_427]),
        (4.0, 1e-6, [0.842_782_546, 0.823_440_130, 0.834_720_302, 0.878_376_517, 0.907_324_466]),
    ] {
        for (i, expected) in pixels.into_iter().zip(expected) {
            close(at(&Profile::Gaussian, s, i, &row), expected, tolerance, &format!("Gaussian of {s} pixels, pixel {i}"));
        }
    }
    // scipy.integrate.quad(lambda t: K(sin t) cos t (0.5 exp(-((i - V sin t - 30.3)/1.3)**2/2)), -pi/2,
    // pi/2), K Gray's profile with 0.6.
    let line = |i: f64| 1.0 - 0.5 * (-0.5 * ((i - 30.3) / 1.3_f64).powi(2)).exp();
    let pixels = [24, 27, 29, 30, 31, 33, 36];
    for (s, expected) in [
        (0.7, [0.999_992_455, 0.976_479_854, 0.696_948_468, 0.527_703_536, 0.577_282_065, 0.935_994_078, 0.999_943_323]),
        (2.2, [0.999_848_530, 0.943_662_289, 0.710_942_321, 0.624_843_300, 0.648_222_409, 0.890_638_838, 0.999_284_384]),
        (6.5, [0.961_519_376, 0.868_089_491, 0.837_118_475, 0.831_913_963, 0.833_210_864, 0.855_740_172, 0.942_149_299]),
    ] {
        for (i, expected) in pixels.into_iter().zip(expected) {
            let profile = Profile::rotation(LIMB_DARKENING, 10.0);
            close(at(&profile, s, i, &line), expected, 1e-4, &format!("rotation of {s} pixels, pixel {i}"));
        }
    }
    // Narrower than a pixel: variances add.
    for s in [0.0, 0.1, 0.3, 0.6, 1.0] {
        let width = 1.3_f64.hypot(s);
        for i in 25..36 {
            let exact = 1.0 - 0.5 * 1.3 / width * (-0.5 * ((f64::from(i) - 30.3) / width).powi(2)).exp();
            close(at(&Profile::Gaussian, s, i as usize, &line), exact, 1e-4, &format!("Gaussian of {s} pixels, pixel {i}"));
        }
    }
}

#[test]
fn shares_have_the_transfer_function_of_rotation_and_their_own_derivatives() {
    // scipy.integrate.quad(lambda x: 2 K(x), 0, 1, weight='cos', wvar=y) at the shares' frequencies: half
    // widths of y/ω pixels. As sums over pixels, Σ wₖ cos ωk.
    for (limb_darkening, y, expected) in [
        (0.0, 2.0, 0.576_724_807_757),
        (0.0, 9.0, 0.054_513_730_350),
        (0.0, 40.0, 0.006_301_915_902),
        (0.6, 0.3, 0.989_910_494_447),
        (0.6, 2.0, 0.614_910_735_113),
        (0.6, 9.0, 0.044_977_628_225),
        (0.6, 40.0, 0.003_793_675_973),
        (1.0, 0.3, 0.991_028_880_406),
        (1.0, 40.0, 0.001_285_436_045),
    ] {
        let frequency = if y > 20.0 { 2.0 } else { 1.0 };
        let s = y / frequency;
        let profile = Profile::rotation(limb_darkening, 25.0);
        let half = profile.half(s);
        let [shares, _] = shares(&profile, s * s, half);
        let found = shares[0] + 2.0 * (1..=half).map(|k| shares[k] * (frequency * k as f64).cos()).sum::<f64>();
        // Seen: of shares that are left out beyond the profile.
        close(found, expected, 3e-4, &format!("limb darkening {limb_darkening}, y = {y}"));
    }
    for profile in [Profile::Gaussian, Profile::rotation(LIMB_DARKENING, 12.0)] {
        for square in [1e-6, 0.01, 0.3, 2.0, 30.0, 120.0_f64] {
            let half = profile.half(11.0);
            let h = 1e-4 * square;
            let [_, slopes] = shares(&profile, square, half);
            let [above, below] = [square + h, square - h].map(|square| shares(&profile, square, half)[0].clone());
            let scale = slopes.iter().fold(0.0_f64, |most, slope| most.max(slope.abs()));
            for k in 0..=half {
                // Differences of shares of order one have rounding of 1e-16/h.
                let difference = (above[k] - below[k]) / (2.0 * h);
                close(slopes[k], difference, 1e-5 * scale + 1e-15 / h, &format!("square {square}, share {k}"));
            }
        }
        // At zero nothing is broadened, and the derivative is half the curvature's times the variance.
        let [own, slopes] = shares(&profile, 0.0, 200);
        assert!((own[0] - 1.0).abs() < 1e-12 && own[1..].iter().all(|share| share.abs() < 1e-12));
        let second: f64 = (1..=200).map(|k| 2.0 * slopes[k] * (k * k) as f64).sum();
        let variance = if matches!(profile, Profile::Gaussian) { 1.0 } else { 0.25 * (1.0 - 7.0 / 15.0 * 0.6) / (1.0 - 0.2) };
        close(second, variance, 0.02, "variance of the narrowest profile");
    }
}

#[test]
fn nothing_jumps_where_a_pixel_comes_in() {
    // Seen: 4e-7, of rounding. Where shares end at full height, a line of 2.4 pixels FWHM and depth 0.5 jumps
    // by 3e-5 (rotation) and 4e-5 (Gaussian; the same formulae in NumPy).
    for (is_rotation, is_logarithmic) in [(true, true), (true, false), (false, true), (false, false)] {
        let options = if is_rotation { ROTATION } else { GAUSSIAN };
        let lines = lines(is_logarithmic);
        let nuisances = Nuisances::new(&options, &lines.wavelength, W).unwrap();
        let n = strips(W);
        let flux = |velocity: f64| {
            let mut rows = vec![Strip::default(); (L + 1) * n];
            lines.evaluate(0..2 * n, &[0.4, 0.4, 0.4], true, halves_mut(&mut rows));
            let mut out = Vec::new();
            nuisances.apply(&mut rows, &nuisances.scaled([velocity * velocity, 0.0, 0.0, 0.0]), &mut out);
            out
        };
        let get = |rows: &[Strip], i: usize| f64::from(rows[i / WIDTH].0[i % WIDTH]);
        let widths = if is_rotation { 1.0 } else { 5.5 };
        let km_s_of_pixel = if is_logarithmic { 1e-5 * LIGHT } else { 0.05 / lines.wavelength[W - 1] * LIGHT };
        let mut worst = 0.0_f64;
        for pixel in 1..25 {
            let edge = f64::from(pixel) * km_s_of_pixel / widths;
            let [below, above] = [flux(edge * (1.0 - 1e-7)), flux(edge * (1.0 + 1e-7))];
            worst = (nuisances.reach()..W - nuisances.reach())
                .fold(worst, |most, i| most.max((get(&above, i) - get(&below, i)).abs()));
        }
        println!("rotation {is_rotation}, logarithmic {is_logarithmic}: jumps of {worst:.1e}");
        assert!(worst < 1e-6, "{worst}");
    }
}

#[test]
fn shares_between_widths_are_those_of_every_width() {
    // Pixels of 3 km/s that become narrower by a quarter along the grid: many ends, few widths.
    let n = 5000;
    let pixels = |i: usize| (1.0 + 0.25 * i as f64 / n as f64) / 3.0;
    for limb_darkening in [Some(LIMB_DARKENING), None] {
        let broadening = Broadening::new(limb_darkening, 60.0, n, false, pixels).unwrap();
        let profile = limb_darkening.map_or(Profile::Gaussian, |darkening| Profile::rotation(darkening, 30.0));
        let mut worst = [0.0_f64; 2];
        for velocity in [0.0, 0.7, 3.0, 11.0, 31.0, 60.0_f64] {
            let half = profile.half(velocity * pixels(n));
            let square = velocity * velocity;
            for (end, [values, slopes]) in broadening.at_ends(square, half).iter().enumerate() {
                let of_pixel = pixels(64 * end).powi(2);
                let [own, own_slopes] = shares(&profile, square * of_pixel, half);
                let scale = own_slopes.iter().fold(0.0_f64, |most, slope| most.max(slope.abs())) * of_pixel;
                for k in 0..=half {
                    worst[0] = worst[0].max((values[k] - own[k]).abs());
                    worst[1] = worst[1].max((slopes[k] - own_slopes[k] * of_pixel).abs() / scale);
                }
            }
        }
        println!("limb darkening {limb_darkening:?}: shares {:.1e}, slopes {:.1e}", worst[0], worst[1]);
        assert!(worst[0] < 1e-5 && worst[1] < 1e-3, "{worst:?}");
    }
}

#[test]
fn what_is_beyond_the_bounds_of_fits_has_no_flux() {
    let fitter = fitter(lines(true), ROTATION);
    let row = |square: f64, velocity: f64, first: f64| vec![0.4, 0.5, 0.6, square, velocity, first, 0.0];
    let flux = |row: Vec<f64>| fitter.flux(Array2::from_shape_vec((1, row.len()), row).unwrap().view());
    // At the bounds themselves there is one; where nothing was fitted there is none, without complaint.
    let largest = flux(row(1e4, -30.0, 0.5)).unwrap();
    assert!(largest[[0, W / 2]].is_finite() && largest[[0, 0]].is_nan());
    assert!(flux(row(f64::NAN, f64::NAN, f64::NAN)).unwrap().iter().all(|value| value.is_nan()));
    for (values, named, remedy) in [
        (row(1.0002e4, 0.0, 0.0), "rotation_squared", "largest_rotation"),
        (row(-1.0, 0.0, 0.0), "rotation_squared", "largest_rotation"),
        (row(f64::INFINITY, 0.0, 0.0), "rotation_squared", "largest_rotation"),
        (row(100.0, 31.0, 0.0), "velocity_shift", "largest_velocity"),
        (row(100.0, 0.0, 0.51), "continuum_0", "beyond"),
        (vec![0.4, 0.5, 0.6, 100.0], "4 columns", "7"),
    ] {
        for error in [flux(values.clone()).unwrap_err(), fitter.flux_slopes(&values).unwrap_err()] {
            let error = error.to_string();
            assert!(error.contains(named) && error.contains(remedy), "{error}");
        }
    }
    assert!(fitter.flux_slopes(&row(f64::NAN, 0.0, 0.0)).unwrap_err().to_string().contains("NaN"));
}

#[test]
fn broadened_rows_are_their_derivatives() {
    for (is_logarithmic, options) in [(true, ROTATION), (false, ROTATION), (true, GAUSSIAN), (false, GAUSSIAN)] {
        let lines = lines(is_logarithmic);
        let nuisances = Nuisances::new(&options, &lines.wavelength, W).unwrap();
        let profile = velocities(options.rotation);
        let at = [0.1_f32, -0.2, 0.3];
        let scaled = at.map(f64::from);
        let n = strips(W);
        for velocity in [1.5, 12.0, 38.0] {
            let values = [velocity * velocity, 11.0, 0.04, -0.03];
            let apply = |at: &[f32], values: &[f64]| {
                let mut rows = vec![Strip::default(); (L + 1) * n];
                lines.evaluate(0..2 * n, at, true, halves_mut(&mut rows));
                let mut out = Vec::new();
                nuisances.apply(&mut rows, &nuisances.scaled(values.iter().copied()), &mut out);
                out
            };
            let own = apply(&at, &values);
            let get = |rows: &[Strip], row: usize, i: usize| f64::from(rows[row * n + i / WIDTH].0[i % WIDTH]);
            let truth =
                |values: &[f64]| observed(&lines, &profile, &scaled, &[values[0].sqrt(), values[1], values[2], values[3]]);
            let exact = truth(&values);
            let ends = nuisances.reach();
            let mut worst = [0.0_f64; 6];
            for (i, exact) in exact.iter().enumerate().take(W - ends).skip(ends) {
                worst[0] = worst[0].max((get(&own, 0, i) - exact).abs());
            }
            for (k, scale) in nuisances.scales().iter().enumerate() {
                let h = 1e-3 * scale[1] * if k == 0 { 0.1 * velocity * velocity / scale[1] } else { 1.0 };
                let shifted = |sign: f64| {
                    let mut values = values;
                    values[k] += sign * h;
                    truth(&values)
                };
                let [plus, minus] = [shifted(1.0), shifted(-1.0)];
                let difference = |i: usize| (plus[i] - minus[i]) / (2.0 * h) * scale[1];
                let most = (ends..W - ends).fold(0.0_f64, |most, i| most.max(difference(i).abs()));
                for i in ends..W - ends {
                    worst[1 + k] = worst[1 + k].max((get(&own, 1 + L + k, i) - difference(i)).abs() / most);
                }
            }
            for k in 0..L {
                let shifted = |sign: f32| {
                    let mut at = at;
                    at[k] += sign * 1e-2;
                    apply(&at, &values)
                };
                let [plus, minus] = [shifted(1.0), shifted(-1.0)];
                for i in ends..W - ends {
                    let difference = (get(&plus, 0, i) - get(&minus, 0, i)) / 2e-2;
                    worst[5] = worst[5].max((get(&own, 1 + k, i) - difference).abs());
                }
            }
            println!("logarithmic {is_logarithmic}, rotation {}, {velocity} km/s: {worst:.6?}", options.rotation);
            // Seen: 9e-3 of the largest derivative by the square at half a pixel, of frequencies beyond those
            // that are the profile's own; 1.1e-2 of that by the velocity where a Gaussian of 38 km/s leaves
            // little of lines.
            assert!(
                worst[0] < 3e-4
                    && worst[1..3].iter().all(|worst| *worst < 1.5e-2)
                    && worst[3..5].iter().all(|worst| *worst < 5e-3)
                    && worst[5] < 1e-4,
                "{worst:.6?}"
            );
        }
    }
}

#[test]
fn rotation_is_found_with_the_labels() {
    for (is_logarithmic, options, range) in
        [(true, ROTATION, 5.0..60.0), (false, ROTATION, 5.0..60.0), (true, GAUSSIAN, 4.0..30.0)]
    {
        let lines_of_stars = lines(is_logarithmic);
        let profile = velocities(options.rotation);
        let mut random = ChaCha8Rng::seed_from_u64(5);
        let scaled = Array2::from_shape_fn((N_STARS, L), |_| random.gen_range(-0.35..0.35));
        let nuisances = Array2::from_shape_fn((N_STARS, 4), |(_, k)| match k {
            0 => random.gen_range(range.clone()),
            1 => random.gen_range(-20.0..20.0),
            _ => random.gen_range(-0.04..0.04),
        });
        let rows: Vec<Vec<f64>> = (0..N_STARS)
            .into_par_iter()
            .map(|i| observed(&lines_of_stars, &profile, &scaled.row(i).to_vec(), &nuisances.row(i).to_vec()))
            .collect();
        let flux = Array2::from_shape_fn((N_STARS, W), |(i, w)| {
            let normal: f64 = StandardNormal.sample(&mut random);
            (rows[i][w] + normal / RATIO) as f32
        });
        let weight = Array2::from_elem((N_STARS, W), (RATIO * RATIO) as f32);
        let fits = fitter(lines(is_logarithmic), options.clone()).fit(flux.view(), weight.view()).unwrap();
        let not_converged = fits.endings.iter().filter(|ending| **ending != Ending::Converged).count();
        let truth = lines_of_stars.space.unscale(scaled.view());
        let pulls = |fits: &SpectrumFits, k: usize| -> [f64; 2] {
            let free = (0..N_STARS).filter(|&i| !fits.at_bound[i]);
            let difference = |i: usize| match k {
                0..L => fits.labels[[i, k]] - truth[[i, k]],
                L => fits.nuisances[[i, 0]] - nuisances[[i, 0]].powi(2),
                _ => fits.nuisances[[i, k - L]] - nuisances[[i, k - L]],
            };
            let all: Vec<f64> = free.map(|i| difference(i) / fits.covariance[[i, k, k]].sqrt()).collect();
            assert!(all.len() > N_STARS * 9 / 10, "{} of {N_STARS}", all.len());
            [robust_scatter(&all), median(&all)]
        };
        let found: Vec<[f64; 2]> = (0..L + 4).map(|k| pulls(&fits, k)).collect();
        let iterations = fits.n_iterations.iter().sum::<usize>() as f64 / N_STARS as f64;
        println!(
            "logarithmic {is_logarithmic}, rotation {}: {found:.3?}, {iterations} iterations, {not_converged}",
            options.rotation
        );
        assert!(not_converged <= N_STARS / 500, "{not_converged}");
        for [scatter, middle] in &found {
            // They know them to 0.03.
            assert!((0.9..1.1).contains(scatter) && middle.abs() < 0.12, "{found:.3?}");
        }
        // The control: broad lines without broadening are taken for other labels.
        let without = SpectrumFitOptions { rotation: false, broadening: false, ..options };
        let fits = fitter(lines(is_logarithmic), without).fit(flux.view(), weight.view()).unwrap();
        let bias = |k: usize| {
            let all: Vec<f64> =
                (0..N_STARS).map(|i| (fits.labels[[i, k]] - truth[[i, k]]) / fits.covariance[[i, k, k]].sqrt()).collect();
            [robust_scatter(&all), median(&all)]
        };
        let biases: Vec<[f64; 2]> = (0..L).map(bias).collect();
        println!("control: {biases:.2?}");
        // Seen of every label: a scatter of 4.9 and more, a median of -14 and below.
        assert!(biases.iter().all(|[scatter, middle]| *scatter > 3.0 && *middle < -8.0), "{biases:.2?}");
    }
}

#[test]
fn slow_rotation_is_at_zero_or_below_its_upper_bound_and_impossible_choices_are_refused() {
    let of_stars = lines(true);
    let profile = velocities(true);
    let options = SpectrumFitOptions { velocity: false, continuum_terms: 0, ..ROTATION };
    let mut random = ChaCha8Rng::seed_from_u64(6);
    let clean = observed(&of_stars, &profile, &[0.1, -0.1, 0.2], &[1.0, 0.0, 0.0, 0.0]);
    let n = 1000;
    let flux = Array2::from_shape_fn((n, W), |(_, w)| {
        let normal: f64 = StandardNormal.sample(&mut random);
        (clean[w] + normal / 30.0) as f32
    });
    let weight = Array2::from_elem((n, W), 900.0_f32);
    let fits = fitter(lines(true), options.clone()).fit(flux.view(), weight.view()).unwrap();
    let at_zero = (0..n).filter(|&i| fits.nuisances[[i, 0]] == 0.0).count();
    let below = (0..n).filter(|&i| 1.0 <= fits.nuisances[[i, 0]] + 1.645 * fits.covariance[[i, L, L]].sqrt()).count();
    let converged = fits.endings.iter().filter(|ending| **ending == Ending::Converged).count();
    println!("{at_zero} at zero, {below} below their upper bounds, {converged} converged of {n}");
    assert!(at_zero > n / 5 && at_zero < n * 6 / 10 && below >= n * 93 / 100 && converged > n * 99 / 100);
    // No broadening is no fault.
    assert_eq!(fits.at_bound.iter().filter(|at| **at).count(), 0);

    let refused = |lines: Lines, options: SpectrumFitOptions| {
        SpectrumFitter::new(Arc::new(lines), Array2::from_elem((1, L), 0.5).view(), options).err().unwrap().to_string()
    };
    assert!(refused(lines(true), SpectrumFitOptions { broadening: true, ..ROTATION }).contains("one of them"));
    assert!(refused(lines(true), SpectrumFitOptions { limb_darkening: -0.1, ..ROTATION }).contains("limb_darkening"));
    assert!(refused(lines(true), SpectrumFitOptions { largest_rotation: 900.0, ..ROTATION }).contains("take no part"));
    let uneven = Lines { wavelength: (0..W).map(|i| 5000.0 + (i as f64).powf(1.1)).collect(), ..lines(true) };
    let error = refused(uneven, options);
    assert!(error.contains("steps of several sizes") && error.contains("rotation"), "{error}");
}
