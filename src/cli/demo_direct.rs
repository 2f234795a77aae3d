//! `photosphere demo direct`: luminosities from noisy parallaxes and the distances that they give, from
//! nothing, with the naive ways that fail.

use super::built_in::TrainingRecipe;
use super::demo_steps::{DemoModel, Laps, require_stars};
use super::distance::DistanceTask;
use super::existing::ExistingArguments;
use super::outcome::Outcome;
use super::settings::Settings;
use crate::distance::options::ZeroPointChoice;
use crate::distance::prior::DistancePrior;
use crate::distance::{DistanceOptions, DistanceRecipe};
use crate::error::Result;
use crate::observations::Cut;
use crate::package::{Package, Trainable};
use crate::regress::{BaselinesRecipe, LabelLoss, RegressionModel, RegressionRecipe, Step, Target};
use crate::run::provenance::Provenance;
use crate::run::{Existing, Standing, record};
use crate::simulate::line_list::{LineList, ParallaxSurvey, Population, Synthesis};
use crate::table::{self, Column, ColumnSchema, Table};
use crate::validate::luminosities::{LuminosityReportInput, luminosity_report};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Signal-to-noise ratios of the spectra.
const RATIOS: [f64; 2] = [20.0, 60.0];
const FIRST_NEW_STAR: i64 = 1_000_000;
const FEWEST: usize = 500;
/// Of the spectra: as many tell more than noise in 300 pixels, and more of them than that is learned from the
/// giants, whose parallaxes weigh little.
const COMPONENTS: usize = 30;
/// What a catalogue carries on for the distances.
const KEPT: [&str; 5] = ["parallax", "parallax_error", "phot_g_mean_mag", "a_g", "snr"];
/// Magnitude of 1/ϖ of a star with a positive parallax: what the naive control learns.
const NAIVE: &str = "magnitude_of_inverse_parallax";

/// What the demo is told.
pub struct DirectDemo<'a> {
    pub folder: &'a Path,
    pub n_stars: usize,
    pub n_new: usize,
    pub with_controls: bool,
    pub existing: ExistingArguments,
}

/// A training of the demo: its name, the suffix of its files, its recipe, and the parameter that stands for
/// the absolute magnitude.
struct Way {
    name: &'static str,
    suffix: &'static str,
    recipe: RegressionRecipe,
    parameter: &'static str,
}

impl DirectDemo<'_> {
    /// Runs it.
    ///
    /// # Errors
    /// When something cannot be written, or numbers of stars are too small.
    pub fn run(&self, settings: &Settings) -> Result<Outcome> {
        let clock = Instant::now();
        require_stars([("--stars", self.n_stars), ("--new", self.n_new)], FEWEST)?;
        let existing = Existing { overwrite: self.existing.overwrite, resume: !self.existing.overwrite };
        let path = |name: &str| self.folder.join(name);
        let mut laps = Laps::start();
        let seed = settings.seed.unwrap_or(1);
        let (training, new_stars) = (path("training.parquet"), path("new_stars.parquet"));
        self.simulate(&training, &new_stars, seed, existing)?;
        laps.step("simulate");

        let keep = KEPT.map(String::from);
        let mut catalogues = Vec::new();
        let mut models = Vec::new();
        for Way { name, suffix, recipe, parameter } in ways(self.n_stars, seed)? {
            if !suffix.is_empty() && !self.with_controls {
                continue;
            }
            let demo = DemoModel {
                folder: self.folder,
                suffix,
                recipe: &recipe.to_toml()?,
                training: &training,
                new_stars: &new_stars,
                keep: &keep,
                existing,
            };
            let step = if suffix.is_empty() { "train" } else { "controls" };
            let (package, catalogue) = demo.make::<RegressionModel>(step, &mut laps, settings)?;
            catalogues.push((name, parameter, catalogue));
            models.push(package);
        }
        let (catalogue, distances) = (path("catalogue.parquet"), path("distances.parquet"));
        // The furthest giants, by uncertain luminosities alone, may be anywhere beyond some hundred kpc.
        let (prior, range) = (DistancePrior::FlatLogDistance, [0.01, 10_000.0]);
        let options = DistanceOptions { zero_point: ZeroPointChoice::None, prior, range, ..DistanceOptions::default() };
        let recipe = DistanceRecipe { options, ..DistanceRecipe::default() };
        let task = DistanceTask { recipe, keep: vec!["true_distance".into()], names: None, shard: None, controls: None };
        task.make(std::slice::from_ref(&catalogue), &distances, existing, true, settings)?;
        laps.step("distances");

        let controls: Vec<(&str, Vec<f64>)> = (catalogues.iter().skip(1))
            .map(|(name, parameter, table)| Ok((*name, table.column(parameter)?.to_f64()?)))
            .collect::<Result<_>>()?;
        let (report, text) = luminosity_report(&LuminosityReportInput {
            catalogue: &catalogues[0].2,
            distances: &table::read(&distances)?,
            controls: &controls,
            comparison: models[0].log.comparison.cells(),
            n_training: models[0].card.n_training,
        })?;
        let page = report.write(&path("report"), true)?;
        laps.step("report");
        let text = format!(
            "Median of predicted less true absolute magnitude (mag):\n{text}\nreport:    {}\nmodel:     {}\ncatalogue: {}\ndistances: {}\ntimes:     {}\n",
            page.display(),
            path("model").display(),
            catalogue.display(),
            distances.display(),
            laps.text()
        );
        tracing::info!("demo done in {:.1} s", clock.elapsed().as_secs_f64());
        Ok(Outcome::answer(
            text,
            json!({
                "folder": self.folder,
                "report": page,
                "model": path("model"),
                "model_sha256": models[0].sha256(),
                "catalogue": catalogue,
                "distances": distances,
                "seconds": laps.seconds,
            }),
        ))
    }

    /// Training and new stars, where they are not there from the same run.
    fn simulate(&self, training: &PathBuf, new_stars: &PathBuf, seed: u64, existing: Existing) -> Result<()> {
        let provenance = Provenance::new("demo direct")
            .with("seed", seed.to_string())
            .with("stars", self.n_stars.to_string())
            .with("new", self.n_new.to_string());
        let run = provenance.run();
        let synthesis = Synthesis::new(&LineList { seed, ..LineList::default() });
        for (path, seed, first, n) in [(training, seed, 1, self.n_stars), (new_stars, seed ^ 0x5eed, FIRST_NEW_STAR, self.n_new)]
        {
            let overwrite = match existing.standing(path, &run)? {
                Standing::Finished(_) => continue,
                Standing::Open { overwrite } => overwrite,
            };
            let survey = ParallaxSurvey { population: Population { seed, wide: true }, ratios: RATIOS, first };
            let mut table = survey.observations(&synthesis, n)?;
            add_naive(&mut table)?;
            table.metadata.extend(provenance.metadata());
            table::write(&table, path, overwrite)?;
            record(path, &run, None);
        }
        Ok(())
    }
}

/// Adds the magnitudes of 1/ϖ, with the error that a parallax of ten errors would give to all of them.
fn add_naive(table: &mut Table) -> Result<()> {
    let of = |name: &str| table.column(name)?.to_f64();
    let (parallax, magnitude, extinction) = (of("parallax")?, of("phot_g_mean_mag")?, of("a_g")?);
    let values: Vec<f64> = (0..parallax.len())
        .map(|star| match parallax[star] > 0.0 {
            true => magnitude[star] - extinction[star] - 10.0 + 5.0 * parallax[star].log10(),
            false => f64::NAN,
        })
        .collect();
    let errors = values.iter().map(|value| if value.is_finite() { 0.2 } else { f64::NAN }).collect();
    let schema = |name: String, text: &str| ColumnSchema::new(name, "mag", text);
    table.push(Column::nullable(schema(NAIVE.into(), "absolute magnitude of 1/parallax, where that is positive"), values))?;
    table.push(Column::nullable(schema(format!("{NAIVE}_error"), "the same for all stars"), errors))
}

/// Passes through the stars: forty, and fewer of many. More than some two million looks at a star teach the
/// noise of single parallaxes: of 100 000 stars, the loss of those held out rises from the tenth pass on.
fn epochs(n_stars: usize) -> u32 {
    const LOOKS: usize = 2_000_000;
    (LOOKS / n_stars.max(1)).clamp(10, 40) as u32
}

/// The published recipe, shortened to the size of the demo, and the naive ways.
fn ways(n_stars: usize, seed: u64) -> Result<[Way; 3]> {
    let named = TrainingRecipe::named("specdis")?;
    let mut recipe = RegressionModel::recipe(&named.text, &named.place, Path::new(""), Some(seed))?;
    recipe.training.members = 3;
    recipe.training.plan.epochs = epochs(n_stars);
    recipe.inputs.steps.iter_mut().for_each(|step| {
        if let Step::Pca { components, .. } = step {
            *components = COMPONENTS;
        }
    });
    recipe.card.data = "simulated spectra of a list of lines, with parallaxes of which one in seven is negative".into();
    let mut shorter = recipe.clone();
    shorter.training.members = 1;
    shorter.errors.copies = 2;
    shorter.baselines = BaselinesRecipe { linear: false, nearest_neighbours: 0, boosting: false, ..Default::default() };
    let mut cut = shorter.clone();
    cut.description = format!("{}; of stars with parallax > 10 errors", recipe.description);
    cut.data.cuts = vec![Cut { quantity: "parallax_over_error".into(), minimum: Some(10.0), maximum: None }];
    let mut naive = shorter;
    naive.description = "magnitudes of 1/parallax, by squared errors".into();
    naive.target = Target::Labels { names: vec![NAIVE.into()], loss: LabelLoss::SquaredError };
    Ok([
        Way { name: "network", suffix: "", recipe, parameter: "absolute_magnitude" },
        Way { name: "only ϖ > 10σ", suffix: "_good_parallaxes", recipe: cut, parameter: "absolute_magnitude" },
        Way { name: "M of 1/ϖ, ϖ > 0", suffix: "_inverse_parallaxes", recipe: naive, parameter: NAIVE },
    ])
}

#[cfg(test)]
mod tests {
    use crate::cli::{Program, run};

    fn demo(folder: &std::path::Path, more: &str) -> u8 {
        let command = format!("photosphere --quiet demo direct -o {} {more}", folder.display());
        run(Program::standard(), command.split_whitespace().map(Into::into).collect::<Vec<_>>())
    }

    #[test]
    fn a_small_demo_goes_from_nothing_to_a_report_and_is_taken_up_again() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(demo(folder.path(), "--stars 100"), 2, "too few");
        assert_eq!(demo(folder.path(), "--recipe specdis"), 2, "it has its own");
        for _ in 0..2 {
            assert_eq!(demo(folder.path(), "--stars 5000 --new 500"), 0);
        }
        let page = std::fs::read_to_string(folder.path().join("report/report.html")).unwrap();
        assert!(
            ["1/ϖ", "giants", "z of the network", "spectrum alone", "figure 5", "figure 8", "figure 9"]
                .iter()
                .all(|text| page.contains(text))
        );
        let distances = crate::table::read(&folder.path().join("distances.parquet")).unwrap();
        let known = distances.column("distance").unwrap().to_f64().unwrap().iter().filter(|d| d.is_finite()).count();
        assert!(known > 480, "{known} of 500");
    }
}
