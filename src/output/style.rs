//! Colours of text on a terminal.

use std::fmt;
use std::io::IsTerminal;

use anstyle::{AnsiColor, Reset};

/// Whether text is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Style {
    coloured: bool,
}

impl Style {
    /// The style for a stream: coloured on a terminal, unless `NO_COLOR` (no-color.org) is set or
    /// `TERM` is `dumb`. To be called before the environment is cleared.
    #[must_use]
    pub fn of(stream: &impl IsTerminal) -> Self {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_none_or(|value| value == "dumb");
        Self {
            coloured: stream.is_terminal() && !no_color && !dumb,
        }
    }

    /// The text of clap, with its colours if text is coloured.
    #[must_use]
    pub fn styled(self, text: &clap::builder::StyledStr) -> String {
        if self.coloured {
            text.ansi().to_string()
        } else {
            text.to_string()
        }
    }

    pub(super) fn good(self, text: impl fmt::Display) -> String {
        self.paint(AnsiColor::Green, &text)
    }

    pub(super) fn bad(self, text: impl fmt::Display) -> String {
        self.paint(AnsiColor::Red, &text)
    }

    pub(super) fn doubtful(self, text: impl fmt::Display) -> String {
        self.paint(AnsiColor::Yellow, &text)
    }

    pub(super) fn hint(self, text: impl fmt::Display) -> String {
        self.paint(AnsiColor::Cyan, &text)
    }

    fn paint(self, colour: AnsiColor, text: &dyn fmt::Display) -> String {
        if self.coloured {
            format!("{}{text}{Reset}", colour.on_default().bold())
        } else {
            text.to_string()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_style_without_colours_adds_nothing() {
        assert_eq!(Style::default().bad("FAIL"), "FAIL");
        let coloured = Style { coloured: true };
        let text = coloured.bad("FAIL");
        assert!(
            text.starts_with('\u{1b}') && text.ends_with("\u{1b}[0m"),
            "{text:?}"
        );
    }
}
