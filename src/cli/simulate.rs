//! `photosphere simulate`: a survey with known truth.

use super::existing::ExistingArguments;
use super::outcome::Outcome;
use super::progress::Progress;
use super::settings::Settings;
use super::simulate_spectra;
use crate::error::{Error, Result};
use crate::package::read_toml;
use crate::run::inputs::{Inputs, require_utf8};
use crate::run::provenance::Provenance;
use crate::run::{Existing, Standing, record};
use crate::simulate::{Simulator, SurveyConfig};
use crate::table::{Format, Writer};
use serde_json::json;
use std::path::{Path, PathBuf};

/// Number of the first new star: beyond any overlap of less than 17 billion stars.
pub(super) const FIRST_NEW_STAR: u64 = 1 << 34;
/// Stars in memory at once (8.5 kB each).
const CHUNK: usize = 4096;

/// Simulate a survey of Gaia XP spectra with infrared photometry, parallaxes, labels and reddenings, truth
/// included; or blended spectra of a list of lines (`simulate spectra`) and their gradient library (`simulate
/// library`).
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Arguments {
    #[command(subcommand)]
    subject: Option<Subject>,
    /// Observation file to write (.parquet, .fits, .ecsv; with --raw, .csv too).
    #[arg(short, long, value_name = "FILE", required = true)]
    output: Option<PathBuf>,
    /// Write the XP spectra to this file, as the Gaia archive publishes them (coefficients, errors,
    /// correlations); the output then holds everything else of the stars: magnitudes, parallaxes, labels and
    /// the truth, to be joined on source_id.
    #[arg(long, value_name = "FILE")]
    raw: Option<PathBuf>,
    /// Number of stars [default: 25000].
    #[arg(long, value_name = "N")]
    stars: Option<usize>,
    /// New stars: others of the same sky, without measured labels and reddening.
    #[arg(long)]
    new: bool,
    /// Configuration (TOML; `photosphere recipe simulate` prints the defaults).
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    existing: ExistingArguments,
}

/// What is simulated in place of XP spectra.
#[derive(Debug, clap::Subcommand)]
enum Subject {
    Spectra(simulate_spectra::SpectraArguments),
    Library(simulate_spectra::LibraryArguments),
}

/// Simulates.
pub fn run(arguments: &Arguments, settings: &Settings) -> Result<Outcome> {
    let output = match (&arguments.subject, &arguments.output) {
        (Some(Subject::Spectra(arguments)), _) => return simulate_spectra::spectra(arguments, settings),
        (Some(Subject::Library(arguments)), _) => return simulate_spectra::library(arguments, settings),
        (None, Some(output)) => output,
        (None, None) => return Err(Error::usage("--output").found("none").expected("the file to write")),
    };
    let mut config: SurveyConfig = match &arguments.config {
        Some(path) => read_toml(path)?,
        None => SurveyConfig::default(),
    };
    if let Some(path) = &arguments.config {
        config.validate().map_err(|error| error.within(path.display()))?;
    }
    config.n_stars = arguments.stars.unwrap_or(config.n_stars);
    config.seed = settings.seed.unwrap_or(config.seed);
    if arguments.new {
        config = new_stars(config);
    }
    let outputs = [Some(output), arguments.raw.as_ref()];
    for written in outputs.into_iter().flatten() {
        require_utf8(written)?;
        Inputs::of(&arguments.config).require_other(written)?;
    }
    if arguments.raw.is_none() {
        Format::of_observations(output)?;
    }
    match &arguments.raw {
        Some(spectra) => raw_survey(&config, output, spectra, arguments.existing.into(), settings)?,
        None => drop(survey(&config, output, arguments.existing.into(), settings)?),
    }
    let summary = json!({ "output": output, "raw": arguments.raw, "stars": config.n_stars, "seed": config.seed });
    Ok(Outcome::files(summary))
}

/// Writes a simulated survey as spectra of coefficients and a catalogue.
fn raw_survey(config: &SurveyConfig, output: &Path, spectra: &Path, existing: Existing, settings: &Settings) -> Result<()> {
    config.validate()?;
    if is_same_place(output, spectra) {
        return Err(Error::usage("--raw")
            .found("the same file as --output")
            .expected("another file")
            .remedy("Name two files: one for the spectra, one for everything else of the stars."));
    }
    let provenance = provenance(config)?.with("raw", "true");
    let run = provenance.run();
    let standings = [existing.standing(output, &run)?, existing.standing(spectra, &run)?];
    if standings.iter().all(|standing| matches!(standing, Standing::Finished(_))) {
        return Ok(());
    }
    // One without the other is made again: both are written together.
    let overwrite = standings.map(|standing| standing != Standing::Open { overwrite: false });
    let mut writers = (Writer::create(output, overwrite[0])?, Writer::create(spectra, overwrite[1])?);
    let simulator = Simulator::new(config.clone())?;
    let mut progress = Progress::of_stars("simulating", Some(config.n_stars), settings);
    let mut done = 0;
    let none = (config.n_stars == 0).then(|| simulator.raw_table(0..0));
    for chunk in simulator.raw_chunks(CHUNK).chain(none) {
        let mut chunk = chunk?;
        done += chunk.catalogue.n_rows();
        for table in [&mut chunk.catalogue, &mut chunk.spectra] {
            table.metadata.extend(provenance.metadata());
        }
        writers.0.write(&chunk.catalogue)?;
        writers.1.write(&chunk.spectra)?;
        progress.stars(done, "");
    }
    writers.1.finish()?;
    writers.0.finish()?;
    [output, spectra].into_iter().for_each(|path| record(path, &run, None));
    let (catalogue, spectra) = (output.display(), spectra.display());
    tracing::info!("{spectra}, {catalogue}: {} simulated stars in {:.1} s", config.n_stars, progress.seconds());
    Ok(())
}

fn provenance(config: &SurveyConfig) -> Result<Provenance> {
    let json =
        serde_json::to_string(config).map_err(|error| Error::usage("simulation").found(error.to_string()).source(error))?;
    Ok(Provenance::new("simulate").with("simulation", json))
}

/// The same sky's other stars, without labels.
pub fn new_stars(config: SurveyConfig) -> SurveyConfig {
    SurveyConfig { first_star: FIRST_NEW_STAR, labelled_fraction: 0.0, ..config }
}

/// Writes a simulated survey; returns whether it was done already.
///
/// # Errors
/// When the configuration is impossible or the file cannot be written.
pub fn survey(config: &SurveyConfig, output: &Path, existing: Existing, settings: &Settings) -> Result<bool> {
    config.validate()?;
    let provenance = provenance(config)?;
    let overwrite = match existing.standing(output, &provenance.run())? {
        Standing::Finished(_) => return Ok(true),
        Standing::Open { overwrite } => overwrite,
    };
    let mut writer = Writer::create(output, overwrite)?;
    let simulator = Simulator::new(config.clone())?;
    let mut progress = Progress::of_stars("simulating", Some(config.n_stars), settings);
    let mut done = 0;
    // A survey of no stars still has columns.
    let none = (config.n_stars == 0).then(|| simulator.table(0..0));
    for chunk in simulator.chunks(CHUNK).chain(none) {
        let mut chunk = chunk?;
        chunk.metadata.extend(provenance.metadata());
        done += chunk.n_rows();
        writer.write(&chunk)?;
        progress.stars(done, "");
    }
    writer.finish()?;
    record(output, &provenance.run(), None);
    tracing::info!("{}: {} simulated stars in {:.1} s", output.display(), config.n_stars, progress.seconds());
    Ok(false)
}

/// Whether two outputs would be the same file, whether or not it exists.
fn is_same_place(one: &Path, other: &Path) -> bool {
    let place = |path: &Path| {
        let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
        path.canonicalize().ok().or_else(|| Some(folder.canonicalize().ok()?.join(path.file_name()?)))
    };
    one == other || place(one).is_some_and(|place_of_one| place(other) == Some(place_of_one))
}
