//! Observation files of spectra, from recipe to table: rest frame, grid, joined arms and exposures, flagged
//! rows, and what is refused.

use super::samples::{Desi, LINE, LamostKind, SIGMA, lamost, log_wavelength, sdss, star, write};
use crate::error::Result;
use crate::survey::prepare::{Note, PrepareRecipe, Summary, prepare};
use crate::table::{self, Column, ColumnSchema, Table, Values};
use std::path::Path;

/// Prepares in a folder with a recipe whose paths are relative to it.
fn prepared(folder: &Path, recipe: &str) -> Result<(Summary, Table)> {
    let recipe = recipe.replace("@", &folder.display().to_string());
    let output = folder.join("observations.parquet");
    let summary = prepare(PrepareRecipe::parse(&recipe)?, &output, true)?;
    Ok((summary, table::read(&output)?))
}

fn message(folder: &Path, recipe: &str) -> String {
    prepared(folder, recipe).unwrap_err().to_string()
}

const HEAD: &str = "labels = []\n[spectra]\nfiles = [\"@/spectra\"]\ngrid = { linear = [5120, 5240, 0.5] }\n";

fn wavelengths(table: &Table) -> Vec<f64> {
    serde_json::from_str(table.metadata_of("wavelengths").unwrap()).unwrap()
}

fn flux(table: &Table, name: &str) -> ndarray::Array2<f64> {
    let w = wavelengths(table).len();
    table.column(name).unwrap().to_matrix(w).unwrap()
}

/// Centre of the line by its moments, Å.
fn centre(table: &Table, row: usize) -> f64 {
    let flux = flux(table, "flux");
    let near = |lambda: f64| (lambda - LINE).abs() < 4.0 * SIGMA;
    let depths = wavelengths(table).into_iter().zip(flux.row(row).to_vec()).filter(|(lambda, _)| near(*lambda));
    let (sum, moment) =
        depths.fold((0.0, 0.0), |(sum, moment), (lambda, flux)| (sum + 1.0 - flux, moment + lambda * (1.0 - flux)));
    moment / sum
}

fn velocities(folder: &Path, ids: &[i64], values: &[f64], warnings: &[i64], errors: &[f64]) {
    let table = Table::new(vec![
        Column::scalar(ColumnSchema::new("TARGETID", "", ""), Values::Int64(ids.to_vec())),
        Column::nullable(ColumnSchema::new("VRAD", "km/s", ""), values.to_vec()),
        Column::nullable(ColumnSchema::new("VRAD_ERR", "km/s", ""), errors.to_vec()),
        Column::scalar(ColumnSchema::new("RVS_WARN", "", ""), Values::Int64(warnings.to_vec())),
        Column::nullable(ColumnSchema::new("teff", "K", ""), vec![5000.0; ids.len()]),
        Column::nullable(ColumnSchema::new("teff_error", "K", ""), vec![50.0; ids.len()]),
    ]);
    table::write(&table.unwrap(), &folder.join("rv.parquet"), true).unwrap();
}

const TABLES: &str = "velocity = { source = \"column\", column = \"VRAD\", doppler = \"classical\", warning = \"RVS_WARN\", error = \"VRAD_ERR\", \
                      largest_error = 20 }\ncontinuum = { method = \"polynomial\", degree = 1 }\n[[tables]]\nfiles = [\"@/rv.parquet\"]\nid = \"TARGETID\"\n";

#[test]
fn stars_come_into_the_rest_frame_and_bad_ones_are_flagged_rows() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    let truth = [-200.0, 150.0, 0.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0];
    let mut desi = Desi::new(&truth);
    desi.status[6] = 512;
    desi.kinds[8] = "SKY";
    let change = |_: usize, row: usize, flux: &mut [f32], ivar: &mut [f32], mask: &mut [u32]| match row {
        2 => ivar.fill(0.0),
        3 => mask.fill(1),
        4 => {
            flux.fill(f32::NAN);
            ivar.fill(f32::NAN);
        }
        _ => {}
    };
    write(folder, "spectra/deep/coadd-main-bright-1.fits", &desi.hdus(change));
    write(folder, "spectra/redrock-main-bright-1.fits", &[vec![b'x'; 2880]]);
    let ids = &desi.ids;
    let nan = f64::NAN;
    velocities(
        folder,
        ids,
        &[-200.0, 150.0, 0.0, 30.0, 40.0, 9e4, 60.0, 70.0, 80.0],
        &[0, 0, 0, 0, 0, 0, 0, 8, 0],
        &[1.0, 30.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, nan],
    );
    let recipe = format!("{}{TABLES}", HEAD.replace("labels = []", "labels = [\"teff\"]") + "pattern = \"coadd-*\"\n");
    let (summary, table) = prepared(folder, &recipe).unwrap();
    assert_eq!((summary.n_stars, summary.n_not_stars, summary.n_failed_files), (8, 1, 0));
    assert_eq!(table.column("source_id").unwrap().to_i64().unwrap(), ids[..8]);
    let Values::Int32(notes) = &table.column("input_notes").unwrap().values else { panic!("no notes") };
    let no_flux = Note::NoFlux.bit();
    let missing = Note::ArmMissing.bit();
    let invalid = Note::VelocityInvalid.bit() | no_flux;
    let expected = [
        0,
        invalid,
        no_flux | missing,
        no_flux | missing,
        no_flux | missing | Note::BadPixels.bit(),
        invalid,
        Note::FiberBad.bit() | no_flux | missing,
        invalid,
    ];
    assert_eq!(*notes, expected);
    let (flux, error) = (flux(&table, "flux"), flux(&table, "flux_error"));
    for (row, notes) in notes.iter().enumerate() {
        let is_empty = notes & no_flux != 0;
        assert!(
            flux.row(row).iter().zip(error.row(row)).all(|(flux, error)| flux.is_nan() == is_empty && error.is_nan() == is_empty),
            "row {row}"
        );
    }
    // A velocity of 0.1 km/s is 0.002 Å.
    assert!((centre(&table, 0) - LINE).abs() < 0.01, "{}", centre(&table, 0));
    let deepest = flux.row(0).iter().copied().fold(f64::INFINITY, f64::min);
    assert!((deepest - 0.5).abs() < 0.02, "{deepest}");
    let velocity = table.column("radial_velocity_applied").unwrap().to_f64().unwrap();
    assert!(velocity[0] == -200.0 && velocity[1].is_nan());
    assert_eq!(table.column("teff").unwrap().to_f64().unwrap()[0], 5000.0);
    // S/N 20 a pixel of 0.8 Å, and two arms overlap at the end.
    let snr = table.column("snr").unwrap().to_f64().unwrap()[0];
    assert!((13.0..22.0).contains(&snr), "{snr}");
    let continuum = "polynomial, degree 1, splits [] Angstrom, clip 1.5 and 3, 5 iterations, without balmer, dib";
    for (key, value) in [("wavelength_unit", "Angstrom"), ("wavelength_medium", "vacuum"), ("flux_continuum", continuum)] {
        assert_eq!(table.metadata_of(key).map(String::as_str), Some(value));
    }
    assert_eq!(wavelengths(&table).len(), 241);
    assert!(table.metadata_of("flux_unit").is_none(), "flux over continuum has no unit");
    // Kept where they were observed, on request.
    let kept = recipe.replace("largest_error = 20 }", "largest_error = 20, without = \"observed-frame\" }");
    let (_, table) = prepared(folder, &kept).unwrap();
    assert!(
        (centre(&table, 1) - LINE * (1.0 + 150.0 / 299_792.458)).abs() < 0.05
            && table.column("radial_velocity_applied").unwrap().to_f64().unwrap()[1].is_nan()
    );
}

#[test]
fn exposures_and_arms_are_joined_with_their_weights() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    let mut desi = Desi { status_name: "FIBERSTATUS", ..Desi::new(&[0.0; 4]) };
    desi.ids = vec![7, 8, 7, 7];
    // A cosmic in one exposure; the third is dead.
    desi.status[3] = 512;
    let change = |arm: usize, row: usize, flux: &mut [f32], ivar: &mut [f32], mask: &mut [u32]| {
        if (arm, row) == (0, 2) {
            (flux[100], mask[100]) = (4e4, 4);
        }
        if row == 2 {
            ivar.fill(12.0);
        }
    };
    write(folder, "spectra/spectra-1.fits", &desi.hdus(change));
    let recipe = format!("{HEAD}velocity = {{ source = \"none\" }}\ncontinuum = {{ method = \"none\" }}\n")
        .replace("[5120, 5240, 0.5]", "[5100, 5346.4, 0.8]");
    let (_, table) = prepared(folder, &recipe).unwrap();
    assert_eq!(table.column("source_id").unwrap().to_i64().unwrap(), [8, 7]);
    assert_eq!(table.column("n_exposures").unwrap().to_i64().unwrap(), [1, 2], "not the one that is dead");
    let (flux, error) = (flux(&table, "flux"), flux(&table, "flux_error"));
    let ivar = |row: usize, j: usize| error[[row, j]].powi(-2);
    // B alone, the overlap of B and R (from 5228 Å), R alone.
    for (j, arms) in [(10, 1.0), (170, 2.0), (250, 1.0)] {
        assert!((ivar(0, j) / (4.0 * arms) - 1.0).abs() < 1e-5, "{j}: {}", ivar(0, j));
        assert!((ivar(1, j) / (16.0 * arms) - 1.0).abs() < 1e-5, "{j}: {}", ivar(1, j));
    }
    assert!((ivar(1, 100) - 4.0).abs() < 1e-4, "the exposure without the cosmic alone");
    let lambda = wavelengths(&table);
    assert!((0..lambda.len()).all(|j| (flux[[1, j]] - star(lambda[j], 0.0)).abs() < 1e-4));
    assert_eq!(table.metadata_of("flux_unit").unwrap(), "10**-17 erg.s**-1.cm**-2.Angstrom**-1");
    assert_eq!(table.column("flux").unwrap().schema.unit, "10**-17 erg.s**-1.cm**-2.Angstrom**-1");
}

#[test]
fn all_surveys_give_the_same_star() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    write(folder, "spectra/spec-a.fits", &lamost(LamostKind::Dr1, &[]));
    write(folder, "spectra/spec-b.fits", &lamost(LamostKind::Dr10, &[]));
    write(folder, "spectra/spec-c.fits", &sdss(false, &[]));
    write(folder, "spectra/spec-d.fits", &sdss(true, &[]));
    let recipe = format!(
        "{HEAD}carry = [\"PLANID\"]\nline_spread = true\nmask = [\"sky\"]\ncontinuum = {{ method = \"polynomial\", degree = 1 }}\n"
    );
    let (summary, table) = prepared(folder, &recipe).unwrap();
    assert_eq!((summary.n_stars, summary.n_failed_files), (4, 0));
    for row in 0..4 {
        assert!((centre(&table, row) - LINE).abs() < 0.02, "row {row}: {}", centre(&table, row));
    }
    let Values::Text(plans) = &table.column("planid").unwrap().values else { panic!("no text") };
    assert_eq!(*plans, ["B6212", "B6212", "", ""]);
    let spread = flux(&table, "line_spread");
    assert!(spread[[0, 100]].is_nan() && (spread[[2, 100]] - 1.1 * 5170.0 * 1e-4 * 10_f64.ln()).abs() < 0.01);
    let Values::Text(names) = &table.column("spectrum_file").unwrap().values else { panic!("no text") };
    assert_eq!(names[1], "spec-b.fits");
    // The same, whatever the number of threads and the order of files on the disk.
    let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap().install(|| prepared(folder, &recipe).unwrap().1);
    assert!(table.columns().iter().zip(alone.columns()).all(|(a, b)| a.same_as(b)));
}

#[test]
fn grids_in_air_hold_wavelengths_of_air() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    write(folder, "spectra/spec-a.fits", &sdss(true, &[]));
    let recipe = format!("{HEAD}grid_medium = \"air\"\ncontinuum = {{ method = \"polynomial\", degree = 1 }}\n");
    let (_, table) = prepared(folder, &recipe).unwrap();
    assert_eq!(table.metadata_of("wavelength_medium").unwrap(), "air");
    // specutils 2.4.0, vac_to_air(5184 AA, method="Ciddor1996"): 5182.5566.
    assert!((centre(&table, 0) - 5182.556).abs() < 0.03, "{}", centre(&table, 0));
}

#[test]
fn identifiers_of_another_catalogue_and_duplicates() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    for name in ["a", "b", "c"] {
        write(folder, &format!("spectra/spec-{name}.fits"), &lamost(LamostKind::Dr1, &[]));
    }
    let found = message(folder, HEAD);
    assert!(found.contains("spec-b.fits") && found.contains("again") && found.contains("keep-first"), "{found}");
    let (summary, table) = prepared(folder, &format!("duplicates = \"keep-first\"\n{HEAD}")).unwrap();
    assert_eq!((table.n_rows(), summary.n_duplicates), (1, 2));
    std::fs::write(folder.join("ids.csv"), "file,gaia\nspec-a.fits,3698400000000000001\nspec-c.fits.gz,5\n").unwrap();
    let recipe = format!("{HEAD}identifiers = {{ files = [\"@/ids.csv\"], key = \"file\", id = \"gaia\" }}\n");
    let (summary, table) = prepared(folder, &recipe).unwrap();
    assert_eq!(table.column("source_id").unwrap().to_i64().unwrap(), [3_698_400_000_000_000_001, 5]);
    assert_eq!(summary.n_without_id, 1);
}

#[test]
fn bad_files_are_named_and_the_others_go_on() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    let good = write(folder, "spectra/spec-b.fits", &lamost(LamostKind::Dr5, &[]));
    let bytes = std::fs::read(&good).unwrap();
    std::fs::write(folder.join("spectra/spec-a.fits"), &bytes[..5000]).unwrap();
    std::fs::write(folder.join("spectra/spec-c.fits"), "no FITS").unwrap();
    // Two of DESI's, one damaged near its end: its first stars stay.
    let (summary, table) = prepared(folder, HEAD).unwrap();
    assert_eq!((table.n_rows(), summary.n_failed_files, summary.failed_files.len()), (1, 2, 2));
    assert!(
        summary.failed_files[0].contains("spec-a.fits") && summary.failed_files[0].contains("as its header says"),
        "{:?}",
        summary.failed_files
    );
    // Nothing that can be read is an error, and so is a medium that files contradict.
    std::fs::remove_file(&good).unwrap();
    assert!(message(folder, HEAD).contains("spec-a.fits"));
    assert!(!folder.join("observations.parquet").exists() || table::read(&folder.join("observations.parquet")).is_ok());
    std::fs::write(&good, &bytes).unwrap();
    let found = message(folder, &format!("{HEAD}medium = \"air\"\n"));
    assert!(found.contains("spec-b.fits: found wavelengths in vacuum") && found.contains("expected air"), "{found}");
    assert!(message(folder, &format!("{HEAD}pattern = \"none-*\"\n")).contains("'none-*'"));
    assert!(message(folder, &HEAD.replace("@/spectra", "@/absent")).contains("no such file or folder"));
}

#[test]
fn spectra_without_velocity_overlap_or_continuum_are_flagged() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    write(folder, "spectra/spec-a.fits", &lamost(LamostKind::Dr5, &["Z       = -9999.0"]));
    let found = message(folder, HEAD);
    assert!(found.contains("no spectrum with a radial velocity") && found.contains("source = \"none\""), "{found}");
    write(folder, "spectra/spec-b.fits", &lamost(LamostKind::Dr10, &["OBSID   = 5", "Z       = 0.1"]));
    let (summary, table) = prepared(folder, HEAD).unwrap();
    assert_eq!(summary.noted, [(Note::NoFlux, 2), (Note::VelocityMissing, 1), (Note::VelocityInvalid, 1)].into());
    assert_eq!(table.n_rows(), 2);
    let none = "velocity = { source = \"none\" }\n";
    let (summary, _) = prepared(folder, &format!("{HEAD}{none}").replace("[5120, 5240, 0.5]", "[8000, 8100, 1]")).unwrap();
    assert_eq!(summary.noted, [(Note::NoFlux, 2), (Note::NoOverlap, 2)].into());
    let (summary, table) =
        prepared(folder, &format!("{HEAD}{none}mask = [\"dib\"]\nwindows = [{{ low = 5150, high = 5160, frame = \"rest\" }}]\n"))
            .unwrap();
    assert!(summary.noted.is_empty());
    let flux = flux(&table, "flux");
    let is_missing: Vec<bool> = wavelengths(&table).iter().map(|lambda| (5150.0..=5160.0).contains(lambda)).collect();
    // The last wavelengths of the sample are before the grid's end; ANDMASK leaves a hole of one pixel of
    // 1.2 Å.
    let n_nan = (0..flux.ncols()).filter(|&j| flux[[0, j]].is_nan() && !is_missing[j]).count();
    assert!((0..flux.ncols()).filter(|&j| is_missing[j]).all(|j| flux[[0, j]].is_nan()) && n_nan < 6, "{n_nan}");
    assert!(log_wavelength(289) > 5240.0);
}

#[test]
fn plain_tables_without_a_medium_are_refused_and_smoothing_widens_no_error() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    let text = (0..400).fold("wavelength,flux,flux_error\n".to_owned(), |text, i| {
        let lambda = 5100.0 + 0.4 * f64::from(i);
        text + &format!("{lambda},{},0.5\n", star(lambda, 0.0))
    });
    std::fs::create_dir_all(folder.join("spectra")).unwrap();
    std::fs::write(folder.join("spectra/template.csv"), text).unwrap();
    let none = "velocity = { source = \"none\" }\n";
    let found = message(folder, &format!("{HEAD}{none}"));
    assert!(found.contains("template.csv: found nothing that tells whether") && found.contains("medium = "), "{found}");
    let recipe = format!("{HEAD}{none}medium = \"vacuum\"\ncontinuum = {{ method = \"none\" }}\n");
    let (_, plain) = prepared(folder, &recipe).unwrap();
    let smoothing = "smooth = { window = 5, degree = 2 }\n";
    let smooth = |more: &str| {
        prepared(folder, &format!("{HEAD}{none}medium = \"vacuum\"\n{smoothing}{more}continuum = {{ method = \"none\" }}\n"))
            .unwrap()
            .1
    };
    let ratio = |table: &Table| flux(table, "flux_error")[[0, 100]] / flux(&plain, "flux_error")[[0, 100]];
    // Of a pixel alone; what fits need is with its covariances, which smoothing does not change.
    let [kept, alone] = [smooth(""), smooth("variance = \"alone\"\n")];
    assert!((ratio(&kept) - 1.0).abs() < 1e-6, "{}", ratio(&kept));
    assert!(ratio(&alone) <= (17.0_f64 / 35.0).sqrt() + 1e-3, "{}", ratio(&alone));
    let words = kept.metadata["flux_continuum"].as_str();
    assert_eq!(words, "none, flux smoothed by savitzky-golay, window 5, degree 2");
    let both = message(folder, &format!("{recipe}[xp]\nfiles = [\"@/x\"]\n"));
    assert!(both.contains("one kind of flux"), "{both}");
}
