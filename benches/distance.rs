//! Distances, one star after the other on one thread: `cargo bench --bench distance`.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use photosphere::distance::prior::DistancePrior;
use photosphere::distance::zero_point::Astrometry;
use photosphere::distance::{DistanceEstimator, DistanceOptions, Star};
use photosphere::error::Result;
use photosphere::statistics::Measured;
use std::hint::black_box;

/// Stars from 0.1 to 10 kpc with parallax errors of 0.02 to 0.5 mas.
fn stars() -> Vec<Star> {
    (0..512)
        .map(|i| {
            let part = f64::from(i) / 511.0;
            let distance = 0.1 * 100f64.powf(part);
            let error = 0.02 + 0.48 * (f64::from(i * 37 % 512) / 511.0).powi(3);
            let with = |value, error| Measured { value, error };
            let astrometry = Astrometry {
                params_solved: 31.0,
                g_magnitude: 15.0,
                effective_wavenumber: 1.5,
                pseudocolour: f64::NAN,
                ecliptic_latitude: 30.0,
            };
            Star {
                astrometry,
                parallax: with(distance.recip() + error * (part - 0.5), error),
                position: [150.0, 20.0],
                magnitude: with(12.3 + 5.0 * distance.log10(), 0.02),
                extinction: with(0.3, 0.05),
                absolute_magnitude: with(2.0, 0.25),
                ..Star::MISSING
            }
        })
        .collect()
}

fn distances(criterion: &mut Criterion) -> Result<()> {
    let mut group = criterion.benchmark_group("distance_of_512_stars");
    let stars = stars();
    group.throughput(Throughput::Elements(stars.len() as u64)).sample_size(20);
    for (name, prior) in [
        ("flat prior", DistancePrior::FlatDistance),
        ("exponential prior", DistancePrior::ExponentialDensity { scale_length: 1.35 }),
        ("Galactic prior", DistancePrior::Galactic),
    ] {
        let mut estimator = DistanceEstimator::new(DistanceOptions { prior, ..DistanceOptions::default() })?;
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                stars.iter().for_each(|star| {
                    black_box(estimator.estimate(star));
                })
            });
        });
    }
    group.finish();
    Ok(())
}

fn run(criterion: &mut Criterion) {
    if let Err(error) = distances(criterion) {
        eprintln!("{error}");
        std::process::exit(i32::from(error.exit_code()));
    }
}

criterion_group!(benches, run);
criterion_main!(benches);
