//! What commands say besides their results: errors, fixes, notes, and how to call the program again.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use clap::CommandFactory;

use super::Exit;
use crate::diagnosis::{Diagnosis, Remedy};
use crate::terminal::{BAD, GOOD, TEXT_WIDTH, WARNING, fill, stderr, styled, wrap};

/// If the program's path is longer, suggested commands contain only its name. In bytes.
const MAX_COMMAND_WIDTH: usize = 40;

/// Prints on stderr why the command cannot continue.
pub(super) fn print_error(text: impl Display) -> Exit {
    // If stderr is closed, nothing can be reported.
    let _ = writeln!(stderr(), "{}", error(text));
    Exit::Failed
}

/// Formats an error.
pub(super) fn error(text: impl Display) -> String {
    format!("{} {text}", styled(BAD, "error:"))
}

/// Prints on stderr why the command cannot continue, and the fix.
pub(super) fn print_error_with_fix(problem: impl Display, remedy: impl Into<Remedy>) -> Exit {
    let failed = print_error(problem);
    fix(remedy);
    failed
}

/// The same, of a diagnosis. The exit code shows whether the configuration has to be corrected.
pub(super) fn report(diagnosis: &Diagnosis) -> Exit {
    let failed = print_error(diagnosis.headline());
    diagnosis.remedy.iter().cloned().for_each(fix);
    if diagnosis.is_misconfiguration() { Exit::Misconfigured } else { failed }
}

/// Prints on stderr the fix for an error.
pub(super) fn fix(remedy: impl Into<Remedy>) {
    // If stderr is closed, nothing can be reported.
    let _ = writeln!(stderr(), "{}", fix_line("fix", remedy));
}

/// Prints on stderr what to look at next.
pub(super) fn next(remedy: impl Into<Remedy>) {
    // If stderr is closed, nothing can be reported.
    let _ = writeln!(stderr(), "{}", fix_line("next", remedy));
}

/// Formats a remedy with its label, as every command shows it below a line of text.
pub(super) fn fix_line(label: &str, remedy: impl Into<Remedy>) -> String {
    fix_line_at(2, label, &remedy.into())
}

/// Formats a remedy with its label, indented by `margin` columns and wrapped at 80. A command is formatted for a shell.
pub(super) fn fix_line_at(margin: usize, label: &str, remedy: &Remedy) -> String {
    let mut command = remedy.command.clone();
    if let Some(first) = command.first_mut().filter(|first| *first == "idaas-bridge") {
        *first = program();
    }
    // A colon and a space follow the label.
    let indent = margin + label.len() + 2;
    let colon = if command.is_empty() { "" } else { ":" };
    let text =
        wrap(&format!("{}{colon}", called(&remedy.text)), TEXT_WIDTH - indent).join(&format!("\n{:indent$}", ""));
    let command = if command.is_empty() {
        String::new()
    } else {
        format!("\n{:margin$}  {}", "", shell_lines(&command, margin + 2))
    };
    format!("{:margin$}{} {text}{command}", "", styled(GOOD, format_args!("{label}:")))
}

/// A command as a shell reads it, in lines that begin at column `margin` and end before column 80. An option and its
/// value stay together.
fn shell_lines(command: &[String], margin: usize) -> String {
    let mut options: Vec<String> = Vec::new();
    for word in command {
        match options.last_mut() {
            Some(option) if !word.starts_with("--") && option.starts_with("--") && !option.contains(' ') => {
                option.push_str(&format!(" {word}"));
            }
            Some(_) | None => options.push(word.clone()),
        }
    }
    // Behind each line, a space and a backslash; further lines are indented by two.
    let line_width = TEXT_WIDTH - margin - 2;
    fill(options.iter().map(String::as_str), &[line_width, line_width - 2]).join(&format!(" \\\n{:margin$}  ", ""))
}

/// Prints on stderr something that is not an error.
pub(super) fn note(text: impl Display) {
    // If stderr is closed, nothing can be reported.
    let _ = writeln!(stderr(), "{}", note_line(text));
}

/// The line of something that is not an error.
pub(super) fn note_line(text: impl Display) -> String {
    format!("{} {text}", styled(WARNING, "note:"))
}

/// Returns how to call this program again from the current directory, in a short form for a shell.
pub(super) fn program() -> String {
    let called = std::env::args_os().next().map_or_else(|| PathBuf::from("idaas-bridge"), PathBuf::from);
    let here = std::env::current_dir().unwrap_or_default();
    short_call(&called, &here)
}

/// A text with its commands called as this program was, because a remedy contains only the program's name.
fn called(text: &str) -> String {
    renamed(text, &program())
}

fn renamed(text: &str, program: &str) -> String {
    const NAME: &str = "idaas-bridge ";
    let commands = super::Program::command();
    let is_command = |rest: &str| {
        let word = rest.split(|character: char| !character.is_ascii_lowercase() && character != '-').next();
        word.is_some_and(|word| commands.find_subcommand(word).is_some())
    };
    let mut parts = text.split(NAME);
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let begins = shown.chars().next_back().is_none_or(|before| before.is_whitespace() || "`('\"".contains(before));
        if begins && is_command(part) {
            shown.push_str(program);
            shown.push(' ');
        } else {
            shown.push_str(NAME);
        }
        shown.push_str(part);
    }
    shown
}

fn short_call(called: &Path, here: &Path) -> String {
    let call = match called.strip_prefix(here) {
        // A name without a directory would be searched on the PATH.
        Ok(below) if below.components().count() == 1 => Path::new(".").join(below),
        Ok(below) => below.to_owned(),
        Err(_) => called.to_owned(),
    };
    if call.as_os_str().len() <= MAX_COMMAND_WIDTH {
        return shell_word(&call.to_string_lossy());
    }
    // The path is too long for a line, so only the name is shown.
    called.file_name().map_or_else(|| "idaas-bridge".to_owned(), |name| shell_word(&name.to_string_lossy()))
}

/// Formats other commands with the same configuration, for copying.
pub(super) struct Call<'a> {
    /// Path of the configuration, unless it is the default.
    pub(super) config: Option<&'a Path>,
}

impl<'a> Call<'a> {
    /// Creates a formatter for this configuration.
    pub(super) fn new(config: &'a Path) -> Self {
        let default = std::env::var_os(crate::config::CONFIG_VARIABLE);
        let default = default.map_or_else(|| PathBuf::from(super::DEFAULT_CONFIG), PathBuf::from);
        Self { config: (config != default).then_some(config) }
    }

    /// Returns a command line that starts with this command.
    pub(super) fn of(&self, command: &str) -> String {
        let config = self.config.map(|path| format!(" --config {}", shell_word(&path.to_string_lossy())));
        format!("{} {command}{}", program(), config.unwrap_or_default())
    }
}

/// Quotes a text as one word of a shell.
pub(super) fn shell_word(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+:=,@%".contains(&byte) || byte >= 0x80;
    if !text.is_empty() && text.bytes().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

/// Returns the exit code of a command that writes results. A closed pipe is not a failure: the reader has read enough.
pub(super) fn end(result: io::Result<Exit>) -> Exit {
    match result {
        Ok(exit) => exit,
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Exit::Success,
        Err(error) => print_error(format_args!("the result cannot be written ({})", error.kind())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_in_a_remedy_are_called_as_the_program_was() {
        for (text, shown) in [
            ("idaas-bridge topics --create", "./ib topics --create"),
            (
                "see `idaas-bridge check`, or idaas-bridge dead-letter list",
                "see `./ib check`, or ./ib dead-letter list",
            ),
            ("User:idaas-bridge check", "User:idaas-bridge check"),
            ("the idaas-bridge that is running", "the idaas-bridge that is running"),
            ("/opt/idaas-bridge check", "/opt/idaas-bridge check"),
        ] {
            assert_eq!(renamed(text, "./ib"), shown);
        }
    }

    #[test]
    fn command_lines_fit_and_keep_options_whole() {
        let command = "kafka-acls.sh --bootstrap-server HOST:PORT --add --allow-principal User:NAME --operation Write \
                       --topic a.user.v1 --topic a.group.v1";
        assert_eq!(
            shell_lines(&Remedy::command("grant it", command).command, 30).replace(&" ".repeat(30), "|"),
            "kafka-acls.sh --bootstrap-server HOST:PORT --add \\\n\
             |  --allow-principal User:NAME --operation Write \\\n\
             |  --topic a.user.v1 --topic a.group.v1"
        );
    }

    #[test]
    fn the_program_is_called_by_the_shortest_path_that_works() {
        let here = Path::new("/home/a very long name of a directory that somebody has chosen/idaas-bridge");
        let built = here.join("target/release/idaas-bridge");
        for (called, short) in [
            ("idaas-bridge", "idaas-bridge"),
            (built.to_str().unwrap(), "target/release/idaas-bridge"),
            (here.join("idaas-bridge").to_str().unwrap(), "./idaas-bridge"),
            ("target/release/idaas-bridge", "target/release/idaas-bridge"),
            ("/usr/local/bin/idaas-bridge", "/usr/local/bin/idaas-bridge"),
            ("/opt/it's/idaas-bridge", "'/opt/it'\\''s/idaas-bridge'"),
            ("/elsewhere/with/so/long/a/path/that/nobody/wants/it/idaas-bridge", "idaas-bridge"),
        ] {
            assert_eq!(short_call(Path::new(called), here), short);
        }
    }
}
