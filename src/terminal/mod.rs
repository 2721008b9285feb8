//! Text for terminals: styles, widths, wrapping, tables and progress bars. Everything else produces words and colors,
//! and leaves to this module how they fit.
//!
//! Text is always made with colors. The streams of this module remove them if the output is not a terminal or
//! `NO_COLOR` is set.
//!
//! Lines are wrapped and measured by `textwrap`, which ignores escape sequences. Tables do not use `comfy-table`: it
//! needs `crossterm` and `ansi-str` for colored cells, and fills the last column of each line with spaces.

mod layout;
mod progress;
mod table;

use std::fmt::Display;
use std::io::{self, Write};

use anstream::AutoStream;
use anstyle::AnsiColor;

pub use self::layout::{cut, fill, pieces, wrap};
pub use self::progress::{ProgressBar, progress_bar};
pub use self::table::Table;
pub use anstyle::Style;
/// The columns of a text on a terminal, without escape sequences.
pub use textwrap::core::display_width as width;

/// The text of everything that needs no attention.
pub const PLAIN: Style = Style::new();
/// As it should be.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// Works, but is probably not intended.
pub const WARNING: Style = AnsiColor::Yellow.on_default();
/// Wrong.
pub const BAD: Style = AnsiColor::Red.on_default().bold();
/// Neither good nor bad.
pub const NEUTRAL: Style = AnsiColor::Cyan.on_default();
/// A title, a name, or a number to notice.
pub const HEADING: Style = Style::new().bold();
/// The title of a part of a long output.
pub const SECTION: Style = AnsiColor::Magenta.on_default().bold();
/// A topic, an address, or another place.
pub const LOCATION: Style = AnsiColor::Blue.on_default();
/// A detail that most readers skip.
pub const QUIET: Style = Style::new().dimmed();

/// Columns that sentences are wrapped at, whatever the terminal has.
pub const TEXT_WIDTH: usize = 80;

/// A terminal with fewer columns is treated as if it had these.
const MIN_COLUMNS: usize = 40;

/// A text in a style.
pub fn styled(style: Style, text: impl Display) -> String {
    format!("{style}{text}{style:#}")
}

/// A name in a style, followed by its value at column `margin`.
pub fn entry(style: Style, name: impl Display, margin: usize, value: impl Display) -> String {
    format!("{style}{name:<margin$}{style:#}{value}")
}

/// Standard output, locked.
pub fn stdout() -> AutoStream<io::StdoutLock<'static>> {
    AutoStream::auto(io::stdout()).lock()
}

/// Standard error.
pub fn stderr() -> AutoStream<io::Stderr> {
    anstream::stderr()
}

/// Writes what `show` writes, with colors only if standard output has them. For an output that also gets bytes that
/// are not text.
///
/// # Errors
/// Those of `show` and `out`.
pub fn write_as_stdout(out: &mut dyn Write, show: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut text = AutoStream::new(Vec::new(), AutoStream::choice(&io::stdout()));
    show(&mut text)?;
    out.write_all(&text.into_inner())
}

/// A text without its styles.
#[must_use]
pub fn without_styles(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

/// The columns of the terminal that standard output goes to. `None` if it is not a terminal.
#[must_use]
pub fn columns() -> Option<usize> {
    let size = terminal_size::terminal_size_of(io::stdout());
    size.map(|(terminal_size::Width(columns), _)| usize::from(columns).max(MIN_COLUMNS))
}
