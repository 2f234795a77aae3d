use super::*;
use crate::table::{Column, ColumnSchema, Values};

fn table(columns: &[(&str, &str, f64)]) -> Table {
    let mut table = Table::new(vec![Column::scalar(ColumnSchema::new("SOURCE_ID", "", ""), Values::Int64(vec![7, 9]))]).unwrap();
    for &(name, unit, value) in columns {
        table.push(Column::nullable(ColumnSchema::new(name, unit, ""), vec![value, f64::NAN])).unwrap();
    }
    table
}

fn stars(table: &Table, map: &ColumnMap) -> Vec<Star> {
    let found = map.find(table, &DistanceOptions::default()).unwrap();
    found.stars(table, 0, &mut Notices::default()).unwrap()
}

#[test]
fn columns_are_found_by_the_names_of_surveys_and_read_in_their_units() {
    let table = table(&[
        ("PARALLAX", "arcsec", 0.002),
        ("PARALLAX_ERR", "uas", 20.0),
        ("phot_g_mean_mag", "mmag", 12_500.0),
        ("A_G", "", 0.3),
        ("absolute_magnitude", "mag", 4.0),
        ("absolute_magnitude_error", "mag", 0.2),
        ("NEUIA", "", 1.5),
        ("APS", "", 31.0),
        ("ra", "deg", 10.0),
        ("dec", "deg", -20.0),
    ]);
    let [star, empty] = stars(&table, &ColumnMap::default())[..] else { panic!() };
    assert_eq!((star.parallax.value, star.parallax.error), (2.0, 0.02));
    assert_eq!((star.magnitude.value, star.astrometry.g_magnitude), (12.5, 12.5));
    assert!(star.magnitude.error.is_nan() && star.extinction.value == 0.3 && star.absolute_magnitude.error == 0.2);
    assert!(star.astrometry.zero_point().is_none() && star.position == [10.0, -20.0], "its latitude comes from the position");
    assert!(empty.parallax.value.is_nan() && empty.absolute_magnitude.value.is_nan());
    let found = ColumnMap::default().find(&table, &DistanceOptions::default()).unwrap();
    let identifiers = table.column(found.identifier_column().unwrap()).unwrap();
    assert_eq!(identifiers.to_i64().unwrap(), [7, 9]);
    assert!(found.missing_for_zero_point(&ZeroPointChoice::Lindegren2021).is_empty());
}

#[test]
fn recipes_name_columns_scale_reddenings_and_take_labels() {
    let table =
        table(&[("Plx", "mas", 3.0), ("e_Plx", "mas", 0.5), ("K", "", 9.0), ("ebv", "", 0.5), ("log", "", -1.0), ("e", "", 0.1)]);
    let map = ColumnMap {
        source_id: "row".into(),
        magnitude: "K".into(),
        extinction: "ebv".into(),
        extinction_coefficient: 0.3,
        ln_label: "log".into(),
        ln_label_error: "e".into(),
        ..ColumnMap::default()
    };
    let star = stars(&table, &map)[0];
    assert!((star.extinction.value - 0.15).abs() < 1e-15 && star.parallax.value == 3.0);
    assert!((star.absolute_magnitude.value + 5.0 / std::f64::consts::LN_10).abs() < 1e-12);
    let found = map.find(&table, &DistanceOptions::default()).unwrap();
    assert!(map.counts_rows() && found.identifier_column().is_none());
    let missing = found.missing_for_zero_point(&ZeroPointChoice::Lindegren2021);
    assert_eq!(missing, ["astrometric_params_solved", "phot_g_mean_mag", "nu_eff_used_in_astrometry or pseudocolour", "ecl_lat"]);
    assert!(found.missing_for_zero_point(&ZeroPointChoice::None).is_empty());
}

#[test]
fn a_catalogue_of_a_fit_is_known_by_its_metadata() {
    let mut table = table(&[("parallax", "mas", 2.0), ("parallax_error", "mas", 0.1)]);
    table.metadata.insert("command".into(), "fit".into());
    for (constraints, content) in [("[\"parallax\"]", ParallaxContent::FluxAndParallax), ("[]", ParallaxContent::Flux)] {
        table
            .metadata
            .insert("options".into(), crate::text::on_one_line(&format!("seed = 1\nconstraints = {constraints}\n")).into_owned());
        let found = ColumnMap::default().find(&table, &DistanceOptions::default()).unwrap();
        assert_eq!((found.content, found.name("parallax")), (Some(content), None));
        let star = stars(&table, &ColumnMap::default())[0];
        assert!(star.parallax.value.is_nan() && star.spectroscopic_parallax.value == 2.0);
    }
}

/// A direct network has no parallax: the one in its catalogue was kept from the observations.
#[test]
fn a_kept_parallax_is_the_measured_one() {
    let mut table = table(&[("parallax", "mas", 2.0), ("parallax_error", "mas", 0.1)]);
    table.metadata.insert("command".into(), "fit".into());
    table.metadata.insert("kept_columns".into(), "parallax,parallax_error".into());
    let found = ColumnMap::default().find(&table, &DistanceOptions::default()).unwrap();
    assert_eq!((found.name("parallax"), found.name("spectroscopic_parallax")), (Some("parallax"), None));
    let star = stars(&table, &ColumnMap::default())[0];
    assert!(star.parallax.value == 2.0 && star.spectroscopic_parallax.value.is_nan());
}

/// Default options of fits constrain the distance by its role; the catalogue says which parameter that was.
#[test]
fn a_measured_parallax_is_counted_once() {
    let default = "constraints = [\"distance\"]\n\n[hold]\n";
    let content = |metadata: &[(&str, &str)]| {
        let mut table = table(&[("PARALLAX", "mas", 2.0), ("PARALLAX_ERROR", "mas", 0.1), ("measured_parallax", "mas", 2.1)]);
        table.push(Column::nullable(ColumnSchema::new("measured_parallax_error", "mas", ""), vec![0.2; 2])).unwrap();
        table.metadata.insert("COMMAND".into(), "fit".into());
        table
            .metadata
            .extend(metadata.iter().map(|(key, text)| ((*key).to_owned(), crate::text::on_one_line(text).into_owned())));
        ColumnMap::default().find(&table, &DistanceOptions::default()).unwrap().content
    };
    for (metadata, expected) in [
        (&[("options", default), ("constraints", "parallax")][..], ParallaxContent::FluxAndParallax),
        (&[("options", default), ("constraints", "")], ParallaxContent::Flux),
        (&[("options", "constraints = [\"parallax\"]"), ("constraints", "teff")], ParallaxContent::Flux),
        (&[("options", default)], ParallaxContent::FluxAndParallax),
        (&[("options", "constraints = [\"distance\"]\n[hold]\nparallax = 2.0\n")], ParallaxContent::Flux),
        (&[], ParallaxContent::FluxAndParallax),
    ] {
        assert_eq!(content(metadata), Some(expected), "{metadata:?}");
    }
}

#[test]
fn a_magnitude_that_is_used_twice_is_said_once() {
    let table = table(&[("phot_g_mean_mag", "mag", 1e9), ("parallax", "mas", 1.0), ("parallax_error", "mas", 0.1)]);
    let found = ColumnMap::default().find(&table, &DistanceOptions::default()).unwrap();
    let mut notices = Notices::default();
    let star = found.stars(&table, 0, &mut notices).unwrap()[0];
    assert!(star.magnitude.value.is_infinite() && star.astrometry.g_magnitude.is_infinite());
    assert_eq!(notices.n_beyond(), 1);
}

#[test]
fn what_is_missing_is_said_with_the_remedy() {
    let refused = |table: &Table, map: &ColumnMap, words: &[&str]| {
        let message = map.find(table, &DistanceOptions::default()).unwrap_err().to_string();
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
    };
    let default = ColumnMap::default();
    refused(&Table::with_rows(3), &default, &["columns.source_id", "\"row\""]);
    refused(&table(&[("parallax", "mas", 1.0)]), &default, &["columns.parallax_error"]);
    refused(&table(&[("ruwe", "", 1.0)]), &default, &["columns.parallax:"]);
    let magnitudes = [("phot_g_mean_mag", "mag", 12.0), ("absolute_magnitude", "mag", 4.0)];
    refused(&table(&magnitudes), &default, &["columns.extinction", "\"none\""]);
    refused(&table(&magnitudes[1..]), &default, &["columns.magnitude"]);
    let dereddened = ColumnMap { extinction: "none".into(), ..ColumnMap::default() };
    refused(&table(&magnitudes), &dereddened, &["columns.absolute_magnitude_error", "error_model"]);
    let absent = ColumnMap { parallax: "plaxx".into(), ..ColumnMap::default() };
    refused(&table(&magnitudes), &absent, &["columns.parallax", "plaxx"]);
}

#[test]
fn mixtures_of_stars_are_four_columns() {
    let columns = |offset: f64| {
        table(&[
            ("parallax", "mas", 1.0),
            ("parallax_error", "mas", 0.05),
            ("phot_g_mean_mag", "mag", 15.7),
            ("a_g", "mag", 0.0),
            ("absolute_magnitude", "mag", 6.0),
            ("single_fraction", "", 0.85),
            ("binary_offset", "mmag", offset),
            ("single_scatter", "mag", 0.12),
            ("binary_scatter", "mag", 0.13),
        ])
    };
    let [star, empty] = stars(&columns(700.0), &ColumnMap::default())[..] else { panic!() };
    let found = star.mixture.unwrap();
    assert!((found.offset - 0.7).abs() < 1e-12 && (found.single_fraction, found.scatters) == (0.85, [0.12, 0.13]), "{found:?}");
    assert!(empty.mixture.is_none() && empty.absolute_magnitude.value.is_nan());
    // An impossible one: the star has no luminosity rather than the mixture of everybody.
    let impossible = stars(&columns(-700.0), &ColumnMap::default())[0];
    assert!(impossible.mixture.is_none() && impossible.absolute_magnitude.value.is_infinite());
    let without = ColumnMap { binary_scatter: "none".into(), ..ColumnMap::default() };
    let error = without.find(&columns(700.0), &DistanceOptions::default()).unwrap_err().to_string();
    assert!(error.starts_with("columns.binary_scatter") && error.contains("all four"), "{error}");
}
