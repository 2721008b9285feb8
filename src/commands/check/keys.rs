//! The doctor's look at each application's public keys, and at the clock by the endpoint's.

use std::time::{Duration, SystemTime};

use tokio::runtime::Runtime;

use super::code::Code;
use super::finding::Finding;
use super::report::plural;
use crate::config::{Application, Config};
use crate::kafka::remedy::Remedy;
use crate::keys::{Fetched, Proxy, Source, fetch};
use crate::service::assemble;

/// How far the clocks may be apart before it is worth a word: tokens are judged by them.
const WORTH_A_WORD: Duration = Duration::from_secs(5);

/// Fetches every application's keys, all at once.
pub(super) fn examine(config: &Config, runtime: &Runtime) -> Vec<Finding> {
    let fetches: Vec<_> = config
        .applications
        .iter()
        .map(|application| {
            let source = assemble::source(&application.jwks);
            runtime.spawn(async move { fetch(&source, &Proxy::Environment).await })
        })
        .collect();
    let mut findings = Vec::new();
    for (application, fetching) in config.applications.iter().zip(fetches) {
        let (key, source) = (key(application), assemble::source(&application.jwks));
        match runtime.block_on(fetching) {
            Ok(Ok(fetched)) => {
                findings.push(Finding::ok(Code::Jwks, &key, &found(&source, &fetched)));
                findings
                    .extend(fetched.date.map(|date| clock(&key, date, SystemTime::now(), config.server.clock_skew)));
            }
            // A fetch fault's text holds problem and remedy, parted by a semicolon.
            Ok(Err(fault)) => findings.push(split(&key, &source, &fault.to_string())),
            Err(error) => {
                findings.push(Finding::fault(Code::Jwks, &key, &error.to_string(), Remedy::text("try again")))
            }
        }
    }
    findings
}

/// What can be said without a network: files held a usable key set when the configuration was read.
pub(super) fn examine_files(config: &Config) -> Vec<Finding> {
    let finding = |application: &Application| match assemble::source(&application.jwks) {
        Source::File(path) => {
            Finding::ok(Code::Jwks, &key(application), &format!("{} holds usable keys", path.display()))
        }
        source @ Source::Url { .. } => {
            let why = format!("whether {source} answers and holds usable keys (--offline)");
            Finding::not_tested(Code::Jwks, &key(application), &why, Remedy::text("run check without --offline"))
        }
    };
    config.applications.iter().map(finding).collect()
}

fn key(application: &Application) -> String {
    format!("application[{}].jwks", application.name)
}

fn found(source: &Source, fetched: &Fetched) -> String {
    let ids: Vec<_> = fetched.set.key_ids().collect();
    format!("{source} holds {}: {}", plural(ids.len(), "RSA key"), ids.join(", "))
}

fn split(key: &str, source: &Source, words: &str) -> Finding {
    let (problem, remedy) = words.split_once("; ").unwrap_or((words, "see that the endpoint works"));
    Finding::fault(Code::Jwks, key, &format!("{source}: {problem}"), Remedy::text(remedy))
}

/// Judges this machine's clock by the endpoint's, which has whole seconds.
fn clock(key: &str, theirs: SystemTime, ours: SystemTime, skew: Duration) -> Finding {
    let (apart, direction) = match ours.duration_since(theirs) {
        Ok(ahead) => (ahead, "ahead of"),
        Err(behind) => (behind.duration(), "behind"),
    };
    let problem = format!("this machine's clock is {} s {direction} the key endpoint's", apart.as_secs());
    let remedy = Remedy::text("set it right (chrony, systemd-timesyncd): tokens are judged by it");
    if apart > skew {
        let problem =
            format!("{problem}, more than server.clock_skew ({} s): honest callbacks would be refused", skew.as_secs());
        Finding::fault(Code::JwksClock, &format!("{key} (clock)"), &problem, remedy)
    } else if apart > WORTH_A_WORD {
        Finding::warning(Code::JwksClock, &format!("{key} (clock)"), &problem, remedy)
    } else {
        Finding::ok(Code::JwksClock, &format!("{key} (clock)"), "this machine's clock agrees with the key endpoint's")
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    #[test]
    fn a_clock_is_judged_by_how_far_it_is_off_in_either_direction() {
        let theirs = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let skew = Duration::from_secs(60);
        for (seconds, level) in
            [(0, Level::Ok), (5, Level::Ok), (6, Level::Warning), (60, Level::Warning), (61, Level::Fault)]
        {
            let off = Duration::from_secs(seconds);
            assert_eq!(clock("k", theirs, theirs + off, skew).level, level, "{seconds} s ahead");
            assert_eq!(clock("k", theirs, theirs - off, skew).level, level, "{seconds} s behind");
        }
    }
}
