//! `dead-letter redrive`: asks the running service to publish the events of dead letters again, and prints each result.

use std::io::Write;
use std::path::Path;

use serde_json::json;

use crate::app_state::DeadLetterOutcome;
use crate::cli::journal::access::{RequestFault, Service};
use crate::cli::output::{Call, end, fix_line, print_error_with_fix, shell_word};
use crate::cli::{Exit, runtime};
use crate::config::Config;
use crate::terminal::{BAD, GOOD, WARNING, stdout, styled};

/// Redrives each id in turn. Stops only if the service cannot be asked, or the output cannot be written.
pub(super) fn redrive(config: &Config, path: &Path, ids: &[String], json: bool) -> Exit {
    let Some(runtime) = runtime() else { return Exit::Failed };
    let (call, mut exit) = (Call::new(path), Exit::Success);
    for id in ids {
        let outcome = match runtime.block_on(Service::redrive_dead_letter(config, id)) {
            Ok(outcome) => outcome,
            Err(why) => {
                let problem = format!("{id} was not published again: {}", why.problem(config));
                return print_error_with_fix(problem, remedy(&why, &call));
            }
        };
        if !outcome.is_safe() {
            exit = Exit::Failed;
        }
        let shown = if json {
            json!({"id": id, "outcome": outcome, "nextStep": next_step(&outcome, id, &call)}).to_string()
        } else {
            for_people(&outcome, id, &call)
        };
        if let Err(error) = writeln!(stdout(), "{shown}") {
            return end(Err(error));
        }
    }
    exit
}

fn remedy(why: &RequestFault, call: &Call<'_>) -> String {
    match why {
        RequestFault::NoService => format!(
            "start the service ({}), or run this command where it runs (in its pod or container), then run it again; \
            a dead letter stays in its topic until topics.retention has passed",
            call.of("serve")
        ),
        RequestFault::Refused(_) => format!("fix what {} reports, then run this again", call.of("check")),
    }
}

fn for_people(outcome: &DeadLetterOutcome, id: &str, call: &Call<'_>) -> String {
    let (style, what) = match outcome {
        DeadLetterOutcome::Published { topic, event } => (GOOD, format!("published to {topic} as {event}")),
        DeadLetterOutcome::AlreadyPublished => (GOOD, "was published a short time ago; no second record".to_owned()),
        DeadLetterOutcome::Journaled => (WARNING, "in the journal; Kafka has not confirmed it yet".to_owned()),
        DeadLetterOutcome::NoRoom => {
            (BAD, "not accepted in time: the service has no capacity, or its disk is slow".to_owned())
        }
        DeadLetterOutcome::StillRefused { reason } => {
            (BAD, format!("not published: it still fits no record ({reason})"))
        }
        DeadLetterOutcome::RefusedAgain { reason } => (BAD, format!("became a dead letter again ({reason})")),
        DeadLetterOutcome::Skipped => (BAD, "not published: the configuration skips its type".to_owned()),
        DeadLetterOutcome::NoOriginal { reason } => {
            (BAD, format!("cannot be published: the dead letter has only a fingerprint of it ({reason})"))
        }
        DeadLetterOutcome::Unreadable => (BAD, "not published: its original cannot be decrypted".to_owned()),
        DeadLetterOutcome::NotConfigured { application_id } => {
            (BAD, format!("not published: its application {application_id} is not configured"))
        }
        DeadLetterOutcome::Ambiguous { .. } => (BAD, "is the id of dead letters of several applications".to_owned()),
        DeadLetterOutcome::NotFound => (BAD, "is not among the dead letters in the topics".to_owned()),
    };
    let label = if outcome.is_safe() { "next" } else { "fix" };
    format!("{id}: {}\n{}", styled(style, what), fix_line(label, next_step(outcome, id, call)))
}

/// Returns what to do after an outcome.
fn next_step(outcome: &DeadLetterOutcome, id: &str, call: &Call<'_>) -> String {
    match outcome {
        DeadLetterOutcome::Published { .. } | DeadLetterOutcome::AlreadyPublished => {
            format!("find it: {} {}", call.of("find"), shell_word(id))
        }
        DeadLetterOutcome::Journaled => {
            format!("it is published automatically; show what it waits for: {}", call.of("journal"))
        }
        DeadLetterOutcome::NoRoom => {
            format!(
                "run this again in a minute, which publishes it once at most; show what fills the service: {}",
                call.of("journal")
            )
        }
        DeadLetterOutcome::StillRefused { reason } => of_reason(reason).to_owned(),
        DeadLetterOutcome::RefusedAgain { .. } => {
            "raise max.message.bytes of its topic, then run this again; the service's log has the broker's error"
                .to_owned()
        }
        DeadLetterOutcome::Skipped => {
            "remove its type from `skip` of the application, reload (SIGHUP), then run this again".to_owned()
        }
        DeadLetterOutcome::NoOriginal { .. } => format!(
            "raise message.max.bytes in [kafka.properties] and max.message.bytes of the topic, then press Synchronize \
            in the IDaaS console: a full push sends every entity as it is now. To see what was too large: {} show {}",
            call.of("dead-letter"),
            shell_word(id)
        ),
        DeadLetterOutcome::Unreadable => {
            "add the journal key that sealed it to journal.keys, after the existing ones; reload (SIGHUP), then run \
            this again. Without that key, press Synchronize in the IDaaS console"
                .to_owned()
        }
        DeadLetterOutcome::NotConfigured { .. } => {
            "add an [[application]] with this id and its instance_id, reload (SIGHUP), then run this again".to_owned()
        }
        DeadLetterOutcome::Ambiguous { ids } => format!("name one of them: {}", ids.join(", ")),
        DeadLetterOutcome::NotFound => {
            format!(
                "look elsewhere: {} {}; list the dead letters: {} list",
                call.of("find"),
                shell_word(id),
                call.of("dead-letter")
            )
        }
    }
}

/// Returns what to do about a reason that still applies.
fn of_reason(reason: &str) -> &'static str {
    match reason {
        "record_too_large" => {
            "raise message.max.bytes in [kafka.properties] and max.message.bytes of the topic, reload (SIGHUP), then \
            run this again"
        }
        // The sender has caused it, so only another version can read the event.
        _ => {
            "install a version that can read it, then run this again; or press Synchronize in the IDaaS console: a \
            full push sends every entity as it is now"
        }
    }
}
