//! `fetch`: reads the directory from IDaaS and publishes it.

mod metrics_file;
mod screen;

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use parking_lot::Mutex;
use time::OffsetDateTime;

use self::screen::Screen;
use super::output::{print_error, print_error_with_fix, report};
use super::{Exit, print_faults, runtime};
use crate::config::{Application, Config};
use crate::diagnosis::{Diagnosis, misconfigured};
use crate::fetch::run::{RunFault, RunSettings, run as run_fetch};
use crate::fetch::summary::Summary;
use crate::fetch::{ATTEMPTS, ClientSettings};
use crate::kafka::admin::topics::TopicSettings;
use crate::service::wiring;
use idaas_callback::timestamp::rfc3339;

/// Maximum number of problems shown; more would only scroll.
const MAX_PROBLEMS: usize = 10;
/// Maximum length of the name of a run, in bytes.
const MAX_RUN_NAME_LENGTH: usize = 100;

/// Read the directory from IDaaS and publish it as snapshot records
///
/// Reads the organizational units, users and groups in the application's synchronization scope through the Developer
/// API, and publishes each as a `snapshot` record. Restores records that were lost, and fills new topics.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  Show what would be published:\n    idaas-bridge fetch --config bridge.toml --dry-run\n  \
    Publish it, with all fields of users (one request for each user):\n    \
    idaas-bridge fetch --config bridge.toml --details\n  \
    Find deletions that were lost:\n    idaas-bridge fetch --config bridge.toml --verify-deletions\n\n\
    Exit code: 0 everything was read and published; 1 something was not; 2 the configuration or\n\
    the arguments are wrong."
)]
pub struct FetchArguments {
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE", env = crate::config::CONFIG_VARIABLE, default_value = super::DEFAULT_CONFIG)]
    config: PathBuf,
    /// Application [default: the only one with [application.fetch]]
    #[arg(long, value_name = "NAME")]
    application: Option<String>,
    /// Request each user with all fields: units, custom fields
    #[arg(long)]
    details: bool,
    /// Check the entities that the state topics have and IDaaS did not list, and publish the deletion of those that do
    /// not exist
    #[arg(long)]
    verify_deletions: bool,
    /// Publish deletions even if more than 10 % of the entities of a kind (and more than 20) are missing
    #[arg(long, requires = "verify_deletions")]
    allow_mass_deletion: bool,
    /// Read everything and publish nothing
    #[arg(long)]
    dry_run: bool,
    /// Name of the run. An interrupted run can be continued under its name for 7 days, and skips what it has published
    /// [default: the time of the start]
    #[arg(long, value_name = "NAME", value_parser = run_name)]
    run: Option<String>,
    /// Print the summary as one JSON object
    #[arg(long)]
    json: bool,
    /// Write the result as metrics to a file, for the textfile collector of the Prometheus node exporter
    #[arg(long, value_name = "FILE", conflicts_with = "dry_run")]
    metrics_file: Option<PathBuf>,
}

fn run_name(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > MAX_RUN_NAME_LENGTH || text.chars().any(char::is_control) {
        return Err(format!("must have 1 to {MAX_RUN_NAME_LENGTH} characters"));
    }
    Ok(text.to_owned())
}

/// Runs the command.
#[must_use]
pub fn run(arguments: &FetchArguments) -> Exit {
    let config = match Config::load(&arguments.config) {
        Ok(config) => config,
        Err(faults) => return print_faults(&faults),
    };
    let settings = match settings(&config, arguments) {
        Ok(settings) => settings,
        Err(fault) => return print_faults(&[fault]),
    };
    let Some(runtime) = runtime() else { return Exit::Failed };
    let screen = Arc::new(Screen::new(&settings));
    let last = Arc::new(Mutex::new(Summary::default()));
    let (summary, result) = runtime.block_on(async {
        let notices = Arc::clone(&screen);
        let notify = Arc::new(move |notice| notices.notice(&notice));
        let progress = |summary: &Summary, done| {
            summary.clone_into(&mut last.lock());
            screen.progress(summary, done);
        };
        tokio::select! {
            (summary, result) = run_fetch(&settings, notify, &progress) => (summary, Some(result)),
            // An error means that the signal cannot be received. The signal then ends the process.
            Ok(()) = tokio::signal::ctrl_c() => (last.lock().clone(), None),
        }
    });
    screen.clear();
    // Without any progress report, the summary does not contain the names yet.
    let summary = Summary { run: settings.run.clone(), application: settings.application.clone(), ..summary };
    let shown = screen::show(&summary, arguments.json);
    let exit = finish(&summary, result, shown);
    let Some(file) = &arguments.metrics_file else { return exit };
    if let Err(error) = metrics_file::write(file, &summary, matches!(exit, Exit::Success)) {
        let problem = format!("cannot write {}: {error}", file.display());
        return print_error_with_fix(problem, "allow this user to write to its directory");
    }
    exit
}

fn finish(summary: &Summary, result: Option<Result<(), RunFault>>, shown: std::io::Result<()>) -> Exit {
    for problem in summary.problems.iter().take(MAX_PROBLEMS) {
        report(problem);
    }
    if let Some(more) = summary.problems.len().checked_sub(MAX_PROBLEMS).filter(|more| *more > 0) {
        print_error(format_args!("{more} more problems like these; --json shows them all"));
    }
    let exit = match result {
        Some(Ok(())) if summary.is_good() => Exit::Success,
        Some(Ok(())) => Exit::Failed,
        Some(Err(fault)) => report(&Diagnosis::from(&fault)),
        None => print_error_with_fix(
            "interrupted",
            format!("continue with --run {}", super::output::shell_word(&summary.run)),
        ),
    };
    match super::output::end(shown.map(|()| exit)) {
        Exit::Success => exit,
        failed @ (Exit::Failed | Exit::Misconfigured) => failed,
    }
}

fn settings(config: &Config, arguments: &FetchArguments) -> Result<RunSettings, Diagnosis> {
    let application = application(config, arguments.application.as_deref())?;
    let client = client_settings(application, ATTEMPTS).ok_or_else(|| without_fetch(&application.name))?;
    let now = OffsetDateTime::now_utc().unix_timestamp() * 1000;
    let run = arguments.run.clone().or_else(|| rfc3339(now)).unwrap_or_default();
    Ok(RunSettings {
        client,
        application: application.name.clone(),
        policy: wiring::policy(config, application),
        cluster: wiring::cluster(config),
        topics: TopicSettings::of(config),
        run,
        resume: arguments.run.is_some(),
        details: arguments.details,
        verify_deletions: arguments.verify_deletions,
        allow_mass_deletion: arguments.allow_mass_deletion,
        dry_run: arguments.dry_run,
    })
}

/// Returns the settings for reading an application's directory. `None` if they are not configured.
pub(super) fn client_settings(application: &Application, attempts: u32) -> Option<ClientSettings> {
    Some(ClientSettings {
        fetch: application.fetch.clone()?,
        instance_id: application.instance_id.clone()?,
        application_id: application.id.clone(),
        attempts,
    })
}

fn application<'c>(config: &'c Config, name: Option<&str>) -> Result<&'c Application, Diagnosis> {
    if let Some(name) = name {
        let found = config.applications.iter().find(|application| application.name == name);
        return found.ok_or_else(|| {
            let names: Vec<_> = config.applications.iter().map(|application| application.name.as_str()).collect();
            let problem = format!("the configuration has no application {name:?}");
            misconfigured(problem, format!("name one of: {}", names.join(", "))).at("--application")
        });
    }
    let mut configured = config.applications.iter().filter(|application| application.fetch.is_some());
    match (configured.next(), configured.next()) {
        (Some(only), None) => Ok(only),
        (None, _) => Err(without_fetch("…")),
        (Some(one), Some(other)) => {
            let remedy = format!("name one of them, as --application {} or --application {}", one.name, other.name);
            Err(misconfigured("several applications have [application.fetch]", remedy).at("--application"))
        }
    }
}

fn without_fetch(name: &str) -> Diagnosis {
    let remedy = "write [application.fetch] with endpoint and client_secret below the application";
    misconfigured("is missing", remedy).at(format!("application[{name}].fetch"))
}
