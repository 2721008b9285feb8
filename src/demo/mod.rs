//! The shop window: the main job with nothing installed, shown and checked.
//!
//! A broker inside the process, the service as `serve` runs it, and a simulated IDaaS with fresh keys that sends to it
//! over HTTP. What is published is read back by a consumer and compared with what was sent: the demo says that all is
//! well only if it saw so.
//!
//! | file | does |
//! |---|---|
//! | `environment` | starts broker, bridge, sender and reader, and ends them |
//! | `event_script` | the events that are sent, and what must become of each |
//! | `scenario` | plays them in order |
//! | `expectations` | keeps what was answered and what came out, and finds what is wrong |
//! | `renderer`, `json`, `ordered`, `summary` | writing |
//!
//! Nothing here may be used by the service, and nothing here may make it behave in another way.

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

/// What to show, and where.
#[derive(Debug, Clone)]
pub struct Options {
    /// A real cluster in place of the embedded broker.
    pub bootstrap_servers: Option<String>,
    /// What the topics' names start with.
    pub topic_prefix: String,
    /// Leaves the records' values out.
    pub brief: bool,
    /// Keeps everything running at the end, until a signal.
    pub stay: bool,
    /// How many columns there are to write in.
    pub width: usize,
    /// The program's name, as its user calls it.
    pub program: String,
}

/// Why there is no demo, or only the beginning of one.
#[derive(Debug, thiserror::Error)]
pub enum DemoFault {
    /// What it shows cannot be written.
    #[error("the demo cannot be shown: {0}")]
    Output(#[from] io::Error),
    /// Something that it needs is not available.
    #[error("{0}")]
    Stage(String),
    /// The same, with what to do about it.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Diagnosed(Vec<Diagnosis>),
    /// Somebody ended it.
    #[error("interrupted")]
    Interrupted,
}

/// Runs the demo, and writes it to `out`, with ANSI colours. Says whether everything was as it should be.
///
/// # Errors
/// [`DemoFault`] where it cannot be run to its end.
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
    let mut play = Scenario::new(renderer, environment, options.brief);
    tokio::select! {
        played = play.all() => played?,
        () = ended(&mut signals) => return Err(DemoFault::Interrupted),
    }
    let good = play.summary(began, options)?;
    if options.stay {
        play.stay(options, &mut signals).await?;
    } else {
        play.end().await;
    }
    Ok(good)
}

/// Returns when a signal ends the demo.
async fn ended(signals: &mut ControlMessages) {
    while let Some(ControlMessage::Reload) = signals.recv().await {}
}

/// What the demo runs on has failed.
fn broken(error: impl std::fmt::Display) -> DemoFault {
    DemoFault::Stage(error.to_string())
}
