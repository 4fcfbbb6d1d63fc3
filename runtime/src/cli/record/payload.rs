//! A payload as it may be shown.

use std::{collections::BTreeSet, fmt};

use serde::Serialize;
use serde_json::Value;

/// What stands in the place of a field that nobody may see.
const REDACTED: &str = "[redacted]";
/// How much of a payload is shown to people.
const SHOWN_CHARS: usize = 4_000;
/// How many bytes are shown in hexadecimal.
const SHOWN_BYTES: usize = 512;

/// A payload as it may be shown.
#[derive(Debug, PartialEq, Serialize)]
#[serde(tag = "form", rename_all = "snake_case")]
pub(crate) enum Shown {
    /// There is none.
    Tombstone,
    /// JSON, with what nobody may see replaced.
    Json {
        /// It.
        value: Value,
    },
    /// Text that is not JSON.
    Text {
        /// Its beginning.
        text: String,
        /// Its length.
        bytes: usize,
    },
    /// Bytes that are not text.
    Hex {
        /// The first of them.
        hex: String,
        /// How many there are.
        bytes: usize,
    },
    /// Not a JSON object, of an event of which some fields may not be seen: nobody can tell where they are.
    Hidden {
        /// How many bytes.
        bytes: usize,
    },
}

impl Shown {
    /// What may be shown of a payload whose top-level fields `redacted` nobody may see.
    pub(crate) fn of(payload: Option<&[u8]>, redacted: &BTreeSet<&'static str>) -> Self {
        let Some(payload) = payload else { return Self::Tombstone };
        let bytes = payload.len();
        match serde_json::from_slice::<Value>(payload) {
            Ok(Value::Object(mut fields)) => {
                for (name, value) in &mut fields {
                    if redacted.contains(name.as_str()) {
                        *value = REDACTED.into();
                    }
                }
                Self::Json { value: Value::Object(fields) }
            }
            _ if !redacted.is_empty() => Self::Hidden { bytes },
            Ok(value) => Self::Json { value },
            Err(_) => match std::str::from_utf8(payload) {
                Ok(text) => Self::Text { text: beginning(text, SHOWN_CHARS), bytes },
                Err(_) => Self::Hex { hex: hex(&payload[..bytes.min(SHOWN_BYTES)]), bytes },
            },
        }
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tombstone => f.write_str("none (a tombstone)"),
            Self::Json { value } => {
                let text = serde_json::to_string_pretty(value).map_err(|_| fmt::Error)?;
                f.write_str(&beginning(&text, SHOWN_CHARS))?;
                if text.chars().count() > SHOWN_CHARS {
                    write!(f, "\n… {} bytes in all; `--json` shows them", text.len())?;
                }
                Ok(())
            }
            Self::Text { text, bytes } => write!(f, "{}\n({bytes} bytes that are not JSON)", visible(text)),
            Self::Hex { hex, bytes } if hex.len() / 2 < *bytes => {
                write!(f, "{hex}…\n(the first {} of {bytes} bytes that are not UTF-8, in hexadecimal)", hex.len() / 2)
            }
            Self::Hex { hex, bytes } => write!(f, "{hex}\n({bytes} bytes that are not UTF-8, in hexadecimal)"),
            Self::Hidden { bytes } => write!(
                f,
                "not shown: {bytes} bytes that are not a JSON object, of an event with fields that nobody may see"
            ),
        }
    }
}

/// A key, as text if it is that, else in hexadecimal after `0x`.
pub(crate) fn bytes_as_text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => format!("0x{}", hex(bytes)),
    }
}

fn beginning(text: &str, chars: usize) -> String {
    text.chars().take(chars).collect()
}

/// Text without control characters, which a terminal would obey.
fn visible(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn shown(payload: &[u8], redacted: &[&'static str]) -> Shown {
        Shown::of(Some(payload), &redacted.iter().copied().collect())
    }

    #[test]
    fn fields_that_nobody_may_see_are_replaced() {
        let payload = br#"{"guest_email":"x@y.example","total_cents":7}"#;
        let value = json!({"guest_email": "[redacted]", "total_cents": 7});
        assert_eq!(shown(payload, &["guest_email"]), Shown::Json { value });
    }

    #[test]
    fn what_cannot_be_searched_for_secrets_is_not_shown() {
        for payload in [&b"{\"guest_email\":\"x@y.ex"[..], b"[\"x@y.example\"]", b"\xff\xfe"] {
            let text = shown(payload, &["guest_email"]).to_string();
            assert!(text.starts_with("not shown") && !text.contains("x@y"), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_write_to_the_terminal(payload in proptest::collection::vec(any::<u8>(), 0..2_000)) {
            let text = shown(&payload, &[]).to_string();
            prop_assert!(!text.contains('\u{1b}'), "{text}");
        }

        #[test]
        fn a_secret_is_shown_neither_whole_nor_cut_off(end in 0_usize..60, secret in "[a-z]{12}") {
            let payload = format!(r#"{{"guest":{{"email":["{secret}"]}},"total_cents":7}}"#);
            let cut = &payload.as_bytes()[..payload.len() - end.min(payload.len())];
            prop_assert!(!shown(cut, &["guest"]).to_string().contains(&secret));
        }
    }

    #[test]
    fn bytes_and_long_text_are_shown_in_part() {
        let text = shown(&vec![0xff; 600], &[]).to_string();
        assert!(text.ends_with("(the first 512 of 600 bytes that are not UTF-8, in hexadecimal)"), "{text}");
        let text = shown("\u{1b}[2Jx".as_bytes(), &[]).to_string();
        assert!(!text.contains('\u{1b}'), "{text}");
        assert_eq!(Shown::of(None, &BTreeSet::new()).to_string(), "none (a tombstone)");
    }
}
