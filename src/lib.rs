//! Differentiable forward models of stars: learn a generative model of survey data, then fit any star with
//! covariances.
//!
//! From stars with known labels, a network from labels to ln flux and an extinction curve are learned, f = ϖ²
//! · exp(y(Θ) − E·R(λ)); other stars are then fitted for labels, extinction and parallax, under the full
//! noise of their data. The method is that of Zhang, Green & Rix (2023, MNRAS 524, 1855).
//!
//! ```text
//! survey files ─ table ─► Table ─ survey ─► Observations ─┬─ train ─► model directory
//!               (or simulate, with the truth)             └─ infer ─► Estimates ─ table ─► catalogue ─ validate ─► report
//! ```
//!
//! | module | holds |
//! |---|---|
//! | [`error`] | the one error type: where, what was found, what was expected, what to do |
//! | [`warning`] | warnings that are said once |
//! | [`mod@unit`] | units as files spell them, and the factors between them |
//! | [`text`] | text from files as it may be shown |
//! | [`prefetch`] | iterators that a thread of their own runs ahead of the consumer |
//! | [`tensor`] | burn's tensors behind an alias, devices, jets (forward-mode derivatives), global weights and their optimisers |
//! | [`table`] | tables with units, UCDs, descriptions and nulls; Parquet, FITS, CSV, ECSV, VOTable |
//! | [`quantity`] | what columns measure: units, what is possible, columns in the unit in which they are used |
//! | [`survey`] | Gaia XP spectra, photometric bands, spectra of DESI, LAMOST and SDSS, and their join into an observation file |
//! | [`spectrum`] | extinction laws; spectra on a common grid |
//! | [`noise`] | covariances, calibration errors, whitening |
//! | [`observations`] | flux, noise, constraints, cuts, splits; the observation file |
//! | [`catalogue`] | the core of an estimate and the table that is written, whatever the method |
//! | [`model`] | parameters, effects and their registry, the forward model, model directories |
//! | [`package`] | saved models of any kind, and the registry of kinds |
//! | [`prior`] | Gaussian constraints, the mixture prior of the labels, Jacobians of positive parameters |
//! | [`optimise`] | batches of small problems: Levenberg–Marquardt, first-order rounds |
//! | [`residuals`] | what the residuals of fitted stars say of offsets of their data |
//! | [`sampling`] | importance sampling around the optima of small problems |
//! | [`per_pixel`] | spectra with a small model per pixel, held to label gradients of stellar physics |
//! | [`posterior`] | −2 ln P of stars under a model, as normal equations |
//! | [`learn`] | epochs of anything that learns: schedules, patience, checkpoints, folds, ensembles |
//! | [`train`] | recipes, alternating optimisation, self-cleaning, model error, checkpoints |
//! | [`infer`] | starting points, fits, Fisher and Hessian, flags, the catalogue |
//! | [`pixel_networks`] | pixel networks as a kind of package: recipe, training, catalogues |
//! | [`distance`] | distances from parallaxes and predicted luminosities, unresolved binaries |
//! | [`simulate`] | surveys with known truth |
//! | [`validate`] | comparisons, figures, reports |
//! | [`regress`] | direct networks: from fluxes to labels or luminosities |
//! | [`run`] | partitions, locks, markers, provenance: runs over many files |
//! | [`cli`] | the command line, one file per command |
//!
//! A module uses only modules above it (`docs/src/architecture.md` says why each is where it is). A training
//! and a fit, from simulated stars:
//!
//! ```no_run
//! use photosphere::infer::{FitOptions, fit, read_options};
//! use photosphere::model::Registry;
//! use photosphere::observations::{Observations, ReadOptions};
//! use photosphere::simulate::{SurveyConfig, simulate};
//! use photosphere::tensor::Device;
//! use photosphere::train::{Recipe, train};
//!
//! let recipe = Recipe::read("models/recipes/xp.toml".as_ref())?;
//! let options = ReadOptions { constraints: recipe.constraints(&Registry::standard())?, ..ReadOptions::default() };
//! let overlap = Observations::from_table(simulate(&SurveyConfig::default())?, &options)?;
//! let (trained, _) = train(&recipe, &overlap, &Registry::standard(), &Device::cpu(), None, &mut |_, _| Ok(()))?;
//!
//! let options = FitOptions::default();
//! let new = simulate(&SurveyConfig { n_stars: 100, first_star: 1_000_000, ..SurveyConfig::default() })?;
//! let estimates = fit(&trained, &Observations::from_table(new, &read_options(&trained, &options))?, &options)?;
//! photosphere::table::write(&estimates.to_table(trained.id())?, "catalogue.fits".as_ref(), false)?;
//! # Ok::<(), photosphere::error::Error>(())
//! ```

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

pub mod catalogue;
#[cfg(feature = "cli")]
pub mod cli;
pub mod confidence;
pub mod distance;
pub mod error;
pub mod infer;
pub mod learn;
pub mod model;
pub mod noise;
pub mod observations;
pub mod optimise;
pub mod package;
pub mod per_pixel;
pub mod pixel_networks;
pub mod posterior;
pub mod prefetch;
pub mod prior;
pub mod quantity;
pub mod regress;
pub mod residuals;
pub mod run;
pub mod sampling;
pub mod simulate;
pub mod spectrum;
pub mod statistics;
pub mod survey;
pub mod table;
pub mod tensor;
#[cfg(test)]
mod testing;
pub mod text;
pub mod train;
pub mod unit;
pub mod validate;
pub mod warning;
