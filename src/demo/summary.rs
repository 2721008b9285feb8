//! The end of the demo: what it came to, whether that is as it should be, and how to go on.

use std::io;
use std::time::Instant;

use super::environment::Endpoints;
use super::expectations::Expectations;
use super::renderer::Renderer;
use super::scenario::Scenario;
use super::{DemoFault, Options};
use crate::counts::{counted, milliseconds};
use crate::terminal::{BAD, GOOD, HEADING as BOLD, PLACE, QUIET as DIM};

impl Scenario<'_> {
    /// Judges, and shows the summary. Says whether everything was as it should be.
    pub(super) fn summary(&mut self, began: Instant, options: &Options) -> Result<bool, DemoFault> {
        self.ledger.judge(&options.topic_prefix);
        self.page.heading(5, "Summary")?;
        counts(&mut self.page, &self.ledger)?;
        let took = began.elapsed().as_secs_f64();
        let good = self.ledger.findings.is_empty();
        self.page.line("")?;
        if good {
            let text = format!(
                "✓ Everything was as it should be: every verdict as expected, every event on its topic exactly once, as a \
                 consumer saw it {took:.1} s after the start."
            );
            self.page.paragraph(GOOD, &text)?;
        } else {
            self.page.line(&format!("  {BAD}✗ Not everything was as it should be:{BAD:#}"))?;
            for finding in &self.ledger.findings {
                self.page.line(&format!("    {finding}"))?;
            }
        }
        how_to_go_on(&mut self.page, options)?;
        Ok(good)
    }
}

fn counts(page: &mut Renderer<'_>, ledger: &Expectations) -> io::Result<()> {
    let row = |page: &mut Renderer<'_>, name: &str, count: usize, text: &str| {
        page.line(&format!("  {BOLD}{count:>5}{BOLD:#}  {name:<20} {DIM}{text}{DIM:#}"))
    };
    row(page, "callbacks sent", ledger.callbacks, "over HTTP: signed, and encrypted but for one")?;
    row(page, "events in them", ledger.events, "each once, without those of the forgeries")?;
    row(page, "confirmed", ledger.confirmed, "answered \"success\" after the broker's confirmation")?;
    row(page, "dead letters", ledger.dead_letters, "kept with their reason, answered \"failed\"")?;
    row(page, "duplicates absorbed", ledger.duplicates, "the same verdict again, and no second record")?;
    row(page, "forgeries rejected", ledger.refused.values().sum(), "each with its code, and nothing was published")?;
    let found = counted(ledger.leaks as u64, "record");
    row(page, "passwords sent", ledger.passwords.len(), &format!("found in {found}"))?;
    row(page, "records read back", ledger.records.len(), &format!("of {} that the topics hold", ledger.published))?;
    for (topic, count) in ledger.topics() {
        page.line(&format!("  {BOLD}{count:>5}{BOLD:#}    {PLACE}{topic}{PLACE:#}"))?;
    }
    let quantiles = ledger.quantiles();
    let [p50, p90, max] = [quantiles.p50, quantiles.p90, quantiles.max].map(milliseconds);
    let latency = format!("p50 {BOLD}{p50}{BOLD:#}   p90 {BOLD}{p90}{BOLD:#}   max {BOLD}{max}{BOLD:#}");
    page.line(&format!("  {:>5}  {:<20} {latency}", "", "request to answer"))
}

fn how_to_go_on(page: &mut Renderer<'_>, options: &Options) -> io::Result<()> {
    let program = &options.program;
    page.line(&format!("\n  {BOLD}How to go on{BOLD:#}"))?;
    let steps = [
        ("demo --stay", "this again, and it stays up to be looked at"),
        ("simulate init staging", "keys, and a bridge.toml to put your brokers into"),
        ("check --config staging/bridge.toml", "says what is still missing, with the remedy"),
        ("serve --config staging/bridge.toml", "runs the bridge"),
        ("simulate send --keys staging \\\n        --to http://127.0.0.1:8080", "plays IDaaS against it"),
    ];
    for (command, text) in steps.into_iter().skip(usize::from(options.stay)) {
        let line = format!("{program} {command}");
        page.line(&format!("    {line}"))?;
        page.line(&format!("        {DIM}{text}{DIM:#}"))?;
    }
    page.line(&format!("    {DIM}README.md tells the rest.{DIM:#}\n"))
}

impl Renderer<'_> {
    /// Tells what can be done while everything stays up.
    pub(super) fn staying(&mut self, places: &Endpoints, program: &str) -> io::Result<()> {
        let Endpoints { callback_url, listen, admin_listen, directory, .. } = places;
        let directory = directory.display();
        self.line(&format!("  {BOLD}Staying up until Ctrl-C{BOLD:#}\n"))?;
        self.entry("callbacks", &format!("{PLACE}{callback_url}{PLACE:#}"))?;
        self.entry("admin", &format!("{PLACE}http://{}/metrics{PLACE:#}  {DIM}/livez /readyz{DIM:#}", admin_listen))?;
        self.entry("send more", &format!("{program} simulate send --to http://{listen} \\"))?;
        self.entry("", &format!("    --keys {directory}"))?;
        self.line(&format!("\n  {DIM}What arrives is shown here.{DIM:#}\n"))
    }
}
