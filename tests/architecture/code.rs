//! Rust sources without what is not code.

/// The source with comments and the contents of its strings blanked out, line by line as it was.
pub(crate) fn code(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let (length, keep) = match token(rest) {
            Some(length) => (length, false),
            None if is_word(first) => (word(rest), true),
            None => (first.len_utf8(), true),
        };
        let (now, later) = rest.split_at(length);
        if keep {
            code.push_str(now);
        } else {
            code.extend(
                now.chars()
                    .map(|character| if character == '\n' { '\n' } else { ' ' }),
            );
        }
        rest = later;
    }
    code
}

/// The length of the comment, string or character that the text begins with, if it does.
fn token(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if text.starts_with("/*") {
        return Some(text.find("*/").map_or(text.len(), |end| end + 2));
    }
    let prefix = word(text);
    let (prefix, quoted) = text.split_at(prefix);
    match prefix {
        "r" | "br" | "cr" => raw_string(quoted).map(|length| prefix.len() + length),
        "" | "b" | "c" if quoted.starts_with('"') => Some(prefix.len() + quoted_length(quoted, '"')?),
        "" | "b" if quoted.starts_with('\'') => Some(prefix.len() + character(quoted)?),
        _ => None,
    }
}

/// A character in quotes; a lifetime is none.
fn character(text: &str) -> Option<usize> {
    let mut characters = text.chars().skip(1);
    let first = characters.next()?;
    (first == '\\' || characters.next()? == '\'').then(|| quoted_length(text, '\''))?
}

/// The length up to the quote that is not escaped.
fn quoted_length(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (place, character) in text.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if character == quote => return Some(place + 1),
            _ => {}
        }
    }
    None
}

fn raw_string(text: &str) -> Option<usize> {
    let hashes = text.len() - text.trim_start_matches('#').len();
    let body = text.get(hashes..)?.strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    Some(hashes + 1 + body.find(&end)? + end.len())
}

/// The words of a code, with their places.
pub(crate) fn words(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        at += code.get(at..)?.find(is_word)?;
        let length = word(&code[at..]);
        at += length;
        Some((at - length, &code[at - length..at]))
    })
}

/// The length of the word that the text begins with.
fn word(text: &str) -> usize {
    text.find(|character| !is_word(character)).unwrap_or(text.len())
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

#[test]
fn comments_and_strings_are_no_code_and_the_rest_is() {
    let blank = |source: &str| code(source).split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(blank("let a = 1; // crate::x\n/// crate::y\nb"), "let a = 1; b");
    assert_eq!(blank("a /* b\n c */ d"), "a d");
    assert_eq!(blank(r#"f("crate::x // \" y", z)"#), "f( , z)");
    assert_eq!(blank("f(r#\"a \" b\"#, br\"c\", b\"d\", e)"), "f( , , , e)");
    assert_eq!(blank(r"f('a', '\'', b'x', '\u{1F600}', 'é')"), "f( , , , , )");
    assert_eq!(
        blank("impl<'a> F<'a> for &'static str {}"),
        "impl<'a> F<'a> for &'static str {}"
    );
    assert_eq!(code("a\n\"b\nc\"\nd").lines().count(), 4);
}

#[test]
fn words_are_found_where_they_are() {
    let found: Vec<_> = words("use crate::a_b;").collect();
    assert_eq!(found, [(0, "use"), (4, "crate"), (11, "a_b")]);
}
