//! `photosphere zero-points`: zero points of the bands of a whole catalogue, from the residuals of its stars.

use super::input::{Input, SharedSummary};
use super::options::constraints;
use super::raw::{Preparations, RawArguments};
use crate::cli::outcome::Outcome;
use crate::cli::progress::Progress;
use crate::cli::settings::{Settings, trimmed};
use crate::error::{Error, Result};
use crate::package::{Estimator, Package, Request};
use crate::residuals::{CatalogueCheck, Groups, LEAST_STARS, ResidualSums, USUAL_SHARE, ZeroPoints};
use crate::run::inputs::Inputs;
use crate::run::shard::Shard;
use crate::run::{expand, interrupt, replace};
use crate::survey::Source;
use crate::table::check_target;
use crate::text::first_repeated;
use crate::warning::warn_once;
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;
use std::sync::Arc;

/// Fits of all stars after which a solution that still moves is given up.
const MOST_FITS: usize = 12;
/// Changes below this count as none, mag and errors; and of the share of pairs.
const STILL: [f64; 2] = [2e-4, 0.1];
const STILL_SHARE: f64 = 0.005;

/// Solve for zero points of bands: by how much the magnitudes of a whole catalogue are off, under a model.
///
/// All stars are fitted, a few times over; nothing but the zero points is written. `photosphere fit
/// --zero-points FILE` takes them off. Blocks of XP samples count as bands. The model is a forward one.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Model directory (a forward model).
    model: PathBuf,
    /// Observation files, as `photosphere fit` takes them. Some thousand stars tell as much as millions.
    #[arg(required = true)]
    observations: Vec<PathBuf>,
    /// File of the zero points (TOML).
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Replace the output if it exists.
    #[arg(long)]
    overwrite: bool,
    /// Standard deviation of the prior of every zero point, mag. What the stars do not tell (all bands
    /// together are a distance) stays where the prior has it.
    #[arg(long, value_name = "MAG", default_value_t = 0.05)]
    sigma: f64,
    /// Solve for these bands alone; commas between several.
    #[arg(long, value_name = "BANDS", value_delimiter = ',', value_parser = trimmed)]
    band: Vec<String>,
    /// Options of the fit (TOML; `photosphere recipe fit` prints the defaults).
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Parameters whose measured values constrain the fits, as in `photosphere fit`.
    #[arg(long, value_name = "PARAMETERS", value_delimiter = ',', value_parser = trimmed)]
    constraint: Vec<String>,
    /// Use only the stars of part i of n, by identifier.
    #[arg(long, value_name = "i/n")]
    shard: Option<Shard>,
    #[command(flatten)]
    raw: RawArguments,
}

/// Solves.
pub fn run(arguments: &Arguments, settings: &Settings) -> Result<Outcome> {
    interrupt::watch()?;
    arguments.check()?;
    let package = settings.package(&arguments.model)?;
    let inputs = expand(&arguments.observations)?;
    let mut others = arguments.raw.inputs()?;
    others.extend([arguments.model.clone()].into_iter().chain(arguments.config.clone()).chain(inputs.iter().cloned()));
    Inputs::of(&others).require_other(&arguments.output)?;
    let chosen = arguments.bands(Groups::of(package.grid()).names)?;
    let mut applied: BTreeMap<String, f64> = chosen.iter().map(|name| (name.clone(), 0.0)).collect();
    let mut share_of_pairs = USUAL_SHARE;
    for n_iterations in 1..=MOST_FITS {
        let estimator = package.clone().estimator(&arguments.request(settings, &applied))?;
        if estimator.read_options().flux_factors.is_empty() {
            return Err(of_no_use(package.as_ref(), arguments.model.display().to_string()));
        }
        let stars = Stars { arguments, package: package.as_ref(), estimator: estimator.as_ref(), inputs: &inputs };
        let sums = stars.residuals(share_of_pairs, settings)?;
        let step = sums.zero_point_step(&applied, &chosen, arguments.sigma)?;
        tracing::info!(
            "fit {n_iterations}: {} stars, {:.1} % of them pairs, zero points move by {:.4} mag, {:.2} of an error at most",
            sums.used,
            100.0 * sums.pairs.share(),
            step.largest[0],
            step.largest[1]
        );
        let has_share = (sums.pairs.share() - share_of_pairs).abs() < STILL_SHARE;
        share_of_pairs = sums.pairs.share();
        applied = step.zero_points.iter().map(|(name, point)| (name.clone(), point.offset)).collect();
        let is_still = (step.largest[0] < STILL[0] || step.largest[1] < STILL[1]) && has_share;
        if !is_still && n_iterations < MOST_FITS {
            continue;
        }
        if !is_still {
            warn_once(format!(
                "zero points still move by {:.4} mag after {MOST_FITS} fits of all stars: are they stars that the model knows?",
                step.largest[0]
            ));
        }
        let solved_with = estimator.deciding_choices()?;
        let (stars, choices) = ((sums.used, share_of_pairs), (arguments.sigma, n_iterations));
        let solved = ZeroPoints::new((package.sha256(), solved_with), choices, stars, step);
        replace(&arguments.output, &solved.to_toml()?)?;
        return answer(arguments, &solved, &sums);
    }
    Err(Error::numerical("zero points").found("no solution").expected("one"))
}

fn answer(arguments: &Arguments, solved: &ZeroPoints, sums: &ResidualSums) -> Result<Outcome> {
    let pairs = 100.0 * sums.pairs.share();
    let mut text =
        format!("{} stars, {} fits of each; {pairs:.1} % are taken for unresolved pairs\n", solved.n_stars, solved.n_iterations);
    for (name, point) in &solved.zero_points {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {name:<14}{:+.4} \u{b1} {:.4} mag", point.offset, point.error);
    }
    for held in &solved.held {
        let parts: Vec<String> = held.direction.iter().map(|(name, part)| format!("{part:+.2} {name}")).collect();
        let _ = writeln!(
            text,
            "held by the prior ({:.3} of {} mag): {}; stars take such an offset up in their own parameters",
            held.error,
            solved.prior,
            parts.join(" ")
        );
    }
    let summary = json!({
        "output": arguments.output.display().to_string(),
        "solution": solved,
        "check": CatalogueCheck::of(sums).summary(),
    });
    Ok(Outcome::answer(text, summary))
}

impl Arguments {
    fn check(&self) -> Result<()> {
        if !(self.sigma > 0.0 && self.sigma.is_finite()) {
            return Err(Error::usage("--sigma").found(self.sigma.to_string()).expected("a positive number of magnitudes"));
        }
        check_target(&self.output, self.overwrite)
    }

    /// The bands of --band, or all.
    fn bands(&self, all: Vec<String>) -> Result<Vec<String>> {
        let wrong = self.band.iter().find(|band| !all.contains(band));
        match wrong.or_else(|| first_repeated(&self.band)) {
            None if self.band.is_empty() => Ok(all),
            None => Ok(self.band.clone()),
            Some(band) => Err(Error::usage(format!("--band {band}"))
                .found(if all.contains(band) { "it twice" } else { "no such band of the model" })
                .expected(format!("some of {}, each once", all.join(", ")))
                .remedy("Correct it.")),
        }
    }

    fn request(&self, settings: &Settings, applied: &BTreeMap<String, f64>) -> Request {
        Request {
            config: self.config.clone(),
            constraints: constraints(&self.constraint),
            zero_points: applied.clone(),
            seed: settings.seed,
            ..Request::default()
        }
    }
}

/// The error for a model whose fits take no zero points.
pub(super) fn of_no_use(package: &dyn Package, place: String) -> Error {
    Error::usage(place)
        .found(format!("zero points for a model of the kind '{}'", package.kind()))
        .expected("a forward model of fluxes")
        .remedy("Correct the magnitudes themselves, or name another model.")
}

/// The stars to be fitted, and how.
struct Stars<'a> {
    arguments: &'a Arguments,
    package: &'a dyn Package,
    estimator: &'a dyn Estimator,
    inputs: &'a [PathBuf],
}

impl Stars<'_> {
    fn residuals(&self, share_of_pairs: f64, settings: &Settings) -> Result<ResidualSums> {
        let keep = self.package.parameters().into_iter().flat_map(|name| [format!("{name}_error"), name]).collect();
        let preparations = Preparations::new(&self.arguments.raw, self.package.grid(), self.estimator.constraints(), keep)?;
        let source: Option<Arc<dyn Source>> = preparations.of_any(self.inputs)?.cloned();
        let input = Input {
            paths: self.inputs.to_vec(),
            shard: self.arguments.shard,
            source,
            options: self.estimator.read_options(),
            on_cpu: self.estimator.is_on_cpu(),
            accepted: None,
        };
        let mut progress = Progress::of_stars("fitting", None, settings);
        let mut sums: Option<ResidualSums> = None;
        let check_interrupt =
            || interrupt::check(|| self.arguments.output.display().to_string(), "Nothing was written; run the command again.");
        for batch in input.batches(SharedSummary::default()) {
            let batch = batch?;
            let estimated = self.estimator.estimate(&batch.observations, &|_| check_interrupt());
            let estimated = estimated.map_err(|error| error.within(&batch.place))?;
            progress.stars(batch.n_read, &batch.place);
            let place = || self.arguments.model.display().to_string();
            let Some(found) = estimated.residuals else { return Err(of_no_use(self.package, place())) };
            let sums = sums.get_or_insert_with(|| ResidualSums::new(&found.groups, &found.constraints));
            sums.add_with_pairs(&found, share_of_pairs)?;
        }
        let n = sums.as_ref().map_or(0, |sums| sums.used);
        match sums.filter(|sums| sums.used >= LEAST_STARS) {
            Some(sums) => Ok(sums),
            None => Err(Error::data(self.inputs.first().map_or_else(String::new, |path| path.display().to_string()))
                .found(format!("{n} stars that were fitted within the range of the model"))
                .expected(format!("at least {LEAST_STARS}, whose scatter tells the errors"))
                .remedy("Give more stars of the kind that the model was trained with.")),
        }
    }
}
