//! `photosphere demo payne`: networks per pixel held to physics, from nothing, and their control without
//! physics.

use super::demo_steps::{DemoModel, Laps, require_stars};
use super::existing::ExistingArguments;
use super::outcome::Outcome;
use super::settings::Settings;
use crate::error::Result;
use crate::per_pixel::{GradientLibrary, LabelledSpectra};
use crate::pixel_networks::{PixelPackage, PixelRecipe, SpectralCore, read_history};
use crate::run::provenance::Provenance;
use crate::run::{Existing, Standing, record};
use crate::simulate::line_list::{LABELS, LineList, Population, References, Synthesis};
use crate::table;
use crate::validate::pixel_networks::{PixelReportInput, pixel_report};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// Reference points of the library.
const REFERENCES_IN_LIBRARY: usize = 101;
/// Signal-to-noise ratios of the training and of the new stars.
const TRAINING_RATIOS: [f64; 2] = [20.0, 120.0];
const NEW_RATIO: f64 = 100.0;
/// Identifier of the first new star.
const FIRST_NEW_STAR: i64 = 1_000_000;
/// Stars at which gradients are compared.
const FRESH: usize = 60;

/// What the demo is told.
pub struct PayneDemo<'a> {
    pub folder: &'a Path,
    pub n_stars: usize,
    pub n_new: usize,
    pub with_control: bool,
    pub existing: ExistingArguments,
}

struct Files {
    library: PathBuf,
    training: PathBuf,
    new_stars: PathBuf,
    report: PathBuf,
}

impl PayneDemo<'_> {
    /// Runs it.
    ///
    /// # Errors
    /// When something cannot be written, or numbers of stars are too small.
    pub fn run(&self, settings: &Settings) -> Result<Outcome> {
        let clock = Instant::now();
        require_stars([("--stars", self.n_stars), ("--new", self.n_new)], FRESH)?;
        let existing = Existing { overwrite: self.existing.overwrite, resume: !self.existing.overwrite };
        let path = |name: &str| self.folder.join(name);
        let files = Files {
            library: path("library.safetensors"),
            training: path("training.parquet"),
            new_stars: path("new_stars.parquet"),
            report: path("report"),
        };
        let mut laps = Laps::start();
        let seed = settings.seed.unwrap_or(1);
        let list = LineList { seed, ..LineList::default() };
        let (synthesis, population) = (Synthesis::new(&list), Population { seed, ..Population::default() });
        let natural = population.labels(self.n_stars + self.n_new);
        let permuted = population.permuted(natural.slice(ndarray::s![self.n_stars.., ..]));
        self.simulate(&files, (&synthesis, &population), (natural.view(), permuted.view()), existing)?;
        laps.step("simulate");

        let mut models: Vec<(&str, Arc<SpectralCore>)> = Vec::new();
        let mut catalogues = Vec::new();
        for (name, suffix, library) in [("with physics", "", true), ("without physics", "_without_physics", false)] {
            if !library && !self.with_control {
                continue;
            }
            let demo = DemoModel {
                folder: self.folder,
                suffix,
                recipe: &recipe(&list, library, seed).to_toml()?,
                training: &files.training,
                new_stars: &files.new_stars,
                keep: &[],
                existing,
            };
            let (package, catalogue) = demo.make::<PixelPackage>("train", &mut laps, settings)?;
            catalogues.push(catalogue);
            models.push((name, package.core.clone()));
        }
        let clean = synthesis.flux(permuted.view()).mapv(|value| value as f32);
        let fresh = permuted.slice(ndarray::s![..FRESH, ..]).to_owned();
        let (_, gradient) = synthesis.flux_and_gradient(fresh.view());
        let (report, text) = pixel_report(&PixelReportInput {
            models: &models,
            catalogues: &catalogues,
            truth: permuted.view(),
            clean: clean.view(),
            natural: natural.slice(ndarray::s![..self.n_stars, ..]),
            fresh: fresh.view(),
            gradient: gradient.view(),
            marked: "al_fe",
            history: &read_history(&path("model"))?.unwrap_or_default(),
        })?;
        let page = report.write(&files.report, true)?;
        laps.step("report");
        let (model, catalogue) = (path("model"), path("catalogue.parquet"));
        let text = format!(
            "{text}\nreport:    {}\nmodel:     {}\ncatalogue: {}\ntimes:     {}\n",
            page.display(),
            model.display(),
            catalogue.display(),
            laps.text()
        );
        tracing::info!("demo done in {:.1} s", clock.elapsed().as_secs_f64());
        Ok(Outcome::answer(
            text,
            json!({
                "folder": self.folder,
                "report": page,
                "model": model,
                "model_sha256": models[0].1.sha256(),
                "catalogue": catalogue,
                "seconds": laps.seconds,
            }),
        ))
    }

    /// Library, training spectra and new spectra, where they are not there from the same run.
    fn simulate(
        &self,
        files: &Files,
        (synthesis, population): (&Synthesis, &Population),
        (natural, permuted): (ndarray::ArrayView2<f64>, ndarray::ArrayView2<f64>),
        existing: Existing,
    ) -> Result<()> {
        let provenance = Provenance::new("demo payne")
            .with("seed", population.seed.to_string())
            .with("stars", self.n_stars.to_string())
            .with("new", self.n_new.to_string());
        let run = provenance.run();
        let write = |path: &Path, first: i64, are_measured: bool, spectra: &dyn Fn() -> LabelledSpectra| -> Result<()> {
            let overwrite = match existing.standing(path, &run)? {
                Standing::Finished(_) => return Ok(()),
                Standing::Open { overwrite } => overwrite,
            };
            let mut table = synthesis.list().observations(&spectra(), first, are_measured)?;
            table.metadata.extend(provenance.metadata());
            table::write(&table, path, overwrite)?;
            record(path, &run, None);
            Ok(())
        };
        let library: GradientLibrary =
            synthesis.library(population.references(References::Scattered, REFERENCES_IN_LIBRARY).view());
        library.write(&files.library, true)?;
        write(&files.training, 1, true, &|| {
            population.observe(synthesis, natural.slice(ndarray::s![..self.n_stars, ..]), TRAINING_RATIOS)
        })?;
        let other = Population { seed: population.seed ^ 0x5eed, ..population.clone() };
        write(&files.new_stars, FIRST_NEW_STAR, false, &|| other.observe(synthesis, permuted, [NEW_RATIO; 2]))
    }
}

fn recipe(list: &LineList, library: bool, seed: u64) -> PixelRecipe {
    let mut recipe = PixelRecipe {
        description: format!("the line list of seed {}{}", list.seed, if library { "" } else { ", without physics" }),
        labels: LABELS.map(|(name, _)| name.to_owned()).to_vec(),
        library: library.then(|| "library.safetensors".into()),
        resolution: list.resolution,
        ..PixelRecipe::default()
    };
    recipe.training.seed = seed;
    recipe
}
