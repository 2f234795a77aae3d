//! The sample files with known truth (`shared/data/spectra_formats`, written by the surveys' own software),
//! and real spectra. Skipped, with a notice, where the folder is absent.

use super::{Layout, ObservedSpectrum, PixelColumns, ReadOptions, read_spectra};
use crate::spectrum::{Joined, Medium, PixelGrid, Resampler, ResolutionMatrix, Spacing, Variance};
use crate::survey::prepare::Note;
use crate::table::{self, FitsFile};
use crate::testing::shared_data;
use std::path::{Path, PathBuf};

pub(super) fn folder() -> Option<PathBuf> {
    shared_data().map(|data| data.join("spectra_formats")).filter(|folder| folder.is_dir())
}

pub(super) fn read(path: &Path) -> (Layout, usize, Vec<ObservedSpectrum>) {
    let options = ReadOptions { line_spread: true, ..Default::default() };
    let spectra = read_spectra(path, &options).unwrap();
    let (layout, n_not_stars) = (spectra.layout, spectra.n_not_stars);
    (layout, n_not_stars, spectra.collect::<Result<Vec<_>, _>>().unwrap())
}

fn n_bad(spectrum: &ObservedSpectrum, arm: usize) -> usize {
    spectrum.segments[arm].ivar.iter().filter(|&&ivar| ivar == 0.0).count()
}

/// Columns of a table of truth.
pub(super) fn truth(name: &str, columns: &[&str]) -> Option<Vec<Vec<f64>>> {
    let table = table::read_columns(&folder()?.join(name), columns).unwrap();
    Some(columns.iter().map(|name| table.column(name).unwrap().to_f64().unwrap()).collect())
}

/// The velocity at which a template of lines (rest wavelengths, 1 without lines) fits a normalised spectrum
/// best: depth and velocity by χ², the minimum by a parabola.
pub(super) fn best_velocity(wavelength: &[f64], flux: &[f64], ivar: &[f64], template: &[(f64, f64)]) -> f64 {
    let depth_at = |rest: f64| {
        let i = template.partition_point(|(lambda, _)| *lambda < rest);
        if i == 0 || i == template.len() {
            return 0.0;
        }
        let ((a, fa), (b, fb)) = (template[i - 1], template[i]);
        fa + (rest - a) / (b - a) * (fb - fa) - 1.0
    };
    let gain = |velocity: f64| {
        let factor = 1.0 + velocity / 299_792.458;
        let (mut square, mut cross) = (0.0, 0.0);
        for ((lambda, flux), ivar) in wavelength.iter().zip(flux).zip(ivar).filter(|(_, ivar)| **ivar > 0.0) {
            let depth = depth_at(lambda / factor);
            square += ivar * depth * depth;
            cross += ivar * depth * (flux - 1.0);
        }
        cross.max(0.0).powi(2) / square.max(1e-300)
    };
    let coarse = (-300..=300).map(f64::from).max_by(|a, b| gain(*a).total_cmp(&gain(*b))).unwrap();
    let [left, centre, right] = [coarse - 2.0, coarse, coarse + 2.0].map(gain);
    coarse + (left - right) / (left - 2.0 * centre + right)
}

/// Normalised by the true continuum of the sample stars: cont_f0 exp(cont_a x + cont_b x²), x = (λ −
/// 6700)/3100.
fn normalised(spectrum: &ObservedSpectrum, arm: usize, continuum: [f64; 3]) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
    let segment = &spectrum.segments[arm];
    let (mut lambda, mut flux, mut ivar) = (Vec::new(), Vec::new(), Vec::new());
    for (i, &wavelength) in segment.wavelength.iter().enumerate().filter(|(_, lambda)| (4790.0..5510.0).contains(*lambda)) {
        let x = (wavelength - 6700.0) / 3100.0;
        let level = continuum[0] * (continuum[1] * x + continuum[2] * x * x).exp();
        lambda.push(wavelength);
        flux.push(segment.flux[i] / level);
        ivar.push(segment.ivar[i] * level * level);
    }
    (lambda, flux, ivar)
}

/// Lines of star 0 in its rest frame as DESI shows them, from its spectrum at −200 km/s.
pub(super) fn template() -> Option<Vec<(f64, f64)>> {
    let columns = truth("truth_star0_desi_b.csv", &["wavelength_vac_A", "flux_after_R", "continuum"])?;
    let factor = 1.0 - 200.0 / 299_792.458;
    let lines = columns[1].iter().zip(&columns[2]).map(|(flux, continuum)| flux / continuum);
    Some(columns[0].iter().zip(lines).map(|(lambda, norm)| (lambda / factor, norm)).collect())
}

#[test]
fn the_coadd_has_its_masks_and_velocities() {
    let (Some(folder), Some(template)) = (folder(), template()) else { return };
    let (layout, n_not_stars, spectra) = read(&folder.join("coadd-main-bright-11999.fits.gz"));
    assert_eq!((layout, n_not_stars, spectra.len()), (Layout::Desi, 0, 12));
    for (star, spectrum) in spectra.iter().enumerate() {
        assert_eq!(
            spectrum.id,
            Some(
                [39_627_700_000_001_001, 39_627_700_000_001_008][star.min(1)] + if star > 1 { 7 * (star as i64 - 1) } else { 0 }
            )
        );
        let bad: Vec<usize> = (0..3).map(|arm| n_bad(spectrum, arm)).collect();
        let expected = match star {
            4 => [40, 0, 0],
            5 => [0, 25, 0],
            6 => [2751, 0, 0],
            _ => [0, 0, 0],
        };
        assert_eq!(bad, expected, "star {star}");
        assert_eq!(spectrum.notes, if star == 6 { Note::ArmMissing.bit() } else { 0 }, "star {star}");
    }
    let columns = truth("truth_stars.csv", &["rv_kms", "cont_f0", "cont_a", "cont_b"]).unwrap();
    // The page's velocities are of the stars' own templates; the lines of star 0 in their place cost some
    // km/s where labels differ.
    for (star, tolerance) in [(0, 0.5), (1, 3.0), (2, 3.0), (3, 3.0), (5, 6.0), (9, 6.0), (10, 6.0)] {
        let continuum = [columns[1][star], columns[2][star], columns[3][star]];
        let (lambda, flux, ivar) = normalised(&spectra[star], 0, continuum);
        let velocity = best_velocity(&lambda, &flux, &ivar, &template);
        eprintln!("star {star}: {velocity:.2} km/s, truth {}", columns[0][star]);
        assert!((velocity - columns[0][star]).abs() < tolerance, "star {star}: {velocity} km/s, truth {}", columns[0][star]);
    }
}

#[test]
fn exposures_have_their_cosmics_and_bad_fibres() {
    let Some(folder) = folder() else { return };
    let (_, _, spectra) = read(&folder.join("spectra-main-bright-11999.fits.gz"));
    let ids: Vec<i64> = spectra.iter().filter_map(|spectrum| spectrum.id).collect();
    assert_eq!(ids.len(), 6);
    assert_eq!(spectra.iter().map(|spectrum| spectrum.n_following).sum::<usize>(), 3, "three stars, two exposures each: {ids:?}");
    let masked: Vec<usize> = spectra.iter().map(|spectrum| n_bad(spectrum, 0)).collect();
    let n_dead = spectra.iter().filter(|spectrum| spectrum.notes & Note::FiberBad.bit() != 0).count();
    assert_eq!(n_dead, 1, "exposure 92107 of star 11");
    assert_eq!(masked.iter().filter(|&&n| n == 3).count(), 1, "three cosmics of star 3 in one exposure: {masked:?}");
    let (_, n_not_stars, spectra) = read(&folder.join("coadd-3-20123-thru20210613.fits"));
    assert_eq!((n_not_stars, spectra.len()), (2, 3), "a sky fibre and a stuck one");
    assert_eq!(n_bad(&spectra[2], 0), 40);
}

#[test]
fn arms_joined_here_are_as_the_survey_s_own_but_for_the_mask_that_it_loses() {
    let Some(folder) = folder() else { return };
    let (_, _, arms) = read(&folder.join("coadd-main-bright-11999.fits.gz"));
    let (_, _, joined) = read(&folder.join("coadd-brz-joined.fits.gz"));
    let grid = PixelGrid::new(&Spacing::Linear([3600.0, 9824.0, 0.8])).unwrap();
    let resampler = Resampler::new(grid, Variance::WithNeighbours, 0.5);
    for theirs in &joined {
        let ours = arms.iter().find(|spectrum| spectrum.id == theirs.id).unwrap();
        let mut join = Joined::new(resampler.grid().len());
        for segment in &ours.segments {
            join.add(&resampler.resample(&segment.wavelength, &segment.flux, &segment.ivar, &[], 1.0).unwrap());
        }
        let ours = join.finish();
        let theirs = &theirs.segments[0];
        assert_eq!(theirs.flux.len(), ours.flux.len());
        let (mut n_lost, mut worst) = (0, [0.0_f64; 2]);
        for j in 0..ours.flux.len() {
            match (ours.ivar[j] > 0.0, theirs.ivar[j] > 0.0) {
                (true, true) => {
                    worst[0] = worst[0].max((ours.flux[j] - theirs.flux[j]).abs() / theirs.flux[j].abs().max(1.0));
                    worst[1] = worst[1].max((ours.ivar[j] / theirs.ivar[j] - 1.0).abs());
                }
                (false, true) => n_lost += 1,
                (true, false) => panic!("pixel {j} is bad there only"),
                (false, false) => {}
            }
        }
        // Found: 4e-6 in flux, 4e-7 in ivar, single precision of the files.
        assert!(worst[0] < 6e-6 && worst[1] < 2e-6, "{worst:?}");
        let is_star_5 = theirs.ivar.len() == 7781 && n_lost > 0;
        assert_eq!(n_lost, if is_star_5 { 25 } else { 0 });
    }
    // Star 5 is the third of the joined file.
    assert_eq!(joined.iter().map(|spectrum| n_bad(spectrum, 0)).collect::<Vec<_>>()[2], 0);
}

#[test]
fn the_resolution_matrix_is_that_of_the_page() {
    let Some(folder) = folder() else { return };
    let file = FitsFile::open(&folder.join("coadd-main-bright-11999.fits.gz")).unwrap();
    let mut image = file.image(file.require("B_RESOLUTION").unwrap()).unwrap();
    assert_eq!(image.shape(), [12, 11, 2751]);
    let data = image.read_f32(1).unwrap();
    let matrix = ResolutionMatrix::new(data.clone(), 11).unwrap();
    let sums = matrix.row_sums();
    assert!((sums[0] - 0.650).abs() < 1e-3 && (sums[2750] - 0.753).abs() < 1e-3 && (sums[1000] - 1.0).abs() < 2e-3);
    let columns = truth("truth_star0_desi_b.csv", &["wavelength_vac_A", "flux_before_R", "flux_after_R"]).unwrap();
    let first = ((columns[0][0] - 3600.0) / 0.8).round() as usize;
    let (n, mut model) = (columns[0].len(), vec![0.0; 2751]);
    model[first..first + n].copy_from_slice(&columns[1]);
    let errors = |matrix: &ResolutionMatrix| -> f64 {
        let after = matrix.apply(&model);
        (5..n - 5).map(|i| (after[first + i] / columns[2][i] - 1.0).abs()).fold(0.0, f64::max)
    };
    assert!(errors(&matrix) < 1e-6, "{}", errors(&matrix));
    // Negative control: diagonals in the wrong order.
    let reversed: Vec<f32> = data.chunks(2751).rev().flatten().copied().collect();
    assert!(errors(&ResolutionMatrix::new(reversed, 11).unwrap()) > 0.01);
    // LSF of the sample: 10 % wider than R ≈ 2970 at the middle of B.
    let sigma = matrix.sigma_pixels()[1375] * 0.8;
    assert!((4700.0 / (2.3548 * sigma) - 2970.0 / 1.1).abs() < 300.0, "R = {}", 4700.0 / (2.3548 * sigma));
}

#[test]
fn lamost_and_sdss_have_their_masks_and_velocities() {
    let Some(folder) = folder() else { return };
    let columns = truth("truth_star0_lamost_sdss.csv", &["loglam", "continuum_lamost_units", "norm_true_R1800"]).unwrap();
    let factor = 1.0 - 200.0 / 299_792.458;
    let template: Vec<(f64, f64)> =
        columns[0].iter().zip(&columns[2]).map(|(log, norm)| (10_f64.powf(*log) / factor, *norm)).collect();
    let stars = truth("truth_stars.csv", &["cont_f0", "cont_a", "cont_b"]).unwrap();
    let continuum = |scale: f64| [scale * stars[0][0], stars[1][0], stars[2][0]];
    for (name, layout) in [
        ("lamost_dr1_spec-56987-GAC100N20B1_sp15-092.fits.gz", Layout::LamostImage),
        ("lamost_dr5_spec-56987-GAC100N20B1_sp15-092.fits.gz", Layout::LamostImage),
        ("lamost_dr10_spec-56987-GAC100N20B1_sp15-092.fits.gz", Layout::LamostTable),
    ] {
        let (found, _, spectra) = read(&folder.join(name));
        let spectrum = &spectra[0];
        assert_eq!((found, spectrum.medium, spectra.len()), (layout, Some(Medium::Vacuum), 1), "{name}");
        assert!((spectrum.velocity.unwrap() + 200.0).abs() < 0.1, "Z = −0.00066713");
        let segment = &spectrum.segments[0];
        let at = |lambda: f64| segment.wavelength.partition_point(|value| *value < lambda);
        assert!(segment.ivar[at(5183.0)] == 0.0 && segment.ivar[at(5578.0)] > 0.0, "{name}: ANDMASK, not ORMASK");
        assert!(segment.ivar[3849..].iter().all(|&ivar| ivar == 0.0));
        let (lambda, flux, ivar) = normalised(spectrum, 0, continuum(2500.0 / 60.0));
        let velocity = best_velocity(&lambda, &flux, &ivar, &template);
        eprintln!("reader {name}: {velocity:.2} km/s");
        assert!((velocity + 200.0).abs() < 3.0, "{name}: {velocity} km/s");
    }
    for name in ["sdss_boss_spec-9999-57000-0001.fits.gz", "sdss_v_spec-015000-59146-27021598150201532.fits.gz"] {
        let (found, _, spectra) = read(&folder.join(name));
        let spectrum = &spectra[0];
        assert_eq!((found, spectra.len()), (Layout::Sdss, 1));
        assert_eq!(spectrum.segments[0].ivar.len() - n_bad(spectrum, 0), 4521, "{name}: good pixels");
        assert!((spectrum.velocity.unwrap() + 200.0).abs() < 0.1);
        assert!(!spectrum.segments[0].line_spread.is_empty());
        let (lambda, flux, ivar) = normalised(spectrum, 0, continuum(1.0));
        let velocity = best_velocity(&lambda, &flux, &ivar, &template);
        eprintln!("reader {name}: {velocity:.2} km/s");
        assert!((velocity + 200.0).abs() < 3.0, "{name}: {velocity} km/s");
    }
}

#[test]
fn results_of_the_milky_way_survey_are_joined_and_not_taken_for_spectra() {
    let Some(folder) = folder() else { return };
    for name in ["rvpix-main-bright.fits", "mwsall-pix-sample.fits"] {
        let path = folder.join(name);
        let error = read_spectra(&path, &ReadOptions::default()).err().unwrap().to_string();
        assert!(error.contains("RVTAB") && error.contains("[[tables]]"), "{error}");
        let table = table::read(format!("{}[RVTAB]", path.display()).as_ref()).unwrap();
        assert_eq!(table.column("RVS_WARN").unwrap().to_i64().unwrap(), [0, 0, 0, 0, 0, 0, 0, 5, 2, 32, 8, 0]);
        let velocities = table.column("VRAD").unwrap().to_f64().unwrap();
        assert!(velocities[9].is_nan() && (velocities[8] + 1499.0).abs() < 2.0);
        // Rows of the tables of one file match: identifiers are compared as they are joined.
        let joined =
            table::read_columns(format!("{}[RVTAB+GAIA]", path.display()).as_ref(), &["TARGETID", "VRAD", "SOURCE_ID"]).unwrap();
        assert_eq!(
            joined.column("SOURCE_ID").unwrap().to_i64().unwrap()[..3],
            [3_698_400_000_000_000_001, 3_698_400_000_000_000_003, 0]
        );
    }
    let path = folder.join("mwsall-pix-sample.fits");
    let table = table::read(format!("{}[SPTAB]", path.display()).as_ref()).unwrap();
    assert_eq!(table.column("ELEM").unwrap().to_matrix(10).unwrap().dim(), (12, 10));
    let primary = table::read(format!("{}[RVTAB]", path.display()).as_ref()).unwrap();
    let primary = primary.column("PRIMARY").unwrap();
    assert!(
        matches!(&primary.values, table::Values::Bool(values) if values.iter().enumerate().all(|(row, value)| *value == (row != 1)))
    );
}

#[test]
fn real_spectra_are_read() {
    let Some(data) = shared_data() else { return };
    let mut n = 0;
    for entry in std::fs::read_dir(data.join("lamost_spectra")).into_iter().flatten().flatten() {
        let path = entry.path();
        if !path.to_string_lossy().contains("spec-") {
            continue;
        }
        let (layout, _, spectra) = read(&path);
        assert_eq!((layout, spectra[0].medium), (Layout::LamostImage, Some(Medium::Vacuum)), "{}", path.display());
        assert!(spectra[0].segments[0].wavelength.len() > 3500 && n_bad(&spectra[0], 0) < 1500, "{}", path.display());
        n += 1;
    }
    let templates = data.join("sdss_templates");
    let columns = PixelColumns {
        log_wavelength: Some("LogLam".into()),
        flux: Some("Flux".into()),
        error: Some("PropErr".into()),
        ..Default::default()
    };
    for entry in std::fs::read_dir(&templates).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with("template_") {
            let options = ReadOptions { columns: columns.clone(), ..Default::default() };
            let spectra: Vec<ObservedSpectrum> = read_spectra(&path, &options).unwrap().collect::<Result<_, _>>().unwrap();
            assert!(
                spectra[0].fault.is_none() && spectra[0].segments[0].wavelength[0] > 3000.0,
                "{name}: {:?}",
                spectra[0].fault
            );
            n += 1;
        } else if name.starts_with("spec-") {
            let (layout, _, spectra) = read(&path);
            assert_eq!(layout, Layout::Sdss);
            assert!(spectra[0].velocity.is_some() && n_bad(&spectra[0], 0) < 1000);
            n += 1;
        }
    }
    eprintln!("{n} real spectra and templates were read");
}
