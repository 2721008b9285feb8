//! Writes the parts of the demo's output: headings, addresses, deliveries, records. Always in color; the caller
//! removes the colors if the output is not a terminal.

use std::io::{self, Write};
use std::time::Duration;

use super::environment::Endpoints;
use super::expectations::key_of;
use super::json;
use super::ordered::Ordered;
use crate::counts::{counted, milliseconds};
use crate::kafka::history::tail::TopicRecord;
use crate::terminal::{
    BAD, GOOD, HEADING as BOLD, LOCATION, PLAIN, QUIET as DIM, SECTION, Style, entry, pieces, styled, width, wrap,
};

/// Minimum width, in columns, for showing the record's position and the duration on the line of a delivery.
const MIN_POSITION_AND_TIME_WIDTH: usize = 102;
/// Maximum number of lines for a value in the compact format.
const MAX_PREVIEW_LINES: usize = 3;
/// Minimum width, in columns, for a record's position and type on one line. Lines do not get wider than this.
const MIN_ONE_LINE_WIDTH: usize = 132;

const WHAT_IT_IS: &str = "Alibaba Cloud IDaaS reports changes of accounts, organizational units and groups to one \
    URL, with signed and encrypted HTTP callbacks. This bridge authenticates each callback and publishes each event \
    to Kafka as a versioned record; IDaaS receives \"success\" for an event only after the broker has confirmed its \
    record.";

/// Writes the demo's output.
pub(super) struct Renderer<'a> {
    out: &'a mut dyn Write,
    width: usize,
}

/// A delivery and its answer, shown on one line.
pub(super) struct DeliveryLine<'a> {
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

    /// A paragraph, wrapped, behind a margin of two columns.
    pub(super) fn paragraph(&mut self, style: Style, text: &str) -> io::Result<()> {
        let lines = wrap(text, self.width.min(100) - 2);
        lines.iter().try_for_each(|line| writeln!(self.out, "  {}", styled(style, line)))
    }

    pub(super) fn title(&mut self) -> io::Result<()> {
        let version = env!("CARGO_PKG_VERSION");
        writeln!(
            self.out,
            "\n  {BOLD}idaas-bridge{BOLD:#} {DIM}{version}{DIM:#}  from Alibaba Cloud IDaaS to Kafka\n"
        )?;
        self.paragraph(PLAIN, WHAT_IT_IS)?;
        self.line("")
    }

    pub(super) fn heading(&mut self, number: usize, text: &str) -> io::Result<()> {
        let rule = "─".repeat(self.width.min(140).saturating_sub(width(text) + 6));
        writeln!(self.out, "\n{SECTION}{number}  {text}{SECTION:#} {DIM}{rule}{DIM:#}\n")
    }

    /// Writes a name and its value.
    pub(super) fn entry(&mut self, name: &str, text: &str) -> io::Result<()> {
        writeln!(self.out, "  {}", entry(DIM, name, 14, text))
    }

    pub(super) fn endpoints(&mut self, endpoints: &Endpoints) -> io::Result<()> {
        let Endpoints { kafka, partitions, user_topic, callback_url, .. } = endpoints;
        let partitions = counted(u64::from(partitions.unsigned_abs()), "partition");
        let embedded = format!("embedded in this process, {partitions} per topic");
        let what = if endpoints.embedded {
            &embedded
        } else {
            "yours; records that are published from now on are \
            checked"
        };
        self.noted("Kafka", LOCATION, kafka, what)?;
        self.noted("bridge", LOCATION, callback_url, "the real one, as `serve` runs it")?;
        self.noted("IDaaS", PLAIN, &endpoints.application_id, "simulated, with fresh keys")?;
        let kcat = format!("kcat -b {kafka} -C -t {user_topic} -f '%p@%o %k %s\\n'");
        let when = if endpoints.stay { "in another terminal" } else { "in another terminal, with --stay" };
        self.noted("records", BOLD, &kcat, when)
    }

    /// Writes an entry with a note, which goes to its own line if there is not enough space.
    fn noted(&mut self, name: &str, style: Style, text: &str, note: &str) -> io::Result<()> {
        let text_painted = format!("{style}{text}{style:#}");
        if 16 + width(text) + 2 + width(note) <= self.width {
            return self.entry(name, &format!("{text_painted}  {DIM}{note}{DIM:#}"));
        }
        self.entry(name, &text_painted)?;
        self.entry("", &format!("{DIM}{note}{DIM:#}"))
    }

    /// Writes the line of one delivery: mark, what was sent, answer, duration, and the record's position if it is
    /// given. The position replaces the duration if there is not enough space for both.
    pub(super) fn delivery(&mut self, line: &DeliveryLine<'_>, position: Option<&str>) -> io::Result<()> {
        let (mark, paint) = if line.good { ("✓", GOOD) } else { ("✗", BAD) };
        let took = milliseconds(line.took);
        let DeliveryLine { what, answer, style, .. } = line;
        let columns = if position.is_some() { 35 } else { self.width.min(MIN_ONE_LINE_WIDTH).saturating_sub(35) };
        write!(self.out, "  {paint}{mark}{paint:#} {BOLD}{what:<columns$}{BOLD:#}")?;
        if width(what) >= columns {
            write!(self.out, "\n{:1$}", "", columns + 4)?;
        }
        match position {
            Some(position) if self.width < MIN_POSITION_AND_TIME_WIDTH => {
                let fits = columns + 4 + width(answer).max(7) + 1 + width(position) <= self.width;
                let gap = if fits { " ".to_owned() } else { format!("\n{:1$}", "", columns + 12) };
                writeln!(self.out, "{style}{answer:<7}{style:#}{gap}{LOCATION}{position}{LOCATION:#}")
            }
            Some(position) => {
                writeln!(
                    self.out,
                    "{style}{answer:<21}{style:#}{DIM}{took:>7}{DIM:#}  {LOCATION}{position}{LOCATION:#}"
                )
            }
            None => writeln!(self.out, "{style}{answer:<21}{style:#}{DIM}{took:>7}{DIM:#}"),
        }
    }

    /// Writes a record in short: position, key, type, and the start of its value.
    pub(super) fn record(&mut self, record: &TopicRecord) -> io::Result<()> {
        let (topic, key) = (&record.topic, key_of(record));
        let (kind, at) = (record.header("ce_type").unwrap_or_default(), at(record));
        write!(self.out, "    {DIM}→{DIM:#} {LOCATION}{topic}{LOCATION:#} {at}  {DIM}key{DIM:#} {key}")?;
        let columns = 6 + width(topic) + 1 + width(&at) + 6 + width(key) + 10 + width(kind);
        let gap = if self.width >= MIN_ONE_LINE_WIDTH && columns <= self.width { "  " } else { "\n      " };
        writeln!(self.out, "{gap}{DIM}ce_type{DIM:#} {kind}")?;
        let known = Ordered::parse(&record.value).without(&["schemaVersion", "origin"]);
        for line in json::filled(&known, self.width - 7, MAX_PREVIEW_LINES) {
            writeln!(self.out, "      {line}")?;
        }
        Ok(())
    }

    /// Writes a record in full.
    pub(super) fn whole_record(&mut self, record: &TopicRecord) -> io::Result<()> {
        let TopicRecord { topic, partition, offset, headers, .. } = record;
        self.entry("topic", &format!("{LOCATION}{topic}{LOCATION:#}  partition {partition}, offset {offset}"))?;
        self.entry("key", key_of(record))?;
        for (number, (name, value)) in headers.iter().enumerate() {
            let what = if number == 0 { "headers" } else { "" };
            let value = String::from_utf8_lossy(value);
            for (part, value) in pieces(&value, self.width.saturating_sub(34)).iter().enumerate() {
                let (what, name) = if part == 0 { (what, name.as_str()) } else { ("", "") };
                self.entry(what, &entry(DIM, name, 17, value))?;
            }
        }
        // In narrow output, the value starts on its own line with a smaller margin.
        if self.width < MIN_POSITION_AND_TIME_WIDTH - 2 {
            self.entry("value", "")?;
            let lines = json::spread(&Ordered::parse(&record.value), self.width - 5);
            return lines.iter().try_for_each(|line| self.line(&format!("    {line}")));
        }
        let lines = json::spread(&Ordered::parse(&record.value), self.width - 17);
        for (number, line) in lines.iter().enumerate() {
            self.entry(if number == 0 { "value" } else { "" }, line)?;
        }
        Ok(())
    }
}

/// Formats the position of a record: partition and offset.
pub(super) fn at(record: &TopicRecord) -> String {
    format!("{}@{}", record.partition, record.offset)
}
