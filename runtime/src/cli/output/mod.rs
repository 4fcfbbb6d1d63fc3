//! What commands print: readable tables, or one JSON document.

mod table;
mod time;

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

pub(crate) use self::{
    table::Table,
    time::{instant, offset, span},
};

/// The form in which a command prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Output {
    /// For people.
    #[default]
    Text,
    /// One JSON document, for programs.
    Json,
}

impl Output {
    /// Prints `document` as JSON, or else what `text` makes of it.
    ///
    /// # Errors
    /// When standard output is gone.
    pub(crate) fn print<T: Serialize + ?Sized>(self, document: &T, text: impl FnOnce(&T) -> String) -> io::Result<()> {
        match self {
            Self::Json => write_line(&serde_json::to_string_pretty(document)?),
            Self::Text => write_line(text(document).trim_end_matches('\n')),
        }
    }

    /// Prints `document` as JSON in one line, or else what `text` makes of it, in the place of what was printed before
    /// if a person watches.
    ///
    /// # Errors
    /// When standard output is gone.
    pub(crate) fn refresh<T: Serialize>(self, document: &T, text: impl FnOnce(&T) -> String) -> io::Result<()> {
        const CLEAR_SCREEN: &str = "\x1b[2J\x1b[H";
        match self {
            Self::Json => write_line(&serde_json::to_string(document)?),
            Self::Text if io::stdout().is_terminal() => write_line(&format!("{CLEAR_SCREEN}{}", text(document))),
            Self::Text => write_line(&text(document)),
        }
    }
}

/// Writes a line to standard output.
pub(crate) fn write_line(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.write_all(b"\n")?;
    out.flush()
}

/// `1 event`, `2 events`.
pub(crate) fn counted(number: usize, noun: &str) -> String {
    match number {
        1 => format!("1 {noun}"),
        _ => format!("{number} {noun}s"),
    }
}
