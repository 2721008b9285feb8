//! The output of `simulate send` during a run and at its end.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use idaas_simulator::redelivery::DeliveryEvent;
use idaas_simulator::stats::{RunStats, describe};
use tokio::sync::mpsc::UnboundedReceiver;

use super::show;
use crate::counts::{counted, grouped};
use crate::terminal::{ProgressBar, progress_bar, write_as_stdout};

/// Up to this number of events, each event gets a line.
pub(super) const MAX_LISTED: u64 = 40;

/// Maximum number of redelivery notices; more would only scroll.
const NOTICES: u32 = 10;

/// Counts the events of a run and shows them: results to `out`, progress to `err`.
pub(super) struct Screen<'a> {
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
    count: u64,
    json: bool,
    bar: ProgressBar,
    stats: RunStats,
    started: Instant,
    notices: u32,
}

impl<'a> Screen<'a> {
    pub(super) fn new(count: u64, json: bool, out: &'a mut dyn Write, err: &'a mut dyn Write) -> Self {
        let bar = if count > MAX_LISTED { progress_bar(count, "events") } else { ProgressBar::hidden() };
        bar.set_message("signing ahead");
        let started = Instant::now();
        Self { out, err, count, json, bar, stats: RunStats::default(), started, notices: 0 }
    }

    /// Shows events until the run is over.
    pub(super) async fn follow(&mut self, mut events: UnboundedReceiver<DeliveryEvent>) -> io::Result<()> {
        let mut shown = Instant::now();
        let mut first = true;
        while let Some(event) = events.recv().await {
            if let (true, DeliveryEvent::Delivered(latency)) = (first, &event) {
                // Signing in advance is not part of the run.
                self.started = Instant::now().checked_sub(*latency).unwrap_or_else(Instant::now);
                self.bar.reset_elapsed();
                first = false;
            }
            self.stats.count(&event);
            self.show(&event)?;
            if shown.elapsed() > Duration::from_millis(100) {
                shown = Instant::now();
                self.progress();
            }
        }
        self.progress();
        self.bar.finish_and_clear();
        Ok(())
    }

    fn show(&mut self, event: &DeliveryEvent) -> io::Result<()> {
        match event {
            DeliveryEvent::Settled(outcomes) => {
                for outcome in outcomes {
                    if self.json {
                        show::json_line(self.out, outcome)?;
                    } else if self.count <= MAX_LISTED {
                        write_as_stdout(self.out, |out| show::line(out, outcome))?;
                    }
                }
            }
            DeliveryEvent::Again { events, because, after } => {
                self.notices += 1;
                if self.notices <= NOTICES {
                    let (because, after) = (describe(because), after.as_secs_f64());
                    let text =
                        format!("{because}: {} will be sent again in {after} s", counted(*events as u64, "event"));
                    self.bar.suspend(|| writeln!(self.err, "{text}"))?;
                }
            }
            DeliveryEvent::Delivered(_) | DeliveryEvent::Wrong(_) | DeliveryEvent::Late(_) => {}
        }
        Ok(())
    }

    fn progress(&self) {
        let seconds = self.started.elapsed().as_secs_f64().max(1e-6);
        let rate = self.stats.settled as f64 / seconds;
        let verdicts: Vec<_> =
            self.stats.outcomes.iter().map(|(outcome, count)| format!("{} {outcome}", grouped(*count))).collect();
        self.bar.set_position(self.stats.settled);
        self.bar.set_message(format!("{}/s  {}", grouped(rate.round() as u64), verdicts.join(", ")));
    }

    /// Shows the summary.
    pub(super) fn end(&mut self) -> io::Result<()> {
        let run = show::Run { count: self.count, took: self.started.elapsed() };
        if self.json {
            return show::json_summary(self.out, &self.stats, run);
        }
        write_as_stdout(self.out, |out| show::summary(out, &self.stats, run, self.count <= MAX_LISTED))
    }

    /// Returns true if everything was as expected.
    pub(super) const fn is_as_expected(&self) -> bool {
        self.stats.is_as_expected(self.count)
    }
}
