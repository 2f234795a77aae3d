//! What a command says when it is done.

use crate::text::{printable_json, printable_lines};
use crate::warning;
use serde_json::{Value, json};
use std::io::Write;

/// Exit code where some partitions failed.
const SOME_FAILED: u8 = 3;
/// Exit code where a joined table has no star of the others.
const NOTHING_MATCHED: u8 = 4;

/// Answer and exit code of a command that did not fail.
#[derive(Debug, Default)]
pub struct Outcome {
    /// For people, on standard output; empty where the result is a file.
    pub text: String,
    /// For programs, on standard output with `--json`; an object.
    pub summary: Value,
    /// Partitions that failed while others succeeded.
    pub n_failed: usize,
    /// Whether a table was joined that has no identifier in common with the stars.
    pub nothing_matched: bool,
}

impl Outcome {
    /// The outcome of a command whose result is in files.
    pub fn files(summary: Value) -> Self {
        Self { summary, ..Self::default() }
    }

    /// The outcome of a command that answers a question.
    pub fn answer(text: String, summary: Value) -> Self {
        Self { text, summary, ..Self::default() }
    }

    /// Prints the answer, with `json` the summary and the warnings that were logged; a reader that has seen
    /// enough (`| head`) is no failure. Returns the exit code.
    pub fn print(mut self, json: bool) -> u8 {
        let text = if json {
            if let Value::Object(summary) = &mut self.summary {
                summary.insert("warnings".into(), json!(warning::said()));
            }
            printable_json(&format!("{:#}", self.summary))
        } else {
            printable_lines(&self.text).into_owned()
        };
        let written = match text.trim_end() {
            "" => Ok(()),
            text => writeln!(std::io::stdout(), "{text}"),
        };
        match written {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
                // When this cannot be said either, the exit code says it.
                let _ = writeln!(std::io::stderr(), "error: standard output: found a write error ({error}).");
                1
            }
            _ if self.n_failed > 0 => SOME_FAILED,
            _ if self.nothing_matched => NOTHING_MATCHED,
            _ => 0,
        }
    }
}
