//! Stopping when told to: a signal is noticed between chunks, so that nothing half-written is left.

use crate::error::{Error, ErrorKind, Result};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The signal that came, or 0.
static SIGNAL: LazyLock<Arc<AtomicUsize>> = LazyLock::new(Arc::default);

/// From now on SIGINT (Ctrl-C) and SIGTERM stop the process at the next [`check`]; a second one stops it at
/// once.
///
/// # Errors
/// When the system refuses.
pub fn watch() -> Result<()> {
    let came_before = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        flag::register_conditional_default(signal, came_before.clone())
            .and_then(|_| flag::register(signal, came_before.clone()))
            .and_then(|_| flag::register_usize(signal, SIGNAL.clone(), signal as usize))
            .map_err(|error| {
                Error::device("signals").found(error.to_string()).expected("signals that can be watched").source(error)
            })?;
    }
    Ok(())
}

/// Fails when a signal has come.
///
/// # Errors
/// `Interrupted`, naming the signal, `place`, and `remedy`.
pub fn check(place: impl FnOnce() -> String, remedy: &str) -> Result<()> {
    let (signal, name) = match SIGNAL.load(Ordering::Relaxed) as i32 {
        0 => return Ok(()),
        SIGINT => (SIGINT, "SIGINT"),
        other => (other, "SIGTERM"),
    };
    Err(Error::new(ErrorKind::Interrupted(signal as u8), place()).found(format!("the signal {name}")).remedy(remedy))
}
