//! The progress bar of commands that run long. It hides itself if standard error is not a terminal.

pub use indicatif::ProgressBar;
use indicatif::ProgressStyle;

/// A bar that counts up to `length` of `unit`.
#[must_use]
pub fn progress_bar(length: u64, unit: &str) -> ProgressBar {
    let bar = ProgressBar::new(length);
    let template = format!("{{elapsed:>4}} {{bar:30}} {{human_pos}}/{{human_len}} {unit} {{wide_msg}}");
    // If the template were wrong, the default one would be used.
    if let Ok(style) = ProgressStyle::with_template(&template) {
        bar.set_style(style);
    }
    bar
}
