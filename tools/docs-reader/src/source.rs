//! Reads constants and enums from the source code as text, because they are not public.
//!
//! A name is `ITEM` if it is unique, or `module::ITEM`. The module is the end of a file's path without `src`:
//! `limits::MAX`, or `api/limits::MAX` for crates/api/src/limits.rs. So files can be moved without a change
//! here.

use crate::{files, read, root};

/// Returns the source files of the product, without tests: their paths without `src`, and their texts.
#[must_use]
pub fn sources() -> Vec<(String, String)> {
    let folders = ["src", "crates"];
    let folders = folders.iter().map(|folder| root().join(folder));
    let paths = folders
        .filter(|folder| folder.is_dir())
        .flat_map(|folder| files(&folder, "rs"));
    paths
        .filter(|path| !is_test(path))
        .map(|path| {
            let text = read(&root().join(&path));
            (path.replace("/src/", "/"), text)
        })
        .collect()
}

fn is_test(path: &str) -> bool {
    path.contains("/tests/")
        || path.ends_with("tests.rs")
        || path.contains("simulation")
        || path.ends_with("fixture.rs")
}

/// The value of a constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// A number.
    Number(u128),
    /// A duration in milliseconds.
    Millis(u128),
}

/// Returns the constants whose names begin with one of these, as `path::NAME` without the file's extension.
#[must_use]
pub fn constants(sources: &[(String, String)], prefixes: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in sources {
        for line in text.lines() {
            let Some((before, rest)) = line.split_once("const ") else {
                continue;
            };
            let is_item = before.is_empty() || before.starts_with("pub");
            let name = rest.split(':').next().unwrap_or_default();
            if is_item && prefixes.iter().any(|prefix| name.starts_with(prefix)) {
                found.push(format!("{}::{name}", path.trim_end_matches(".rs")));
            }
        }
    }
    found
}

/// Returns the value of the constant with this name.
///
/// # Errors
/// No file or several files have it, or it is not a number or a duration.
pub fn value(sources: &[(String, String)], name: &str) -> Result<Value, String> {
    let text = item(sources, name, "const ", ';')?;
    let (_, value) = text
        .split_once('=')
        .ok_or_else(|| format!("{name} has no value"))?;
    evaluate(value).ok_or_else(|| format!("{name} is `{}`, which this reader does not know", value.trim()))
}

/// Returns the texts in the constant list, or in the function `as_str` of the enum, with this name.
///
/// # Errors
/// No file or several files have it.
pub fn texts(sources: &[(String, String)], name: &str) -> Result<Vec<String>, String> {
    let text = item(sources, name, "const ", ';').or_else(|_| {
        let text = item(sources, name, "impl ", '\u{0}')?;
        let (_, body) = text
            .split_once("fn as_str")
            .ok_or_else(|| format!("{name} has no words"))?;
        Ok::<_, String>(body.split("\n    }\n").next().unwrap_or_default().to_owned())
    })?;
    Ok(text.split('"').skip(1).step_by(2).map(str::to_owned).collect())
}

/// Returns the variants of the enum with this name, each with its fields.
///
/// # Errors
/// No file or several files have it.
pub fn variants(sources: &[(String, String)], name: &str) -> Result<Vec<(String, Vec<String>)>, String> {
    let text = item(sources, name, "enum ", '\u{0}')?;
    let mut variants: Vec<(String, Vec<String>)> = Vec::new();
    for line in text.lines().skip(1) {
        let trimmed = line.trim_start();
        if line == "}" {
            break;
        }
        if trimmed.starts_with("//") || trimmed.starts_with('#') {
            continue;
        }
        let depth = line.len() - trimmed.len();
        if depth == 4 && trimmed.starts_with(char::is_uppercase) {
            let (name, rest) = trimmed.split_once([' ', ',', '(']).unwrap_or((trimmed, ""));
            variants.push((
                name.to_owned(),
                named_fields(rest.trim_matches(['{', '}', ' ', ','])),
            ));
        } else if depth == 8
            && let Some((_, known)) = variants.last_mut()
        {
            known.extend(named_fields(trimmed.trim_end_matches(',')));
        }
    }
    Ok(variants)
}

/// Returns the fields of the struct with this name.
///
/// # Errors
/// No file or several files have it.
pub fn fields(sources: &[(String, String)], name: &str) -> Result<Vec<String>, String> {
    let text = item(sources, name, "struct ", '}')?;
    let lines = text.lines().skip(1).map(str::trim);
    let fields = lines.filter(|line| !line.starts_with('#') && !line.starts_with("//"));
    Ok(fields
        .filter_map(|line| line.split_once(':'))
        .map(|(name, _)| name.trim_start_matches("pub ").to_owned())
        .collect())
}

fn named_fields(text: &str) -> Vec<String> {
    let named = text.split(", ").filter_map(|field| field.split_once(':'));
    named.map(|(name, _)| name.trim().to_owned()).collect()
}

/// Returns the text of the item with this name, from its name up to `end`.
fn item(sources: &[(String, String)], name: &str, keyword: &str, end: char) -> Result<String, String> {
    let (file, name) = match name.rsplit_once("::") {
        Some((module, name)) => (format!("/{module}.rs"), name),
        None => (".rs".to_owned(), name),
    };
    let mut found = Vec::new();
    for (path, text) in sources
        .iter()
        .filter(|(path, _)| format!("/{path}").ends_with(&file))
    {
        for (at, _) in text.match_indices(&format!("{keyword}{name}")) {
            let rest = text.get(at..).unwrap_or_default();
            let after = rest.get(keyword.len() + name.len()..).unwrap_or_default();
            if after.starts_with([':', '<', ' ']) {
                found.push((path, rest));
            }
        }
    }
    match found.as_slice() {
        [(_, rest)] => Ok(rest.split(end).next().unwrap_or_default().to_owned()),
        [] => Err(format!(
            "no file {file} has {keyword}{name}: was it moved or renamed?"
        )),
        several => {
            let paths: Vec<&String> = several.iter().map(|(path, _)| *path).collect();
            Err(format!(
                "{name} is in {paths:?}: put more of the path before the name"
            ))
        }
    }
}

/// Evaluates products and sums of integers, and durations.
fn evaluate(text: &str) -> Option<Value> {
    let text = text.trim();
    if let Some(rest) = text.strip_prefix("Duration::from_") {
        let (unit, number) = rest.split_once('(')?;
        let millis = match unit {
            "millis" => 1,
            "secs" => 1000,
            "mins" => 60_000,
            "hours" => 3_600_000,
            _ => return None,
        };
        return Some(Value::Millis(number_of(number.strip_suffix(')')?)? * millis));
    }
    number_of(text).map(Value::Number)
}

fn number_of(text: &str) -> Option<u128> {
    if let Some((base, shift)) = text.split_once("<<") {
        return Some(number_of(base)? << number_of(shift)?);
    }
    text.split('*')
        .map(|factor| factor.trim().replace('_', "").parse::<u128>().ok())
        .product()
}

/// Whether a text states the value: with or without commas, in a larger unit, or as a duration.
#[must_use]
pub fn states(prose: &str, value: Value) -> bool {
    let forms = match value {
        Value::Number(number) => number_forms(number),
        Value::Millis(millis) => duration_forms(millis),
    };
    forms.iter().any(|form| has_whole(prose, form))
}

fn number_forms(number: u128) -> Vec<String> {
    let mut forms = vec![number.to_string(), with_commas(number)];
    for (unit, size) in [
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("GB", 1_000_000_000),
    ] {
        if number > 0 && number.is_multiple_of(size) {
            forms.push(format!("{} {unit}", number / size));
        }
    }
    // Some constants are milliseconds and not a `Duration`.
    if number >= 60_000 {
        forms.extend(duration_forms(number));
    }
    forms
}

fn duration_forms(millis: u128) -> Vec<String> {
    let units = [
        (1, "ms"),
        (1000, "s"),
        (60_000, "min"),
        (60_000, "minute"),
        (60_000, "minutes"),
        (3_600_000, "hour"),
        (3_600_000, "hours"),
        (86_400_000, "days"),
    ];
    let whole = units.iter().filter(|(size, _)| millis.is_multiple_of(*size));
    whole
        .map(|(size, unit)| format!("{} {unit}", millis / size))
        .collect()
}

fn with_commas(number: u128) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Whether `prose` contains `form`, and not as part of a longer number or word.
fn has_whole(prose: &str, form: &str) -> bool {
    prose.match_indices(form).any(|(at, _)| {
        let before = prose.get(..at).unwrap_or_default().chars().next_back();
        let mut after = prose.get(at + form.len()..).unwrap_or_default().chars();
        let next = after.next();
        let goes_on = next.is_some_and(char::is_alphanumeric)
            || (next == Some(',') && after.next().is_some_and(|letter| letter.is_ascii_digit()));
        let came_before =
            before.is_some_and(|letter| letter.is_alphanumeric() || matches!(letter, ',' | '.'));
        !goes_on && !came_before
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources() -> Vec<(String, String)> {
        let text = "pub const MAX: usize = 64 * 1024;\nconst WAIT: Duration = Duration::from_mins(5);\n\
                    const WORDS: &[&str] = &[\n    \"a\",\n    \"b\",\n];\nconst BIG: u64 = 1 << 30;\n\
                    pub enum Event<'e> {\n    /// Sent.\n    Sent {\n        app: &'e str,\n        ms: u64,\n    },\n    Lost { problem: &'e str },\n    Bare,\n}\n\
                    impl State {\n    pub fn as_str(self) -> &'static str {\n        match self {\n            Self::On => \"on\",\n        }\n    }\n    fn x() { \"no\" }\n}\n\
                    struct Document<'b> {\n    /// Its id.\n    id: &'b str,\n    #[serde(skip)]\n    ms: u64,\n}\n";
        vec![("src/a/limits.rs".to_owned(), text.to_owned())]
    }

    #[test]
    fn values_texts_and_variants_are_read() {
        let sources = sources();
        assert_eq!(value(&sources, "limits::MAX"), Ok(Value::Number(65_536)));
        assert_eq!(value(&sources, "a/limits::WAIT"), Ok(Value::Millis(300_000)));
        assert_eq!(value(&sources, "limits::BIG"), Ok(Value::Number(1 << 30)));
        assert!(value(&sources, "b/limits::MAX").is_err() && value(&sources, "limits::NONE").is_err());
        assert_eq!(texts(&sources, "limits::WORDS").unwrap(), ["a", "b"]);
        assert_eq!(texts(&sources, "limits::State").unwrap(), ["on"]);
        let seen = variants(&sources, "limits::Event").unwrap();
        let seen: Vec<_> = seen
            .iter()
            .map(|(name, fields)| (name.as_str(), fields.join(",")))
            .collect();
        let expected = [("Sent", "app,ms"), ("Lost", "problem"), ("Bare", "")];
        assert_eq!(seen, expected.map(|(name, fields)| (name, fields.to_owned())));
        assert_eq!(fields(&sources, "limits::Document").unwrap(), ["id", "ms"]);
        assert_eq!(constants(&sources, &["MAX"]), ["src/a/limits::MAX"]);
    }

    #[test]
    fn a_value_is_stated_in_any_form_and_not_by_a_part_of_another() {
        assert!(states("at most 64 KiB", Value::Number(65_536)));
        assert!(states("10,000,000 pushes", Value::Number(10_000_000)));
        assert!(states("after 5 minutes", Value::Millis(300_000)));
        assert!(states("for 30 days", Value::Millis(30 * 86_400_000)));
        assert!(!states("1640 KiB, 64 KiBit", Value::Number(65_536)));
        assert!(!states("10,000,000", Value::Number(10_000)));
        assert!(!states("10,000", Value::Number(10)));
    }
}
