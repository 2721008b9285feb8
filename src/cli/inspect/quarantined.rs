//! Shows a quarantined callback, opened with the configured keys: the same steps as for a capture, from the decryption
//! on.
//!
//! Its signature and claims were verified when it arrived, and are not stored.

use serde_json::Value;

use super::captured::encryption;
use super::steps::{Screen, readable};
use super::{InspectArguments, choose};
use crate::cli::Exit;
use crate::cli::journal::NO_LONGER_QUARANTINED;
use crate::cli::journal::access;
use crate::cli::output::{Call, end, next, print_error, print_error_with_fix, report};
use crate::config::Config;
use crate::journal::QuarantineId;
use crate::service::wiring;
use crate::terminal::stdout;
use idaas_callback::Refusal;
use idaas_callback::jose::jwe::Sealed;
use idaas_callback::timestamp::parse_rfc3339;
use idaas_callback::{QuarantinedCallback, QuarantinedContent};

/// Shows the callback with this id.
pub(super) async fn show(config: &Config, id: &str, arguments: &InspectArguments) -> Exit {
    let list = format!("list the callbacks in quarantine: {}", Call::new(&arguments.config).of("journal"));
    if QuarantineId::parse(id).is_none() {
        print_error_with_fix(
            format_args!("{id} is not the id of a callback in quarantine: those have 32 hex digits"),
            list,
        );
        return Exit::Misconfigured;
    }
    let journal = match access::open(config).await {
        Ok(journal) => journal,
        Err(fault) => return report(&fault),
    };
    let line = match journal.line_by_id(id).await {
        Ok(Ok(line)) if line.get("content").is_some() => line,
        Ok(Ok(_) | Err(_)) => {
            let failed = print_error_with_fix(format_args!("{id} is not in quarantine"), list);
            next(NO_LONGER_QUARANTINED);
            return failed;
        }
        Err(why) => return print_error(why),
    };
    let text = |name: &str| line.get(name).and_then(Value::as_str).unwrap_or_default();
    let Some(content) = open_sealed(text("content"), config) else {
        let problem = format_args!("{id} is sealed with a key that is not in journal.keys");
        return print_error_with_fix(problem, "add the key of that time to journal.keys, after the existing ones");
    };
    let name = arguments.application.as_deref().unwrap_or(text("application"));
    let application = match choose(config, Some(name), None) {
        Ok(application) => application,
        Err(problem) => {
            return print_error_with_fix(
                problem,
                "configure it again, or verify against another one: --application \
                NAME",
            );
        }
    };
    let (reason, instance_id) = (text("reason"), text("instanceId").to_owned());
    // A callback that was decrypted on arrival is stored in decrypted form.
    let is_encrypted = reason == Refusal::Undecryptable.code() || Sealed::parse(content.clone()).is_some();
    let header = if is_encrypted { encryption(&content) } else { None };
    let content =
        if is_encrypted { QuarantinedContent::Encrypted(content) } else { QuarantinedContent::Plain(content) };
    let at = parse_rfc3339(text("receivedAt")).unwrap_or_default();
    let policy = wiring::policy(config, application);
    let mut out = stdout();
    let mut screen = Screen { out: &mut out, application, policy: &policy, at, quarantined: Some(id) };
    let shown = screen
        .value("quarantine", &format!("{id}, received {}, {reason}", readable(at.div_euclid(1000))))
        .and_then(|()| screen.value("application", &format!("{name} ({})", application.id)))
        .and_then(|()| screen.value("instance", &instance_id))
        .and_then(|()| screen.value("signature", "and claims were verified when it arrived, and are not kept"))
        .and_then(|()| {
            screen.content(QuarantinedCallback { instance_id, application_id: None, content }.verified(), header)
        });
    end(shown)
}

fn open_sealed(sealed: &str, config: &Config) -> Option<String> {
    let keys = &config.journal.keys;
    keys.iter().find_map(|key| String::from_utf8(key.open(Sealed::parse(sealed)?).ok()?).ok())
}
