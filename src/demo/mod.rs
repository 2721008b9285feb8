//! The demo: shows and checks the main function without any installation.
//!
//! Runs a broker in this process, the service as `serve` runs it, and a simulated IDaaS with new keys that sends
//! callbacks over HTTP. A consumer reads the records, and the demo compares them with what was sent. It reports success
//! only if both agree.
//!
//! | file | does |
//! |---|---|
//! | `environment` | starts and stops broker, bridge, sender and consumer |
//! | `event_script` | the events that are sent, and the expected record of each |
//! | `scenario` | sends the events in order |
//! | `expectations` | records answers and records, and finds deviations |
//! | `renderer`, `json`, `ordered`, `summary` | output |
//!
//! The service must not use this module, and the demo must not change the service's behavior.

mod environment;
mod event_script;
mod expectations;
mod json;
mod ordered;
mod renderer;
mod scenario;
mod summary;

use std::io::{self, Write};

use self::environment::Environment;
use self::renderer::Renderer;
use self::scenario::Scenario;
use crate::diagnosis::Diagnosis;
use crate::service::{ControlMessage, ControlMessages};

/// The demo's options.
#[derive(Debug, Clone)]
pub struct Options {
    /// A real cluster instead of the embedded broker.
    pub bootstrap_servers: Option<String>,
    /// The prefix of the topics' names.
    pub topic_prefix: String,
    /// True if the records' values are not shown.
    pub brief: bool,
    /// Keeps everything running at the end, until a signal.
    pub stay: bool,
    /// The width of the output, in columns.
    pub width: usize,
    /// The program's name, as the user calls it.
    pub program: String,
}

/// The reason why the demo cannot run, or was not completed.
#[derive(Debug, thiserror::Error)]
pub enum DemoFault {
    /// The output cannot be written.
    #[error("the demo cannot be shown: {0}")]
    Output(#[from] io::Error),
    /// Something that it needs is not available.
    #[error("{0}")]
    Environment(String),
    /// The configuration or the cluster has these problems.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Diagnosed(Vec<Diagnosis>),
    /// A signal interrupted the demo.
    #[error("interrupted")]
    Interrupted,
}

/// Runs the demo and writes it to `out` with ANSI colors. Returns true if everything was as expected.
///
/// # Errors
/// [`DemoFault`] if the demo cannot be completed.
pub async fn run(options: &Options, out: &mut dyn Write) -> Result<bool, DemoFault> {
    let began = std::time::Instant::now();
    let mut signals = crate::service::signals()?;
    let mut renderer = Renderer::new(out, options.width);
    renderer.title()?;
    let environment = tokio::select! {
        environment = Environment::start(options) => environment?,
        () = ended(&mut signals) => return Err(DemoFault::Interrupted),
    };
    renderer.endpoints(&environment.endpoints(options))?;
    let mut run_scenario = Scenario::new(renderer, environment, options.brief);
    tokio::select! {
        played = run_scenario.all() => played?,
        () = ended(&mut signals) => return Err(DemoFault::Interrupted),
    }
    let good = run_scenario.summary(began, options)?;
    if options.stay {
        run_scenario.stay(options, &mut signals).await?;
    } else {
        run_scenario.end().await;
    }
    Ok(good)
}

/// Returns when a signal ends the demo.
async fn ended(signals: &mut ControlMessages) {
    while let Some(ControlMessage::Reload) = signals.recv().await {}
}

/// Reports a failure of the environment.
fn broken(error: impl std::fmt::Display) -> DemoFault {
    DemoFault::Environment(error.to_string())
}
