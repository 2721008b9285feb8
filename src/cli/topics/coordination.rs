//! The topic that replicas use to coordinate. Shown below the others, because a single replica does not need it.

use std::io::{self, Write};

use super::super::output::fix_line;
use super::REQUEST_TIMEOUT;
use crate::config::Config;
use crate::kafka::admin::administrator::{Administrator, Creation};
use crate::kafka::admin::topics::{State, coordination_topic};
use crate::terminal::{GOOD, QUIET, WARNING, styled};

/// Shows the topic, and creates it if it is missing and `create` is set. A missing topic is not a failure.
pub(super) fn show(
    administrator: &Administrator,
    config: &Config,
    create: bool,
    out: &mut dyn Write,
) -> io::Result<()> {
    let topic = coordination_topic(&config.topics.prefix);
    let state = administrator.coordination_topic(&topic, REQUEST_TIMEOUT);
    let needed = "two or more replicas need it to publish once and in order after an outage";
    write!(out, "\n{topic}: ")?;
    match state {
        Some(State::Present(_)) => writeln!(out, "{} (for replicas to coordinate)", styled(GOOD, "ok"))?,
        Some(State::Missing) if create => {
            let replication = config.topics.replication_factor;
            match administrator.create_coordination_topic(&topic, replication, REQUEST_TIMEOUT) {
                Ok(Creation::Created | Creation::AlreadyExists) => {
                    writeln!(out, "{} (for replicas to coordinate)", styled(GOOD, "created"))?;
                }
                Ok(Creation::Rejected { diagnosis, .. }) => {
                    writeln!(out, "{}: {}; {needed}", styled(WARNING, "not created"), diagnosis.problem)?;
                    writeln!(out, "{}", fix_line("fix", diagnosis.remedy.unwrap_or_default()))?;
                }
                Err(unreachable) => writeln!(out, "{}: {unreachable}", styled(WARNING, "not created"))?,
            }
        }
        Some(State::Missing) => writeln!(out, "{}; {needed}; --create creates it", styled(QUIET, "missing"))?,
        Some(State::Hidden) => writeln!(out, "{}; {needed}", styled(QUIET, "is not visible to this user"))?,
        Some(State::Unreadable(problem)) => writeln!(out, "{}", styled(QUIET, problem))?,
        None => writeln!(out, "{}", styled(QUIET, "no answer in time"))?,
    }
    out.flush()
}
