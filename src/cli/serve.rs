//! `serve`: runs the service until it is stopped.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use tokio::runtime::Runtime;

use super::{Exit, print_faults, runtime};
use crate::config::Config;
use crate::service::{self, Service};
use crate::telemetry::log_code::LogCode;
use crate::telemetry::logs;

/// Maximum time to wait for blocking tasks at the end.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_millis(200);

/// Run the service until SIGTERM or SIGINT, then drain
#[derive(Args)]
#[command(after_help = "Example:\n  \
    idaas-bridge serve --config /etc/idaas-bridge/bridge.toml\n\n\
    SIGHUP reloads applications, keys (also journal.keys), allow-lists, certificates, admin_token, kafka.properties, \
    log.level and log.events. `check` shows whether `serve` will start.")]
pub struct ServeArguments {
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE", env = crate::config::CONFIG_VARIABLE, default_value = super::DEFAULT_CONFIG)]
    pub config: PathBuf,
}

/// Runs the command.
#[must_use]
pub fn run(arguments: &ServeArguments) -> Exit {
    let config = match Config::load(&arguments.config) {
        Ok(config) => config,
        Err(faults) => return print_faults(&faults),
    };
    logs::start(&config.log);
    for warning in &config.warnings {
        tracing::warn!(code = LogCode::Configuration.as_str(), "{warning}");
    }
    let Some(runtime) = runtime() else { return Exit::Failed };
    let exit = serve(&runtime, &arguments.config, config);
    // A name lookup or a disk that hangs does not delay the exit, because everything important is closed by now.
    runtime.shutdown_timeout(SHUTDOWN_TIMEOUT);
    exit
}

fn serve(runtime: &Runtime, path: &Path, config: Config) -> Exit {
    runtime.block_on(async {
        let control_messages = match service::signals() {
            Ok(control_messages) => control_messages,
            Err(error) => {
                tracing::error!(code = LogCode::NotStarted.as_str(), "no signals: {error}");
                return Exit::Failed;
            }
        };
        match Service::start(path, config).await {
            Ok(service) => {
                if service.run(control_messages).await {
                    Exit::Success
                } else {
                    Exit::Failed
                }
            }
            Err(fault) if fault.code == LogCode::NotStarted.as_str() => {
                tracing::error!(code = LogCode::NotStarted.as_str(), "{fault}");
                Exit::Failed
            }
            Err(fault) => print_faults(&[fault]),
        }
    })
}
