//! Log lines, to stderr: structured for machines, or plain for people.
//!
//! Lines name codes, ids and places. Never a body, a token, or anything of a person.

use std::io::IsTerminal;

use tracing::level_filters::LevelFilter;

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line.
    Json,
    /// One readable line, in colour on a terminal.
    Text,
}

/// Starts logging for the whole process. A second call changes nothing.
pub fn start(format: Format, level: LevelFilter) {
    let lines = tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr);
    // Whoever has set a subscriber before wants that one: a test, or a program around the library.
    let _ = match format {
        Format::Json => tracing::subscriber::set_global_default(lines.json().flatten_event(true).finish()),
        Format::Text => {
            tracing::subscriber::set_global_default(lines.with_ansi(std::io::stderr().is_terminal()).finish())
        }
    };
}
