//! Files of a survey's spectra are fitted as they are, by a recipe of `prepare`, to the same values as when
//! they are prepared first: in one catalogue, in shards, and a catalogue for every file.

mod common;

use common::{fail, files, json, run, succeed};
use ndarray::{Array2, s};
use photosphere::simulate::line_list::{LineList, Population, Synthesis};
use photosphere::table::{self, Column, ColumnSchema, Table, Values};
use std::path::Path;

const SPECTRA: &str = "labels = LABELS\n[spectra]\nfiles = FILES\nmedium = 'vacuum'\ngrid = { linear = [5000, 5029, 1] }\n\
    continuum = { method = 'none' }\nvelocity = { source = 'none' }\n";

/// A plain table of spectra in its rows.
fn write_spectra(flux: &Array2<f32>, ivar: &Array2<f32>, wavelength: &[f64], first: i64, path: &Path) {
    let (n, w) = flux.dim();
    let list = |name: &str, unit: &str, values: Values| Column::fixed(ColumnSchema::new(name, unit, ""), values, w);
    let id = ColumnSchema::new("source_id", "", "");
    let columns = vec![
        Column::scalar(id, Values::Int64((first..first + n as i64).collect())),
        list("wavelength", "Angstrom", Values::Float64(wavelength.repeat(n))),
        list("flux", "", Values::Float32(flux.iter().copied().collect())),
        list("ivar", "", Values::Float32(ivar.iter().copied().collect())),
    ];
    table::write(&Table::new(columns).unwrap(), path, false).unwrap();
}

#[test]
fn raw_spectra_are_fitted_as_prepared_ones_are() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    let list = LineList { n_pixels: 30, ..LineList::default() };
    let population = Population::default();
    let labels = population.labels(500);
    let spectra = population.observe(&Synthesis::new(&list), labels.view(), [80.0, 150.0]);
    let part = |range: std::ops::Range<usize>| {
        let rows = s![range, ..];
        (spectra.flux.slice(rows).to_owned(), spectra.inverse_variance.slice(rows).to_owned())
    };
    let (flux, ivar) = part(0..300);
    write_spectra(&flux, &ivar, &list.wavelength(), 1, &folder.join("training_spectra.parquet"));
    std::fs::create_dir(folder.join("raw")).unwrap();
    for (k, name) in ["a.fits", "b.parquet"].into_iter().enumerate() {
        let (flux, mut ivar) = part(300 + 100 * k..400 + 100 * k);
        ivar.row_mut(3).fill(0.0);
        write_spectra(&flux, &ivar, &list.wavelength(), 1001 + 100 * k as i64, &folder.join("raw").join(name));
    }
    let label = |name: &str, unit: &str, k: usize, error: f64| {
        let values = spectra.labels.slice(s![..300, k]).to_vec();
        let column = |name: String, values| Column::scalar(ColumnSchema::new(name, unit, ""), Values::Float64(values));
        [column(name.into(), values), column(format!("{name}_error"), vec![error; 300])]
    };
    let id = Column::scalar(ColumnSchema::new("source_id", "", ""), Values::Int64((1..301).collect()));
    let columns = [vec![id], label("teff", "K", 0, 20.0).into(), label("logg", "", 1, 0.05).into()].concat();
    table::write(&Table::new(columns).unwrap(), &folder.join("labels.parquet"), false).unwrap();

    let recipe = |labels: &str, files: &str| SPECTRA.replace("LABELS", labels).replace("FILES", files);
    let with_labels = recipe("['teff', 'logg']", "['training_spectra.parquet']") + "[[tables]]\nfiles = ['labels.parquet']\n";
    std::fs::write(folder.join("training.toml"), with_labels).unwrap();
    std::fs::write(folder.join("new.toml"), recipe("[]", "['raw']")).unwrap();
    std::fs::write(folder.join("networks.toml"), "kind = 'pixel_networks'\nlabels = ['teff', 'logg']\n[training]\nhidden = 4\n")
        .unwrap();
    succeed(folder, "prepare training.toml -o training.parquet");
    succeed(folder, "train networks.toml training.parquet -o model");

    succeed(folder, "prepare new.toml -o new.parquet");
    succeed(folder, "fit model new.parquet -o prepared.parquet");
    succeed(folder, "fit model raw --prepare new.toml -o raw.parquet");
    let values = |name: &str| {
        let table = table::read(&folder.join(name)).unwrap();
        let ids = table.column("source_id").unwrap().to_i64().unwrap();
        let teff = table.column("teff").unwrap().to_f64().unwrap();
        let mut stars: Vec<(i64, u64)> = ids.into_iter().zip(teff.iter().map(|value| value.to_bits())).collect();
        stars.sort_unstable();
        stars
    };
    let prepared = values("prepared.parquet");
    assert_eq!(prepared.len(), 200);
    assert_eq!(prepared.iter().filter(|(_, bits)| f64::from_bits(*bits).is_nan()).count(), 2, "stars without flux are rows");
    assert_eq!(values("raw.parquet"), prepared);

    for shard in ["0/2", "1/2"] {
        succeed(folder, &format!("fit model raw --prepare new.toml --shard {shard} -o {}.parquet", shard.replace('/', "_")));
    }
    let both = [values("0_2.parquet"), values("1_2.parquet")];
    assert!(both.iter().all(|part| part.len() > 50));
    let mut stars = both.concat();
    stars.sort_unstable();
    assert_eq!(stars, prepared);

    succeed(folder, "fit model raw --prepare new.toml -o run/");
    assert_eq!(
        files(&folder.join("run")).into_iter().filter(|name| name.ends_with(".parquet")).collect::<Vec<_>>(),
        ["a.parquet", "b.parquet"]
    );
    let mut stars = [values("run/a.parquet"), values("run/b.parquet")].concat();
    stars.sort_unstable();
    assert_eq!(stars, prepared);
    let again = json(folder, "fit model raw --prepare new.toml -o run/ --resume --json");
    let n_stars = |catalogue: &serde_json::Value| catalogue["stars"].as_u64().unwrap();
    assert_eq!(again["catalogues"].as_array().unwrap().iter().map(n_stars).sum::<u64>(), 200);

    fail(folder, "fit model raw --prepare new.toml --instrument dr3 -o x.parquet", 2, &["--instrument", "no instrument"]);
    std::fs::write(folder.join("other.toml"), recipe("[]", "['raw']").replace("5029", "5025")).unwrap();
    fail(folder, "fit model raw --prepare other.toml -o x.parquet", 1, &["26", "30"]);
    std::fs::write(folder.join("broken.fits"), b"SIMPLE  =                    T").unwrap();
    fail(folder, "fit model broken.fits --prepare new.toml -o x.parquet", 1, &["broken.fits"]);
    let (code, _, said) = run(folder, "fit model raw/a.fits broken.fits raw/b.parquet --prepare new.toml -o x.parquet");
    assert!(code == 3 && said.contains("broken.fits"), "{code}: {said}");
    assert_eq!(values("x.parquet"), prepared);
}
