//! Decodes what a record on one of our topics reveals about an event. Pure.
//!
//! Anyone may have written to the topics. A record that does not have exactly our format is ignored, and nothing of
//! it is stored or shown.

use std::borrow::Cow;

use idaas_callback::Reason;
use idaas_callback::event_type::{Action, Entity};
use idaas_callback::record::CREDENTIAL_SUFFIX;
use outbox::EventKey;
use outbox::verdict::Verdict;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::our_topics::Scope;

/// The event of a record, and the record's part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PublishedRecord {
    /// The event's key.
    pub(super) key: EventKey,
    /// The application, by its number in the scope.
    pub(super) application: usize,
    /// The part of the event.
    pub(super) part: Part,
}

/// The part of an event that a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// The whole event, with its verdict.
    Whole(Verdict),
    /// The event's own record, which can have a credential beside it.
    Event,
    /// The credential beside an event's own record.
    Credential,
}

impl Part {
    /// Returns the record's index among the event's own records. `None` if it is not one of two.
    pub(super) const fn index(self) -> Option<u8> {
        match self {
            Self::Whole(_) => None,
            Self::Event => Some(0),
            Self::Credential => Some(1),
        }
    }
}

/// The CloudEvents attributes that are used here.
pub(super) struct Attributes<'a> {
    pub(super) id: Cow<'a, str>,
    source: Cow<'a, str>,
    kind: Cow<'a, str>,
    /// The event's data as JSON.
    pub(super) data: &'a [u8],
}

/// Decodes a record of a topic about `entity` from its headers, in their order, and its value. `None` if it is not
/// ours.
pub(super) fn decode<'a>(
    scope: &Scope,
    entity: Entity,
    headers: impl Iterator<Item = (&'a str, &'a [u8])>,
    value: &'a [u8],
) -> Option<PublishedRecord> {
    let Attributes { id, source, kind, data } = attributes(headers, value)?;
    let application = application(&source)?;
    let ours = scope.application(application)?;
    let action = action(&kind, entity)?;
    let part = match entity {
        Entity::DeadLetter if action != Action::Refused.name() => return None,
        Entity::DeadLetter => Part::Whole(Verdict::DeadLettered(reason(data)?)),
        Entity::Credential => Part::Credential,
        Entity::User if ours.seals && can_have_credential(action) => Part::Event,
        Entity::User | Entity::OrganizationalUnit | Entity::Group | Entity::Connectivity | Entity::Unclassified => {
            Part::Whole(Verdict::Confirmed)
        }
    };
    let id = match part {
        // Records of earlier versions have only the event's id.
        Part::Credential => id.strip_suffix(CREDENTIAL_SUFFIX).unwrap_or(&id),
        Part::Whole(_) | Part::Event => &id,
    };
    Some(PublishedRecord { key: EventKey::of(application, id), application: ours.number, part })
}

/// Returns the attributes, in either content mode.
pub(super) fn attributes<'a>(
    headers: impl Iterator<Item = (&'a str, &'a [u8])>,
    value: &'a [u8],
) -> Option<Attributes<'a>> {
    let (mut id, mut source, mut kind, mut structured) = (None, None, None, false);
    for (name, value) in headers {
        let slot = match name {
            "ce_id" => &mut id,
            "ce_source" => &mut source,
            "ce_type" => &mut kind,
            "content-type" => {
                structured |= is_structured(value);
                continue;
            }
            _ => continue,
        };
        // If a header occurs more than once, the first counts, as for all readers.
        if slot.is_none() {
            *slot = Some(std::str::from_utf8(value).ok()?);
        }
    }
    if structured {
        return Structured::read(value);
    }
    let [id, source, kind] = [id?, source?, kind?].map(Cow::Borrowed);
    Some(Attributes { id, source, kind, data: value })
}

fn is_structured(content_type: &[u8]) -> bool {
    const STRUCTURED: &[u8] = b"application/cloudevents+json";
    content_type.get(..STRUCTURED.len()).is_some_and(|start| start.eq_ignore_ascii_case(STRUCTURED))
}

/// The members of a structured event that are used here.
#[derive(Deserialize)]
struct Structured<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    source: Cow<'a, str>,
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

impl<'a> Structured<'a> {
    fn read(value: &'a [u8]) -> Option<Attributes<'a>> {
        let Self { id, source, kind, data } = serde_json::from_slice(value).ok()?;
        Some(Attributes { id, source, kind, data: data.map_or(&[], |data| data.get().as_bytes()) })
    }
}

/// Returns the application of `/idaas/<instance>/<application>`.
fn application(source: &str) -> Option<&str> {
    let (_, application) = source.strip_prefix("/idaas/")?.split_once('/')?;
    Some(application)
}

/// Returns the action of `com.alibabacloud.idaas.<entity>.<action>.v1`.
fn action(kind: &str, entity: Entity) -> Option<&str> {
    let rest = kind.strip_prefix("com.alibabacloud.idaas.")?.strip_prefix(entity.name())?;
    rest.strip_prefix('.')?.strip_suffix(".v1")
}

/// Returns true if such an event can have a password.
fn can_have_credential(action: &str) -> bool {
    [Action::Created, Action::PasswordChanged].iter().any(|with| with.name() == action)
}

/// Returns the reason why an event is a dead letter. `None` if this version does not know the reason.
fn reason(data: &[u8]) -> Option<Reason> {
    #[derive(Deserialize)]
    struct Letter<'a> {
        #[serde(borrow)]
        reason: Cow<'a, str>,
    }
    let Letter { reason } = serde_json::from_slice(data).ok()?;
    Reason::ALL.into_iter().find(|known| known.code() == reason)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn scope() -> Scope {
        let applications = [("app_drops".to_owned(), false), ("app_seals".to_owned(), true)];
        Scope::new(HashMap::new(), HashMap::from(applications))
    }

    fn binary(entity: Entity, application: &str, action: &str, value: &str) -> Option<Part> {
        let source = format!("/idaas/idaas_1/{application}");
        let kind = format!("com.alibabacloud.idaas.{}.{action}.v1", entity.name());
        let id = if entity == Entity::Credential { "evnt_1:credential" } else { "evnt_1" };
        let headers = [("content-type", "application/json"), ("ce_id", id), ("ce_source", &source), ("ce_type", &kind)];
        let published_record = decode(&scope(), entity, bytes(&headers), value.as_bytes())?;
        assert_eq!(published_record.key, EventKey::of(application, "evnt_1"));
        Some(published_record.part)
    }

    fn bytes<'a>(headers: &'a [(&str, &str)]) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        headers.iter().map(|(name, value)| (*name, value.as_bytes()))
    }

    #[test]
    fn a_record_of_ours_means_that_its_event_is_confirmed() {
        for (entity, action) in [
            (Entity::User, "created"),
            (Entity::OrganizationalUnit, "moved"),
            (Entity::Group, "member_added"),
            (Entity::Connectivity, "tested"),
            (Entity::Unclassified, "unknown"),
        ] {
            assert_eq!(binary(entity, "app_drops", action, "{}"), Some(Part::Whole(Verdict::Confirmed)), "{action}");
        }
    }

    #[test]
    fn an_event_that_can_have_a_credential_is_half_of_itself() {
        for action in ["created", "password_changed"] {
            assert_eq!(binary(Entity::User, "app_seals", action, "{}"), Some(Part::Event));
        }
        assert_eq!(binary(Entity::Credential, "app_seals", "created", "{}"), Some(Part::Credential));
        assert_eq!(binary(Entity::User, "app_seals", "updated", "{}"), Some(Part::Whole(Verdict::Confirmed)));
    }

    #[test]
    fn a_credential_names_its_event_with_and_without_a_suffix() {
        let kind = "com.alibabacloud.idaas.credential.created.v1";
        for id in ["evnt_1", "evnt_1:credential"] {
            let headers = [("ce_id", id), ("ce_source", "/idaas/i/app_seals"), ("ce_type", kind)];
            let seen = decode(&scope(), Entity::Credential, bytes(&headers), b"{}").unwrap();
            assert_eq!(
                seen,
                PublishedRecord { key: EventKey::of("app_seals", "evnt_1"), application: 1, part: Part::Credential }
            );
            // The same ids on another topic have their own meaning.
            let headers =
                [("ce_id", id), ("ce_source", "/idaas/i/app_seals"), ("ce_type", &kind.replace("credential", "user"))];
            let seen = decode(&scope(), Entity::User, bytes(&headers), b"{}").unwrap();
            assert_eq!(seen.key, EventKey::of("app_seals", id));
        }
    }

    #[test]
    fn a_dead_letter_tells_its_reason_and_an_unknown_one_nothing() {
        let letter = |value: &str| binary(Entity::DeadLetter, "app_drops", "refused", value);
        for reason in Reason::ALL {
            let value =
                format!(r#"{{"schemaVersion":"1.0","original":{{"reason":"x"}},"reason":"{}"}}"#, reason.code());
            assert_eq!(letter(&value), Some(Part::Whole(Verdict::DeadLettered(reason))));
        }
        for value in ["", "{}", "null", r#"{"reason":"bored"}"#, r#"{"reason":7}"#, r#"{"reason":"malformed_data""#] {
            assert_eq!(letter(value), None, "{value}");
        }
    }

    #[test]
    fn a_structured_event_says_the_same_by_its_value() {
        let headers = [("content-type", "application/CloudEvents+json; charset=UTF-8"), ("ce_id", "ignored")];
        let see = |entity: Entity, value: &str| decode(&scope(), entity, bytes(&headers), value.as_bytes());
        let user = r#"{"specversion":"1.0","id":"evnt_\u0031","source":"/idaas/idaas_1/app_drops","type":"com.alibabacloud.idaas.user.updated.v1","data":{"id":"other"}}"#;
        let key = EventKey::of("app_drops", "evnt_1");
        let expected = PublishedRecord { key, application: 0, part: Part::Whole(Verdict::Confirmed) };
        assert_eq!(see(Entity::User, user), Some(expected));
        let letter = r#"{"id":"evnt_1","source":"/idaas/i/app_drops","type":"com.alibabacloud.idaas.dead-letter.refused.v1","data":{"reason":"malformed_data"}}"#;
        let expected =
            PublishedRecord { key, application: 0, part: Part::Whole(Verdict::DeadLettered(Reason::MalformedData)) };
        assert_eq!(see(Entity::DeadLetter, letter), Some(expected));
        for value in ["", "[]", "{}", user.trim_end_matches('}'), &user.replace("\"id\"", "\"di\"")] {
            assert_eq!(see(Entity::User, value), None, "{value}");
        }
    }

    #[test]
    fn what_is_not_as_ours_says_nothing() {
        let good = [
            ("ce_id", "evnt_1"),
            ("ce_source", "/idaas/idaas_1/app_drops"),
            ("ce_type", "com.alibabacloud.idaas.user.updated.v1"),
        ];
        let see = |headers: &[(&str, &str)]| decode(&scope(), Entity::User, bytes(headers), b"{}");
        assert!(see(&good).is_some());
        for missing in 0..good.len() {
            let headers: Vec<_> = good.iter().enumerate().filter(|(at, _)| *at != missing).map(|(_, h)| *h).collect();
            assert_eq!(see(&headers), None, "without {}", good[missing].0);
        }
        for (at, value) in [
            (1, "/idaas/idaas_1/app_foreign"),
            (1, "/idaas/app_drops"),
            (1, "/idaas/idaas_1/x/app_drops"),
            (1, "https://example.com"),
            (1, ""),
            (2, "com.alibabacloud.idaas.group.updated.v1"),
            (2, "com.alibabacloud.idaas.user.updated.v2"),
            (2, "user.updated"),
            (2, ""),
        ] {
            let mut headers = good;
            headers[at].1 = value;
            assert_eq!(see(&headers), None, "{value}");
        }
        let broken = [("ce_id", &b"\xff\xfe"[..]), ("ce_source", b"/idaas/i/app_drops"), ("ce_type", b"x")];
        assert_eq!(decode(&scope(), Entity::User, broken.into_iter(), b""), None);
        assert_eq!(see(&[]), None);
    }
}
