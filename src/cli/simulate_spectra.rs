//! `photosphere simulate spectra` and `simulate library`: blended spectra of a list of lines with known
//! labels, and the gradient library of the same lines.

use super::existing::ExistingArguments;
use super::outcome::Outcome;
use super::progress::Progress;
use super::settings::Settings;
use super::simulate::FIRST_NEW_STAR;
use crate::error::{Error, Result};
use crate::package::read_toml;
use crate::run::inputs::{Inputs, require_utf8};
use crate::run::provenance::Provenance;
use crate::run::{Existing, Standing, record};
use crate::simulate::line_list::{LABELS, References, SpectraConfig, SpectraSurvey};
use crate::table::{Format, Writer};
use serde_json::json;
use std::path::PathBuf;

/// Simulate blended spectra of fifteen labels from a list of lines, as an observation file of normalised
/// flux.
#[derive(Debug, clap::Args)]
pub struct SpectraArguments {
    /// Observation file to write (.parquet, .fits, .ecsv).
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Number of stars [default: 3600].
    #[arg(long, value_name = "N")]
    stars: Option<usize>,
    /// Signal-to-noise ratio per pixel, or the least and the largest one, between which it is uniform
    /// [default: 20,120].
    #[arg(long, value_name = "RATIO[,RATIO]", value_delimiter = ',', num_args = 1)]
    snr: Vec<f64>,
    /// Fluxes without noise, with the errors of --snr: the cheat test's (`diagnose --spectra`).
    #[arg(long)]
    noise_free: bool,
    /// Permute every [X/Fe] among the stars, so that none can be inferred from others.
    #[arg(long)]
    permuted: bool,
    #[command(flatten)]
    lines: LineArguments,
    #[command(flatten)]
    existing: ExistingArguments,
}

/// Simulate the gradient library of the lines of `simulate spectra`: fluxes and label gradients at reference
/// points.
#[derive(Debug, clap::Args)]
pub struct LibraryArguments {
    /// Gradient library to write (.safetensors).
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Number of reference points [default: 101].
    #[arg(long, value_name = "N")]
    references: Option<usize>,
    /// Where their abundance ratios [X/Fe] lie [default: scattered].
    #[arg(long, value_name = "WHERE")]
    ratios: Option<References>,
    /// Half-steps of central differences in T_eff (K), log g, v_mic (km/s) and abundances, as
    /// 40,0.08,0.1,0.05 [default: exact derivatives].
    #[arg(long, value_name = "STEPS", value_delimiter = ',', num_args = 1)]
    steps: Vec<f64>,
    #[command(flatten)]
    lines: LineArguments,
    #[command(flatten)]
    existing: ExistingArguments,
}

/// What spectra and library have in common.
#[derive(Debug, clap::Args)]
struct LineArguments {
    /// Others of the same lines: new stars without measured labels (the truth stands as true_<label>), or
    /// references that no training has seen.
    #[arg(long)]
    new: bool,
    /// Dwarfs and giants of 4300–6800 K and [Fe/H] −2.5 to 0.4, in place of dwarfs of 4800–6200 K and −1 to
    /// 0.4.
    #[arg(long)]
    wide: bool,
    /// Number of labels that differ between stars, in the order of the program's list; the others are fixed
    /// [default: 15].
    #[arg(long, value_name = "N")]
    labels: Option<usize>,
    /// Number of pixels [default: 300].
    #[arg(long, value_name = "N")]
    pixels: Option<usize>,
    /// Standard deviation, in dex, by which the strengths of all lines are wrong, as 0.1 (26 %)
    /// [default: 0].
    #[arg(long, value_name = "DEX")]
    strength_error: Option<f64>,
    /// Configuration (TOML; `photosphere recipe simulate-spectra` prints the defaults); options go before it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl LineArguments {
    /// The configuration of file and options, as far as both commands have them, not yet checked.
    fn config(&self, settings: &Settings) -> Result<SpectraConfig> {
        let mut config: SpectraConfig = match &self.config {
            Some(path) => {
                let config: SpectraConfig = read_toml(path)?;
                config.validate().map_err(|error| error.within(path.display()))?;
                config
            }
            None => SpectraConfig::default(),
        };
        config.seed = settings.seed.unwrap_or(config.seed);
        config.wide |= self.wide;
        config.n_pixels = self.pixels.unwrap_or(config.n_pixels);
        config.strength_error = self.strength_error.unwrap_or(config.strength_error);
        if let Some(n) = self.labels {
            if !(1..=LABELS.len()).contains(&n) {
                return Err(Error::usage("--labels")
                    .found(n.to_string())
                    .expected(format!("1 to {}", LABELS.len()))
                    .remedy("Name labels of your choice by the key `labels` of --config."));
            }
            config.labels = LABELS[..n].iter().map(|(name, _)| (*name).to_owned()).collect();
        }
        if self.new {
            (config.first_star, config.labelled) = (FIRST_NEW_STAR, false);
        }
        Ok(config)
    }
}

/// Simulates spectra.
pub fn spectra(arguments: &SpectraArguments, settings: &Settings) -> Result<Outcome> {
    let mut config = arguments.lines.config(settings)?;
    config.n_stars = arguments.stars.unwrap_or(config.n_stars);
    config.noise &= !arguments.noise_free;
    config.permuted |= arguments.permuted;
    match arguments.snr[..] {
        [] => {}
        [ratio] => config.snr = [ratio; 2],
        [least, greatest] => config.snr = [least, greatest],
        _ => {
            let found = format!("{} numbers", arguments.snr.len());
            return Err(Error::usage("--snr").found(found).expected("one, or the least and the largest"));
        }
    }
    config.validate()?;
    let output = &arguments.output;
    require_utf8(output)?;
    Inputs::of(&arguments.lines.config).require_other(output)?;
    Format::of_observations(output)?;
    let summary = json!({ "output": output, "stars": config.n_stars, "seed": config.seed, "resolution": config.resolution });
    let provenance = provenance("simulate spectra", &config)?;
    let overwrite = match Existing::from(arguments.existing).standing(output, &provenance.run())? {
        Standing::Finished(_) => return Ok(Outcome::files(summary)),
        Standing::Open { overwrite } => overwrite,
    };
    let survey = SpectraSurvey::new(config.clone())?;
    let mut writer = Writer::create(output, overwrite)?;
    let mut progress = Progress::of_stars("simulating", Some(config.n_stars), settings);
    // A survey of no stars still has columns.
    let firsts = (0..config.n_stars.max(1)).step_by(survey.chunk());
    for first in firsts {
        let end = (first + survey.chunk()).min(config.n_stars);
        let mut chunk = survey.table(first..end)?;
        chunk.metadata.extend(provenance.metadata());
        writer.write(&chunk)?;
        progress.stars(end, "");
    }
    writer.finish()?;
    record(output, &provenance.run(), None);
    tracing::info!("{}: {} simulated spectra in {:.1} s", output.display(), config.n_stars, progress.seconds());
    Ok(Outcome::files(summary))
}

/// Simulates a library.
pub fn library(arguments: &LibraryArguments, settings: &Settings) -> Result<Outcome> {
    let mut config = arguments.lines.config(settings)?;
    config.library.n_references = arguments.references.unwrap_or(config.library.n_references);
    config.library.ratios = arguments.ratios.unwrap_or(config.library.ratios);
    if !arguments.steps.is_empty() {
        config.library.steps.clone_from(&arguments.steps);
    }
    config.validate()?;
    let output = &arguments.output;
    require_utf8(output)?;
    Inputs::of(&arguments.lines.config).require_other(output)?;
    let n = config.library.n_references;
    let summary = json!({ "output": output, "references": n, "seed": config.seed, "resolution": config.resolution });
    let run = provenance("simulate library", &config)?.run();
    let overwrite = match Existing::from(arguments.existing).standing(output, &run)? {
        Standing::Finished(_) => return Ok(Outcome::files(summary)),
        Standing::Open { overwrite } => overwrite,
    };
    SpectraSurvey::new(config)?.library()?.write(output, overwrite)?;
    record(output, &run, None);
    tracing::info!("{}: gradients at {n} references", output.display());
    Ok(Outcome::files(summary))
}

fn provenance(command: &'static str, config: &SpectraConfig) -> Result<Provenance> {
    let json = serde_json::to_string(config).map_err(|error| Error::usage(command).found(error.to_string()).source(error))?;
    Ok(Provenance::new(command).with("simulation", json))
}
