//! Writes the parts of the demo's output: headings, addresses, deliveries, records. Always in colour; the caller
//! removes the colours if the output is not a terminal.

use std::io::{self, Write};
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use unicode_width::UnicodeWidthStr;

use super::environment::Endpoints;
use super::expectations::key_of;
use super::json;
use super::ordered::Ordered;
use crate::counts::counted;
use crate::counts::milliseconds;
use crate::kafka::history::tail::TopicRecord;

pub(super) const BOLD: Style = Style::new().bold();
pub(super) const DIM: Style = Style::new().dimmed();
pub(super) const GOOD: Style = AnsiColor::Green.on_default();
pub(super) const BAD: Style = AnsiColor::Red.on_default().bold();
pub(super) const REFUSED: Style = AnsiColor::Yellow.on_default();
pub(super) const PLACE: Style = AnsiColor::Blue.on_default();
const HEADING: Style = AnsiColor::Magenta.on_default().bold();

/// Minimum width, in columns, for showing the record's position and the duration on the line of a delivery.
const ROOMY: usize = 102;
/// Maximum number of lines for a value in the compact format.
const GLANCE: usize = 3;
/// Minimum width, in columns, for a record's position and type on one line. Lines do not get wider than this.
const WIDE: usize = 132;

const WHAT_IT_IS: &str = "Alibaba Cloud IDaaS tells one URL, by signed and encrypted HTTP callbacks, what happens to \
    accounts, organizational units and groups. This bridge checks who is speaking, and publishes each event to Kafka as \
    a versioned record; IDaaS hears \"success\" for an event only after the broker has confirmed its record.";

/// Writes the demo's output.
pub(super) struct Renderer<'a> {
    out: &'a mut dyn Write,
    width: usize,
}

/// A delivery and its answer, shown on one line.
pub(super) struct Said<'a> {
    /// True if the answer was as expected.
    pub(super) good: bool,
    /// The description of the request.
    pub(super) what: &'a str,
    /// The verdict or the refusal.
    pub(super) answer: &'a str,
    /// The style of the answer.
    pub(super) style: Style,
    /// The time from the request to the answer.
    pub(super) took: Duration,
}

impl<'a> Renderer<'a> {
    pub(super) fn new(out: &'a mut dyn Write, width: usize) -> Self {
        Self { out, width }
    }

    pub(super) fn line(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{text}")
    }

    /// Writes a paragraph, wrapped, with a margin of two columns.
    pub(super) fn paragraph(&mut self, style: Style, text: &str) -> io::Result<()> {
        let mut line = String::new();
        for word in text.split_whitespace() {
            if !line.is_empty() && line.width() + 1 + word.width() > self.width.min(100) - 2 {
                writeln!(self.out, "  {style}{line}{style:#}")?;
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        writeln!(self.out, "  {style}{line}{style:#}")
    }

    pub(super) fn title(&mut self) -> io::Result<()> {
        let version = env!("CARGO_PKG_VERSION");
        writeln!(
            self.out,
            "\n  {BOLD}idaas-bridge{BOLD:#} {DIM}{version}{DIM:#}  from Alibaba Cloud IDaaS to Kafka\n"
        )?;
        self.paragraph(Style::new(), WHAT_IT_IS)?;
        self.line("")
    }

    pub(super) fn heading(&mut self, number: usize, text: &str) -> io::Result<()> {
        let rule = "─".repeat(self.width.min(140).saturating_sub(text.width() + 6));
        writeln!(self.out, "\n{HEADING}{number}  {text}{HEADING:#} {DIM}{rule}{DIM:#}\n")
    }

    /// Writes a name and its value.
    pub(super) fn entry(&mut self, name: &str, text: &str) -> io::Result<()> {
        writeln!(self.out, "  {DIM}{name:<14}{DIM:#}{text}")
    }

    pub(super) fn places(&mut self, places: &Endpoints) -> io::Result<()> {
        let Endpoints { kafka, partitions, user_topic, callback_url, .. } = places;
        let partitions = counted(u64::from(partitions.unsigned_abs()), "partition");
        let embedded = format!("embedded in this process, {partitions} per topic");
        let what = if places.embedded { &embedded } else { "yours; what is published from now on is looked at" };
        self.noted("Kafka", PLACE, kafka, what)?;
        self.noted("bridge", PLACE, callback_url, "the real one, as `serve` runs it")?;
        self.noted("IDaaS", Style::new(), &places.application_id, "simulated, with fresh keys")?;
        let kcat = format!("kcat -b {kafka} -C -t {user_topic} -f '%p@%o %k %s\\n'");
        let when = if places.stay { "in another terminal" } else { "in another terminal; --stay gives time for it" };
        self.noted("look yourself", BOLD, &kcat, when)
    }

    /// Writes an entry with a note, which goes to its own line if there is not enough space.
    fn noted(&mut self, name: &str, style: Style, text: &str, note: &str) -> io::Result<()> {
        let text_painted = format!("{style}{text}{style:#}");
        if 16 + text.width() + 2 + note.width() <= self.width {
            return self.entry(name, &format!("{text_painted}  {DIM}{note}{DIM:#}"));
        }
        self.entry(name, &text_painted)?;
        self.entry("", &format!("{DIM}{note}{DIM:#}"))
    }

    /// Writes the line of one delivery: mark, what was sent, answer, duration, and the record's position if it is
    /// given. The position replaces the duration if there is not enough space for both.
    pub(super) fn said(&mut self, said: &Said<'_>, place: Option<&str>) -> io::Result<()> {
        let (mark, paint) = if said.good { ("✓", GOOD) } else { ("✗", BAD) };
        let took = milliseconds(said.took);
        let Said { what, answer, style, .. } = said;
        let columns = if place.is_some() { 35 } else { self.width.min(WIDE).saturating_sub(35) };
        write!(self.out, "  {paint}{mark}{paint:#} {BOLD}{what:<columns$}{BOLD:#}")?;
        if what.width() >= columns {
            write!(self.out, "\n{:1$}", "", columns + 4)?;
        }
        match place {
            Some(place) if self.width < ROOMY => {
                let fits = columns + 4 + answer.width().max(7) + 1 + place.width() <= self.width;
                let gap = if fits { " ".to_owned() } else { format!("\n{:1$}", "", columns + 12) };
                writeln!(self.out, "{style}{answer:<7}{style:#}{gap}{PLACE}{place}{PLACE:#}")
            }
            Some(place) => {
                writeln!(self.out, "{style}{answer:<21}{style:#}{DIM}{took:>7}{DIM:#}  {PLACE}{place}{PLACE:#}")
            }
            None => writeln!(self.out, "{style}{answer:<21}{style:#}{DIM}{took:>7}{DIM:#}"),
        }
    }

    /// Writes a record in short: position, key, type, and the start of its value.
    pub(super) fn record(&mut self, seen: &TopicRecord) -> io::Result<()> {
        let (topic, key) = (&seen.topic, key_of(seen));
        let (kind, at) = (seen.header("ce_type").unwrap_or_default(), at(seen));
        write!(self.out, "    {DIM}→{DIM:#} {PLACE}{topic}{PLACE:#} {at}  {DIM}key{DIM:#} {key}")?;
        let width = 6 + topic.width() + 1 + at.width() + 6 + key.width() + 10 + kind.width();
        let gap = if self.width >= WIDE && width <= self.width { "  " } else { "\n      " };
        writeln!(self.out, "{gap}{DIM}ce_type{DIM:#} {kind}")?;
        let known = Ordered::parse(&seen.value).without(&["schemaVersion", "origin"]);
        for line in json::filled(&known, self.width - 7, GLANCE) {
            writeln!(self.out, "      {line}")?;
        }
        Ok(())
    }

    /// Writes a record in full.
    pub(super) fn whole_record(&mut self, seen: &TopicRecord) -> io::Result<()> {
        let TopicRecord { topic, partition, offset, headers, .. } = seen;
        self.entry("topic", &format!("{PLACE}{topic}{PLACE:#}  partition {partition}, offset {offset}"))?;
        self.entry("key", key_of(seen))?;
        for (number, (name, value)) in headers.iter().enumerate() {
            let what = if number == 0 { "headers" } else { "" };
            let value: Vec<char> = String::from_utf8_lossy(value).chars().collect();
            for (part, value) in value.chunks(self.width.saturating_sub(34).max(1)).enumerate() {
                let (what, name) = if part == 0 { (what, name.as_str()) } else { ("", "") };
                self.entry(what, &format!("{DIM}{name:<16}{DIM:#} {}", String::from_iter(value)))?;
            }
        }
        // In narrow output, the value starts on its own line with a smaller margin.
        if self.width < ROOMY - 2 {
            self.entry("value", "")?;
            let lines = json::spread(&Ordered::parse(&seen.value), self.width - 5);
            return lines.iter().try_for_each(|line| self.line(&format!("    {line}")));
        }
        let lines = json::spread(&Ordered::parse(&seen.value), self.width - 17);
        for (number, line) in lines.iter().enumerate() {
            self.entry(if number == 0 { "value" } else { "" }, line)?;
        }
        Ok(())
    }
}

/// Formats the position of a record: partition and offset.
pub(super) fn at(seen: &TopicRecord) -> String {
    format!("{}@{}", seen.partition, seen.offset)
}
