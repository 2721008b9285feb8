//! Log lines on stderr: structured for machines, or plain for people.
//!
//! Lines name codes, ids and places. Never a body, a token, or anything of a person.

use std::io::IsTerminal;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Registry, fmt, reload};

use super::log_code::LogCode;

/// Changes the level of the running log. Empty if a test, or a program around the library, has set its own subscriber.
static LEVEL: OnceLock<reload::Handle<LevelFilter, Registry>> = OnceLock::new();

/// Whether each published event has a line at level info.
static EVENTS: AtomicBool = AtomicBool::new(false);

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
    let lines = fmt::layer().with_writer(std::io::stderr);
    let (filter, handle) = reload::Layer::new(level);
    let registry = tracing_subscriber::registry().with(filter);
    let started = match format {
        Format::Json => tracing::subscriber::set_global_default(registry.with(lines.json().flatten_event(true))),
        Format::Text => {
            tracing::subscriber::set_global_default(registry.with(lines.with_ansi(std::io::stderr().is_terminal())))
        }
    };
    // An error means that a test, or a program around the library, logs already.
    if started.is_ok() {
        let _ = LEVEL.set(handle);
    }
}

/// Changes the level of the log for the whole process, including call sites whose interest is cached.
pub fn set_level(level: LevelFilter) {
    if let Some(handle) = LEVEL.get()
        && let Err(error) = handle.modify(|current| *current = level)
    {
        tracing::error!(
            code = LogCode::LogLevelNotChanged.as_str(),
            key = "log.level",
            "the log level stays as it was: {error}"
        );
    }
}

/// Writes one line for each published event from now on, or none.
pub fn set_events(on: bool) {
    EVENTS.store(on, Ordering::Relaxed);
}

/// Whether each published event has a line at level info.
#[must_use]
pub fn events() -> bool {
    EVENTS.load(Ordering::Relaxed)
}
