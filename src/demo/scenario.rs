//! The demo's scenario: what is sent in which order, and what is shown.

use std::io;
use std::time::{Duration, Instant};

use idaas_simulator::answer::List;
use idaas_simulator::events::Event;
use idaas_simulator::fault::{Expected, Fault};
use idaas_simulator::kind::{Kind, PREFIX};
use idaas_simulator::sender::{Delivery, Reply};
use idaas_simulator::stats::verdict;
use tokio::time::timeout;

use super::environment::Environment;
use super::event_script::{EventScript, awaited, passwords};
use super::expectations::Expectations;
use super::ordered::Ordered;
use super::renderer::{DeliveryLine, Renderer, at};
use super::{DemoFault, Options, broken, ended};
use crate::counts::{counted, milliseconds};
use crate::kafka::history::tail::TopicRecord;
use crate::service::ControlMessages;
use crate::terminal::{BAD, GOOD, HEADING as BOLD, LOCATION, QUIET as DIM, Style, WARNING};

/// Maximum time until the consumer reads a record. The record has already been confirmed.
const RECORD_TIMEOUT: Duration = Duration::from_secs(10);

/// A running demo.
pub(super) struct Scenario<'a> {
    pub(super) renderer: Renderer<'a>,
    pub(super) environment: Environment,
    pub(super) expectations: Expectations,
    script: EventScript,
    brief: bool,
}

impl<'a> Scenario<'a> {
    pub(super) fn new(renderer: Renderer<'a>, environment: Environment, brief: bool) -> Self {
        Self { renderer, environment, expectations: Expectations::default(), script: EventScript::new(), brief }
    }

    /// Runs all steps and reads all records.
    pub(super) async fn all(&mut self) -> Result<(), DemoFault> {
        let first = self.one_callback().await?;
        self.every_type().await?;
        self.odd_events(&first).await?;
        self.forgeries().await?;
        self.wait_for_all().await
    }

    /// Sends one callback and shows it in detail.
    async fn one_callback(&mut self) -> Result<Event, DemoFault> {
        self.renderer.heading(1, "One callback, from end to end")?;
        let event = self.script.event(Kind::UserCreate);
        let request = self.environment.sender.request(std::slice::from_ref(&event), None).map_err(broken)?;
        let body = String::from_utf8_lossy(&request.body).into_owned();
        let token: String = body.chars().take(24).collect();
        let size = counted(body.len() as u64, "byte");
        self.renderer.entry("IDaaS posts", &format!("{DIM}{token}…{DIM:#}  {size}: RS256 over AES-256-GCM"))?;
        self.renderer.entry("event type", &format!("{BOLD}{}{BOLD:#}", event.event_type))?;
        let delivery = self.environment.sender.post(request, Instant::now()).await;
        self.expectations.callback(delivery.latency);
        self.expect_record(&event);
        let (good, answer, style) = self.check_reply(&delivery, &event, &Expected::SUCCESS);
        let mark = if good { "" } else { "not as expected: " };
        let took = milliseconds(delivery.latency);
        let id = &event.event_id;
        self.renderer.entry("answer", &format!("{style}{mark}{answer}{style:#} for {id}, after {took}"))?;
        self.wait_for_record(&event.event_id).await;
        if let Some(record) = self.expectations.record_of(&event.event_id) {
            self.renderer.line("")?;
            if self.brief {
                self.renderer.record(record)?;
            } else {
                self.renderer.whole_record(record)?;
            }
        }
        self.renderer.line("")?;
        let record = self.expectations.record_of(id);
        let hidden = passwords(&event.biz_data).len() == 1
            && record.is_some_and(|record| !Ordered::parse(&record.value).has_member("password"));
        let text = if hidden {
            "IDaaS also sent the new user's password, in clear text inside the encryption. It is not in the record."
        } else {
            "The record must not contain the user's password, which IDaaS sent as well."
        };
        self.renderer.paragraph(if hidden { GOOD } else { BAD }, text)?;
        Ok(event)
    }

    /// Sends all other event types.
    async fn every_type(&mut self) -> Result<(), DemoFault> {
        let kinds = Kind::ALL.into_iter().filter(|kind| !matches!(kind, Kind::UserCreate | Kind::Unknown));
        let kinds: Vec<_> = kinds.collect();
        self.renderer.heading(2, &format!("The other {} types of event that IDaaS sends", kinds.len()))?;
        if !self.brief {
            let text = "The members schemaVersion and origin are omitted here; they are as above.";
            self.renderer.paragraph(DIM, text)?;
            self.renderer.line("")?;
        }
        for kind in kinds {
            let event = self.script.event(kind);
            let name = event.event_type.strip_prefix(PREFIX).unwrap_or(&event.event_type).to_owned();
            self.one(&name, &event, &Expected::SUCCESS).await?;
        }
        Ok(())
    }

    /// Sends authentic events that are unusual.
    async fn odd_events(&mut self, first: &Event) -> Result<(), DemoFault> {
        self.renderer.heading(3, "Unusual events: none is lost")?;
        let unknown = self.script.event(Kind::Unknown);
        let name = unknown.event_type.strip_prefix(PREFIX).unwrap_or(&unknown.event_type);
        self.one(&format!("{name}, not known yet"), &unknown, &Expected::SUCCESS).await?;

        let (good, bad) = (self.script.new_user(), self.script.malformed());
        let delivery = self.environment.sender.deliver(&[bad.clone(), good.clone()]).await.map_err(broken)?;
        self.expectations.callback(delivery.latency);
        let failed = Expected::Verdict(List::Failed, "malformed_data");
        for (what, event, expected) in [
            ("two events at once: one is broken", &bad, &failed),
            ("and its neighbour: ud:user:create", &good, &Expected::SUCCESS),
        ] {
            self.expect_record(event);
            self.show(what, &delivery, event, expected).await?;
        }
        self.again("the first ud:user:create again", first, None).await?;
        let duplicate = self.script.new_user();
        self.expect_record(&duplicate);
        self.again("ud:user:create twice at once", &duplicate, Some(Fault::Duplicate)).await
    }

    /// Sends an event again: the verdict must be the same. A second record would be found at the end.
    async fn again(&mut self, what: &str, event: &Event, fault: Option<Fault>) -> Result<(), DemoFault> {
        let request = self.environment.sender.request(std::slice::from_ref(event), fault).map_err(broken)?;
        let delivery = self.environment.sender.post(request, Instant::now()).await;
        self.expectations.callback(delivery.latency);
        let (good, answer, style) = self.check_reply(&delivery, event, &Expected::SUCCESS);
        self.expectations.duplicates += usize::from(good);
        if fault.is_none() {
            // It was counted when it was sent first.
            self.expectations.confirmed -= usize::from(good);
        }
        self.wait_for_record(&event.event_id).await;
        self.delivery(&DeliveryLine { good, what, answer: &answer, style, took: delivery.latency }, &event.event_id)?;
        if let (Some(record), false) = (self.expectations.record_of(&event.event_id), self.brief) {
            let TopicRecord { topic, .. } = record;
            let text = format!("    {DIM}→ still one record:{DIM:#} {LOCATION}{topic}{LOCATION:#} {}", at(record));
            self.renderer.line(&text)?;
        }
        Ok(())
    }

    /// Sends forgeries and callbacks that violate the policy.
    async fn forgeries(&mut self) -> Result<(), DemoFault> {
        self.renderer.heading(4, "Forged and invalid callbacks: refused, and nothing is published")?;
        for (what, fault) in [
            ("forged: signed with the attacker's own key", Fault::WrongKey),
            ("tampered with: a claim changed", Fault::Tampered),
            ("replayed: expired half an hour ago", Fault::Expired),
            ("intended for another application", Fault::WrongAudience),
            ("not encrypted, but encryption is required", Fault::NotEncrypted),
        ] {
            let event = self.script.event(Kind::UserCreate);
            let request = self.environment.sender.request(std::slice::from_ref(&event), Some(fault)).map_err(broken)?;
            let delivery = self.environment.sender.post(request, Instant::now()).await;
            self.expectations.callback(delivery.latency);
            let (good, answer, style) = self.check_reply(&delivery, &event, &fault.expected());
            self.renderer
                .delivery(&DeliveryLine { good, what, answer: &answer, style, took: delivery.latency }, None)?;
        }
        Ok(())
    }

    /// Sends one event in its own callback, and shows the result.
    async fn one(&mut self, what: &str, event: &Event, expected: &Expected) -> Result<(), DemoFault> {
        let delivery = self.environment.sender.deliver(std::slice::from_ref(event)).await.map_err(broken)?;
        self.expectations.callback(delivery.latency);
        self.expect_record(event);
        self.show(what, &delivery, event, expected).await
    }

    async fn show(
        &mut self,
        what: &str,
        delivery: &Delivery,
        event: &Event,
        expected: &Expected,
    ) -> Result<(), DemoFault> {
        let (good, answer, style) = self.check_reply(delivery, event, expected);
        self.wait_for_record(&event.event_id).await;
        self.delivery(&DeliveryLine { good, what, answer: &answer, style, took: delivery.latency }, &event.event_id)?;
        match self.expectations.record_of(&event.event_id) {
            Some(_) if self.brief => {}
            Some(record) => self.renderer.record(record)?,
            None => self.renderer.line(&format!("    {BAD}no record arrived{BAD:#}"))?,
        }
        Ok(())
    }

    /// Shows a delivery; in brief mode also the position of the record.
    fn delivery(&mut self, line: &DeliveryLine<'_>, event_id: &str) -> io::Result<()> {
        let record = self.expectations.record_of(event_id).filter(|_| self.brief);
        let position = record.map(|record| format!("{} {}", record.topic, at(record)));
        self.renderer.delivery(line, position.as_deref())
    }

    fn expect_record(&mut self, event: &Event) {
        self.expectations.passwords.extend(passwords(&event.biz_data));
        self.expectations.await_record(awaited(event));
    }

    /// Whether the bridge answered as expected, its answer, and the style of it. Counts the answers.
    fn check_reply(&mut self, delivery: &Delivery, event: &Event, expected: &Expected) -> (bool, String, Style) {
        let (good, answer, style) = match &delivery.reply {
            Reply::Answered(answer) => {
                let verdicts: Vec<_> =
                    answer.verdicts.iter().filter(|verdict| verdict.event_id == event.event_id).collect();
                let [only] = verdicts.as_slice() else {
                    return self.unexpected(event, format!("in {}", counted(verdicts.len() as u64, "list")));
                };
                let (list, code) = (only.list, only.code.as_str());
                self.count(list);
                let style = if list == List::Success { GOOD } else { WARNING };
                (matches!(expected, Expected::Verdict(l, c) if *l == list && *c == code), verdict(list, code), style)
            }
            Reply::Refused { status, code } => {
                let code = code.as_deref().unwrap_or("no code");
                *self.expectations.refused.entry(code.to_owned()).or_default() += 1;
                let right = matches!(expected, Expected::Refusal { status: s, code: c } if s == status && *c == code);
                (right, format!("{status} {code}"), WARNING)
            }
            Reply::Nothing(reason) => (false, reason.code().to_owned(), BAD),
        };
        if good { (true, answer, style) } else { self.unexpected(event, answer) }
    }

    fn count(&mut self, list: List) {
        match list {
            List::Success => self.expectations.confirmed += 1,
            List::Failed => self.expectations.dead_letters += 1,
            List::Skipped | List::Retried => {}
        }
    }

    fn unexpected(&mut self, event: &Event, answer: String) -> (bool, String, Style) {
        self.expectations.findings.push(format!("{} ({}) was answered: {answer}", event.event_id, event.event_type));
        (false, answer, BAD)
    }

    /// Waits for the record of an event.
    async fn wait_for_record(&mut self, event_id: &str) {
        let come = async {
            while self.expectations.record_of(event_id).is_none() {
                let Some(record) = self.environment.records.recv().await else { return };
                self.expectations.records.push(record);
            }
        };
        // If it does not arrive, the final comparison reports it.
        let _ = timeout(RECORD_TIMEOUT, come).await;
    }

    /// Waits until all records in the topics have been read, so that surplus records are found too.
    async fn wait_for_all(&mut self) -> Result<(), DemoFault> {
        self.expectations.published = self.environment.published().await?;
        let come = async {
            while self.expectations.records.len() < self.expectations.published {
                let Some(record) = self.environment.records.recv().await else { return };
                self.expectations.records.push(record);
            }
        };
        let _ = timeout(RECORD_TIMEOUT, come).await;
        Ok(())
    }

    /// Stops everything in order.
    pub(super) async fn end(self) {
        let Self { environment, .. } = self;
        environment.end().await;
    }

    /// Shows further records until a signal.
    pub(super) async fn stay(mut self, options: &Options, signals: &mut ControlMessages) -> Result<(), DemoFault> {
        let endpoints = self.environment.endpoints(options);
        self.renderer.staying(&endpoints, &options.program)?;
        loop {
            tokio::select! {
                record = self.environment.records.recv() => {
                    let Some(record) = record else { break };
                    self.renderer.record(&record)?;
                }
                () = ended(signals) => break,
            }
        }
        self.renderer.line("")?;
        self.end().await;
        Ok(())
    }
}
