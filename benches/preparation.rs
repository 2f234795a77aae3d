//! The way from the archive's files to whitened observations, on one thread: `cargo bench --bench
//! preparation` (figures in docs/src/performance.md).

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use photosphere::error::{Error, Result};
use photosphere::noise::triangle;
use photosphere::observations::{Observations, ReadOptions};
use photosphere::simulate::{RawSurvey, Simulator, SurveyConfig};
use photosphere::survey::prepare::{Preparation, PrepareRecipe};
use photosphere::survey::xp::{DEFAULT_WAVELENGTHS, ErrorConvention, Instrument, Scratch, spectra_from_table};
use photosphere::table;
use std::hint::black_box;

const N_STARS: usize = 512;

fn preparation(criterion: &mut Criterion) -> Result<()> {
    let threads = rayon::ThreadPoolBuilder::new().num_threads(1).build_global();
    threads.map_err(|error| Error::usage("threads").found(error.to_string()))?;
    let folder = tempfile::tempdir().map_err(|error| Error::output("a temporary folder").found(error.to_string()))?;
    let RawSurvey { spectra, .. } =
        Simulator::new(SurveyConfig { n_stars: N_STARS, ..SurveyConfig::default() })?.raw_table(0..N_STARS)?;

    let mut group = criterion.benchmark_group("512_stars_one_thread");
    group.throughput(Throughput::Elements(N_STARS as u64)).sample_size(20);
    for name in ["xp.ecsv.gz", "xp.ecsv", "xp.parquet", "xp.fits"] {
        let path = folder.path().join(name);
        table::write(&spectra, &path, false)?;
        group.bench_function(format!("read {name}"), |bencher| bencher.iter(|| black_box(table::read(&path))));
    }
    let compressed = folder.path().join("xp.ecsv.gz");
    group.bench_function("identifiers of xp.ecsv.gz", |bencher| {
        bencher.iter(|| black_box(table::read_columns(&compressed, &["source_id"])));
    });

    let sampling = Instrument::standard()?.sampling(&DEFAULT_WAVELENGTHS, 55, 55)?;
    let stars: Vec<_> = spectra_from_table(&spectra)?.into_iter().flatten().collect();
    group.bench_function("coefficients to flux and covariance", |bencher| {
        let (mut scratch, mut packed) = (Scratch::default(), vec![0.0; triangle::length(DEFAULT_WAVELENGTHS.len())]);
        bencher.iter(|| {
            for star in &stars {
                black_box(sampling.flux(star));
                sampling.covariance_into(star, ErrorConvention::Published, &mut scratch, &mut packed);
                black_box(&packed);
            }
        });
    });
    let preparation = Preparation::new(PrepareRecipe::parse("labels = []\n[xp]\nfiles = []")?)?;
    group.bench_function("table of coefficients to observation table", |bencher| {
        bencher.iter_batched(
            || (preparation.clone(), spectra.clone()),
            |(mut preparation, spectra)| black_box(preparation.chunk(spectra)),
            BatchSize::LargeInput,
        );
    });
    let prepared = preparation.clone().chunk(spectra)?;
    group.bench_function("observation table to whitened observations", |bencher| {
        bencher.iter_batched(
            || prepared.clone(),
            |prepared| black_box(Observations::from_table(prepared, &ReadOptions::default())),
            BatchSize::LargeInput,
        );
    });
    group.finish();
    Ok(())
}

fn run(criterion: &mut Criterion) {
    if let Err(error) = preparation(criterion) {
        eprintln!("{error}");
        std::process::exit(i32::from(error.exit_code()));
    }
}

criterion_group!(benches, run);
criterion_main!(benches);
