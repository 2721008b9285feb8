//! Formats the results of a run: a line per event, JSON lines for machines, and a summary.

use std::io::{self, Write};
use std::time::Duration;

use idaas_simulator::answer::List;
use idaas_simulator::fault::Expected;
use idaas_simulator::kind::PREFIX;
use idaas_simulator::redelivery::{FinalOutcome, Outcome};
use idaas_simulator::sender::NoAnswer;
use idaas_simulator::stats::{Quantiles, RunStats, describe, verdict};
use serde_json::json;

use crate::counts::{counted, grouped, in_milliseconds, milliseconds};
use crate::terminal::{BAD, GOOD, NEUTRAL, Style, WARNING, entry, styled};

/// Writes the line of one event: result, verdict, time, id and type.
///
/// # Errors
/// The error of `out` if it cannot be written.
pub fn line(out: &mut dyn Write, outcome: &Outcome) -> io::Result<()> {
    let mark = if outcome.good { styled(GOOD, "ok") } else { styled(BAD, "!!") };
    let verdict = entry(style(&outcome.final_outcome), describe(&outcome.final_outcome), 26, "");
    let took = milliseconds(outcome.latency);
    let event_type = outcome.event_type.strip_prefix(PREFIX).unwrap_or(&outcome.event_type);
    write!(out, "{mark} {verdict} {took:>9}  {}  {event_type}", outcome.event_id)?;
    if outcome.deliveries > 1 {
        write!(out, "  (sent {})", counted(u64::from(outcome.deliveries), "time"))?;
    }
    if !outcome.good {
        write!(out, "  expected {}", expectation(&outcome.expected))?;
    }
    writeln!(out)
}

const fn style(outcome: &FinalOutcome) -> Style {
    match outcome {
        FinalOutcome::Verdict(List::Success, _) => GOOD,
        FinalOutcome::Verdict(List::Skipped, _) | FinalOutcome::NoVerdict => NEUTRAL,
        FinalOutcome::Verdict(List::Failed, _) | FinalOutcome::Refusal(..) => WARNING,
        FinalOutcome::Verdict(List::Retried, _) | FinalOutcome::NoAnswer(_) => BAD,
    }
}

/// An expectation as [`describe`] writes it.
#[must_use]
pub fn expectation(expected: &Expected) -> String {
    match expected {
        Expected::Refusal { status, code } => format!("{status} {code}"),
        Expected::Verdict(list, code) => verdict(*list, code),
        Expected::NoVerdict => "no verdict".to_owned(),
    }
}

/// Writes the same line as a JSON object.
///
/// # Errors
/// The error of `out` if it cannot be written.
pub fn json_line(out: &mut dyn Write, outcome: &Outcome) -> io::Result<()> {
    let (list, code, status) = match &outcome.final_outcome {
        FinalOutcome::Verdict(list, code) => (Some(list.code()), Some(code.as_str()), Some(200)),
        FinalOutcome::NoVerdict => (None, None, Some(200)),
        FinalOutcome::Refusal(status, code) => (None, code.as_deref(), Some(*status)),
        FinalOutcome::NoAnswer(reason) => (None, Some(reason.code()), None),
    };
    let line = json!({
        "eventId": outcome.event_id, "eventType": outcome.event_type, "status": status, "list": list, "code": code,
        "asExpected": outcome.good, "expected": expectation(&outcome.expected), "deliveries": outcome.deliveries,
        "latencyMs": in_milliseconds(outcome.latency),
    });
    writeln!(out, "{line}")
}

/// Size and duration of a run.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    /// Number of events to send.
    pub count: u64,
    /// Duration, without signing in advance.
    pub took: Duration,
}

/// Writes the summary in a few lines. Unexpected results come first if the events were not shown individually.
///
/// # Errors
/// The error of `out` if it cannot be written.
pub fn summary(out: &mut dyn Write, stats: &RunStats, run: Run, shown: bool) -> io::Result<()> {
    if !shown {
        for surprise in &stats.surprises {
            line(out, surprise)?;
        }
    }
    for wrong in &stats.wrong {
        writeln!(out, "{} {wrong}", styled(BAD, "!!"))?;
    }
    writeln!(out)?;
    let seconds = run.took.as_secs_f64().max(1e-6);
    writeln!(
        out,
        "{} of {} settled in {}, {:.1} s ({} events/s)",
        grouped(stats.settled),
        counted(run.count, "event"),
        counted(stats.deliveries() as u64, "callback"),
        run.took.as_secs_f64(),
        grouped((stats.settled as f64 / seconds).round() as u64)
    )?;
    for (outcome, count) in &stats.outcomes {
        writeln!(out, "  {:>9}  {outcome}", grouped(*count))?;
    }
    if stats.outcomes.contains_key(&describe(&FinalOutcome::NoAnswer(NoAnswer::NotTrusted))) {
        writeln!(out, "the bridge's certificate is not trusted; name the CA that issued it: --ca-file FILE")?;
    }
    writeln!(out, "latency per callback: {}", quantiles(stats.quantiles()))?;
    if stats.late > 0 {
        let late = counted(stats.late, "callback");
        writeln!(out, "{late} were sent late: this machine could not keep up, and the latencies include the delay")?;
    }
    if stats.is_as_expected(run.count) {
        writeln!(out, "{}", styled(GOOD, "all as expected"))
    } else {
        let missing = run.count.saturating_sub(stats.settled);
        let unexpected = counted(stats.unexpected, "event");
        let text = format!("not as expected: {unexpected}, {} not settled", grouped(missing));
        writeln!(out, "{}", styled(BAD, &text))
    }
}

/// Formats latencies in one phrase: `p50 0.9 ms, p90 1.2 ms, p99 2.0 ms, max 3.1 ms`.
#[must_use]
pub fn quantiles(quantiles: Quantiles) -> String {
    let Quantiles { p50, p90, p99, max } = quantiles;
    let [p50, p90, p99, max] = [p50, p90, p99, max].map(milliseconds);
    format!("p50 {p50}, p90 {p90}, p99 {p99}, max {max}")
}

/// Writes the summary as a JSON object with the single member `summary`.
///
/// # Errors
/// The error of `out` if it cannot be written.
pub fn json_summary(out: &mut dyn Write, stats: &RunStats, run: Run) -> io::Result<()> {
    let quantiles = stats.quantiles();
    let line = json!({"summary": {
        "events": run.count, "settled": stats.settled, "callbacks": stats.deliveries(), "verdicts": stats.outcomes,
        "unexpected": stats.unexpected, "wrongAnswers": stats.wrong, "late": stats.late,
        "seconds": run.took.as_secs_f64(), "allAsExpected": stats.is_as_expected(run.count),
        "latencyMs": {"p50": in_milliseconds(quantiles.p50), "p90": in_milliseconds(quantiles.p90),
                      "p99": in_milliseconds(quantiles.p99), "max": in_milliseconds(quantiles.max)},
    }});
    writeln!(out, "{line}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminal::without_styles;

    fn outcome(good: bool) -> Outcome {
        Outcome {
            event_id: "evnt_1".into(),
            event_type: format!("{PREFIX}ud:user:create"),
            final_outcome: FinalOutcome::Verdict(List::Success, "SUCCESS".into()),
            expected: Expected::Verdict(List::Failed, "malformed_event"),
            good,
            deliveries: 2,
            latency: Duration::from_micros(1900),
        }
    }

    fn shown(show: impl Fn(&mut dyn Write) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        show(&mut out).unwrap();
        without_styles(&String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_line_tells_the_verdict_the_time_the_id_and_the_type() {
        let line = shown(|out| line(out, &outcome(true)));
        for part in ["ok success ", "1.9 ms", " ud:user:create", "evnt_1", "sent 2 times"] {
            assert!(line.contains(part), "{line}");
        }
    }

    #[test]
    fn a_surprise_tells_what_was_expected() {
        let line = shown(|out| line(out, &outcome(false)));
        assert!(line.starts_with("!!") && line.contains("expected failed malformed_event"), "{line}");
    }

    #[test]
    fn a_json_line_is_an_object() {
        let line = shown(|out| json_line(out, &outcome(true)));
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line["list"], "success");
        assert_eq!(line["latencyMs"], 1.9);
    }
}
