//! Warnings that are said once, however often a file is opened or a row is met.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// Texts that are remembered; beyond them warnings may repeat.
const MOST: usize = 10_000;

static SAID: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Logs a warning unless this process has logged the same text before.
pub fn warn_once(text: impl Into<String>) {
    let text = text.into();
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    if said.contains(&text) {
        return;
    }
    tracing::warn!("{text}");
    if said.len() < MOST {
        said.insert(text);
    }
}

/// The warnings said so far, in alphabetical order.
pub fn said() -> Vec<String> {
    SAID.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_remembered_once() {
        warn_once("stars.fits: a warning of a test");
        warn_once("stars.fits: a warning of a test");
        assert_eq!(said().iter().filter(|text| text.contains("a warning of a test")).count(), 1);
    }
}
