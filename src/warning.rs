//! Warnings that are said once, however often a file is opened or a row is met.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Bytes of texts that are remembered; beyond them warnings may repeat.
const MOST: usize = 4 << 20;

static SAID: Mutex<Said> = Mutex::new(Said { texts: BTreeMap::new(), n_bytes: 0 });

struct Said {
    /// By subject, which is the text itself unless its numbers grow.
    texts: BTreeMap<String, String>,
    n_bytes: usize,
}

/// Logs a warning unless this process has logged the same text before.
pub fn warn_once(text: impl Into<String>) {
    let text = text.into();
    warn_once_about(&text, text.as_str());
}

/// As [`warn_once`], for texts with numbers that grow as a file is read: the first about `subject` is said.
pub fn warn_once_about(subject: &str, text: impl Into<String>) {
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    if said.texts.contains_key(subject) {
        return;
    }
    let text = text.into();
    tracing::warn!("{text}");
    let n_bytes = said.n_bytes + subject.len() + text.len();
    if n_bytes <= MOST {
        said.n_bytes = n_bytes;
        said.texts.insert(subject.to_owned(), text);
    }
}

/// The warnings said so far, in the order of their subjects.
pub fn said() -> Vec<String> {
    SAID.lock().unwrap_or_else(PoisonError::into_inner).texts.values().cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_remembered_once() {
        warn_once("stars.fits: a warning of a test");
        warn_once("stars.fits: a warning of a test");
        assert_eq!(said().iter().filter(|text| text.contains("a warning of a test")).count(), 1);
        warn_once("x".repeat(MOST));
        assert!(said().iter().all(|text| text.len() < MOST), "said, but not remembered");
    }
}
