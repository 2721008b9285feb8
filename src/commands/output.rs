//! How results are shown: in colour on a terminal, plain otherwise; and what stands in the way of it.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

use anstyle::{AnsiColor, Style};

use super::Exit;

/// As it should be.
pub(super) const GOOD: Style = AnsiColor::Green.on_default();
/// Works, and is likely not meant.
pub(super) const WARNING: Style = AnsiColor::Yellow.on_default();
/// Wrong.
pub(super) const BAD: Style = AnsiColor::Red.on_default().bold();
/// What leads the eye.
pub(super) const HEADING: Style = Style::new().bold();
/// What is there for those who look for it.
pub(super) const QUIET: Style = Style::new().dimmed();

/// A text in a style. Plain output is made by the stream, which takes the colours out.
pub(super) fn styled(style: Style, text: impl Display) -> String {
    format!("{style}{text}{style:#}")
}

/// Standard output, without colours where it is no terminal or the environment says so (`NO_COLOR`).
pub(super) fn stdout() -> anstream::AutoStream<io::StdoutLock<'static>> {
    anstream::AutoStream::auto(io::stdout()).lock()
}

/// Says on stderr why the command cannot go on.
pub(super) fn complain(text: impl Display) -> Exit {
    // Where stderr is closed there is nobody to tell.
    let _ = writeln!(anstream::stderr(), "{} {text}", styled(BAD, "error:"));
    Exit::Failed
}

/// The end of a command that writes results. Whoever closed the pipe has read enough: that is no failure.
pub(super) fn end(result: io::Result<Exit>) -> Exit {
    match result {
        Ok(exit) => exit,
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Exit::Fine,
        Err(error) => complain(format_args!("the result cannot be written ({})", error.kind())),
    }
}
