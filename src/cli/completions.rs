//! `completions`: prints a script with which a shell completes the commands and options of this program.

use std::io::Write;

use clap::Args;
use clap_complete::Shell;

use super::{Exit, output};

/// Print the completion script of a shell
#[derive(Args)]
#[command(after_help = "Examples:\n  \
    idaas-bridge completions bash > /usr/share/bash-completion/completions/idaas-bridge\n  \
    idaas-bridge completions zsh > ~/.zfunc/_idaas-bridge")]
pub struct CompletionsArguments {
    /// The shell
    shell: Shell,
}

/// Runs the command for the program that `program` describes.
#[must_use]
pub fn run(arguments: &CompletionsArguments, program: &mut clap::Command) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, program, "idaas-bridge", &mut script);
    let mut out = std::io::stdout().lock();
    output::end(out.write_all(&script).and_then(|()| out.flush()).map(|()| Exit::Success))
}
