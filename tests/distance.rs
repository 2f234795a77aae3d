//! `photosphere distance` as its users see it: catalogues in every format, runs over partitions, names of the
//! papers, bad input.

mod common;

use common::{fail, files, json, run, succeed, write};
use photosphere::distance::flags;
use photosphere::distance::neighbours::NeighbourOptions;
use photosphere::table::{self, Column, ColumnSchema, Table, Values};
use std::path::Path;
use tempfile::tempdir;

const N: usize = 60;

/// Stars from 0.2 to 6 kpc with M = 2 ± 0.2; their parallaxes are 0.03 mas off, at a colour and magnitude
/// where the zero point is near that. The last three: no parallax, nothing usable, an equal-mass binary at
/// 0.5 kpc.
fn stars() -> Table {
    let distances: Vec<f64> = (0..N).map(|star| 0.2 * 30f64.powf(star as f64 / (N - 1) as f64)).collect();
    let noise = |star: usize| ((star * 37 % 61) as f64 / 30.0 - 1.0) * 1.2;
    let numbers = |of: &dyn Fn(usize) -> f64| -> Vec<f64> { (0..N).map(of).collect() };
    let parallax = numbers(&|star| match star {
        57 => f64::NAN,
        58 => -9999.0,
        59 => 2.0 - 0.03,
        _ => distances[star].recip() - 0.03 + 0.02 * noise(star),
    });
    let magnitude = numbers(&|star| match star {
        58 => f64::NAN,
        59 => 12.0 + 5.0 * 0.5f64.log10() - 0.7526 + 0.3,
        _ => 12.0 + 5.0 * distances[star].log10() + 0.3,
    });
    let absolute = numbers(&|star| 2.0 + 0.2 * noise(star + 7));
    let column = |name: &str, unit: &str, values: Vec<f64>| Column::nullable(ColumnSchema::new(name, unit, ""), values);
    let ids = (0..N as i64).map(|star| 4_000_000_000_000_000_000 + star).collect();
    let mut table = Table::new(vec![Column::scalar(ColumnSchema::new("source_id", "", ""), Values::Int64(ids))]).unwrap();
    for column in [
        column("ra", "deg", numbers(&|star| star as f64)),
        column("dec", "deg", vec![20.0; N]),
        column("parallax", "mas", parallax),
        column("parallax_error", "mas", vec![0.02; N]),
        column("phot_g_mean_mag", "mag", magnitude),
        column("nu_eff_used_in_astrometry", "", vec![1.5; N]),
        column("pseudocolour", "", vec![f64::NAN; N]),
        column("astrometric_params_solved", "", vec![31.0; N]),
        column("ruwe", "", vec![1.0; N]),
        column("a_g", "mag", vec![0.3; N]),
        column("a_g_error", "mag", vec![0.03; N]),
        column("absolute_magnitude", "mag", absolute),
        column("absolute_magnitude_error", "mag", vec![0.2; N]),
    ] {
        table.push(column).unwrap();
    }
    table
}

fn numbers(table: &Table, name: &str) -> Vec<f64> {
    table.column(name).unwrap().to_f64().unwrap()
}

fn read(folder: &Path, name: &str) -> Table {
    table::read(&folder.join(name)).unwrap()
}

/// All digits of all columns, in which one NaN is like another.
fn text_of(table: &Table) -> String {
    format!("{:?}", table.columns())
}

#[test]
fn a_catalogue_of_distances_in_every_format() {
    let folder = tempdir().unwrap();
    let path = folder.path();
    let mut first = None;
    for (input, output) in [("stars.parquet", "a.parquet"), ("stars.fits", "a.fits"), ("stars.ecsv", "a.ecsv")] {
        write(&stars(), path, input);
        let summary = json(path, &format!("distance {input} -o {output} --keep ruwe --json"));
        assert_eq!((summary["stars"].as_u64(), summary["without_distance"].as_u64()), (Some(60), Some(1)));
        let found = read(path, output);
        let distances = numbers(&found, "distance");
        assert!(distances[58].is_nan() && distances.iter().filter(|distance| distance.is_finite()).count() == 59);
        for (star, distance) in distances[..57].iter().enumerate() {
            let truth = 0.2 * 30f64.powf(star as f64 / 59.0);
            assert!((distance / truth - 1.0).abs() < 0.3, "{star}: {distance} at {truth}");
        }
        let flags: Vec<i64> = found.column("quality_flags").unwrap().to_i64().unwrap();
        assert_eq!(flags[57] as i32, flags::NO_PARALLAX);
        assert_eq!(flags[58] as i32, flags::BAD_PARALLAX | flags::NO_MAGNITUDE | flags::NO_DISTANCE);
        assert_eq!(flags[59] as i32 & flags::PARALLAX_ALONE, flags::PARALLAX_ALONE);
        assert!((numbers(&found, "parallax_zero_point")[20] + 0.03).abs() < 0.02 && numbers(&found, "ruwe")[3] == 1.0);
        assert_eq!(numbers(&found, "ra")[5], 5.0);
        for key in ["program", "command", "recipe", "inputs", "run_sha256"] {
            assert!(found.metadata_of(key).is_some(), "{key}");
        }
        match &first {
            None => first = Some(distances),
            Some(first) => {
                let same = |(a, b): (&f64, &f64)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
                assert!(first.iter().zip(&distances).all(same), "{output}");
            }
        }
    }
    // The same run again, and with other threads.
    succeed(path, "distance stars.fits -o a.fits --keep ruwe --resume");
    succeed(path, "distance stars.fits -o b.fits --keep ruwe --threads 3");
    assert_eq!(text_of(&read(path, "a.fits")), text_of(&read(path, "b.fits")));
    fail(path, "distance stars.fits -o a.fits", 1, &["a.fits", "--overwrite"]);
    fail(path, "distance stars.fits -o stars.fits --overwrite", 2, &["no option writes over an input"]);
}

#[test]
fn partitions_are_resumed_and_a_bad_one_does_not_stop_the_others() {
    let folder = tempdir().unwrap();
    let path = folder.path();
    std::fs::create_dir(path.join("in")).unwrap();
    let all = stars();
    write(&all.select(&(0..30).collect::<Vec<_>>()), path, "in/a.parquet");
    write(&all.select(&(30..60).collect::<Vec<_>>()), path, "in/b.fits");
    std::fs::write(path.join("in/c.fits"), "no table").unwrap();
    assert_eq!(run(path, "distance in -o out/").0, 3);
    assert_eq!(files(&path.join("out")), [".photosphere", "a.parquet", "b.parquet"]);
    fail(path, "distance in/a.parquet in/b.fits -o out/", 1, &["2 of 2 partitions finished", "--resume"]);
    std::fs::remove_file(path.join("in/c.fits")).unwrap();
    succeed(path, "distance in -o out/ --resume");
    fail(path, "distance in -o out/ --resume --keep ruwe", 2, &["other settings"]);
    succeed(path, "distance in/a.parquet in/b.fits -o whole.parquet");
    let whole = numbers(&read(path, "whole.parquet"), "distance");
    let parts = [numbers(&read(path, "out/a.parquet"), "distance"), numbers(&read(path, "out/b.parquet"), "distance")].concat();
    assert!(whole.iter().zip(&parts).all(|(a, b)| a == b || a.is_nan() && b.is_nan()));
}

#[test]
fn rows_are_counted_over_all_inputs_of_a_catalogue() {
    let folder = tempdir().unwrap();
    let path = folder.path();
    let all = stars();
    for (name, rows) in [("a.parquet", 0..20), ("b.parquet", 20..45)] {
        write(&all.select(&rows.collect::<Vec<_>>()), path, name);
    }
    std::fs::write(path.join("rows.toml"), "[columns]\nsource_id = \"row\"\n").unwrap();
    succeed(path, "distance a.parquet b.parquet -o both.parquet --config rows.toml");
    let ids = read(path, "both.parquet").column("source_id").unwrap().to_i64().unwrap();
    assert_eq!(ids, (0..45).collect::<Vec<i64>>());
    // A catalogue per input has the numbers of its rows, which is said.
    let summary = json(path, "distance a.parquet b.parquet -o out/ --config rows.toml --json");
    assert!(summary["warnings"].to_string().contains("occur again"), "{summary:#}");
    let ids = read(path, "out/b.parquet").column("source_id").unwrap().to_i64().unwrap();
    assert_eq!(ids, (0..25).collect::<Vec<i64>>());
    // Messages name the column that was given.
    let mut twice = all.select(&[0, 1, 0]);
    let ids = twice.take("source_id").unwrap();
    twice.push(Column { schema: ColumnSchema { name: "gaia".into(), ..ids.schema.clone() }, ..ids }).unwrap();
    write(&twice, path, "twice.parquet");
    std::fs::write(path.join("gaia.toml"), "[columns]\nsource_id = \"gaia\"\n").unwrap();
    fail(
        path,
        "distance twice.parquet -o c.parquet --config gaia.toml",
        1,
        &["twice.parquet, column 'gaia', row 2", "more than once"],
    );
}

#[test]
fn papers_have_their_names_and_senses() {
    let folder = tempdir().unwrap();
    let path = folder.path();
    write(&stars(), path, "stars.parquet");
    succeed(path, "distance stars.parquet -o specdis.fits --names specdis");
    let specdis = read(path, "specdis.fits");
    let flags = numbers(&specdis, "BINARY_FLAG");
    assert!(flags[59] == 0.0 && flags[20] == 1.0 && flags[57].is_nan());
    assert!(numbers(&specdis, "DIST")[57].is_finite() && numbers(&specdis, "PARALLAX")[3] > 0.0);
    succeed(path, "distance stars.parquet -o ob.fits --names ob-stars");
    let flags = numbers(&read(path, "ob.fits"), "binary_flag");
    assert!(flags[59] == 1.0 && flags[20] == 0.0 && flags[57] == -9.0);
    // Numbers of stars are known again, though these catalogues have no flags to count.
    let again = json(path, "distance stars.parquet -o ob.fits --names ob-stars --resume --json");
    assert_eq!((again["stars"].as_u64(), again["without_distance"].as_u64()), (Some(60), Some(1)), "{again:#}");
    fail(path, "distance stars.parquet -o x.fits --names gaia", 2, &["specdis or ob-stars"]);
}

#[test]
fn what_a_file_lacks_is_said() {
    let folder = tempdir().unwrap();
    let path = folder.path();
    let mut without = stars();
    without.take("nu_eff_used_in_astrometry");
    without.take("pseudocolour");
    write(&without, path, "stars.parquet");
    let summary = json(path, "distance stars.parquet -o a.parquet --json");
    let warnings = summary["warnings"].to_string();
    assert!(warnings.contains("zero point") && warnings.contains("nu_eff_used_in_astrometry"), "{warnings}");
    let found = read(path, "a.parquet");
    let flags = found.column("quality_flags").unwrap().to_i64().unwrap();
    assert!(flags[..57].iter().all(|bits| *bits as i32 & flags::NO_ZERO_POINT != 0));
    // Once for all partitions, as is what is beyond reason (a parallax of −9999).
    std::fs::create_dir(path.join("in")).unwrap();
    ["in/a.parquet", "in/b.parquet", "in/c.parquet"].into_iter().for_each(|name| write(&without, path, name));
    let summary = json(path, "distance in -o out/ --json");
    for word in ["zero point", "beyond reason"] {
        let said = summary["warnings"].as_array().unwrap().iter().filter(|text| text.as_str().unwrap().contains(word));
        assert_eq!(said.count(), 1, "{word}: {summary:#}");
    }
    std::fs::write(path.join("plain.toml"), "[options]\nzero_point = { kind = \"constant\", value = -0.03 }\n").unwrap();
    succeed(path, "distance stars.parquet -o b.parquet --config plain.toml");
    let flags = read(path, "b.parquet").column("quality_flags").unwrap().to_i64().unwrap();
    assert!(flags[..57].iter().all(|bits| *bits as i32 & flags::NO_ZERO_POINT == 0));
    std::fs::write(path.join("bad.toml"), "[options]\nzero_point = 3\n").unwrap();
    fail(path, "distance stars.parquet -o c.parquet --config bad.toml", 2, &["bad.toml"]);
    without.take("a_g");
    write(&without, path, "reddened.parquet");
    fail(path, "distance reddened.parquet -o c.parquet", 2, &["reddened.parquet", "columns.extinction", "none"]);
    let text = succeed(path, "recipe distance");
    std::fs::write(path.join("default.toml"), text).unwrap();
    succeed(path, "distance stars.parquet -o d.parquet --config default.toml");
    assert_eq!(text_of(&read(path, "d.parquet")), text_of(&found));
}

/// The catalogue of a fit: its parallax is the spectroscopic one, and nothing is counted twice.
#[test]
fn catalogues_of_fits_are_taken() {
    let folder = tempdir().unwrap();
    let path = folder.path();
    write(&common::observations(40), path, "stars.parquet");
    succeed(path, &format!("fit {} stars.parquet -o fit.parquet --keep-truth", common::model().display()));
    std::fs::write(path.join("prior.toml"), "[options]\nprior = { kind = \"exponential_density\" }\n").unwrap();
    succeed(path, "distance fit.parquet -o distances.parquet --config prior.toml");
    let (fit, found) = (read(path, "fit.parquet"), read(path, "distances.parquet"));
    let (parallax, error) = (numbers(&fit, "parallax"), numbers(&fit, "parallax_error"));
    let (distance, scatter) = (numbers(&found, "distance_median"), numbers(&found, "log10_distance_error"));
    for star in 0..distance.len() {
        let fraction = error[star] / parallax[star];
        if fraction < 0.05 {
            assert!((distance[star] * parallax[star] - 1.0).abs() < 0.5 * fraction + 1e-6, "{star}");
            assert!((scatter[star] / (fraction * std::f64::consts::LOG10_E) - 1.0).abs() < 0.1, "{star}");
        }
    }
    let flags = found.column("quality_flags").unwrap().to_i64().unwrap();
    assert!(flags.iter().all(|bits| *bits as i32 & flags::NO_PARALLAX != 0), "the measured parallax is not in the file");
    // With it the distances stay as they are: a default fit has it in its parallax already.
    let (mut both, measured) = (fit, common::observations(40));
    for name in ["parallax", "parallax_error"] {
        let column = measured.column(name).unwrap().clone();
        let schema = ColumnSchema { name: format!("measured_{name}"), ..column.schema.clone() };
        both.push(Column { schema, ..column }).unwrap();
    }
    write(&both, path, "both.parquet");
    let text = "[options]\nprior = { kind = \"exponential_density\" }\n[options.binary]\ndistance = \"single\"\n";
    std::fs::write(path.join("singles.toml"), text).unwrap();
    succeed(path, "distance both.parquet -o again.parquet --config singles.toml");
    let again = read(path, "again.parquet");
    assert!(numbers(&again, "corrected_parallax").iter().any(|value| value.is_finite()));
    for (star, (found, expected)) in numbers(&again, "distance_median").iter().zip(&distance).enumerate() {
        assert!(found == expected || found.is_nan() && expected.is_nan(), "{star}: {found}, not {expected}");
    }
}

/// Simulated OB stars with a tenth of equal-mass binaries: the recipe that is written has what went in, and
/// can be used.
#[test]
fn a_recipe_is_calibrated() {
    let folder = tempdir().unwrap();
    let path = folder.path();
    let n = 3000;
    let mut state = 1u64;
    let mut uniform = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    let mut normal = move || (-2.0 * uniform().max(1e-300).ln()).sqrt() * (std::f64::consts::TAU * uniform()).cos();
    let mut columns = vec![Vec::new(); 5];
    for star in 0..n {
        let (distance, absolute) = (0.3 + 1.2 * f64::from(star % 97) / 97.0, -3.0 + 4.0 * f64::from(star % 53) / 53.0);
        let snr = 30.0 + 250.0 * f64::from(star % 31) / 31.0;
        let offset = if star % 10 == 0 { 0.7526 } else { 0.0 };
        columns[0].push(distance.recip() + 0.02 * normal());
        columns[1].push(0.02);
        columns[2].push(absolute - offset + 5.0 * distance.log10() + 10.0);
        columns[3].push(absolute + 0.15f64.hypot(10.0 / snr) * normal());
        columns[4].push(snr);
    }
    let names = ["parallax", "parallax_error", "magnitude", "absolute_magnitude", "snr"];
    let mut table = Table::with_rows(n as usize);
    for (name, values) in names.iter().zip(columns) {
        table.push(Column::nullable(ColumnSchema::new(*name, "", ""), values)).unwrap();
    }
    write(&table, path, "ob.parquet");
    let text = "[columns]\nsource_id = \"row\"\nextinction = \"none\"\n[options]\nzero_point = { kind = \"none\" }\n\
                [options.error_model]\nintrinsic = 0.3\n";
    std::fs::write(path.join("start.toml"), text).unwrap();
    let found = json(path, "distance ob.parquet -o ob.toml --config start.toml --calibrate --json");
    let model = |key: &str| found["error_model"][key].as_f64().unwrap();
    assert!((model("intrinsic") - 0.15).abs() < 0.03 && (model("at_snr_100") - 0.10).abs() < 0.03, "{found:#}");
    let mixture = |key: &str| found["mixture"][key].as_f64().unwrap();
    assert!((mixture("offset") - 0.7526).abs() < 0.06 && (mixture("single_fraction") - 0.9).abs() < 0.03, "{found:#}");
    succeed(path, "distance ob.parquet -o ob.fits --config ob.toml");
    let binaries = numbers(&read(path, "ob.fits"), "parallax_excess");
    let found_fraction = binaries.iter().step_by(10).filter(|excess| **excess > 2.0).count() as f64 / 300.0;
    assert!(found_fraction > 0.6, "{found_fraction}");
}

/// Stars with labels, Gaia's magnitudes behind E(B−V), parallaxes, and a map's E; every third is at a high
/// latitude behind little dust. `n` of them, from the number `first` on.
fn labelled(first: usize, n: usize) -> Table {
    let part = |star: usize, step: usize| ((star * step) % 997) as f64 / 997.0;
    let numbers = |of: &dyn Fn(usize) -> f64| -> Vec<f64> { (first..first + n).map(of).collect() };
    let teff = |star: usize| 4800.0 + 1500.0 * part(star, 317);
    let feh = |star: usize| -0.5 + 0.8 * part(star, 571);
    let logg = |star: usize| 4.2 + 0.3 * part(star, 731);
    let is_control = |star: usize| star.is_multiple_of(3);
    let reddening = |star: usize| if is_control(star) { 0.03 * part(star, 211) } else { 0.8 * part(star, 211) };
    let distance = |star: usize| 0.3 + 1.2 * part(star, 439);
    let colour = |star: usize| 0.8 + 1.3 * (5040.0 / teff(star) - 0.87) + 0.05 * feh(star);
    let absolute = |star: usize| 4.5 + 2.0 * (logg(star) - 4.4) - 10.0 * (teff(star) / 5772.0).log10();
    let options = NeighbourOptions::default();
    let magnitude = move |star: usize, band: usize, shift: f64| {
        let of = options.bands[band].extinction_at(teff(star), feh(star), reddening(star), 3.1).value;
        absolute(star) + shift + of + 5.0 * distance(star).log10() + 10.0
    };
    let noise = |star: usize, step: usize| part(star, step) - 0.5;
    let column = |name: &str, unit: &str, values: Vec<f64>| Column::nullable(ColumnSchema::new(name, unit, ""), values);
    let ids = (first..first + n).map(|star| 7_000_000_000_000_000_000 + star as i64).collect();
    let mut table = Table::new(vec![Column::scalar(ColumnSchema::new("source_id", "", ""), Values::Int64(ids))]).unwrap();
    for column in [
        column("ra", "deg", numbers(&|star| if is_control(star) { 200.5 } else { 266.4 })),
        column("dec", "deg", numbers(&|star| if is_control(star) { 28.0 } else { -28.9 })),
        column("teff", "K", numbers(&teff)),
        column("teff_error", "K", vec![10.0; n]),
        column("logg", "", numbers(&logg)),
        column("logg_error", "", vec![0.01; n]),
        column("feh", "", numbers(&feh)),
        column("feh_error", "", vec![0.01; n]),
        column("phot_bp_mean_mag", "mag", numbers(&|star| magnitude(star, 0, 0.4 * colour(star)) + 0.02 * noise(star, 613))),
        column("phot_g_mean_mag", "mag", numbers(&|star| magnitude(star, 1, 0.0) + 0.02 * noise(star, 787))),
        column("phot_rp_mean_mag", "mag", numbers(&|star| magnitude(star, 2, -0.6 * colour(star)) + 0.02 * noise(star, 877))),
        column("ebv_sfd", "mag", numbers(&|star| reddening(star) / 0.86)),
        column("parallax", "mas", numbers(&|star| distance(star).recip() + 0.1 * noise(star, 919))),
        column("parallax_error", "mas", vec![0.03; n]),
        column("true_reddening", "mag", numbers(&reddening)),
        column("true_distance", "kpc", numbers(&distance)),
    ] {
        table.push(column).unwrap();
    }
    table
}

#[test]
fn extinctions_and_absolute_magnitudes_come_of_neighbours() {
    let folder = tempdir().unwrap();
    let path = folder.path();
    std::fs::create_dir(path.join("in")).unwrap();
    write(&labelled(0, 900), path, "all.fits");
    write(&labelled(0, 450), path, "in/a.parquet");
    write(&labelled(450, 450), path, "in/b.fits");
    std::fs::write(path.join("none.toml"), "[options]\nzero_point = { kind = \"none\" }\n").unwrap();
    let options = "--by-neighbours all.fits --config none.toml --keep true_reddening,true_distance";
    succeed(path, &format!("distance all.fits -o found.parquet {options}"));
    let found = read(path, "found.parquet");
    let of = |name: &str| numbers(&found, name);
    let flags = found.column("neighbour_flags").unwrap().to_i64().unwrap();
    let good: Vec<usize> = (0..900).filter(|&row| flags[row] == 0).collect();
    assert!(good.len() > 600, "{}", good.len());
    let within = |name: &str, truth: &dyn Fn(usize) -> f64| {
        let [values, errors] = [of(name), of(&format!("{name}_error"))];
        let near = good.iter().filter(|&&row| ((values[row] - truth(row)) / errors[row]).abs() < 3.0).count();
        assert!(near as f64 > 0.97 * good.len() as f64, "{name}: {near} of {}", good.len());
        assert!(good.iter().all(|&row| errors[row] > 0.0), "{name}");
    };
    let (reddening, distance) = (of("true_reddening"), of("true_distance"));
    within("reddening", &|row| reddening[row]);
    within("spectroscopic_log10_distance", &|row| distance[row].log10());
    within("combined_log10_distance", &|row| distance[row].log10());
    for name in ["extinction", "reddening_chi2", "nearest_control", "reddening_n_dof", "reddening_controls", "magnitude_controls"]
    {
        let schema = &found.column(name).unwrap().schema;
        assert!(!schema.description.is_empty() && !schema.ucd.is_empty(), "{name}");
    }
    assert_eq!(found.column("reddening").unwrap().schema.unit, "mag");
    // The same by partitions, resumed; other controls are other settings.
    succeed(path, &format!("distance in -o out/ {options}"));
    succeed(path, &format!("distance in -o out/ {options} --resume"));
    let parts = ["out/a.parquet", "out/b.parquet"].map(|part| numbers(&read(path, part), "reddening")).concat();
    assert!(of("reddening").iter().zip(&parts).all(|(a, b)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan()));
    let other = options.replace("all.fits", "in/a.parquet");
    fail(path, &format!("distance in -o out/ {other} --resume"), 2, &["other settings"]);
    // Without identifiers stars are told from controls by file and row, whichever files there are.
    let row = "[options]\nzero_point = { kind = \"none\" }\n[columns]\nsource_id = \"row\"\n";
    std::fs::write(path.join("row.toml"), row).unwrap();
    let (code, _, said) = run(path, "distance in/b.fits -o rows.parquet --by-neighbours in --config row.toml");
    assert!(code == 0 && said.contains("told from controls by file and row"), "{said}");
    let rows = read(path, "rows.parquet");
    assert!(numbers(&rows, "nearest_control").iter().all(|distance| *distance > 1e-9));
    assert!(numbers(&rows, "reddening").iter().zip(&parts[450..]).all(|(a, b)| a.to_bits() == b.to_bits() || a.is_nan()));
    // What goes wrong is said.
    fail(path, "distance all.fits -o all.fits --by-neighbours all.fits --overwrite", 2, &["no option writes over an input"]);
    write(&stars(), path, "stars.fits");
    fail(path, "distance all.fits -o x.fits --by-neighbours stars.fits", 2, &["neighbours.labels, teff", "column = "]);
    std::fs::write(path.join("few.toml"), "[neighbours]\nlargest_reddening = 0.0\n").unwrap();
    fail(path, "distance all.fits -o x.fits --by-neighbours all.fits --config few.toml", 1, &["largest_reddening"]);
}
