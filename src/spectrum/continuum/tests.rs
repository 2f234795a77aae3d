use super::*;
use crate::spectrum::Spacing;

fn grid() -> PixelGrid {
    PixelGrid::new(&Spacing::Linear([4000.0, 5000.0, 25.0])).unwrap()
}

fn of(options: &ContinuumOptions, flux: &[f64], weight: &[f64]) -> Vec<f64> {
    Continuum::new(options, &grid()).unwrap().of(flux, weight)
}

fn weights(wavelength: &[f64]) -> Vec<f64> {
    wavelength.iter().map(|lambda| 1.0 / (0.1 + 0.05 * (lambda / 77.0).sin().powi(2))).collect()
}

/// numpy 2.4.6: `lam = linspace(4000, 5000, 41)`, y = 3 + cos(lam/150), w as in [`weights`], 0 for pixels
/// 10–12; `g = exp(-((lam[:,None] - lam)/60)**2/2)`, 0 beyond 300 Å; `(g*w*y).sum(1)/(g*w).sum(1)` at 0,
/// 11, 20, 40.
#[test]
fn gaussian_means_against_numpy() {
    let (options, grid) = (ContinuumOptions { kernel: 60.0, ..Default::default() }, grid());
    let flux: Vec<f64> = grid.centres().iter().map(|lambda| 3.0 + (lambda / 150.0).cos()).collect();
    let mut weight = weights(grid.centres());
    weight[10..13].fill(0.0);
    let found = of(&options, &flux, &weight);
    for (i, expected) in
        [(0, 2.749_032_943_873_635_4), (11, 2.173_581_726_345_210_6), (20, 3.164_589_158_471_394_5), (40, 2.934_477_281_330_125)]
    {
        // The kernel is kept in single precision.
        assert!((found[i] - expected).abs() < 3e-7, "{i}: {} {expected}", found[i]);
    }
    let mut bad = flux.clone();
    (bad[10], bad[11], bad[12]) = (f64::NAN, 1e9, f64::INFINITY);
    assert_eq!(of(&options, &bad, &weight), found, "pixels without weight are not seen");
    let mut lonely = vec![0.0; 41];
    lonely[0] = 1.0;
    let found = of(&options, &flux, &lonely);
    assert!(found[0].is_finite() && found[30].is_nan(), "no continuum far from the last good pixel");
}

/// numpy 2.4.6: `Chebyshev.fit(lam, y, 5, w=sqrt(w), domain=[4000, 5000])(lam)` for the spectrum of the
/// test above.
#[test]
fn polynomials_against_numpy() {
    let options = ContinuumOptions { method: Method::Polynomial, degree: 5, iterations: 1, ..Default::default() };
    let grid = grid();
    let flux: Vec<f64> = grid.centres().iter().map(|lambda| 3.0 + (lambda / 150.0).cos()).collect();
    let found = of(&options, &flux, &weights(grid.centres()));
    for (i, expected) in
        [(0, 3.031_606_736_927_892), (7, 2.088_659_420_689_932_5), (20, 3.149_353_144_165_428_6), (40, 2.683_145_945_394_407)]
    {
        assert!((found[i] - expected).abs() < 1e-10, "{i}: {} {expected}", found[i]);
    }
}

#[test]
fn clipping_takes_lines_out_and_splits_separate_the_pieces() {
    let grid = PixelGrid::new(&Spacing::Linear([4000.0, 5000.0, 1.0])).unwrap();
    let truth = |lambda: f64| if lambda < 4500.0 { 2.0 + 1e-3 * (lambda - 4200.0) } else { 7.0 };
    let is_line = |lambda: f64| (lambda as usize).is_multiple_of(23);
    let flux: Vec<f64> = grid.centres().iter().map(|&l| truth(l) * if is_line(l) { 0.4 } else { 1.0 }).collect();
    let options =
        ContinuumOptions { method: Method::Polynomial, degree: 2, splits: vec![4500.0], iterations: 10, ..Default::default() };
    let found = Continuum::new(&options, &grid).unwrap().of(&flux, &vec![1.0; grid.len()]);
    assert!(grid.centres().iter().zip(&found).all(|(&l, found)| (found / truth(l) - 1.0).abs() < 1e-6));
    // The negative control: without clipping the lines pull the curve down by their share.
    let once = ContinuumOptions { iterations: 1, ..options.clone() };
    let found = Continuum::new(&once, &grid).unwrap().of(&flux, &vec![1.0; grid.len()]);
    assert!(found[250] / truth(4250.0) < 0.99);
    let few = Continuum::new(&options, &grid)
        .unwrap()
        .of(&flux, &(0..grid.len()).map(|i| f64::from(u8::from(i < 3))).collect::<Vec<_>>());
    assert!(few.iter().all(|value| value.is_nan()), "three pixels are not enough for a parabola");
}

/// SciPy 1.17.1: `savgol_filter(sin(0.3 i) + 0.1 i, window, degree)` for i = 0…24, default mode.
#[test]
fn savitzky_golay_against_scipy() {
    let values: Vec<f64> = (0..25).map(|i| (0.3 * f64::from(i)).sin() + 0.1 * f64::from(i)).collect();
    let found = SavitzkyGolay::new(7, 3).unwrap().of(&values);
    for (i, expected) in [
        (0, -0.001_271_240_670_769_302_4),
        (1, 0.398_426_053_144_438_6),
        (2, 0.764_390_454_119_365_3),
        (3, 1.080_701_335_314_56),
        (12, 0.758_962_807_560_670_6),
        (22, 2.511_251_527_948_041_4),
        (24, 3.193_583_691_803_673_3),
    ] {
        assert!((found[i] - expected).abs() < 1e-12, "{i}: {} {expected}", found[i]);
    }
    let found = SavitzkyGolay::new(15, 7).unwrap().of(&values);
    for (i, expected) in [
        (0, -1.211_263_264_654_973_6e-5),
        (3, 1.083_307_504_719_920_5),
        (12, 0.757_502_977_091_756_8),
        (24, 3.193_680_182_254_153),
    ] {
        assert!((found[i] - expected).abs() < 1e-10, "{i}: {} {expected}", found[i]);
    }
    // A window of five and degree two smooths the variance to 17/35 (Savitzky & Golay 1964, table 1).
    assert!((SavitzkyGolay::new(5, 2).unwrap().variance(&[1.0; 9])[4] - 17.0 / 35.0).abs() < 1e-12);
    for (window, degree) in [(4, 2), (5, 5), (101, 10), (10_001, 2), (usize::MAX, 2)] {
        assert!(SavitzkyGolay::new(window, degree).is_err());
    }
}

/// The longest window keeps ten numbers a pixel (a hat matrix would be of 0.8 GB); polynomials of its degree
/// pass as they are.
#[test]
fn polynomials_pass_the_longest_window() {
    let x = |i: usize| (i as f64 - 5_000.0) / 5_000.0;
    let values: Vec<f64> = (0..10_003).map(|i| 1.0 + x(i) - 3.0 * x(i).powi(4) + 2.0 * x(i).powi(9)).collect();
    let smooth = SavitzkyGolay::new(SavitzkyGolay::MOST_WINDOW, 9).unwrap().of(&values);
    let worst = values.iter().zip(&smooth).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(worst < 1e-11, "{worst}");
}

#[test]
fn a_flat_spectrum_is_one_everywhere_and_brightness_does_not_matter() {
    let grid = PixelGrid::new(&Spacing::Log([4000.0, 5000.0, 1e-4])).unwrap();
    let w = grid.len();
    for method in [Method::Gaussian, Method::Polynomial, Method::SavitzkyGolay] {
        let continuum = Continuum::new(&ContinuumOptions { method, ..Default::default() }, &grid).unwrap();
        let mut flat = Resampled { flux: vec![7.5; w], ivar: vec![4.0; w], other: Vec::new() };
        (flat.flux[100], flat.ivar[100]) = (f64::NAN, 0.0);
        let n_lost = continuum.normalise(&mut flat, &vec![false; w]);
        assert_eq!(n_lost, 0, "{method:?}");
        assert!((0..w).filter(|&j| j != 100).all(|j| (flat.flux[j] - 1.0).abs() < 1e-9), "{method:?}");
        assert!((flat.ivar[500] / (4.0 * 7.5 * 7.5) - 1.0).abs() < 1e-9);
        assert!(flat.flux[100].is_nan() && flat.ivar[100] == 0.0);
        let wavy = |scale: f64| {
            let flux = (0..w).map(|j| scale * (2.0 + (j as f64 / 30.0).sin())).collect();
            let mut spectrum = Resampled { flux, ivar: vec![1.0 / (scale * scale); w], other: Vec::new() };
            continuum.normalise(&mut spectrum, &vec![false; w]);
            spectrum
        };
        let (faint, bright) = (wavy(1e-17), wavy(3e4));
        assert!(
            (0..w).all(|j| (faint.flux[j] - bright.flux[j]).abs() < 1e-9 && (faint.ivar[j] / bright.ivar[j] - 1.0).abs() < 1e-9)
        );
        let mut negative = Resampled { flux: vec![-1.0; w], ivar: vec![1.0; w], other: Vec::new() };
        assert_eq!(continuum.normalise(&mut negative, &vec![false; w]), w, "a continuum below zero is none");
    }
    let mut kept = Resampled { flux: vec![-1.0; w], ivar: vec![1.0; w], other: Vec::new() };
    let none = Continuum::new(&ContinuumOptions { method: Method::None, ..Default::default() }, &grid).unwrap();
    assert_eq!((none.normalise(&mut kept, &vec![false; w]), kept.flux[0]), (0, -1.0));
}

#[test]
fn masks_keep_lines_out_of_the_continuum() {
    let grid = PixelGrid::new(&Spacing::Linear([4700.0, 5000.0, 1.0])).unwrap();
    let w = grid.len();
    let line: Vec<f64> = grid.centres().iter().map(|l| 1.0 - 0.7 * (-((l - 4862.68) / 3.0_f64).powi(2) / 2.0).exp()).collect();
    let continuum = Continuum::new(&ContinuumOptions::default(), &grid).unwrap();
    let depth = |is_masked: Vec<bool>| {
        let mut spectrum = Resampled { flux: line.clone(), ivar: vec![1.0; w], other: Vec::new() };
        continuum.normalise(&mut spectrum, &is_masked);
        spectrum.flux[163]
    };
    let (masked, blind) = (depth(grid.centres().iter().map(|l| (l - 4862.68).abs() < 8.0).collect()), depth(vec![false; w]));
    assert!((masked - line[163]).abs() < 1e-2 && blind > masked + 0.02, "{masked} {blind} {}", line[163]);
}

#[test]
fn what_decides_a_continuum_is_in_its_words() {
    let options = ContinuumOptions::default();
    assert_eq!(options.described(), "gaussian, kernel 20 Angstrom, without balmer, dib");
    // Settings of other methods do not matter; those of its own do.
    assert_eq!(ContinuumOptions { degree: 7, window: 9, ..options.clone() }.described(), options.described());
    for other in [
        ContinuumOptions { kernel: 21.0, ..options.clone() },
        ContinuumOptions { per_arm: true, ..options.clone() },
        ContinuumOptions { mask: vec!["dib".into()], ..options.clone() },
        ContinuumOptions { method: Method::Polynomial, ..options.clone() },
        ContinuumOptions { method: Method::SavitzkyGolay, ..options.clone() },
    ] {
        assert_ne!(other.described(), options.described());
    }
    assert_eq!(ContinuumOptions { method: Method::None, ..options }.described(), "none");
}

#[test]
fn impossible_settings_are_refused_by_key() {
    let message = |options: ContinuumOptions| Continuum::new(&options, &grid()).unwrap_err().to_string();
    assert!(message(ContinuumOptions { kernel: 0.0, ..Default::default() }).contains("continuum.kernel"));
    let polynomial = ContinuumOptions { method: Method::Polynomial, ..Default::default() };
    assert!(message(ContinuumOptions { degree: 40, ..polynomial.clone() }).contains("continuum.degree"));
    assert!(message(ContinuumOptions { splits: vec![2.0, 1.0], ..polynomial.clone() }).contains("continuum.splits"));
    assert!(message(ContinuumOptions { clip: [0.0, 1.0], ..polynomial }).contains("continuum.clip"));
    let local = ContinuumOptions { method: Method::SavitzkyGolay, ..Default::default() };
    assert!(message(local).contains("continuum.window"));
}
