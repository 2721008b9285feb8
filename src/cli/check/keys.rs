//! Checks each application's public keys, and this machine's clock against that of the key endpoint.

use std::time::{Duration, SystemTime};

use idaas_callback::jose::jws::{KeySet, SkippedKey};
use tokio::runtime::Runtime;

use super::code::Code;
use super::finding::Finding;
use super::report::plural;
use crate::config::{Application, Config, JwksSource};
use crate::diagnosis::Diagnosis;
use crate::keys::{Clients, Fetched, Proxy, fetch};

/// A larger clock difference gets a warning, because the validity of tokens depends on the clocks.
const REPORTED_CLOCK_DIFFERENCE: Duration = Duration::from_secs(5);

/// Fetches the keys of all applications concurrently.
pub(super) fn examine(config: &Config, runtime: &Runtime) -> Vec<Finding> {
    let clients = Clients::new(Proxy::Environment);
    let fetches: Vec<_> = config
        .applications
        .iter()
        .map(|application| {
            let (source, clients) = (application.jwks.clone(), clients.clone());
            runtime.spawn(async move { fetch(&source, &clients).await })
        })
        .collect();
    let mut findings = Vec::new();
    for (application, fetching) in config.applications.iter().zip(fetches) {
        let (key, source) = (key(application), &application.jwks);
        match runtime.block_on(fetching) {
            Ok(Ok(fetched)) => {
                findings.push(Finding::ok(Code::Jwks, &key, &found(source, &fetched)));
                findings.extend(skipped(&key, source, &fetched.set));
                findings
                    .extend(fetched.date.map(|date| clock(&key, date, SystemTime::now(), config.server.clock_skew)));
            }
            Ok(Err(fault)) => {
                findings.push(Finding::diagnosed(Code::Jwks, Diagnosis::from(&fault).context(source).at(&key)));
            }
            Err(error) => findings.push(Finding::fault(Code::Jwks, &key, &error.to_string(), "try again")),
        }
    }
    findings
}

/// Checks without the network. Key files held a usable key set when the configuration was read.
pub(super) fn examine_files(config: &Config) -> Vec<Finding> {
    config.applications.iter().flat_map(examine_file).collect()
}

fn examine_file(application: &Application) -> Vec<Finding> {
    let (key, source) = (key(application), &application.jwks);
    match source {
        JwksSource::File(path) => {
            let mut findings = vec![Finding::ok(Code::Jwks, &key, &format!("{} contains usable keys", path.display()))];
            // If the file changes meanwhile, the next check reads it again.
            let set = std::fs::read(path).ok().and_then(|document| KeySet::parse(&document).ok());
            findings.extend(set.iter().flat_map(|set| skipped(&key, source, set)));
            findings
        }
        JwksSource::Url { .. } => {
            let why = format!("whether {source} answers and contains usable keys (--offline)");
            vec![Finding::not_tested(Code::Jwks, &key, &why, "run check without --offline")]
        }
    }
}

/// One warning for each entry that cannot be used. It can be intended for another receiver, so it is not a fault.
fn skipped(key: &str, source: &JwksSource, set: &KeySet) -> Vec<Finding> {
    let finding = |skipped: &SkippedKey| {
        let id = skipped.key_id.as_ref().map(|id| format!(" (kid {id:?})")).unwrap_or_default();
        let problem = format!("{source}: keys[{}]{id} {}", skipped.index, skipped.reason.message());
        let remedy = "callbacks that it signs are refused; correct the entry if IDaaS signs with it";
        Finding::warning(Code::Jwks, key, &problem, remedy)
    };
    set.skipped().iter().map(finding).collect()
}

fn key(application: &Application) -> String {
    format!("application[{}].jwks", application.name)
}

fn found(source: &JwksSource, fetched: &Fetched) -> String {
    let ids: Vec<_> = fetched.set.key_ids().collect();
    format!("{source} has {}: {}", plural(ids.len(), "RSA key"), ids.join(", "))
}

/// Compares this machine's clock with that of the endpoint, which has a resolution of one second.
fn clock(key: &str, theirs: SystemTime, ours: SystemTime, skew: Duration) -> Finding {
    let (apart, direction) = match ours.duration_since(theirs) {
        Ok(ahead) => (ahead, "ahead of"),
        Err(behind) => (behind.duration(), "behind"),
    };
    let problem = format!("this machine's clock is {} s {direction} the key endpoint's", apart.as_secs());
    let remedy = "correct it (chrony, systemd-timesyncd), because the times of tokens are compared with it";
    if apart > skew {
        let problem =
            format!("{problem}, more than server.clock_skew ({} s): valid callbacks would be refused", skew.as_secs());
        Finding::fault(Code::JwksClock, &format!("{key} (clock)"), &problem, remedy)
    } else if apart > REPORTED_CLOCK_DIFFERENCE {
        Finding::warning(Code::JwksClock, &format!("{key} (clock)"), &problem, remedy)
    } else {
        Finding::ok(
            Code::JwksClock,
            &format!("{key} (clock)"),
            "this machine's clock agrees with that of the key \
            endpoint",
        )
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
