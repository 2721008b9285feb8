//! Prints the journal as text: how much waits, since when, for which topics, and what to do.

use std::io::{self, Write};

use crate::cli::output::{Call, fix_line};
use crate::counts::{age, counted, grouped, size};
use crate::journal::summary::{EntrySummary, Group, OldKey, QuarantinedGroup, QuarantinedSummary, Summary};
use crate::journal::waiting::{LaneHead, WaitState};
use crate::terminal::{BAD, GOOD, HEADING, QUIET, Table, WARNING, styled};

/// Prints the summary, as of `now` (milliseconds since 1970).
pub(super) fn summary(
    summary: &Summary,
    source: &str,
    now: i64,
    call: &Call<'_>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let share = |bytes: u64, limit: u64| if limit == 0 { 0.0 } else { bytes as f64 / limit as f64 * 100.0 };
    let style = if summary.events == 0 { GOOD } else { WARNING };
    let oldest = summary.oldest_received_at.map_or_else(String::new, |at| format!(", the oldest {} old", age(at, now)));
    writeln!(
        out,
        "{}  {}{oldest}; {} of {} ({:.1} %)",
        styled(HEADING, "journal   "),
        styled(style, counted(summary.events, "event")),
        size(summary.bytes),
        size(summary.limit_bytes),
        share(summary.bytes, summary.limit_bytes),
    )?;
    let (bytes, limit) = (summary.quarantine_bytes, summary.quarantine_limit_bytes);
    let style = if summary.quarantine_callbacks == 0 { GOOD } else { BAD };
    writeln!(
        out,
        "{}  {}; {} of {} ({:.1} %)",
        styled(HEADING, "quarantine"),
        styled(style, counted(summary.quarantine_callbacks, "callback")),
        size(bytes),
        size(limit),
        share(bytes, limit),
    )?;
    writeln!(out, "{}", styled(QUIET, format!("asked       {source}")))?;
    for OldKey { key, entries } in &summary.old_keys {
        let (what, verb) = (counted(*entries, "entry"), if *entries == 1 { "is" } else { "are" });
        let text = format!("{what} {verb} sealed with the older key {key}");
        writeln!(out, "{}  {}", styled(HEADING, "old key   "), styled(WARNING, text))?;
        writeln!(out, "{}", fix_line("next", "keep this key in journal.keys until there are none"))?;
    }
    waiting(summary, now, out)?;
    groups(summary, now, out)?;
    oldest_entries(summary, now, call, out)?;
    quarantine(summary, now, call, out)?;
    out.flush()
}

/// Prints why lane heads wait, with the next step once per reason.
fn waiting(summary: &Summary, now: i64, out: &mut dyn Write) -> io::Result<()> {
    if summary.waiting.is_empty() {
        return Ok(());
    }
    let mut table = Table::new(["why events wait", ">tries", ">since", "first event of its entity"]);
    for head in &summary.waiting {
        let LaneHead { event_id, application, reason, attempts, since, .. } = head;
        let event = format!("{application}/{event_id}");
        table.row([styled(BAD, reason), attempts.to_string(), age(*since, now), event]);
    }
    write!(out, "\n{table}")?;
    writeln!(out, "Later events of the same entities wait behind these.")?;
    let mut steps: Vec<_> = summary.waiting.iter().map(|head| (&head.reason, &head.next_step)).collect();
    steps.sort_unstable();
    steps.dedup();
    for (reason, step) in steps {
        writeln!(out, "{}", fix_line("fix", format!("{reason}: {step}")))?;
    }
    Ok(())
}

fn groups(summary: &Summary, now: i64, out: &mut dyn Write) -> io::Result<()> {
    if summary.groups.is_empty() {
        return Ok(());
    }
    let mut table = Table::new(["application", "topic", ">events", ">size", ">oldest"]);
    for group in &summary.groups {
        let Group { application, topic, events, bytes, oldest_received_at, .. } = group;
        let (events, bytes, oldest) = (grouped(*events), size(*bytes), age(*oldest_received_at, now));
        table.row([application.clone(), topic.clone(), events, bytes, oldest]);
    }
    write!(out, "\n{table}")?;
    let when =
        if summary.waiting.is_empty() { "when Kafka confirms records again" } else { "when the reason is removed" };
    writeln!(out, "They are published automatically, in order, {when}.")
}

fn oldest_entries(summary: &Summary, now: i64, call: &Call<'_>, out: &mut dyn Write) -> io::Result<()> {
    if summary.oldest.is_empty() {
        return Ok(());
    }
    let of = if (summary.oldest.len() as u64) < summary.events { "the oldest events" } else { "event" };
    writeln!(out, "\n{}", styled(HEADING, format!("{:>6}  {of}", "age")))?;
    for waiting in &summary.oldest {
        writeln!(out, "{}", entry(waiting, now))?;
    }
    writeln!(out, "{}", fix_line("next", format!("one of them: {} show ID", call.of("journal"))))
}

fn quarantine(summary: &Summary, now: i64, call: &Call<'_>, out: &mut dyn Write) -> io::Result<()> {
    if summary.quarantine_groups.is_empty() {
        return Ok(());
    }
    let groups = &summary.quarantine_groups;
    let mut table = Table::new(["application", "reason", ">callbacks", ">size", ">oldest"]);
    for group in groups {
        let QuarantinedGroup { application, reason, callbacks, bytes, oldest_received_at } = group;
        let (callbacks, bytes, oldest) = (grouped(*callbacks), size(*bytes), age(*oldest_received_at, now));
        table.row([application.clone(), reason.clone(), callbacks, bytes, oldest]);
    }
    write!(out, "\n{table}")?;
    let of = if (summary.quarantine.len() as u64) < summary.quarantine_callbacks { "the oldest in" } else { "in" };
    writeln!(out, "\n{}", styled(HEADING, format!("{:>6}  {of} quarantine", "age")))?;
    for held in &summary.quarantine {
        writeln!(out, "{}", callback(held, now))?;
    }
    writeln!(out, "{}", fix_line("next", format!("one of them: {} --quarantine ID", call.of("inspect"))))?;
    if groups.iter().any(|group| group.reason == "undecryptable") {
        let step = "undecryptable: no key decrypts them. Add the Encryption Key of that time to the application's \
            decryption_keys and reload (SIGHUP). A callback that IDaaS delivers again is there once for each \
            delivery, and its events are published once";
        writeln!(out, "{}", fix_line("fix", step))?;
    }
    if groups.iter().any(|group| group.reason != "undecryptable") {
        let step = "unreadable: decrypted, but not a list of events. Keep them until you install a version that can \
            read them, and report their form";
        writeln!(out, "{}", fix_line("fix", step))?;
    }
    Ok(())
}

/// Describes why an event waits, and how many attempts have failed.
pub(in crate::cli) fn reason(state: &WaitState) -> String {
    format!("{}, {} failed", state.reason, counted(state.attempts.into(), "attempt"))
}

pub(super) fn entry(waiting: &EntrySummary, now: i64) -> String {
    let reason = waiting.reason.as_deref().map_or_else(String::new, |reason| format!("  {}", styled(BAD, reason)));
    let EntrySummary { application, event_id, topic, received_at, .. } = waiting;
    format!("{:>6}  {application}/{event_id}  {}{reason}", age(*received_at, now), styled(QUIET, topic))
}

pub(super) fn callback(held: &QuarantinedSummary, now: i64) -> String {
    let QuarantinedSummary { id, application, reason, received_at, bytes, .. } = held;
    format!("{:>6}  {application}  {id}  {}  {}", age(*received_at, now), styled(BAD, reason), size(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::summary::Group;
    use crate::terminal::without_styles;

    const CALL: Call<'_> = Call { config: None };

    fn shown(summary: &Summary) -> String {
        let mut bytes = Vec::new();
        super::summary(summary, "the service at 127.0.0.1:9090", 10_000_000, &CALL, &mut bytes).unwrap();
        without_styles(&String::from_utf8(bytes).unwrap())
    }

    fn full() -> Summary {
        Summary {
            events: 1204,
            bytes: 5 << 20,
            limit_bytes: 1 << 30,
            oldest_received_at: Some(9_280_000),
            groups: vec![Group {
                application: "workforce".to_owned(),
                entity: "user".to_owned(),
                topic: "idaas.user.v1".to_owned(),
                events: 1204,
                bytes: 5 << 20,
                oldest_received_at: 9_280_000,
            }],
            oldest: vec![EntrySummary {
                seq: 7,
                event_id: "evnt_7".to_owned(),
                application: "workforce".to_owned(),
                entity: "user".to_owned(),
                topic: "idaas.user.v1".to_owned(),
                reason: Some("malformed_data".to_owned()),
                received_at: 9_280_000,
                waiting: None,
            }],
            quarantine: vec![QuarantinedSummary {
                id: "ab".repeat(16),
                application: "workforce".to_owned(),
                instance_id: "idaas_x".to_owned(),
                reason: "undecryptable".to_owned(),
                received_at: 2_800_000,
                bytes: 2048,
            }],
            waiting: vec![LaneHead {
                event_id: "evnt_7".to_owned(),
                application: "workforce".to_owned(),
                topic: "idaas.user.v1".to_owned(),
                reason: "not_authorized".to_owned(),
                attempts: 4,
                since: 9_400_000,
                next_step: crate::journal::waiting::next_step("not_authorized", "idaas.user.v1", &[]),
            }],
            old_keys: vec![OldKey { key: "0123456789abcdef".to_owned(), entries: 12 }],
            quarantine_callbacks: 1,
            quarantine_bytes: 4096,
            quarantine_limit_bytes: 256 << 20,
            quarantine_groups: vec![QuarantinedGroup {
                application: "workforce".to_owned(),
                reason: "undecryptable".to_owned(),
                callbacks: 1,
                bytes: 2048,
                oldest_received_at: 2_800_000,
            }],
        }
    }

    #[test]
    fn a_summary_tells_how_much_waits_since_when_and_what_to_do() {
        let shown = shown(&full());
        for part in [
            "1,204 events, the oldest 12m old; 5.0 MiB of 1.00 GiB (0.5 %)",
            "1 callback; 4.0 KiB of 256.0 MiB",
            "evnt_7",
            "SIGHUP",
        ] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        for part in
            ["not_authorized", "10m", "denies WRITE on idaas.user.v1", "0123456789abcdef", "12 entries are sealed"]
        {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        assert!(shown.contains("malformed_data") && shown.contains(&"ab".repeat(16)), "{shown}");
    }

    #[test]
    fn every_line_fits_100_columns() {
        let mut full = full();
        let id = format!("evnt_{}", "x".repeat(34));
        full.oldest[0].event_id.clone_from(&id);
        full.waiting[0].event_id = id;
        full.waiting[0].reason = "partition_unavailable".to_owned();
        let shown = shown(&full);
        assert!(shown.lines().all(|line| line.chars().count() <= 100), "{shown}");
    }

    #[test]
    fn an_empty_journal_is_said_to_be_one_in_a_few_lines() {
        let shown = shown(&Summary { limit_bytes: 1 << 30, ..Summary::default() });
        assert!(shown.contains("0 events; 0 B of 1.00 GiB (0.0 %)"), "{shown}");
        assert_eq!(shown.lines().count(), 3, "{shown}");
    }

    #[test]
    fn waiting_events_are_published_when_their_reason_is_removed() {
        assert!(shown(&full()).contains("in order, when the reason is removed."));
        let without = Summary { waiting: Vec::new(), ..full() };
        assert!(shown(&without).contains("in order, when Kafka confirms records again."));
    }
}
