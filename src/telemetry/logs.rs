//! Log lines on stderr, as JSON or as text.
//!
//! Lines contain codes, ids and positions. They never contain a body, a token or personal data.

use std::io::IsTerminal;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Registry, fmt, reload};

use super::log_code::LogCode;
use crate::config::{Log, LogFormat, LogLevel};

/// Changes the level of the running log. Empty if a test, or a program that uses this library, has set its own
/// subscriber.
static LEVEL: OnceLock<reload::Handle<Targets, Registry>> = OnceLock::new();

/// True if each published event is logged at level info.
static EVENTS: AtomicBool = AtomicBool::new(false);

/// Starts logging for the whole process. If logging has already started, changes only whether each published event is
/// logged. Text is colored on a terminal.
pub fn start(log: &Log) {
    let lines = fmt::layer().with_writer(std::io::stderr);
    let (filter, handle) = reload::Layer::new(filter(log.level));
    let registry = tracing_subscriber::registry().with(filter);
    let started = match log.format {
        LogFormat::Json => tracing::subscriber::set_global_default(registry.with(lines.json().flatten_event(true))),
        LogFormat::Text => {
            tracing::subscriber::set_global_default(registry.with(lines.with_ansi(std::io::stderr().is_terminal())))
        }
    };
    // An error means that a test, or a program that uses this library, has already started logging.
    if started.is_ok() {
        let _ = LEVEL.set(handle);
    }
    EVENTS.store(log.events, Ordering::Relaxed);
}

/// Changes the log level of the whole process, including call sites with a cached interest, and whether each published
/// event is logged. The format stays as it is.
pub fn update(log: &Log) {
    EVENTS.store(log.events, Ordering::Relaxed);
    if let Some(handle) = LEVEL.get()
        && let Err(error) = handle.modify(|current| *current = filter(log.level))
    {
        tracing::error!(
            code = LogCode::LogLevelNotChanged.as_str(),
            key = "log.level",
            "the log level stays as it was: {error}"
        );
    }
}

/// Returns true if each published event is logged at level info.
#[must_use]
pub fn events() -> bool {
    EVENTS.load(Ordering::Relaxed)
}

/// The HTTP library logs each malformed request as an error, which lets anyone fill the log. These lines are for
/// debugging only.
fn filter(level: LogLevel) -> Targets {
    let level = level_filter(level);
    let library = if level >= LevelFilter::DEBUG { level } else { LevelFilter::OFF };
    Targets::new().with_default(level).with_target("actix_http", library)
}

const fn level_filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}
