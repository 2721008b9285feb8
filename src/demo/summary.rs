//! The demo's summary: counts, deviations, and next steps.

use std::io;
use std::time::Instant;

use idaas_simulator::key_files::ADMIN_TOKEN;

use super::environment::Endpoints;
use super::expectations::Expectations;
use super::renderer::Renderer;
use super::scenario::Scenario;
use super::{DemoFault, Options};
use crate::counts::{counted, milliseconds};
use crate::terminal::{BAD, GOOD, HEADING as BOLD, LOCATION, QUIET as DIM};

impl Scenario<'_> {
    /// Compares the expectations with the records, and shows the summary. Returns true if everything was as expected.
    pub(super) fn summary(&mut self, began: Instant, options: &Options) -> Result<bool, DemoFault> {
        self.expectations.compare(&options.topic_prefix);
        self.renderer.heading(5, "Summary")?;
        counts(&mut self.renderer, &self.expectations)?;
        let took = began.elapsed().as_secs_f64();
        let good = self.expectations.findings.is_empty();
        self.renderer.line("")?;
        if good {
            let text = format!(
                "✓ All results are as expected: every verdict, and every event in its topic exactly once, as read by \
                a consumer {took:.1} s after the start."
            );
            self.renderer.paragraph(GOOD, &text)?;
        } else {
            self.renderer.line(&format!("  {BAD}✗ Some results are not as expected:{BAD:#}"))?;
            for finding in &self.expectations.findings {
                self.renderer.line(&format!("    {finding}"))?;
            }
        }
        how_to_go_on(&mut self.renderer, options)?;
        Ok(good)
    }
}

fn counts(renderer: &mut Renderer<'_>, expectations: &Expectations) -> io::Result<()> {
    let row = |renderer: &mut Renderer<'_>, name: &str, count: usize, text: &str| {
        renderer.line(&format!("  {BOLD}{count:>5}{BOLD:#}  {name:<20} {DIM}{text}{DIM:#}"))
    };
    row(renderer, "callbacks sent", expectations.callbacks, "over HTTP: signed, and encrypted but for one")?;
    row(renderer, "events in them", expectations.events, "each once, without those of the forgeries")?;
    row(renderer, "confirmed", expectations.confirmed, "answered \"success\" after the broker's confirmation")?;
    row(renderer, "dead letters", expectations.dead_letters, "kept with their reason, answered \"failed\"")?;
    row(renderer, "duplicates absorbed", expectations.duplicates, "the same verdict again, and no second record")?;
    row(
        renderer,
        "forgeries rejected",
        expectations.refused.values().sum(),
        "each with its code, and nothing was published",
    )?;
    let found = counted(expectations.leaks as u64, "record");
    row(renderer, "passwords sent", expectations.passwords.len(), &format!("found in {found}"))?;
    row(
        renderer,
        "records read back",
        expectations.records.len(),
        &format!("of {} in the topics", expectations.published),
    )?;
    for (topic, count) in expectations.topics() {
        renderer.line(&format!("  {BOLD}{count:>5}{BOLD:#}    {LOCATION}{topic}{LOCATION:#}"))?;
    }
    let quantiles = expectations.quantiles();
    let [p50, p90, max] = [quantiles.p50, quantiles.p90, quantiles.max].map(milliseconds);
    let latency = format!("p50 {BOLD}{p50}{BOLD:#}   p90 {BOLD}{p90}{BOLD:#}   max {BOLD}{max}{BOLD:#}");
    renderer.line(&format!("  {:>5}  {:<20} {latency}", "", "request to answer"))
}

fn how_to_go_on(renderer: &mut Renderer<'_>, options: &Options) -> io::Result<()> {
    let program = &options.program;
    renderer.line(&format!("\n  {BOLD}Next steps{BOLD:#}"))?;
    let steps = [
        ("demo --stay", "this again, and keeps running"),
        ("simulate init staging", "keys, and a bridge.toml to put your brokers into"),
        ("check --config staging/bridge.toml", "prints a fix for each problem"),
        ("serve --config staging/bridge.toml", "runs the bridge"),
        ("simulate send --keys staging \\\n        --to http://127.0.0.1:8080", "simulates IDaaS"),
    ];
    for (command, text) in steps.into_iter().skip(usize::from(options.stay)) {
        let line = format!("{program} {command}");
        renderer.line(&format!("    {line}"))?;
        renderer.line(&format!("        {DIM}{text}{DIM:#}"))?;
    }
    renderer.line(&format!("    {DIM}README.md has the details.{DIM:#}\n"))
}

impl Renderer<'_> {
    /// Shows what can be done while everything stays up.
    pub(super) fn staying(&mut self, endpoints: &Endpoints, program: &str) -> io::Result<()> {
        let Endpoints { callback_url, listen, admin_listen, directory, .. } = endpoints;
        let directory = directory.display();
        self.line(&format!("  {BOLD}Staying up until Ctrl-C{BOLD:#}\n"))?;
        self.entry("callbacks", &format!("{LOCATION}{callback_url}{LOCATION:#}"))?;
        self.entry(
            "admin",
            &format!("{LOCATION}http://{}/metrics{LOCATION:#}  {DIM}/livez /readyz{DIM:#}", admin_listen),
        )?;
        self.entry("console", &format!("{LOCATION}http://{admin_listen}/{LOCATION:#}  {DIM}asks for a token:{DIM:#}"))?;
        self.entry("", &format!("cat {directory}/{ADMIN_TOKEN}"))?;
        self.entry("send more", &format!("{program} simulate send --to http://{listen} \\"))?;
        self.entry("", &format!("    --keys {directory}"))?;
        self.line(&format!("\n  {DIM}What arrives is shown here.{DIM:#}\n"))
    }
}
