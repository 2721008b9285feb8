//! `schema`: prints the documents that describe the records this build publishes.

use std::io::Write;

use clap::Args;
use clap::builder::PossibleValuesParser;

use super::{Exit, output};
use crate::schema::documents;

/// Print the JSON Schema of an entity, or the AsyncAPI document; without a name, the names
#[derive(Args)]
#[command(after_help = "Examples:\n  idaas-bridge schema\n  idaas-bridge schema user > user.schema.json\n  \
    idaas-bridge schema asyncapi")]
pub struct SchemaArguments {
    /// What to print
    #[arg(value_name = "NAME", value_parser = PossibleValuesParser::new(documents().map(|(name, _)| name)))]
    name: Option<String>,
}

/// Runs the command.
#[must_use]
pub fn run(arguments: &SchemaArguments) -> Exit {
    let mut out = std::io::stdout().lock();
    let wanted = arguments.name.as_deref().and_then(|name| documents().find(|(known, _)| *known == name));
    let result = match wanted {
        Some((_, text)) => out.write_all(text.as_bytes()),
        None => documents().try_for_each(|(name, _)| writeln!(out, "{name}")),
    };
    output::end(result.and_then(|()| out.flush()).map(|()| Exit::Success))
}
