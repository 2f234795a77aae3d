//! Libraries: files, refusals, and those of a real synthesis.

use super::tensor_file::TensorWriter;
use super::*;
use crate::simulate::line_list::{LABELS, LineList, Population, References, Synthesis};
use crate::testing::shared_data;
use ndarray::{Array2, Axis};

fn small() -> GradientLibrary {
    let list = LineList { n_pixels: 30, ..LineList::default() };
    Synthesis::new(&list).library(Population::default().references(References::Scattered, 8).view())
}

fn space() -> LabelSpace {
    let labels = Population::default().labels(200);
    let names = LABELS.map(|(name, _)| name.to_owned());
    LabelSpace::covering(&names, &LABELS.map(|(_, unit)| unit.to_owned()), labels.view()).unwrap()
}

#[test]
fn a_library_comes_back_from_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("library.safetensors");
    let library = small();
    library.write(&path, false).unwrap();
    assert_eq!(GradientLibrary::read(&path).unwrap(), GradientLibrary { origin: path.display().to_string(), ..library.clone() });
    assert!(library.write(&path, false).unwrap_err().to_string().contains("overwrite"));

    let again = folder.path().join("again.safetensors");
    library.write(&again, false).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(bytes, std::fs::read(&again).unwrap(), "the same bytes");
    std::fs::write(&path, &bytes[..bytes.len() - 100]).unwrap();
    let error = GradientLibrary::read(&path).unwrap_err().to_string();
    assert!(error.contains("library.safetensors") && error.contains("cut off"), "{error}");
}

#[test]
fn files_that_say_too_little_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("library.safetensors");
    let written = |metadata: &[(&str, &str)], flux: &[usize]| {
        let mut file = TensorWriter::default();
        metadata.iter().for_each(|(key, value)| file.text(key, *value));
        file.double("labels", &[2, 1], [5000.0, 6000.0]);
        file.double("wavelength", &[3], [5000.0, 5001.0, 5002.0]);
        file.single("flux", flux, vec![1.0; flux.iter().product()]);
        file.single("gradient", &[2, 1, 3], [0.0; 6]);
        file.write(&path, true).unwrap();
        GradientLibrary::read(&path).map(|_| ()).map_err(|error| error.to_string())
    };
    let good = [("label_names", "TEFF"), ("resolution", "1800 (FWHM, Gaussian)"), ("wavelength", "vacuum angstrom")];
    assert_eq!(written(&good, &[2, 3]), Ok(()));
    let refused = |metadata: &[(&str, &str)], flux: &[usize], expected: &[&str]| {
        let error = written(metadata, flux).unwrap_err();
        assert!(expected.iter().all(|part| error.contains(part)), "{error}");
    };
    refused(&good[1..], &[2, 3], &["no 'label_names'", "save_file"]);
    refused(&[good[0], ("resolution", "high"), good[2]], &[2, 3], &["'high'", "1800"]);
    refused(&[good[0], good[1], ("wavelength", "air nm")], &[2, 3], &["'air nm'", "vacuum"]);
    refused(&[("label_names", "TEFF,LOGG"), good[1], good[2]], &[2, 3], &["2 labels", "[2, 1, 3]"]);
    refused(&good, &[3, 2], &["flux", "[3, 2]", "[2, 3]"]);
}

#[test]
fn a_library_is_held_against_the_training() {
    let (library, space) = (small(), space());
    let grid = library.wavelength.clone();
    let fewer = LabelSpace {
        names: vec!["mg_fe".into(), "teff".into()],
        units: vec!["dex".into(), "K".into()],
        minimum: vec![-0.1, 4800.0],
        maximum: vec![0.3, 6200.0],
    };
    let part = library.for_training(&fewer, &grid[10..20], library.resolution).unwrap();
    assert_eq!(part.gradient.dim(), (8, 2, 10));
    assert_eq!(part.gradient[[3, 0, 2]], library.gradient[[3, 7, 12]]);
    assert_eq!(part.labels[[3, 1]], library.labels[[3, 0]]);

    let refused = |library: &GradientLibrary, space: &LabelSpace, grid: &[f64], resolution: f64, expected: &[&str]| {
        let error = library.for_training(space, grid, resolution).unwrap_err().to_string();
        assert!(expected.iter().all(|part| error.contains(part)), "{error}");
    };
    let other = LabelSpace { names: vec!["eu_fe".into(), "teff".into()], ..fewer.clone() };
    refused(&library, &other, &grid, library.resolution, &["'eu_fe'", "mg_fe", "Compute the gradient"]);
    let kilo = LabelSpace { units: vec!["dex".into(), "kK".into()], ..fewer.clone() };
    refused(&library, &kilo, &grid, library.resolution, &["unit K", "kK", "per unit"]);
    let shifted: Vec<f64> = grid.iter().map(|at| at + 0.3).collect();
    refused(&library, &space, &shifted, library.resolution, &["5000.30", "Resample"]);
    refused(&library, &space, &[4990.0], library.resolution, &["4990.0"]);
    refused(&library, &space, &grid, 1800.0, &["2500", "1800", "Smooth"]);

    let mut broken = library.clone();
    broken.gradient[[1, 2, 3]] = f32::NAN;
    assert!(broken.check().unwrap_err().to_string().contains("(1, 2, 3)"));
    let mut falling = library;
    falling.wavelength.reverse();
    assert!(falling.check().unwrap_err().to_string().contains("rising"));
}

/// What fluxes say of gradients that are in other units, of other labels, references or pixels.
#[test]
fn gradients_that_contradict_the_fluxes_are_refused() {
    let list = LineList { n_pixels: 150, ..LineList::default() };
    let right = Synthesis::new(&list).library(Population::default().references(References::Scattered, 60).view());
    assert_eq!(right.require_agreement().unwrap(), Vec::<String>::new());
    let found = right.agreement().unwrap();
    assert!((found.slope.0 - 1.0).abs() < 0.05 && found.correlation > 0.98 && found.best_shift.0 == 0, "{found:?}");
    assert!(found.of_mean < found.correlation, "{found:?}");
    let refused = |change: &dyn Fn(&mut GradientLibrary), expected: &[&str]| {
        let mut faulty = right.clone();
        change(&mut faulty);
        let error = faulty.require_agreement().unwrap_err().to_string();
        assert!(expected.iter().all(|part| error.contains(part)), "{error}");
    };
    let (n, _, w) = right.gradient.dim();
    refused(&|faulty| faulty.gradient.mapv_inplace(|value| 2.0 * value), &["a slope of 0.5", "per unit of the label"]);
    refused(&|faulty| faulty.gradient.mapv_inplace(|value| -value), &["a slope of -1.0"]);
    refused(&|faulty| faulty.gradient.mapv_inplace(|value| 0.05 * value), &["a slope of 20."]);
    refused(
        &|faulty| faulty.gradient.index_axis_mut(Axis(1), 0).mapv_inplace(|value| 1e3 * value),
        &["a slope of 0.0", "teff 0.001"],
    );
    refused(&|faulty| faulty.gradient.index_axis_mut(Axis(1), 1).mapv_inplace(|value| -value), &["slopes of logg -"]);
    refused(
        &|faulty| faulty.gradient = right.gradient.select(Axis(0), &(0..n).rev().collect::<Vec<_>>()),
        &["same order of references"],
    );
    let moved: Vec<usize> = (0..w).map(|pixel| (pixel + w - 2) % w).collect();
    refused(&|faulty| faulty.gradient = right.gradient.select(Axis(2), &moved), &["-2 pixels away"]);
    refused(&|faulty| faulty.gradient.index_axis_mut(Axis(0), 3).fill(0.0), &["1 references", "row 3"]);
    // A label without gradients is said.
    let mut none = right.clone();
    let weak = right.names.iter().position(|name| name == "al_fe").unwrap();
    none.gradient.index_axis_mut(Axis(1), weak).fill(0.0);
    assert!(none.require_agreement().unwrap()[0].contains("by al_fe are zero everywhere"));
    // Steps that are none.
    for step in [-0.05, f64::NAN] {
        let mut faulty = right.clone();
        faulty.steps[2] = step;
        assert!(faulty.check().unwrap_err().to_string().contains("'v_mic'"));
    }
}

#[test]
fn references_that_do_not_reach_over_the_training_are_said() {
    let (library, space) = (small(), space());
    let teff = library.labels.column(0).to_vec();
    let middle = crate::statistics::median(&teff);
    let cool: Vec<usize> = (0..teff.len()).filter(|&i| teff[i] < middle).collect();
    let said = library.select(&cool).weaknesses(&space).join("\n");
    assert!(said.contains("in teff,") && said.contains("% of the training's range"), "{said}");
    let beyond = LabelSpace { minimum: vec![9000.0; 15], maximum: vec![9900.0; 15], ..space };
    assert!(library.weaknesses(&beyond).join("\n").contains("8 of 8 references"));
}

/// A mean over the pixels that a wider one covers, as a spectrograph makes it; a grid of the same step is
/// sampled, whatever gaps it has.
#[test]
fn wider_pixels_are_means_of_those_of_the_library() {
    let (library, space) = (small(), space());
    let wide: Vec<f64> = library.wavelength.chunks_exact(5).map(|five| five.iter().sum::<f64>() / 5.0).collect();
    let part = library.for_training(&space, &wide, library.resolution).unwrap();
    let mean = |values: &mut dyn Iterator<Item = f32>| values.sum::<f32>() / 5.0;
    for (pixel, reference, label) in [(0, 0, 0), (2, 3, 7), (5, 7, 14)] {
        let flux = mean(&mut (0..5).map(|i| library.flux[[reference, 5 * pixel + i]]));
        let gradient = mean(&mut (0..5).map(|i| library.gradient[[reference, label, 5 * pixel + i]]));
        assert!((part.flux[[reference, pixel]] - flux).abs() < 1e-4 * flux.abs());
        let scale =
            library.gradient.slice(ndarray::s![reference, label, ..]).iter().fold(0.0_f32, |most, value| most.max(value.abs()));
        assert!((part.gradient[[reference, label, pixel]] - gradient).abs() < 1e-3 * scale);
    }
    let gaps: Vec<f64> = [0, 1, 5, 6, 7, 20].map(|pixel| library.wavelength[pixel]).into();
    let sampled = library.for_training(&space, &gaps, library.resolution).unwrap();
    assert_eq!(sampled.flux[[2, 5]], library.flux[[2, 20]]);
    // A pixel that leaves the library.
    let beyond = [wide.clone(), vec![wide[5] + 5.0]].concat();
    assert!(library.for_training(&space, &beyond, library.resolution).unwrap_err().to_string().contains("make up"));
}

/// A Gaussian line of the library's line spread has that of the training afterwards, and the same equivalent
/// width; a library is not made sharper.
#[test]
fn a_library_is_smoothed_to_a_lower_resolution() {
    let wavelength: Vec<f64> = (0..400).map(|i| 5000.0 + 0.25 * f64::from(i)).collect();
    let line = |resolution: f64| -> Vec<f32> {
        let sigma = 5050.0 / (2.354_820_045 * resolution);
        // The depth of a line of one equivalent width goes with the resolution.
        let depth = |at: f64| 0.4 * resolution / 5000.0 * (-0.5 * ((at - 5050.0) / sigma).powi(2)).exp();
        wavelength.iter().map(|&at| (1.0 - depth(at)) as f32).collect()
    };
    let flux = Array2::from_shape_vec((1, 400), line(5000.0)).unwrap();
    let gradient = flux.mapv(|value| 1.0 - value).insert_axis(ndarray::Axis(1));
    let library = GradientLibrary {
        names: vec!["teff".into()],
        units: vec!["K".into()],
        wavelength: wavelength.clone(),
        resolution: 5000.0,
        labels: ndarray::array![[5000.0]],
        flux,
        gradient,
        steps: vec![0.0],
        origin: "made".into(),
    };
    let smooth = library.smoothed_to(2500.0).unwrap();
    for ((found, expected), slope) in smooth.flux.iter().zip(line(2500.0)).zip(&smooth.gradient) {
        assert!((found - expected).abs() < 4e-5, "{found} for {expected}");
        assert!((slope - (1.0 - found)).abs() < 1e-6);
    }
    assert_eq!(smooth.resolution, 2500.0);
    assert_eq!(library.smoothed_to(5010.0).unwrap(), library);
    assert!(library.smoothed_to(8000.0).unwrap_err().to_string().contains("narrower line spread"));
}

/// The scattered references of the real synthesis pass, the α track is warned of.
#[test]
fn libraries_of_a_real_synthesis() {
    let Some(folder) = shared_data().map(|data| data.join("synthetic_spectra")).filter(|folder| folder.is_dir()) else {
        eprintln!("notice: synthetic_spectra is absent; real gradient libraries are not tested");
        return;
    };
    for (kind, shape, warned) in [("scattered", (47, 15, 591), false), ("alpha_track", (29, 15, 591), true)] {
        let library = GradientLibrary::read(&folder.join(format!("gradients_{kind}_4800_5500.safetensors"))).unwrap();
        library.require_agreement().unwrap();
        let (n, l, w) = library.gradient.dim();
        assert!(n <= shape.0 && n > shape.0 / 2 && (l, w) == (shape.1, shape.2), "{kind}: {n} references");
        assert_eq!(library.names[..5], ["teff", "logg", "v_mic", "feh", "c_fe"]);
        assert_eq!(library.resolution, 1800.0);
        assert!((library.wavelength[0] - 4800.0).abs() < 2.0);
        let space = LabelSpace::covering(&library.names, &library.units, library.labels.view());
        // On the α track labels are constant in part, so that the range of the scattered ones is taken for
        // both.
        let range = |k: usize| if k < 4 { library.labels.column(k).iter().fold(0.0, |a: f64, b| a.max(b.abs())) } else { 0.8 };
        let space = space.unwrap_or_else(|_| LabelSpace {
            names: library.names.clone(),
            units: library.units.clone(),
            minimum: vec![0.0; 15],
            maximum: (0..15).map(range).collect(),
        });
        let said = library.weaknesses(&space);
        assert_eq!(said.iter().any(|text| text.contains("mg_fe")), warned, "{kind}: {said:#?}");
    }
    let second = GradientLibrary::read(&folder.join("second_code_giants_gradients_4005_5500.safetensors")).unwrap();
    assert_eq!(second.gradient.dim(), (23, 22, 1377));
    assert!(second.require_agreement().is_ok());
}
