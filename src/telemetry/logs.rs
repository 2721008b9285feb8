//! Log lines on stderr, as JSON or as text.
//!
//! Lines contain codes, ids and positions. They never contain a body, a token or personal data.

use std::io::IsTerminal;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Registry, fmt, reload};

use super::log_code::LogCode;

/// Changes the level of the running log. Empty if a test, or a program that uses this library, has set its own
/// subscriber.
static LEVEL: OnceLock<reload::Handle<LevelFilter, Registry>> = OnceLock::new();

/// True if each published event is logged at level info.
static EVENTS: AtomicBool = AtomicBool::new(false);

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON object per line.
    Json,
    /// One readable line, coloured on a terminal.
    Text,
}

/// Starts logging for the whole process. Does nothing if logging has already started.
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
    // An error means that a test, or a program that uses this library, has already started logging.
    if started.is_ok() {
        let _ = LEVEL.set(handle);
    }
}

/// Changes the log level of the whole process, including call sites with a cached interest.
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

/// Switches the log line per published event on or off.
pub fn set_events(on: bool) {
    EVENTS.store(on, Ordering::Relaxed);
}

/// Returns true if each published event is logged at level info.
#[must_use]
pub fn events() -> bool {
    EVENTS.load(Ordering::Relaxed)
}
