//! Logs on standard error, which make room for progress bars and hold nothing that a terminal would obey.

use super::progress::BARS;
use super::settings::Settings;
use crate::text::{printable, with_short_numbers};
use std::io::{self, Write};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Starts logging at the level of `-v` and `-q`.
pub fn start(settings: &Settings) {
    let level = match (settings.quiet, settings.verbose) {
        (true, _) => LevelFilter::WARN,
        (false, 0) => LevelFilter::INFO,
        (false, 1) => LevelFilter::DEBUG,
        (false, _) => LevelFilter::TRACE,
    };
    let layer = tracing_subscriber::fmt::layer().without_time().with_target(false).with_ansi(false).with_writer(|| BesideBars);
    let subscriber = tracing_subscriber::registry().with(layer).with(Targets::new().with_target("photosphere", level));
    // Where somebody else has set up logging, it stays.
    let _ = subscriber.try_init();
}

/// Standard error, with progress bars lifted away while a message is written, which comes whole and ends with
/// a line end.
struct BesideBars;

impl Write for BesideBars {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        let line = printable(text.trim_end_matches('\n'));
        let line = with_short_numbers(&line);
        BARS.suspend(|| writeln!(io::stderr(), "{line}"))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
