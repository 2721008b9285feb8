//! Says in the log when the journal begins to refuse, and when it takes again: once each, however many events it is.

use super::fault::JournalRefusal;

/// Whether the journal refuses at the moment, and why.
#[derive(Default)]
pub(super) struct Alarm(Option<JournalRefusal>);

impl Alarm {
    /// Takes the news of one commit: why anything was refused, and whether anything was taken.
    pub(super) fn hear(&mut self, refused: Option<JournalRefusal>, taken: bool) {
        match refused {
            Some(refusal) if self.0 != Some(refusal) => {
                self.0 = Some(refusal);
                let reason = refusal.code();
                tracing::error!(code = "journal_refuses", reason, "{}", refusal.message());
            }
            None if taken && self.0.take().is_some() => {
                tracing::info!(code = "journal_takes", "the journal takes events again");
            }
            Some(_) | None => {}
        }
    }
}
