//! The output of `fetch`: progress and notices on stderr, the summary on stdout.

use std::io::{self, Write};

use super::super::output::note;
use crate::counts::{counted, grouped};
use crate::fetch::Notice;
use crate::fetch::run::RunSettings;
use crate::fetch::summary::{ByEntity, Counts, Summary};
use crate::terminal::{ProgressBar, Table, progress_bar, stdout};
use idaas_callback::event_type::Entity;

/// The progress bar. Hides itself if stderr is not a terminal.
pub(super) struct Screen {
    bar: ProgressBar,
}

impl Screen {
    pub(super) fn new(settings: &RunSettings) -> Self {
        note(format_args!(
            "run {} of {}; if it is interrupted, continue with --run {}",
            settings.run,
            settings.application,
            super::super::output::shell_word(&settings.run)
        ));
        Self { bar: progress_bar(0, "units") }
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
            Notice::Retrying(wait, cause) => format!("{cause}; retrying in {:.1} s", wait.as_secs_f64()),
            Notice::WaitingForKafka(reason) => format!("waiting for Kafka to confirm records: {reason}"),
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
    let published = if summary.dry_run { ">to publish" } else { ">published" };
    let mut table = Table::new(["", ">read", published, ">unchanged", ">missing", ">deleted", ">errors"]);
    for entity in ByEntity::<Counts>::ENTITIES {
        let Some(counts) = summary.entities.get(entity) else { continue };
        let unchanged = if summary.compared { grouped(counts.unchanged) } else { "-".to_owned() };
        let [read, published, missing, deleted, errors] =
            [counts.read, counts.published, counts.missing, counts.deleted, counts.errors].map(grouped);
        table.row([name(entity).to_owned(), read, published, unchanged, missing, deleted, errors]);
    }
    write!(out, "{table}")?;
    notes(summary, &mut out)?;
    out.flush()
}

fn notes(summary: &Summary, out: &mut dyn Write) -> io::Result<()> {
    let sum = |count: fn(&Counts) -> u64| {
        ByEntity::<Counts>::ENTITIES.iter().filter_map(|entity| summary.entities.get(*entity)).map(count).sum::<u64>()
    };
    writeln!(out, "\nrun {}: {}", summary.run, counted(summary.requests, "request"))?;
    for (count, text) in [
        (sum(|counts| counts.resumed), "were published by this run earlier"),
        (summary.vanished, "were deleted or had left the scope when they were requested"),
        (
            sum(|counts| counts.unclear),
            "are missing, and IDaaS does not report whether they exist: nothing was \
            published",
        ),
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
