//! Tests of reading continuous spectra.

use super::spline::SplineFunctions;
use super::*;
use crate::noise::triangle;
use crate::table::{Column, ColumnSchema, Shape, Table, Values};
use crate::testing::shared_data;
use std::sync::Arc;

/// Bases of BP and RP of the small instrument.
const N_BP: usize = 5;
const N_RP: usize = 6;

/// An instrument of cubic B-splines (5 in BP, 6 in RP; basis number 70 and 71), with the dispersion of a
/// straight line and a flat response.
fn small_instrument() -> Arc<Instrument> {
    let clamped = |n: usize| -> Vec<f64> {
        let inner = (1..n - 3).map(|k| 60.0 * k as f64 / (n - 3) as f64);
        [0.0; 4].into_iter().chain(inner).chain([60.0; 4]).collect()
    };
    assert_eq!(SplineFunctions::new(clamped(N_BP), 4).unwrap().len(), N_BP);
    let line = vec![300.0, 300.0, 300.0, 300.0, 1100.0, 1100.0, 1100.0, 1100.0];
    // Control points of a cubic that is the straight line from 0 to 60.
    let (rising, flat) = (vec![0.0, 20.0, 40.0, 60.0], vec![0.5; 4]);
    let mut tensors = vec![("constants".to_owned(), vec![2e-16, 0.7])];
    for (band, n, range) in [("bp", N_BP, [330.0, 643.0]), ("rp", N_RP, [635.0, 1020.0])] {
        for (name, values) in [
            ("internal.knots", clamped(n)),
            ("bases.knots", clamped(n)),
            ("dispersion.knots", line.clone()),
            ("dispersion.coefficients", rising.clone()),
            ("response.knots", line.clone()),
            ("response.coefficients", flat.clone()),
            ("range", range.to_vec()),
        ] {
            tensors.push((format!("{band}.{name}"), values));
        }
    }
    let metadata = [("photosphere_xp_instrument", "1"), ("name", "small"), ("release", "a test")].into_iter().chain([
        ("bp_basis", "b-spline"),
        ("bp_order", "4"),
        ("bp_inverse_basis", "b-spline"),
        ("bp_inverse_order", "4"),
    ]);
    let metadata = metadata
        .chain([("rp_basis", "b-spline"), ("rp_order", "4"), ("rp_inverse_basis", "b-spline"), ("rp_inverse_order", "4")])
        .chain([("bp_basis_function_id", "70"), ("rp_basis_function_id", "71")])
        .map(|(key, text)| (key.to_owned(), text.to_owned()))
        .collect();
    let bytes: Vec<(String, Vec<u8>)> =
        tensors.iter().map(|(name, values)| (name.clone(), values.iter().flat_map(|v| v.to_le_bytes()).collect())).collect();
    let views = bytes.iter().map(|(name, bytes)| {
        (name.clone(), safetensors::tensor::TensorView::new(safetensors::Dtype::F64, vec![bytes.len() / 8], bytes).unwrap())
    });
    let file = safetensors::serialize(views, Some(metadata)).unwrap();
    Arc::new(Instrument::from_bytes(&file).unwrap())
}

fn lists(name: &str, rows: &[Option<&[f64]>]) -> Column {
    let mut offsets = vec![0];
    let mut flat = Vec::new();
    for row in rows {
        flat.extend_from_slice(row.unwrap_or_default());
        offsets.push(flat.len());
    }
    let valid = Some(rows.iter().map(Option::is_some).collect());
    let schema = ColumnSchema::new(name, "", "");
    Column { schema, values: Values::Float64(flat), shape: Shape::Variable(offsets), valid }
}

fn integers(name: &str, values: &[i32]) -> Column {
    Column::scalar(ColumnSchema::new(name, "", ""), Values::Int32(values.to_vec()))
}

fn put(table: &mut Table, column: Column) {
    table.take(&column.schema.name.clone());
    table.push(column).unwrap();
}

/// Four rows: both bands, RP alone, neither, BP with too few errors.
fn table() -> Table {
    let (bp, rp) = ([3.0, 1.0, 0.5, 0.2, 0.1], [2.0, 1.0, 0.4, 0.3, 0.2, 0.1]);
    let (bp_errors, rp_errors, correlations) = ([0.1; N_BP], [0.2; N_RP], [0.1; 10]);
    Table::new(vec![
        Column::scalar(ColumnSchema::new("source_id", "", ""), Values::Int64((1..=4).collect())),
        lists("bp_coefficients", &[Some(&bp), None, None, Some(&bp)]),
        lists("bp_coefficient_errors", &[Some(&bp_errors), None, None, Some(&bp_errors[..2])]),
        lists("bp_coefficient_correlations", &[Some(&correlations), None, None, None]),
        lists("rp_coefficients", &[Some(&rp), Some(&rp), None, None]),
        lists("rp_coefficient_errors", &[Some(&rp_errors), Some(&rp_errors), None, None]),
        Column::nullable(ColumnSchema::new("bp_standard_deviation", "", ""), vec![1.2, f64::NAN, f64::NAN, 1.0]),
        integers("bp_basis_function_id", &[70; 4]),
        integers("rp_basis_function_id", &[71; 4]),
    ])
    .unwrap()
}

fn options() -> SpectrumOptions {
    SpectrumOptions::new(small_instrument())
}

fn read(table: &Table, options: &SpectrumOptions) -> Vec<Result<Spectrum, Fault>> {
    let reader = SpectrumReader::new(table, options).unwrap();
    (0..table.n_rows()).map(|row| reader.spectrum(row)).collect()
}

fn message(spectrum: &Result<Spectrum, Fault>) -> String {
    spectrum.as_ref().err().map(Fault::to_string).unwrap_or_default()
}

#[test]
fn bands_may_be_missing_and_bad_rows_are_faults() {
    let spectra = read(&table(), &options());
    let first = spectra[0].as_ref().unwrap();
    assert_eq!(first.bp.as_ref().map(|band| band.standard_deviation), Some(1.2));
    assert_eq!(first.rp.as_ref().map(|band| band.correlations.is_none()), Some(true));
    let second = spectra[1].as_ref().unwrap();
    assert!(second.bp.is_none() && second.rp.as_ref().is_some_and(|band| band.coefficients.len() == N_RP));
    assert_eq!(spectra[2], Err(Fault::NoBand));
    assert_eq!(spectra[3], Err(Fault::Length { band: "bp", what: "errors", found: 2, expected: 5 }));
    let (table, options) = (table(), options());
    let counts = SpectrumReader::new(&table, &options).unwrap().coefficient_counts();
    assert_eq!(counts.into_iter().collect::<Vec<_>>(), [(0, 0), (0, 6), (5, 0), (5, 6)]);
}

/// The numbers of bases of BP and RP may differ, and each is the instrument's.
#[test]
fn fluxes_of_splines_are_those_of_their_functions() {
    let spectrum = read(&table(), &options()).remove(0).unwrap();
    let sampling = small_instrument().sampling(&[400.0, 640.0, 900.0], N_BP, N_RP).unwrap();
    assert_eq!((sampling.bp.dim(), sampling.rp.dim()), ((3, N_BP), (3, N_RP)));
    let flux = sampling.flux(&spectrum);
    let functions = SplineFunctions::new(vec![0.0, 0.0, 0.0, 0.0, 30.0, 60.0, 60.0, 60.0, 60.0], 4).unwrap();
    let internal: f64 = functions.values(7.5).iter().zip([3.0, 1.0, 0.5, 0.2, 0.1]).map(|(a, b)| a * b).sum();
    let expected = internal * 2e-16 / 0.7 / (0.5 * 400.0) / FLUX_UNIT;
    assert!((flux[0] / expected - 1.0).abs() < 1e-12 && flux.iter().all(|flux| *flux > 0.0), "{flux:?} {expected}");
}

#[test]
fn other_bases_and_counts_are_refused_by_name() {
    let mut other = table();
    put(&mut other, integers("rp_basis_function_id", &[71, 99, 71, 71]));
    put(&mut other, integers("bp_n_parameters", &[55; 4]));
    let spectra = read(&other, &options());
    assert_eq!(spectra[0], Err(Fault::Length { band: "bp", what: "coefficients", found: 5, expected: 55 }));
    let fault = message(&spectra[1]);
    assert!(fault.contains("basis functions number 99") && fault.contains("small has number 71"), "{fault}");
    for (rp, said, without) in [
        (
            &[1.0; 60][..],
            "60 coefficients, the instrument small has 6 basis functions",
            "60 coefficients and no rp_basis_function_id",
        ),
        (&[1.0; 5], "5 coefficients, the instrument small has 6", "5 coefficients and no rp_basis_function_id"),
    ] {
        let mut other = table();
        put(&mut other, lists("rp_coefficients", &[None, Some(rp), None, None]));
        put(&mut other, lists("rp_coefficient_errors", &[None, Some(rp), None, None]));
        let fault = read(&other, &options()).remove(1).unwrap_err();
        assert!(fault.to_string().contains(said) && fault.is_of_instrument(), "{fault}");
        assert!(fault.to_string().contains("xp.instrument") && !fault.to_string().contains("truncation"), "{fault}");
        put(&mut other, Column::nullable(ColumnSchema::new("rp_basis_function_id", "", ""), vec![f64::NAN; 4]));
        let null = read(&other, &options()).remove(1).unwrap_err();
        other.take("rp_basis_function_id");
        let absent = read(&other, &options()).remove(1).unwrap_err();
        assert_eq!(null, absent);
        assert!(absent.to_string().contains(without) && absent.is_of_instrument(), "{absent}");
    }
}

/// A table of DR3's bases with `n` BP coefficients, all rows alike.
fn dr3_table(n: usize, ids: bool, n_relevant: i32) -> Table {
    let (coefficients, correlations) = (vec![1.0; n], vec![0.1; n * (n - 1) / 2]);
    let rows = |values: &[f64], name: &str| lists(name, &[Some(values), Some(values)]);
    let mut table = Table::new(vec![Column::scalar(ColumnSchema::new("source_id", "", ""), Values::Int64(vec![1, 2]))]).unwrap();
    for band in ["bp", "rp"] {
        table.push(rows(&coefficients, &format!("{band}_coefficients"))).unwrap();
        table.push(rows(&coefficients, &format!("{band}_coefficient_errors"))).unwrap();
        table.push(rows(&correlations, &format!("{band}_coefficient_correlations"))).unwrap();
        table.push(integers(&format!("{band}_n_relevant_bases"), &[n_relevant; 2])).unwrap();
        if ids {
            table.push(integers(&format!("{band}_basis_function_id"), &[if band == "bp" { 56 } else { 57 }; 2])).unwrap();
        }
    }
    table
}

#[test]
fn truncation_is_asked_for_and_of_hermite_sets_alone() {
    let with = |truncation| {
        let dr3 = SpectrumOptions::new(Instrument::built_in("gaia-dr3").unwrap());
        SpectrumOptions { truncation, ..dr3 }
    };
    let lengths = |table: &Table, truncation| -> Result<(usize, usize), Fault> {
        let band = read(table, &with(truncation)).remove(0)?.bp.unwrap();
        Ok((band.coefficients.len(), band.correlations.unwrap().len()))
    };
    let modes = [Truncation::None, Truncation::Published, Truncation::RelevantBases];
    let [none, published, relevant] = modes;
    // Cut without identifiers: refused whatever the option.
    assert!(
        modes.into_iter().all(|mode| matches!(lengths(&dr3_table(51, false, 20), mode), Err(Fault::CountWithoutBasis { .. })))
    );
    let fault = lengths(&dr3_table(51, true, 20), none).unwrap_err().to_string();
    assert!(fault.contains("xp.truncation = \"published\""), "{fault}");
    assert_eq!(lengths(&dr3_table(51, true, 20), published), Ok((51, 1275)));
    assert_eq!(lengths(&dr3_table(51, true, 20), relevant), Ok((20, 190)));
    assert!(modes.into_iter().all(|mode| lengths(&dr3_table(56, true, 20), mode).is_err()));
    assert_eq!(lengths(&dr3_table(55, true, 20), published), Ok((55, 1485)));
    // Numbers that say nothing truncate nothing.
    for n_relevant in [-1, 0, 1, 55, 99] {
        assert_eq!(lengths(&dr3_table(55, true, n_relevant), relevant), Ok((55, 1485)), "{n_relevant}");
    }
    let counts = |truncation| {
        let (table, options) = (dr3_table(55, true, 20), with(truncation));
        SpectrumReader::new(&table, &options).unwrap().coefficient_counts().into_iter().collect::<Vec<_>>()
    };
    assert_eq!((counts(none), counts(relevant)), (vec![(55, 55)], vec![(20, 20)]));
    let splines = SpectrumOptions { truncation: published, ..options() };
    assert!(splines.validate().unwrap_err().to_string().contains("B-splines"));
}

#[test]
fn absent_and_wrongly_typed_columns_are_errors() {
    let error = |table: &Table| SpectrumReader::new(table, &options()).err().map(|error| error.to_string()).unwrap_or_default();
    let mut without = table();
    without.take("rp_coefficients");
    assert!(error(&without).contains("'rp_coefficients'"));
    let mut without = table();
    without.take("rp_coefficient_errors");
    assert!(error(&without).contains("'rp_coefficient_errors'"));
    let mut alone = table();
    for name in alone.columns().iter().map(|column| column.schema.name.clone()).collect::<Vec<_>>() {
        if name.starts_with("bp_") {
            alone.take(&name);
        }
    }
    let usual = options();
    let spectra = SpectrumReader::new(&alone, &usual).unwrap();
    assert!(
        (0..4).all(|row| spectra.spectrum(row).is_ok_and(|spectrum| spectrum.bp.is_none()) || spectra.spectrum(row).is_err())
    );
    let mut text = table();
    put(&mut text, Column::scalar(ColumnSchema::new("bp_coefficients", "", ""), Values::Text(vec!["x".into(); 4])));
    assert!(error(&text).contains("expected a list of numbers"), "{}", error(&text));
}

#[test]
fn arrays_as_text_and_columns_of_other_names_are_the_same() {
    let mut other = table();
    let text = "[3.0, 1.0, 0.5, 0.2, 0.1]";
    let texts = [text, "null", "", "(3.0 1.0 0.5 0.2 0.1)"].map(String::from).into();
    other.take("bp_coefficients");
    other.push(Column::scalar(ColumnSchema::new("blue", "", ""), Values::Text(texts))).unwrap();
    let columns: ColumnMap = toml::from_str("bp_coefficients = \"blue\"").unwrap();
    let other = columns.renamed(other).unwrap();
    // As text, since absent standard deviations are NaN.
    let shown = |table: &Table, options: &SpectrumOptions| format!("{:?}", read(table, options));
    assert_eq!(shown(&other, &options()), shown(&table(), &options()));
}

/// What a solution of one transit says of its errors is formal: usable as published, not to be divided by s.
#[test]
fn solutions_without_freedom_are_used_as_published() {
    let mut single = table();
    put(&mut single, integers("bp_degrees_of_freedom", &[-3, 0, 0, 5]));
    let (usual, options) = (read(&single, &options()), options());
    let reader = SpectrumReader::new(&single, &options).unwrap();
    assert!(usual[0].is_ok() && reader.lacks_freedom(0) && !reader.lacks_freedom(1));
    let divided = SpectrumOptions { error_convention: ErrorConvention::DividedByStandardDeviation, ..options.clone() };
    let fault = message(&read(&single, &divided)[0]);
    assert!(fault.contains("-3 degrees of freedom") && fault.contains("published"), "{fault}");
    put(&mut single, integers("bp_degrees_of_freedom", &[3, 0, 0, 5]));
    put(&mut single, Column::nullable(ColumnSchema::new("rp_standard_deviation", "", ""), vec![1.0; 4]));
    assert!(read(&single, &divided)[0].is_ok());
}

/// The covariance of coefficients, from errors and correlations.
fn covariance(band: &Band) -> Vec<f64> {
    let n = band.coefficients.len();
    let correlation = |i: usize, j: usize| if i == j { 1.0 } else { band.correlations.as_ref().unwrap()[i * (i - 1) / 2 + j] };
    (0..n).flat_map(|i| (0..=i).map(move |j| (i, j))).map(|(i, j)| band.errors[i] * correlation(i, j) * band.errors[j]).collect()
}

/// The four encodings in files give the same covariance; with several in one file a contradiction is a fault.
#[test]
fn encodings_in_columns_agree() {
    let (s, errors) = (1.5, [0.3, 0.4, 0.5, 0.6, 0.7]);
    // Rows of a lower triangular N with columns of length 2^28: the normalised factor of the correlations.
    let angle = |row: usize, column: usize| (0.9 * (row * 3 + column) as f64).sin() * 0.4 + if row == column { 1.0 } else { 0.0 };
    let length = |column: usize| (column..N_BP).map(|row| angle(row, column).powi(2)).sum::<f64>().sqrt();
    let lower = || (0..N_BP).flat_map(|row| (0..=row).map(move |column| (row, column)));
    let unit = |row: usize, column: usize| if column > row { 0.0 } else { angle(row, column) / length(column) };
    let correlation = |i: usize, j: usize| (0..N_BP).map(|k| unit(k, i) * unit(k, j)).sum::<f64>();
    let normalised: Vec<f64> = lower().map(|(row, column)| (unit(row, column) * f64::from(1 << 28)).round()).collect();
    let formal: Vec<f64> = errors.iter().map(|error| error / s).collect();
    let factor: Vec<f64> = lower().map(|(row, column)| unit(row, column) * formal[column]).collect();
    let packed: Vec<f64> = lower().map(|(i, j)| correlation(i, j) * formal[i] * formal[j]).collect();
    let correlations: Vec<f64> = lower().filter(|(i, j)| i != j).map(|(i, j)| correlation(i, j)).collect();
    let coefficients = [3.0, 1.0, 0.5, 0.2, 0.1];
    let with = |columns: &[(&str, &[f64])]| {
        let mut table = Table::new(vec![
            Column::scalar(ColumnSchema::new("source_id", "", ""), Values::Int64(vec![1])),
            lists("bp_coefficients", &[Some(&coefficients)]),
            lists("rp_coefficients", &[None]),
            lists("rp_coefficient_errors", &[None]),
            Column::nullable(ColumnSchema::new("bp_standard_deviation", "", ""), vec![s]),
            integers("bp_basis_function_id", &[70]),
        ])
        .unwrap();
        columns.iter().for_each(|(name, values)| table.push(lists(name, &[Some(values)])).unwrap());
        read(&table, &options()).remove(0).map(|spectrum| spectrum.bp.unwrap())
    };
    let a: &[(&str, &[f64])] = &[("bp_coefficient_errors", &errors), ("bp_coefficient_correlations", &correlations)];
    let b: (&str, &[f64]) = ("bp_coefficient_covariances", &packed);
    let c: (&str, &[f64]) = ("bp_sqrt_cov", &factor);
    let d: &[(&str, &[f64])] = &[("bp_formal_errors", &formal), ("bp_norm_sqrt_cov", &normalised)];
    let expected = covariance(&with(a).unwrap());
    let all = [a, &[b, c], d].concat();
    for columns in [&[b][..], &[c], d, &[a[0], b], &[a[0], c], &[a[0], d[1]], &all, &[d[1], d[0], a[0]]] {
        let band = with(columns).unwrap();
        let found = covariance(&band);
        let difference = found.iter().zip(&expected).map(|(a, b)| (a - b).abs() / 0.09).fold(0.0, f64::max);
        assert!(difference < 1e-7, "{columns:?}: {difference:e}");
    }
    let reversed: Vec<f64> = correlations.iter().rev().copied().collect();
    let fault = with(&[a[0], ("bp_coefficient_correlations", &reversed), b]).unwrap_err().to_string();
    assert!(fault.contains("covariance and its correlations differ"), "{fault}");
}

/// Eight simulated spectra of GaiaXPy-like files (51 BP and 55 RP splines): refused by both built-in
/// instruments, by name; with an instrument of their knots, correlations and covariances agree to the single
/// precision of the correlations. Largest difference seen: 1e-7 σᵢσⱼ.
#[test]
fn dr4_like_spectra_need_their_instrument() {
    let Some(data) = shared_data() else { return };
    let table = crate::table::read(&data.join("xp_cycle04/dr4_like.parquet")).unwrap();
    for (name, said) in [
        ("gaia-dr3", "basis functions number 0"),
        ("gaia-cycle04-toy", "51 coefficients, the instrument gaia-cycle04-toy has 48"),
    ] {
        let options = SpectrumOptions::new(Instrument::built_in(name).unwrap());
        let spectra = read(&table, &options);
        assert!(spectra.iter().all(|spectrum| message(spectrum).contains(said)), "{}", message(&spectra[0]));
    }
    let mut without = table.clone();
    without.take("bp_basis_function_id");
    without.take("rp_basis_function_id");
    let spectra = spectra_from_table(&without).unwrap();
    assert!(spectra.iter().all(|spectrum| matches!(spectrum, Err(Fault::CountWithoutBasis { band: "bp", found: 51, .. }))));
    let options = SpectrumOptions::new(instrument_of_knots(51, 55));
    let by = |encoding| read(&table, &SpectrumOptions { covariance: Some(encoding), ..options.clone() });
    let (correlated, covariant) = (by(Encoding::Correlations), by(Encoding::Covariance));
    let all = read(&table, &options);
    for ((one, other), all) in correlated.iter().zip(&covariant).zip(&all) {
        let [one, other, all] = [one, other, all].map(|spectrum| spectrum.as_ref().unwrap());
        assert_eq!(one.source_id, all.source_id);
        for (one, other) in [(&one.bp, &other.bp), (&one.rp, &other.rp)] {
            let [one, other] = [one, other].map(|band| band.as_ref().unwrap());
            let (a, b) = (covariance(one), covariance(other));
            for i in 0..one.errors.len() {
                for j in 0..=i {
                    let scale = one.errors[i] * one.errors[j];
                    let at = i * (i + 1) / 2 + j;
                    assert!((a[at] - b[at]).abs() < 1e-6 * scale);
                }
            }
        }
    }
    let reader = SpectrumReader::new(&table, &options).unwrap();
    let n_without_freedom = (0..8).filter(|&row| reader.lacks_freedom(row)).count();
    assert_eq!(n_without_freedom, 2, "the spectra of one transit");
    // Their fluxes in pseudo-wavelength are the smooth truth of make_dr4_like.py, within their errors.
    let sampling = options.instrument.internal_sampling(&[20.0, 30.0, 40.0]).unwrap();
    for spectrum in covariant.iter().step_by(4) {
        let converted = sampling.convert_bp(spectrum.as_ref().unwrap().bp.as_ref().unwrap()).unwrap();
        for (position, (flux, error)) in [20.0_f64, 30.0, 40.0].iter().zip(converted.flux.iter().zip(&converted.error)) {
            let truth = 1e3
                * (-0.5 * ((position - 30.0) / 12.0_f64).powi(2)).exp()
                * (1.0 - 0.2 * (-0.5 * ((position - 25.0) / 1.5_f64).powi(2)).exp());
            assert!((flux - truth).abs() < 5.0 * error && *error < 0.1 * truth, "{position}: {flux} ± {error}, {truth}");
        }
    }
}

/// Splines on the knots of make_dr4_like.py, without external calibration, number 0.
fn instrument_of_knots(n_bp: usize, n_rp: usize) -> Arc<Instrument> {
    let clamped = |n: usize| -> Vec<f64> {
        let inner = (1..n - 3).map(|k| 59.0 * k as f64 / (n - 3) as f64);
        [0.0; 4].into_iter().chain(inner).chain([59.0; 4]).collect()
    };
    let bytes = [("bp", n_bp), ("rp", n_rp)].map(|(band, n)| {
        let bytes: Vec<u8> = clamped(n).iter().flat_map(|knot| knot.to_le_bytes()).collect();
        (format!("{band}.internal.knots"), bytes)
    });
    let views = bytes.iter().map(|(name, bytes)| {
        (name.clone(), safetensors::tensor::TensorView::new(safetensors::Dtype::F64, vec![bytes.len() / 8], bytes).unwrap())
    });
    let texts = [
        ("photosphere_xp_instrument", "1"),
        ("name", "knots"),
        ("release", "a test"),
        ("bp_basis", "b-spline"),
        ("rp_basis", "b-spline"),
        ("bp_order", "4"),
        ("rp_order", "4"),
        ("bp_basis_function_id", "0"),
        ("rp_basis_function_id", "0"),
    ];
    let metadata = texts.map(|(key, text)| (key.to_owned(), text.to_owned())).into();
    Arc::new(Instrument::from_bytes(&safetensors::serialize(views, Some(metadata)).unwrap()).unwrap())
}

/// DR3 files of real stars, cut to other numbers of coefficients, are an error for every row.
#[test]
fn real_spectra_cut_short_are_refused() {
    let Some(data) = shared_data() else { return };
    let table = crate::table::read(&data.join("xp_continuous/XP_CONTINUOUS_RAW.fits")).unwrap();
    let mut cut = Table::new(vec![table.column("source_id").unwrap().clone()]).unwrap();
    for (band, n) in [("bp", 51), ("rp", 55)] {
        for (name, length) in [("coefficients", n), ("coefficient_errors", n), ("coefficient_correlations", n * (n - 1) / 2)] {
            let column = table.column(&format!("{band}_{name}")).unwrap();
            let flat = column.flat_f64().unwrap();
            let rows: Vec<&[f64]> = (0..column.n_rows()).map(|row| &flat[column.range(row)][..length]).collect();
            let rows: Vec<Option<&[f64]>> = rows.into_iter().map(Some).collect();
            cut.push(lists(&column.schema.name, &rows)).unwrap();
        }
    }
    let spectra = spectra_from_table(&cut).unwrap();
    assert!(spectra.iter().all(|spectrum| matches!(spectrum, Err(Fault::CountWithoutBasis { band: "bp", found: 51, .. }))));
    // A packed flux covariance of what would have been fitted stays a matter of the full spectra.
    let full = spectra_from_table(&table).unwrap().remove(0).unwrap();
    let sampling = Instrument::standard().unwrap().sampling(&DEFAULT_WAVELENGTHS, 55, 55).unwrap();
    assert!(sampling.covariance(&full, ErrorConvention::Published)[triangle::upper(3, 3, 61)] > 0.0);
}
