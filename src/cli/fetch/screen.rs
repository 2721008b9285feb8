//! The output of `fetch`: progress and notices on stderr, the summary on stdout.

use std::io::{self, Write};

use indicatif::{ProgressBar, ProgressStyle};

use super::super::output::{HEADING, note, stdout, styled};
use crate::counts::{counted, grouped};
use crate::fetch::Notice;
use crate::fetch::run::RunSettings;
use crate::fetch::summary::{ByEntity, Counts, Summary};
use idaas_callback::event_type::Entity;

/// The progress bar. Hides itself if stderr is not a terminal.
pub(super) struct Screen {
    bar: ProgressBar,
}

impl Screen {
    pub(super) fn new(settings: &RunSettings) -> Self {
        note(format_args!(
            "run {} of {}; if it is interrupted, go on with --run {}",
            settings.run,
            settings.application,
            super::super::output::shell_word(&settings.run)
        ));
        let bar = ProgressBar::new(0);
        // The template is a constant. If it were invalid, the default template would be used.
        if let Ok(style) =
            ProgressStyle::with_template("{elapsed:>4} {bar:30} {human_pos}/{human_len} units {wide_msg}")
        {
            bar.set_style(style);
        }
        Self { bar }
    }

    pub(super) fn progress(&self, summary: &Summary, (done, all): (usize, usize)) {
        let ByEntity { organizational_units, users, groups } = &summary.entities;
        self.bar.set_length(all as u64);
        self.bar.set_position(done as u64);
        self.bar.set_message(format!(
            "{}, {}, {}, {}",
            counted(organizational_units.read, "unit"),
            counted(users.read, "user"),
            counted(groups.read, "group"),
            counted(summary.requests, "request")
        ));
    }

    /// Shows the reason for a delay.
    pub(super) fn notice(&self, notice: &Notice) {
        let text = match notice {
            Notice::Throttled(wait) => format!("IDaaS asks for fewer requests; waiting {:.1} s", wait.as_secs_f64()),
            Notice::Retrying(wait, cause) => format!("{cause}; trying again in {:.1} s", wait.as_secs_f64()),
            Notice::WaitingForKafka(words) => format!("waiting for Kafka to confirm records: {words}"),
            Notice::KafkaConfirms => "Kafka confirms records again".to_owned(),
        };
        self.bar.suspend(|| note(text));
    }

    pub(super) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

/// Writes the summary.
pub(super) fn show(summary: &Summary, json: bool) -> io::Result<()> {
    let mut out = stdout();
    if json {
        let line = serde_json::to_string(summary).map_err(io::Error::other)?;
        writeln!(out, "{line}")?;
        return out.flush();
    }
    let published = if summary.dry_run { "to publish" } else { "published" };
    let heading = format!(
        "{:<21}{:>9}{published:>12}{:>11}{:>9}{:>9}{:>8}",
        "", "read", "unchanged", "missing", "deleted", "errors"
    );
    writeln!(out, "{}", styled(HEADING, heading))?;
    for entity in ByEntity::<Counts>::ENTITIES {
        let Some(counts) = summary.entities.get(entity) else { continue };
        let unchanged = if summary.compared { grouped(counts.unchanged) } else { "-".to_owned() };
        writeln!(
            out,
            "{:<21}{:>9}{:>12}{unchanged:>11}{:>9}{:>9}{:>8}",
            name(entity),
            grouped(counts.read),
            grouped(counts.published),
            grouped(counts.missing),
            grouped(counts.deleted),
            grouped(counts.errors)
        )?;
    }
    notes(summary, &mut out)?;
    out.flush()
}

fn notes(summary: &Summary, out: &mut dyn Write) -> io::Result<()> {
    let sum = |count: fn(&Counts) -> u64| {
        ByEntity::<Counts>::ENTITIES.iter().filter_map(|entity| summary.entities.get(*entity)).map(count).sum::<u64>()
    };
    writeln!(out, "\nrun {}: {}", summary.run, counted(summary.requests, "request"))?;
    for (count, text) in [
        (sum(|counts| counts.resumed), "were published by this run before"),
        (summary.vanished, "were gone or had left the scope when they were asked for"),
        (sum(|counts| counts.unclear), "are missing, and IDaaS does not say whether they exist: nothing was published"),
    ] {
        if count > 0 {
            writeln!(out, "{} {text}", counted(count, "entity"))?;
        }
    }
    if summary.dry_run {
        writeln!(out, "dry run: nothing was published")?;
    }
    Ok(())
}

const fn name(entity: Entity) -> &'static str {
    match entity {
        Entity::OrganizationalUnit => "organizational units",
        Entity::User => "users",
        Entity::Group => "groups",
        Entity::Connectivity | Entity::Unclassified | Entity::DeadLetter | Entity::Credential => "",
    }
}
