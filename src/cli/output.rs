//! Output of the commands: coloured on a terminal, plain otherwise. Also prints errors and their fixes.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use anstyle::{AnsiColor, Style};
use clap::CommandFactory;

use super::Exit;
use crate::diagnosis::{Diagnosis, Remedy};

/// Success.
pub(super) const GOOD: Style = AnsiColor::Green.on_default();
/// Works, but is probably not intended.
pub(super) const WARNING: Style = AnsiColor::Yellow.on_default();
/// Errors.
pub(super) const BAD: Style = AnsiColor::Red.on_default().bold();
/// Headings.
pub(super) const HEADING: Style = Style::new().bold();
/// Secondary text.
pub(super) const QUIET: Style = Style::new().dimmed();

/// Width of wrapped sentences, in columns.
pub(super) const WIDTH: usize = 80;

/// If the program's path is longer, suggested commands contain only its name. In bytes.
const MAX_COMMAND_WIDTH: usize = 40;

/// Applies a style. A plain output stream removes the colours again.
pub(super) fn styled(style: Style, text: impl Display) -> String {
    format!("{style}{text}{style:#}")
}

/// Returns standard output, without colours if it is not a terminal or the environment says so (`NO_COLOR`).
pub(super) fn stdout() -> anstream::AutoStream<io::StdoutLock<'static>> {
    anstream::AutoStream::auto(io::stdout()).lock()
}

/// Prints an error to stderr. Returns [`Exit::Failed`].
pub(super) fn complain(text: impl Display) -> Exit {
    // A closed stderr is not an error.
    let _ = writeln!(anstream::stderr(), "{}", error(text));
    Exit::Failed
}

/// Formats an error.
pub(super) fn error(text: impl Display) -> String {
    format!("{} {text}", styled(BAD, "error:"))
}

/// Prints an error and its fix to stderr. Returns [`Exit::Failed`].
pub(super) fn fail(problem: impl Display, remedy: impl Into<Remedy>) -> Exit {
    let failed = complain(problem);
    fix(remedy);
    failed
}

/// Prints a diagnosis to stderr. Returns [`Exit::Failed`].
pub(super) fn report(diagnosis: &Diagnosis) -> Exit {
    let failed = complain(diagnosis.headline());
    diagnosis.remedy.iter().cloned().for_each(fix);
    failed
}

/// Prints the fix of an error to stderr.
pub(super) fn fix(remedy: impl Into<Remedy>) {
    // A closed stderr is not an error.
    let _ = writeln!(anstream::stderr(), "{}", fix_line("fix", remedy));
}

/// Prints to stderr what to look at next.
pub(super) fn next(remedy: impl Into<Remedy>) {
    // A closed stderr is not an error.
    let _ = writeln!(anstream::stderr(), "{}", fix_line("next", remedy));
}

/// Formats a remedy with its label, as every command shows it below a line of text.
pub(super) fn fix_line(label: &str, remedy: impl Into<Remedy>) -> String {
    fix_line_at(2, label, &remedy.into())
}

/// Formats a remedy with its label, indented by `margin` columns and wrapped at 80. A command is formatted for a shell.
pub(super) fn fix_line_at(margin: usize, label: &str, remedy: &Remedy) -> String {
    let mut remedy = Remedy { text: called(&remedy.text), command: remedy.command.clone() };
    if let Some(first) = remedy.command.first_mut().filter(|first| *first == "idaas-bridge") {
        *first = program();
    }
    // A colon and a space follow the label.
    let indent = margin + label.len() + 2;
    let colon = if remedy.command.is_empty() { "" } else { ":" };
    let text = wrapped(&format!("{}{colon}", remedy.text), WIDTH - indent).join(&format!("\n{:indent$}", ""));
    let command = remedy.command_lines(WIDTH - margin - 2);
    let command: String = command.iter().map(|line| format!("\n{:margin$}  {line}", "")).collect();
    format!("{:margin$}{} {text}{command}", "", styled(GOOD, format_args!("{label}:")))
}

/// Wraps a text into lines of at most `width` characters. A longer word has its own line.
pub(super) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) | None => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Prints a note to stderr.
pub(super) fn note(text: impl Display) {
    // A closed stderr is not an error.
    let _ = writeln!(anstream::stderr(), "{}", note_line(text));
}

/// Formats a note.
pub(super) fn note_line(text: impl Display) -> String {
    format!("{} {text}", styled(WARNING, "note:"))
}

/// Returns the width of the terminal on stdout, but at least 40 columns. `None` if stdout is not a terminal.
pub(super) fn terminal_width() -> Option<usize> {
    terminal_size::terminal_size_of(io::stdout()).map(|(terminal_size::Width(columns), _)| usize::from(columns).max(40))
}

/// Returns how to call this program again from the current directory, in a short form for a shell.
pub(super) fn program() -> String {
    let called = std::env::args_os().next().map_or_else(|| PathBuf::from("idaas-bridge"), PathBuf::from);
    let here = std::env::current_dir().unwrap_or_default();
    short_call(&called, &here)
}

/// Replaces the program's name in suggested commands by the way it was called, because remedies contain only the name.
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
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Exit::Fine,
        Err(error) => complain(format_args!("the result cannot be written ({})", error.kind())),
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
