//! Time and memory of the process.

use rustix::time::{ClockId, clock_gettime};
use std::time::Instant;

/// Seconds of processor time (all threads together) and of the clock on the wall.
#[derive(Debug, Clone, Copy, Default)]
pub struct Seconds {
    pub cpu: f64,
    pub wall: f64,
}

/// A stop-watch for consecutive laps.
pub struct Clock {
    cpu: f64,
    wall: Instant,
}

impl Clock {
    /// Starts.
    pub fn start() -> Self {
        Self { cpu: process_seconds(), wall: Instant::now() }
    }

    /// Time since the start or the last lap.
    pub fn lap(&mut self) -> Seconds {
        let now = Self::start();
        let lap = Seconds { cpu: now.cpu - self.cpu, wall: (now.wall - self.wall).as_secs_f64() };
        *self = now;
        lap
    }
}

fn process_seconds() -> f64 {
    seconds(ClockId::ProcessCPUTime)
}

/// Processor time of this thread.
pub fn thread_seconds() -> f64 {
    seconds(ClockId::ThreadCPUTime)
}

fn seconds(clock: ClockId) -> f64 {
    let time = clock_gettime(clock);
    time.tv_sec as f64 + 1e-9 * time.tv_nsec as f64
}

/// Largest resident memory of the process so far, bytes; `None` where the system does not tell (`VmHWM` of
/// Linux).
pub fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kibibytes| kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_takes_time_and_memory() {
        let mut clock = Clock::start();
        let sum: f64 = (0..4_000_000).map(|i| f64::from(std::hint::black_box(i)).sqrt()).sum();
        let lap = clock.lap();
        assert!(sum > 0.0 && lap.cpu > 0.0 && lap.wall > 0.0);
        assert!(peak_memory().is_none_or(|bytes| bytes > 1 << 20));
    }
}
