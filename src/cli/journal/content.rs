//! One entry or one callback with its content opened: personal data hidden unless it is requested, passwords never
//! shown.

use std::io::{self, Write};
use std::sync::Arc;

use idaas_callback::jose::jwe::{ContentKey, Sealed};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::show::reason;
use crate::cli::inspect::pretty::{Strings, pretty};
use crate::counts::counted;
use crate::journal::waiting::WaitState;
use crate::terminal::{BAD, HEADING, QUIET, entry, styled};

/// Column at which values start.
const MARGIN: usize = 12;

/// Printed below content whose personal data is hidden.
pub(in crate::cli) const HIDDEN: &str = "Personal data is hidden; --reveal shows it. Passwords are never shown.";

/// Replaces personal data.
const MASK: &str = "•••";

/// Members of a line with sealed content.
const SEALED: [&str; 3] = ["value", "credential", "content"];

/// The name under which the answer's code is shown: "SUCCESS" alone reads as if the event were published.
const VERDICT: &str = "verdict";

/// Members that are never personal, including everything in them: what happened, when, and the ids concerned.
const CLEAR: [&str; 26] = [
    "schemaVersion",
    "action",
    "reason",
    "origin",
    "cleared",
    "originalSize",
    "originalSha256",
    "id",
    "parentId",
    "primaryOrganizationalUnitId",
    "status",
    "type",
    "specversion",
    "time",
    "dataschema",
    "datacontenttype",
    "subject",
    "partitionkey",
    "eventType",
    "eventId",
    "eventTime",
    "receivedAt",
    "instanceId",
    "applicationId",
    "aliUid",
    "bizId",
];

/// Prints a line of the journal as text.
pub(super) fn show(line: &Value, keys: &[Arc<ContentKey>], reveal: bool, out: &mut dyn Write) -> io::Result<()> {
    for (name, value) in line.as_object().into_iter().flatten() {
        let name = if name == "code" { VERDICT } else { name };
        let shown = match value {
            Value::String(code) if name == VERDICT => format!("{} (once it is published)", printable(code)),
            Value::Object(_) if name == "waiting" => match WaitState::deserialize(value) {
                Ok(state) => reason(&state),
                Err(_) => continue,
            },
            Value::Null => continue,
            Value::String(sealed) if SEALED.contains(&name) => content(sealed, keys, reveal),
            Value::String(text) => printable(text),
            other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                pretty(&other.to_string(), Strings::Folded, MARGIN).unwrap_or_default()
            }
        };
        writeln!(out, "{}", entry(HEADING, name, MARGIN, shown))?;
    }
    if !reveal {
        writeln!(out, "{}", styled(QUIET, HIDDEN))?;
    }
    out.flush()
}

/// What is shown instead of text that is not JSON and can contain a password.
const MASKED: &str = "***";

/// Returns the line with its contents opened. A content that cannot be opened stays sealed.
pub(super) fn open_sealed(mut line: Value, keys: &[Arc<ContentKey>]) -> Value {
    for name in SEALED {
        if let Some(sealed) = line.get_mut(name)
            && let Some(text) = sealed.as_str().and_then(|text| unsealed(text, keys))
        {
            *sealed = pretty(&text, Strings::Folded, 0)
                .and_then(|masked| serde_json::from_str(&masked).ok())
                .unwrap_or_else(|| if text.contains("password") { MASKED.into() } else { text.into() });
        }
    }
    line
}

fn content(sealed: &str, keys: &[Arc<ContentKey>], reveal: bool) -> String {
    let Some(text) = unsealed(sealed, keys) else {
        return styled(BAD, "sealed with a key that is not in journal.keys");
    };
    match serde_json::from_str::<Value>(&text) {
        Ok(value) if !reveal => pretty(&masked(value).to_string(), Strings::Folded, MARGIN).unwrap_or_default(),
        Ok(_) => pretty(&text, Strings::Folded, MARGIN).unwrap_or_default(),
        // A callback that no key decrypts, as IDaaS has encrypted it.
        Err(_) if Sealed::parse(text.clone()).is_some() => format!("{}, encrypted by IDaaS", characters(&text)),
        Err(_) if reveal && !text.contains("password") => printable(&text),
        Err(_) => format!("{} of text that is not JSON", characters(&text)),
    }
}

fn characters(text: &str) -> String {
    counted(text.chars().count() as u64, "character")
}

/// Formats a member of a record's data. Opens it if it is sealed with one of the keys.
pub(in crate::cli) fn member(name: &str, value: &Value, keys: &[Arc<ContentKey>], reveal: bool) -> String {
    if let Value::String(text) = value {
        return if Sealed::parse(text.clone()).is_some() { content(text, keys, reveal) } else { printable(text) };
    }
    let shown = if reveal || CLEAR.contains(&name) { value.clone() } else { masked(value.clone()) };
    pretty(&shown.to_string(), Strings::Unfolded, MARGIN).unwrap_or_default()
}

/// Opens a text that one of the keys has sealed.
pub(in crate::cli) fn unsealed(sealed: &str, keys: &[Arc<ContentKey>]) -> Option<String> {
    keys.iter().find_map(|key| String::from_utf8(key.open(Sealed::parse(sealed)?).ok()?).ok())
}

/// Replaces all values that can be personal data.
fn masked(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let mask = |(name, value): (String, Value)| {
                let value = if CLEAR.contains(&name.as_str()) { value } else { masked(value) };
                (name, value)
            };
            Value::Object(members.into_iter().map(mask).collect::<Map<_, _>>())
        }
        Value::Array(elements) => Value::Array(elements.into_iter().map(masked).collect()),
        Value::String(_) | Value::Number(_) => MASK.into(),
        Value::Null | Value::Bool(_) => value,
    }
}

/// Replaces control characters, so that the text cannot control the terminal.
pub(in crate::cli) fn printable(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { '\u{fffd}' } else { character }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminal::without_styles;

    fn key() -> Arc<ContentKey> {
        Arc::new(ContentKey::from_hex(&"ab".repeat(32)).unwrap())
    }

    fn line() -> Value {
        let value = r#"{"action":"created","user":{"id":"user_1","username":"zhangsan","password":"hunter2"},"origin":{"eventId":"evnt_1"}}"#;
        serde_json::json!({"eventId": "evnt_1", "topic": "idaas.user.v1", "value": key().seal_named(value.as_bytes())})
    }

    fn shown(reveal: bool) -> String {
        let mut out = Vec::new();
        show(&line(), &[key()], reveal, &mut out).unwrap();
        without_styles(&String::from_utf8(out).unwrap())
    }

    #[test]
    fn personal_data_is_hidden_unless_requested() {
        let masked = shown(false);
        for part in ["idaas.user.v1", "created", "user_1", "evnt_1", MASK] {
            assert!(masked.contains(part), "{part}: {masked}");
        }
        assert!(!masked.contains("zhangsan"), "{masked}");
        assert!(shown(true).contains("zhangsan"));
    }

    #[test]
    fn passwords_are_never_shown() {
        for shown in [shown(false), shown(true), open_sealed(line(), &[key()]).to_string()] {
            assert!(!shown.contains("hunter2"), "{shown}");
        }
        assert!(open_sealed(line(), &[key()])["value"]["user"]["username"] == "zhangsan");
    }

    #[test]
    fn a_waiting_event_shows_its_reason_and_its_verdict_as_future() {
        let mut line = line();
        line["code"] = "SUCCESS".into();
        line["waiting"] = serde_json::json!({"reason": "not_authorized", "attempts": 1, "nextStep": "grant it"});
        let mut out = Vec::new();
        show(&line, &[key()], false, &mut out).unwrap();
        let shown = without_styles(&String::from_utf8(out).unwrap());
        assert!(shown.contains("verdict     SUCCESS (once it is published)"), "{shown}");
        assert!(shown.contains("waiting     not_authorized, 1 attempt failed"), "{shown}");
    }

    #[test]
    fn sizes_times_and_ids_of_a_dead_letter_are_not_hidden() {
        let origin =
            serde_json::json!({"eventTime": "2026-01-15T08:00:00.000Z", "bizId": "user_1", "instanceId": "idaas_x"});
        let shown = member("origin", &origin, &[], false) + &member("originalSize", &1_234_567.into(), &[], false);
        for part in ["2026-01-15T08:00:00.000Z", "user_1", "idaas_x", "1234567"] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        assert!(member("original", &serde_json::json!({"name": "zhangsan"}), &[], false).contains(MASK));
    }

    #[test]
    fn a_line_that_no_key_opens_says_so() {
        let mut out = Vec::new();
        show(&line(), &[], true, &mut out).unwrap();
        assert!(String::from_utf8(out).unwrap().contains("not in journal.keys"));
    }
}
