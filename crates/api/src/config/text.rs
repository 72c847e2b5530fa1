//! Cleans the text of a setting.
//!
//! Settings pass through editors, shells, consoles and environment files, which add line breaks, a byte order
//! mark or quotes. They are removed where the rest is unambiguous.

/// Returns `text` without surrounding white space, byte order marks, and quotes around all of it.
pub(super) fn unquoted(text: &str) -> &str {
    let mut text = trim(text);
    while let Some(inner) = inside_quotes(text) {
        text = trim(inner);
    }
    text
}

fn inside_quotes(text: &str) -> Option<&str> {
    ['"', '\'']
        .into_iter()
        .find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote))
}

/// Returns `text` without white space and byte order marks around it.
pub(super) fn trim(text: &str) -> &str {
    text.trim_matches(|character: char| character.is_whitespace() || character == '\u{feff}')
}

/// Returns a name as faults and logs show it: on one line and shortened.
pub(super) fn shown(name: &str) -> String {
    name.chars()
        .take(MAX_SHOWN)
        .map(|character| if character.is_control() { ' ' } else { character })
        .collect()
}

/// The most characters of a name that a fault shows.
const MAX_SHOWN: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_surrounds_a_pasted_value_is_taken_away() {
        for text in [
            "a b",
            "a b\n",
            "\u{feff}a b\r\n",
            " \"a b\" ",
            "'a b'",
            "'\"a b\"'\n",
            "\"\u{feff} a b\"",
        ] {
            assert_eq!(unquoted(text), "a b", "{text:?}");
        }
        for text in ["\"a", "a'", "\"", "a\"b"] {
            assert_eq!(unquoted(text), text);
        }
        assert_eq!(unquoted(" \"\" \n"), "");
    }
}
