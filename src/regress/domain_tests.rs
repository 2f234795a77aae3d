//! What is no star is said to be none, and stars of any noise are not.

use super::tests::{observed, recipe, survey, trained};
use super::*;
use crate::infer::flags::NOT_FITTED;
use crate::observations::Observations;
use crate::package::{Package, Request};
use ndarray::Axis;
use std::sync::Arc;

const SHAPES: &str = "
kind = 'regression'
description = 'labels from the shapes of XP spectra'
layer = [{ layer = 'linear', outputs = 8 }]
[inputs]
step = [{ step = 'subtract_mean' }, { step = 'signed_logarithm' }, { step = 'unit_norm' }, { step = 'pca', components = 8 }, { step = 'standardise' }]
[target]
of = 'labels'
names = ['teff', 'feh']
[training]
plan = { epochs = 2, learning_rate = 0.01 }
[errors]
copies = 2
[baselines]
boosting = false
";

#[test]
fn what_is_no_star_is_outside_of_the_domain_or_not_fitted_at_all() {
    let (model, _) = trained(SHAPES, &observed(survey(3000, 0), &recipe(SHAPES)));
    let estimator = Arc::new(model.clone()).estimator(&Request::default()).unwrap();
    let flags = |change: &dyn Fn(&mut Observations)| {
        let mut new = Observations::from_table(survey(1000, 1_000_000), &estimator.read_options()).unwrap();
        change(&mut new);
        estimator.estimate(&new, &|_| Ok(())).unwrap().flags
    };
    let share = |change: &dyn Fn(&mut Observations), bits: i32| {
        flags(change).iter().filter(|flags| **flags & bits != 0).count() as f64 / 1000.0
    };
    let stars = share(&|_| {}, flag::OUTSIDE_DOMAIN | NOT_FITTED);
    assert!(stars <= 0.005, "{stars} of new stars");
    let reversed = share(
        &|new| {
            new.flux.invert_axis(Axis(1));
            new.flux = new.flux.as_standard_layout().to_owned();
        },
        flag::OUTSIDE_DOMAIN,
    );
    let saw = share(
        &|new| new.flux.indexed_iter_mut().for_each(|((_, w), flux)| *flux *= 1.0 + 0.5 * (w % 2) as f32),
        flag::OUTSIDE_DOMAIN,
    );
    // Observed 0.26 and 0.83: what is as smooth as a spectrum may be that of some star, and among these many
    // are as poor as a saw.
    assert!(reversed > 0.15 && saw > 0.7, "reversed {reversed}, every other entry {saw}");
    // No shape at all.
    for same in [0.0, 1.0] {
        assert_eq!(share(&|new| new.flux.fill(same), NOT_FITTED), 1.0, "{same}");
    }
    // A model that was saved before it looked goes on as it did.
    let before = RegressionModel { domain: Domain { leftover: None, ..model.domain.clone() }, ..model };
    let folder = tempfile::tempdir().unwrap();
    before.save(&folder.path().join("model"), false).unwrap();
    let read = RegressionModel::read(&folder.path().join("model")).unwrap();
    assert_eq!((read.domain.leftover, &read.sha256), (None, &before.hash().unwrap()));
}

/// Bands have no shape that is taken: stars of no flux are those whose fluxes are noise.
#[test]
fn bands_without_light_are_outside_of_the_domain() {
    let text = SHAPES.replace(
        "[{ step = 'subtract_mean' }, { step = 'signed_logarithm' }, { step = 'unit_norm' }, { step = 'pca', components = 8 }, { step = 'standardise' }]",
        "[{ step = 'asinh' }, { step = 'standardise' }]",
    );
    let (model, _) = trained(&text, &observed(survey(1000, 0), &recipe(&text)));
    let estimator = Arc::new(model).estimator(&Request::default()).unwrap();
    let mut new = Observations::from_table(survey(200, 1_000_000), &estimator.read_options()).unwrap();
    new.flux.fill(0.0);
    let flags = estimator.estimate(&new, &|_| Ok(())).unwrap().flags;
    assert!(flags.iter().all(|flags| flags & flag::OUTSIDE_DOMAIN != 0));
}
