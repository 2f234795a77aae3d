//! Warnings that are said once, however often a file is opened or a row is met.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Texts that are remembered; beyond them warnings may repeat.
const MOST: usize = 10_000;

/// By subject, which is the text itself unless its numbers grow.
static SAID: Mutex<BTreeMap<String, String>> = Mutex::new(BTreeMap::new());

/// Logs a warning unless this process has logged the same text before.
pub fn warn_once(text: impl Into<String>) {
    let text = text.into();
    warn_once_about(&text, text.as_str());
}

/// As [`warn_once`], for texts with numbers that grow as a file is read: the first about `subject` is said.
pub fn warn_once_about(subject: &str, text: impl Into<String>) {
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    if said.contains_key(subject) {
        return;
    }
    let text = text.into();
    tracing::warn!("{text}");
    if said.len() < MOST {
        said.insert(subject.to_owned(), text);
    }
}

/// The warnings said so far, in the order of their subjects.
pub fn said() -> Vec<String> {
    SAID.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
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
