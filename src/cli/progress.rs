//! Progress: a bar with rate and time left on a terminal, a log line now and then otherwise.

use super::settings::Settings;
use crate::text::printable;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// All bars of the process, so that logs can be written between them.
pub static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// Shortest time between two log lines.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Progress of one task.
pub struct Progress {
    what: &'static str,
    /// Steps of the whole, where they are known.
    total: Option<u64>,
    started: Instant,
    logged: Instant,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Progress over `total` stars; over any number of them where it shows only at the end.
    pub fn of_stars(what: &'static str, total: Option<usize>, settings: &Settings) -> Self {
        let style = match total {
            Some(_) => "{prefix} {wide_bar} {human_pos}/{human_len} stars, {per_sec}, {eta} left",
            None => "{prefix} {spinner} {human_pos} stars, {per_sec}; {msg}",
        };
        Self::new(what, total.map(|total| total as u64), style, settings)
    }

    /// Progress of a task that reports the fraction done and what it is doing.
    pub fn of_fraction(what: &'static str, settings: &Settings) -> Self {
        Self::new(what, Some(1000), "{prefix} {wide_bar} {percent} %, {eta} left; {msg}", settings)
    }

    fn new(what: &'static str, total: Option<u64>, style: &str, settings: &Settings) -> Self {
        let bar = (!settings.quiet && std::io::stderr().is_terminal()).then(|| {
            let bar = total.map_or_else(ProgressBar::no_length, ProgressBar::new);
            let bar = BARS.add(bar).with_prefix(what);
            // The templates are constants of this file; the default style would do if one were wrong.
            bar.set_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        let now = Instant::now();
        Self { what, total, started: now, logged: now, bar }
    }

    /// Reports the stars done, and where that is (shown where the whole is not known).
    pub fn stars(&mut self, done: usize, place: &str) {
        let is_due = self.is_due();
        if let Some(bar) = &self.bar {
            bar.set_position(done as u64);
            bar.set_message(printable(place).into_owned());
        } else if is_due {
            let rate = done as f64 / self.started.elapsed().as_secs_f64();
            match self.total {
                Some(total) => {
                    let left = (total.saturating_sub(done as u64)) as f64 / rate.max(1e-9);
                    tracing::info!("{}: {done} of {total} stars, {rate:.0} per second, {left:.0} s left", self.what);
                }
                None => tracing::info!("{}: {done} stars, {rate:.0} per second; {place}", self.what),
            }
        }
    }

    /// Reports the fraction done.
    pub fn fraction(&mut self, done: f64, message: &str) {
        let is_due = self.is_due();
        match &self.bar {
            Some(bar) => {
                bar.set_position((1000.0 * done) as u64);
                bar.set_message(printable(message).into_owned());
            }
            None if is_due => {
                let left = self.started.elapsed().as_secs_f64() * (1.0 - done) / done.max(1e-9);
                tracing::info!("{}: {:.0} %, {left:.0} s left; {message}", self.what, 100.0 * done);
            }
            None => {}
        }
    }

    /// Seconds since the start.
    pub fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    fn is_due(&mut self) -> bool {
        let due = self.logged.elapsed() >= LOG_INTERVAL;
        if due {
            self.logged = Instant::now();
        }
        due
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
            BARS.remove(bar);
        }
    }
}
