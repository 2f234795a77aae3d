//! What a command says when it is done.

use std::io::Write;
use std::process::ExitCode;

/// Answer and exit code of a command that did not fail.
pub struct Outcome {
    /// For people, on standard output; empty where the result is a file.
    pub text: String,
    /// For programs, on standard output with `--json`.
    pub summary: serde_json::Value,
    /// Partitions that failed while others succeeded.
    pub n_failed: usize,
}

impl Outcome {
    /// The outcome of a command whose result is in files.
    pub fn files(summary: serde_json::Value) -> Self {
        Self { text: String::new(), summary, n_failed: 0 }
    }

    /// The outcome of a command that answers a question.
    pub fn answer(text: String, summary: serde_json::Value) -> Self {
        Self { text, summary, n_failed: 0 }
    }

    /// Prints the answer; a reader that has seen enough (`| head`) is no failure.
    pub fn print(&self, json: bool) -> ExitCode {
        let text = if json { format!("{:#}", self.summary) } else { self.text.clone() };
        let written = match text.trim_end() {
            "" => Ok(()),
            text => writeln!(std::io::stdout(), "{text}"),
        };
        match written {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
                // When this cannot be said either, the exit code says it.
                let _ = writeln!(std::io::stderr(), "error: standard output: found a write error ({error}).");
                ExitCode::from(1)
            }
            _ if self.n_failed > 0 => ExitCode::from(3),
            _ => ExitCode::SUCCESS,
        }
    }
}
