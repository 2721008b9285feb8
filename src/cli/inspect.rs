//! `inspect`: runs one captured callback through the stages of the service, and shows the result of each.
//!
//! Publishes nothing and shows no password: members with that name are masked, and records do not contain them.

mod captured;
pub(in crate::cli) mod pretty;
mod quarantined;
mod remedy;
mod steps;

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use self::captured::Captured;
use self::steps::Screen;
use super::output::{end, print_error, print_error_with_fix, report};
use super::{Exit, print_faults, runtime};
use crate::config::{Application, Config};
use crate::diagnosis::Diagnosis;
use crate::keys::{Clients, Proxy, fetch};
use crate::service::wiring;
use crate::terminal::stdout;

/// Show every processing step of one captured or quarantined callback, and the records it would become
///
/// Shows personal data; passwords are masked. `journal show` replaces personal data by "•••". Publishes nothing.
#[derive(Args)]
#[command(after_help = "Examples:\n  \
    idaas-bridge inspect --config bridge.toml capture.json\n  \
    idaas-bridge inspect --config bridge.toml --at 2026-01-15T08:00:00Z capture.json\n  \
    pbpaste | idaas-bridge inspect --config bridge.toml -\n  \
    idaas-bridge inspect --config bridge.toml --quarantine 0123456789abcdef0123456789abcdef\n\n\
    A capture is the body as IDaaS sent it, {\"event\":\"eyJ…\"}, or the token alone, eyJ….\n\
    Tokens are valid for 30 minutes: verify an older one with --at.\n\
    Exit code: 0 it would be accepted, 1 it would be refused,\n\
    2 the configuration or the arguments are wrong.")]
pub struct InspectArguments {
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE", env = crate::config::CONFIG_VARIABLE, default_value = super::DEFAULT_CONFIG)]
    config: PathBuf,
    /// Captured body; reads standard input if it is - or missing
    #[arg(value_name = "CAPTURE")]
    capture: Option<PathBuf>,
    /// Show the quarantined callback with this id, including personal data (`idaas-bridge journal` lists them)
    #[arg(long, value_name = "ID", conflicts_with_all = ["capture", "at"])]
    quarantine: Option<String>,
    /// Verify the token as of this time: RFC 3339, or seconds or milliseconds since 1970 [default: now]
    #[arg(long, value_name = "TIME", value_parser = instant)]
    at: Option<i64>,
    /// Application in the configuration to verify against [default: the one whose id is the token's aud]
    #[arg(long, value_name = "NAME")]
    application: Option<String>,
}

/// Runs the command.
#[must_use]
pub fn run(arguments: &InspectArguments) -> Exit {
    let config = match Config::load(&arguments.config) {
        Ok(config) => config,
        Err(faults) => return print_faults(&faults),
    };
    let Some(runtime) = runtime() else { return Exit::Failed };
    if let Some(id) = &arguments.quarantine {
        return runtime.block_on(quarantined::show(&config, id, arguments));
    }
    let capture = match read(arguments.capture.as_deref()) {
        Ok(capture) => capture,
        Err(problem) => {
            print_error_with_fix(
                problem,
                "name a file with the body as IDaaS sent it, {\"event\":\"eyJ…\"}, or with the token alone",
            );
            return Exit::Misconfigured;
        }
    };
    let (captured, body) = Captured::of(capture);
    let audience = captured.audience();
    let application = match choose(&config, arguments.application.as_deref(), audience.as_deref()) {
        Ok(application) => application,
        Err(problem) => {
            print_error(problem);
            return Exit::Misconfigured;
        }
    };
    let source = &application.jwks;
    let keys = match runtime.block_on(fetch(source, &Clients::new(Proxy::Environment))) {
        Ok(fetched) => fetched.set,
        Err(fault) => {
            let what = format!("the keys of {} cannot be read from {source}", application.name);
            return report(&Diagnosis::from(&fault).context(what));
        }
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    let policy = wiring::policy(&config, application);
    let mut out = stdout();
    let at = arguments.at.unwrap_or(now);
    let mut screen = Screen { out: &mut out, application, policy: &policy, at, quarantined: None };
    end(screen.show(&body, &captured, (&keys, source)))
}

/// Reads the capture from a file or from standard input.
fn read(capture: Option<&Path>) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    match capture.filter(|path| *path != Path::new("-")) {
        Some(path) => body = std::fs::read(path).map_err(|error| format!("{}: {}", path.display(), error.kind()))?,
        None => {
            io::stdin().lock().read_to_end(&mut body).map_err(|error| format!("standard input: {}", error.kind()))?;
        }
    }
    Ok(body)
}

/// Returns the named application, or else the one whose id is the token's audience, or else the first, whose checks
/// then show what is wrong.
fn choose<'a>(config: &'a Config, name: Option<&str>, audience: Option<&str>) -> Result<&'a Application, String> {
    let names =
        || config.applications.iter().map(|application| application.name.as_str()).collect::<Vec<_>>().join(", ");
    let find = |fits: &dyn Fn(&Application) -> bool| config.applications.iter().find(|application| fits(application));
    match name {
        Some(name) => find(&|application| application.name == name)
            .ok_or_else(|| format!("the configuration has no application {name:?}; it has {}", names())),
        None => find(&|application| Some(application.id.as_str()) == audience)
            .or(config.applications.first())
            .ok_or_else(|| "the configuration has no application".to_owned()),
    }
}

/// Parses RFC 3339, seconds or milliseconds. Returns milliseconds since 1970.
fn instant(text: &str) -> Result<i64, String> {
    /// Smaller numbers are seconds: in seconds it is the year 5138, in milliseconds it was 1973.
    const MILLISECONDS: i64 = 100_000_000_000;
    if let Ok(number) = text.parse::<i64>() {
        return Ok(if number.abs() < MILLISECONDS { number.saturating_mul(1000) } else { number });
    }
    let time = OffsetDateTime::parse(text, &Rfc3339)
        .map_err(|_| "is neither RFC 3339 (2026-01-15T08:00:00Z) nor seconds or milliseconds since 1970".to_owned())?;
    i64::try_from(time.unix_timestamp_nanos() / 1_000_000).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_in_each_form() {
        for text in ["1768464000", "1768464000000", "2026-01-15T08:00:00Z", "2026-01-15T09:00:00.000+01:00"] {
            assert_eq!(instant(text), Ok(1_768_464_000_000), "{text}");
        }
        assert!(instant("yesterday").is_err());
    }
}
