//! The command line: one file per command. Results go to files (or, for commands that answer a question, to
//! standard output), logs to standard error.
//!
//! | exit code | |
//! |---|---|
//! | 0 | done |
//! | 1 | failed |
//! | 2 | bad usage or configuration |
//! | 3 | finished, with some partitions failed or missing |
//! | 4 | finished, but a joined table has no identifier in common with the stars |
//! | 130, 143 | stopped by SIGINT, SIGTERM |

mod attribute;
mod audit;
mod bench;
mod built_in;
mod calibrate;
mod changed_model;
mod cite;
mod confidence;
mod demo;
mod demo_direct;
mod demo_payne;
mod demo_steps;
mod diagnose;
mod distance;
mod existing;
mod figure_file;
mod finalize;
mod fit;
mod import;
mod inspect;
mod instruments;
mod log;
mod outcome;
mod partition_results;
mod predict;
mod predict_spectra;
mod prepare;
mod program;
mod progress;
mod recipe;
mod self_report;
mod settings;
mod simulate;
mod simulate_spectra;
mod stage_times;
mod train;
mod train_ensemble;
mod train_forward;
mod train_seeds;
mod training_task;
mod validate;

use crate::error::Result;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use outcome::Outcome;
pub use program::Program;
use settings::Settings;
use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

/// Differentiable forward models of stars: learn a generative model of survey data, then fit any star with
/// covariances.
#[derive(Debug, Parser)]
#[command(name = "photosphere", version, propagate_version = true, arg_required_else_help = true, max_term_width = 110)]
#[command(after_help = "Start with `photosphere demo`. Exit codes: 0 done, 1 failed, 2 bad usage or configuration, \
3 finished with some partitions failed, 4 finished but a joined table has no star in common with the others; \
130 and 143 stopped by SIGINT and SIGTERM.")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Arguments),
    Simulate(simulate::Arguments),
    Prepare(prepare::Arguments),
    Train(train::Arguments),
    Calibrate(calibrate::Arguments),
    Confidence(confidence::Arguments),
    Fit(fit::Arguments),
    ZeroPoints(fit::zero_points::Arguments),
    Distance(distance::Arguments),
    Predict(predict::Arguments),
    Finalize(finalize::Arguments),
    Validate(validate::Arguments),
    Diagnose(diagnose::Arguments),
    Audit(audit::Arguments),
    Import(import::Arguments),
    Inspect(inspect::Arguments),
    Attribute(attribute::Arguments),
    Bench(bench::Arguments),
    Recipe(recipe::Arguments),
    Instruments(instruments::Arguments),
    /// Print how to cite the program, the method and the data.
    Cite,
}

/// Runs the program with the arguments of the process.
pub fn main() -> ExitCode {
    main_with(Program::standard())
}

/// Runs a program with effects or kinds of models of its own, with the arguments of the process: every
/// command has them.
pub fn main_with(program: impl Into<Program>) -> ExitCode {
    ExitCode::from(run(program, std::env::args_os()))
}

/// Runs a program with these arguments, of which the first is its name; returns the exit code.
pub fn run(program: impl Into<Program>, arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let parsed = taking_negative_numbers(Arguments::command()).try_get_matches_from(arguments);
    let mut arguments = match parsed.and_then(|mut matches| Arguments::from_arg_matches_mut(&mut matches)) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Nothing is left to tell when even the message cannot be written.
            let _ = error.print();
            return error.exit_code() as u8;
        }
    };
    arguments.settings.program = program.into();
    log::start(&arguments.settings);
    crate::run::crash::watch();
    let outcome = crate::run::crash::guarded(|| "photosphere".into(), || dispatch(&arguments));
    match outcome {
        Ok(outcome) => outcome.print(arguments.settings.json),
        Err(error) => {
            // As above.
            let _ = writeln!(std::io::stderr(), "error: {error}");
            error.exit_code()
        }
    }
}

/// The command with options that take `-1` for a value: what is wrong with it is then said of the option.
fn taking_negative_numbers(command: clap::Command) -> clap::Command {
    let options = command.mut_args(|argument| match argument.get_action().takes_values() && !argument.is_positional() {
        true => argument.allow_negative_numbers(true),
        false => argument,
    });
    options.mut_subcommands(taking_negative_numbers)
}

fn dispatch(arguments: &Arguments) -> Result<Outcome> {
    let settings = &arguments.settings;
    settings.start()?;
    match &arguments.command {
        Command::Demo(arguments) => demo::run(arguments, settings),
        Command::Simulate(arguments) => simulate::run(arguments, settings),
        Command::Prepare(arguments) => prepare::run(arguments, settings),
        Command::Train(arguments) => train::run(arguments, settings),
        Command::Calibrate(arguments) => calibrate::run(arguments, settings),
        Command::Confidence(arguments) => confidence::run(arguments, settings),
        Command::Fit(arguments) => fit::run(arguments, settings),
        Command::ZeroPoints(arguments) => fit::zero_points::run(arguments, settings),
        Command::Distance(arguments) => distance::run(arguments, settings),
        Command::Predict(arguments) => predict::run(arguments, settings),
        Command::Finalize(arguments) => finalize::run(arguments, settings),
        Command::Validate(arguments) => validate::run(arguments),
        Command::Diagnose(arguments) => diagnose::run(arguments, settings),
        Command::Audit(arguments) => audit::run(arguments, settings),
        Command::Import(arguments) => import::run(arguments, settings),
        Command::Inspect(arguments) => inspect::run(arguments, settings),
        Command::Attribute(arguments) => attribute::run(arguments, settings),
        Command::Bench(arguments) => bench::run(arguments, settings),
        Command::Recipe(arguments) => recipe::run(arguments),
        Command::Instruments(arguments) => instruments::run(arguments),
        Command::Cite => Ok(cite::run()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn arguments_are_consistent() {
        Arguments::command().debug_assert();
    }
}
