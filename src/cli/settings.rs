//! Options that every command has.

use super::program::Program;
use crate::error::{Error, Result};
use crate::table::{DEFAULT_EXPANSION, set_max_expansion};
use crate::tensor::Device;
use clap::Args;

/// Most threads of a process.
const MOST_THREADS: usize = 4096;

/// A name of a list on the command line, without blanks beside its commas.
///
/// # Errors
/// Never.
pub fn trimmed(name: &str) -> std::result::Result<String, std::convert::Infallible> {
    Ok(name.trim().to_owned())
}

/// Where and how loudly to work.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub struct Settings {
    /// Where tensors live: cpu, cuda, or cuda:<index>.
    #[arg(long, global = true, value_name = "DEVICE", default_value = "cpu")]
    device: String,
    /// Threads to use [default: one per core].
    #[arg(long, global = true, value_name = "N")]
    threads: Option<std::num::NonZeroUsize>,
    /// Seed of everything random, in place of the seed of the recipe or configuration.
    #[arg(long, global = true, value_name = "SEED")]
    pub seed: Option<u64>,
    /// How many times its own size a compressed or declared file may become in memory.
    #[arg(long, global = true, value_name = "N", default_value_t = DEFAULT_EXPANSION, value_parser = clap::value_parser!(u64).range(1..))]
    max_expansion: u64,
    /// Print a machine-readable summary to standard output.
    #[arg(long, global = true)]
    pub json: bool,
    /// Log more; twice for everything.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// The program of which these are the options.
    #[arg(skip)]
    pub program: Program,
    /// Log warnings and errors only, and show no progress.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
}

impl Settings {
    /// The device of `--device`.
    ///
    /// # Errors
    /// When it is unknown or absent.
    pub fn device(&self) -> Result<Device> {
        Device::named(&self.device)
    }

    /// Sets what holds for the whole process: the limit to compressed files, and the pool of `--threads`
    /// threads.
    ///
    /// # Errors
    /// When the system refuses that many.
    pub fn start(&self) -> Result<()> {
        set_max_expansion(self.max_expansion);
        let Some(threads) = self.threads else { return Ok(()) };
        if threads.get() > MOST_THREADS {
            return Err(Error::usage("--threads")
                .found(threads.to_string())
                .expected(format!("at most {MOST_THREADS}"))
                .remedy("Ask for fewer threads, one per core at most."));
        }
        rayon::ThreadPoolBuilder::new().num_threads(threads.get()).build_global().map_err(|error| {
            Error::usage(format!("--threads {threads}")).found(error.to_string()).remedy("Ask for fewer threads.").source(error)
        })
    }
}
