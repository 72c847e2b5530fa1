//! A string of a payload that is a template.
//!
//! `upon` parses and renders it. What is looked at here before is what `upon` cannot be told: it has no switch
//! for blocks and comments, its parser calls itself once per bracket and filter without a limit, and its errors
//! do not say what to write instead.

use std::collections::BTreeSet;
use std::io::{self, Write};

use upon::{Engine, Template, ValueAccess, ValueMember};

use super::{SAMPLE, Unrendered};

/// A compiled template.
pub(super) struct Leaf(Template<'static>);

/// Compiles and renders templates.
pub(super) struct Compiler {
    engine: Engine<'static>,
    /// The variables that were found.
    variables: BTreeSet<String>,
}

/// Why a template is rejected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTemplate {
    /// It has a block or a comment.
    #[error("has `{0}`: a text has no blocks and no comments, only values, as in `{{{{ first_name }}}}`")]
    Block(&'static str),
    /// An expression is too deep.
    #[error("has more than {MAX_DEPTH} brackets and filters between `{{{{` and `}}}}`")]
    Deep,
    /// It cannot be parsed.
    #[error("cannot be read as a template: {0}")]
    Syntax(String),
}

/// Whether a text is a template, or looks like one with blocks, which are rejected.
pub(super) fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%")
}

impl Compiler {
    pub(super) fn new() -> Self {
        let mut engine = Engine::new();
        engine.set_default_formatter(&write_value);
        engine.add_function("default", default);
        Self {
            engine,
            variables: BTreeSet::new(),
        }
    }

    /// Returns the variables that were found since the last call.
    pub(super) fn take_variables(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.variables)
    }

    pub(super) fn compile(&mut self, text: &str) -> Result<Leaf, BadTemplate> {
        let refused = ["{%", "{#"].into_iter().find(|tag| text.contains(tag));
        if let Some(tag) = refused {
            return Err(BadTemplate::Block(tag));
        }
        if expressions(text).any(|expression| depth(expression) > MAX_DEPTH) {
            return Err(BadTemplate::Deep);
        }
        let bad = |reason: String| BadTemplate::Syntax(explained(&reason, text));
        let compiled = self.engine.compile(text.to_owned());
        let template = compiled.map_err(|error| bad(error.to_string()))?;
        let leaf = Leaf(template);
        // Without blocks, rendering evaluates every expression whatever the values are, so that all errors
        // occur here.
        let mut lookup = |name: &str| {
            if !self.variables.contains(name) {
                self.variables.insert(name.to_owned());
            }
            Some(SAMPLE.to_owned())
        };
        let mut room = usize::MAX;
        let filled = leaf.fill(&self.engine, &mut lookup, &mut room);
        filled.map_err(|error| bad(error.to_string()))?;
        Ok(leaf)
    }

    /// Renders the text with the values that `lookup` returns. Subtracts its length from `room`.
    pub(super) fn render(
        &self,
        leaf: &Leaf,
        lookup: &dyn Fn(&str) -> Option<String>,
        room: &mut usize,
    ) -> Result<String, Unrendered> {
        leaf.fill(&self.engine, &mut |name| lookup(name), room)
    }
}

impl Leaf {
    fn fill(
        &self,
        engine: &Engine<'static>,
        lookup: &mut dyn FnMut(&str) -> Option<String>,
        room: &mut usize,
    ) -> Result<String, Unrendered> {
        let mut missing = None;
        let find = |path: &[ValueMember<'_>]| {
            let [
                ValueMember {
                    access: ValueAccess::Key(name),
                    ..
                },
            ] = path
            else {
                return Err(DOTS.to_owned());
            };
            let value = lookup(name);
            if value.is_none() {
                missing = Some((*name).to_owned());
            }
            Ok(upon::Value::from(value))
        };
        let mut text = Bounded {
            bytes: Vec::new(),
            room,
            is_full: false,
        };
        let rendered = self.0.render_from_fn(engine, find).to_writer(&mut text);
        match rendered {
            // Only whole texts were written, so the result is valid UTF-8.
            Ok(()) => Ok(String::from_utf8(text.bytes).unwrap_or_default()),
            Err(_) if text.is_full => Err(Unrendered::TooLong),
            Err(error) => Err(match missing {
                Some(name) => Unrendered::Missing(name),
                None => Unrendered::Expression(error.to_string()),
            }),
        }
    }
}

/// Writes the value of an expression. Returns an error if it has none.
fn write_value(out: &mut upon::fmt::Formatter<'_>, value: &upon::Value) -> upon::fmt::Result {
    match value {
        upon::Value::None => Err("no value".into()),
        upon::Value::Bool(_)
        | upon::Value::Integer(_)
        | upon::Value::Float(_)
        | upon::Value::String(_)
        | upon::Value::List(_)
        | upon::Value::Map(_) => upon::fmt::default(out, value),
    }
}

/// The filter `default: "x"`, for values that are missing, empty or blank. The default's type is checked even
/// if it is not needed.
fn default(value: &upon::Value, fallback: upon::Value) -> Result<upon::Value, &'static str> {
    match (value, fallback) {
        (_, upon::Value::List(_) | upon::Value::Map(_)) => Err("a default is a text, a number or a variable"),
        (upon::Value::None, fallback) => Ok(fallback),
        (upon::Value::String(text), fallback) if is_blank(text) => Ok(fallback),
        (value, _) => Ok(value.clone()),
    }
}

/// Explains why a text is rejected, with a correction where one is known.
fn explained(reason: &str, text: &str) -> String {
    let reason = reason.strip_prefix("render error: ").unwrap_or(reason);
    let has = |characters: &[char]| expressions(text).any(|expression| expression.contains(characters));
    let hint = match () {
        () if reason == DOTS => "an attribute is written `{{ first_name }}`",
        () if reason.starts_with("unknown") => "the only filter is `default`",
        () if has(&['\'', '\u{2018}', '\u{2019}', '\u{201c}', '\u{201d}', '\u{201e}']) => {
            "a default is in straight double quotes, as in `{{ name | default: \"you\" }}`"
        }
        () if has(&['\u{a0}']) => "it has a no-break space; write a plain one",
        () if has(&['(']) => "a default follows a colon, as in `{{ name | default: \"you\" }}`",
        () => return reason.to_owned(),
    };
    format!("{reason}; {hint}")
}

/// The fault of a variable with a path.
const DOTS: &str = "a variable is one name, without dots";

/// Whether a text is invisible: empty, or only white space and characters without width.
pub(super) fn is_blank(text: &str) -> bool {
    let is_invisible =
        |c: char| c.is_whitespace() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}');
    text.chars().all(is_invisible)
}

/// Whether a text is a single expression.
pub(super) fn is_one_expression(text: &str) -> bool {
    let inside = text.trim().strip_prefix("{{");
    inside.is_some_and(|inside| inside.split_at(end_of_expression(inside)).1 == "}}")
}

/// Returns the contents of each `{{ }}`.
///
/// Strings end where `upon` ends them. An expression without an end includes the rest of the text.
fn expressions(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (_, inside) = rest.split_once("{{")?;
        let (expression, behind) = inside.split_at(end_of_expression(inside));
        rest = behind;
        Some(expression)
    })
}

/// Returns the depth of the parser's recursion: one level per bracket and per filter.
fn depth(expression: &str) -> usize {
    let levels = expression.bytes();
    levels
        .filter(|byte| matches!(byte, b'(' | b'[' | b'{' | b'|'))
        .count()
}

fn end_of_expression(text: &str) -> usize {
    let (mut quoted, mut last) = (false, b' ');
    for (place, byte) in text.bytes().enumerate() {
        match byte {
            b'"' if !quoted => quoted = true,
            b'"' if last != b'\\' => quoted = false,
            b'}' if !quoted && last == b'}' => return place.saturating_sub(1),
            _ => {}
        }
        last = byte;
    }
    text.len()
}

/// A text with a limited length.
struct Bounded<'r> {
    bytes: Vec<u8>,
    room: &'r mut usize,
    is_full: bool,
}

impl Write for Bounded<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.room.checked_sub(bytes.len()) {
            Some(room) => *self.room = room,
            None => {
                self.is_full = true;
                return Err(io::ErrorKind::FileTooLarge.into());
            }
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The most brackets and filters of an expression, including those in its strings.
///
/// The parser and the destructor of its tree are recursive, so hundreds of levels would overflow the stack.
pub const MAX_DEPTH: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn compile(text: &str) -> Result<(String, Vec<String>), BadTemplate> {
        let mut compiler = Compiler::new();
        let leaf = compiler.compile(text)?;
        let mut room = 1000;
        let lookup = |name: &str| (name != "none").then(|| format!("<{name}>"));
        let rendered = compiler.render(&leaf, &lookup, &mut room);
        let variables = compiler.take_variables().into_iter().collect();
        Ok((rendered.unwrap_or_else(|error| format!("!{error}")), variables))
    }

    fn rendered(text: &str) -> String {
        compile(text).unwrap().0
    }

    #[test]
    fn values_stand_where_their_names_stood() {
        assert_eq!(rendered("Hi {{ name }}, {{name}}!"), "Hi <name>, <name>!");
        assert_eq!(rendered("a  {{- b -}}  c"), "a<b>c");
        assert_eq!(rendered(r#"{{ "{{" }} { } }"#), "{{ { } }");
    }

    #[test]
    fn a_default_stands_for_what_is_missing_alone() {
        assert_eq!(rendered(r#"{{ none | default: "you" }}"#), "you");
        assert_eq!(rendered(r#"{{ name | default: "you" }}"#), "<name>");
        assert_eq!(rendered(r#"{{ none | default: name }}"#), "<name>");
        assert_eq!(rendered(r#"{{ none | default: 5 }}"#), "5");
    }

    #[test]
    fn a_default_stands_for_what_is_empty_or_blank_as_well() {
        let mut compiler = Compiler::new();
        let leaf = compiler.compile(r#"Hi {{ name | default: "you" }}"#).unwrap();
        for blank in ["", " ", "\t\r\n", "\u{a0}\u{2003}", "\u{200b}\u{feff}"] {
            let lookup = |_: &str| Some(blank.to_owned());
            assert_eq!(
                compiler.render(&leaf, &lookup, &mut 100).unwrap(),
                "Hi you",
                "{blank:?}"
            );
        }
        let lookup = |_: &str| Some(" Ann".to_owned());
        assert_eq!(compiler.render(&leaf, &lookup, &mut 100).unwrap(), "Hi  Ann");
        assert_eq!(rendered(r#"{{ "" | default: "you" }}"#), "you");
        assert_eq!(rendered(r#"{{ none | default: "" | default: "you" }}"#), "you");
    }

    #[test]
    fn a_text_that_is_one_expression_is_known() {
        for (text, expected) in [
            ("{{ a }}", true),
            (" {{a | default: 5}} ", true),
            (r#"{{ a | default: "}}" }}"#, true),
            ("{{ a }}{{ b }}", false),
            ("{{ a }} new", false),
            ("1{{ a }}", false),
            ("5", false),
        ] {
            assert_eq!(is_one_expression(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let text = "!there is no `none`, and no default for it";
        assert_eq!(rendered("{{ name }} {{ none }}"), text);
        assert_eq!(rendered("{{ name | default: none }}"), "<name>");
        assert_eq!(rendered("{{ none | default: none }}"), text);
    }

    #[test]
    fn the_variables_are_known_wherever_they_stand() {
        let (_, variables) = compile(r#"{{ b }} {{ a | default: c }} {{ "d" }}"#).unwrap();
        assert_eq!(variables, ["a", "b", "c"]);
    }

    #[test]
    fn blocks_and_comments_are_refused() {
        for text in [
            "{% if a %}x{% endif %}",
            "{%",
            "{{ a }}{% include \"x\" %}",
            "{{ a {% }}",
        ] {
            assert_eq!(compile(text), Err(BadTemplate::Block("{%")), "{text}");
        }
        assert_eq!(compile("{# a #}{{ b }}"), Err(BadTemplate::Block("{#")));
        assert_eq!(
            BadTemplate::Block("{%").to_string(),
            "has `{%`: a text has no blocks and no comments, only values, as in `{{ first_name }}`"
        );
    }

    #[test]
    fn what_could_fail_for_a_device_fails_when_it_is_compiled() {
        for text in [
            "{{",
            "{{ }}",
            "{{ a",
            "{{ a }",
            "{{ a.b }}",
            "{{ a | upper }}",
            "{{ a | default }}",
            "{{ [a] }}",
            "{{ a | default: [1] }}",
            "{{ a }} {{ b | default: [1] }}",
            "{{ a.0 }}",
            "{{ if }}",
            "}} {{ a }}",
            "{{ first-name }}",
            "{{ ä }}",
        ] {
            assert!(matches!(compile(text), Err(BadTemplate::Syntax(_))), "{text}");
        }
    }

    #[test]
    fn a_deep_expression_is_refused_before_it_is_parsed() {
        let deep = |open: &str, count: usize| format!("{{{{ {} }}}}", open.repeat(count));
        for text in [
            deep("(", 100_000),
            deep("[", 100_000),
            format!("{{{{ a{} }}}}", "|default:b".repeat(100_000)),
            format!("{{{{ a | default: \"}}}}\" {} }}}}", "|default:b".repeat(100_000)),
            format!(
                "{{{{ a | default: \"\\\"}}}}\" {} }}}}",
                "|default:b".repeat(100_000)
            ),
        ] {
            assert_eq!(compile(&text), Err(BadTemplate::Deep));
        }
        // As deep as it gets.
        assert!(matches!(
            compile(&deep("(", MAX_DEPTH)),
            Err(BadTemplate::Syntax(_))
        ));
        assert_eq!(compile(&deep("(", MAX_DEPTH + 1)), Err(BadTemplate::Deep));
        let filters = |count| format!("{{{{a{}}}}}", "|default:b".repeat(count));
        assert_eq!(rendered(&filters(MAX_DEPTH)), "<a>");
        // Each expression counts for itself, and what stands between them does not.
        assert_eq!(rendered(&filters(MAX_DEPTH).repeat(2)), "<a><a>");
        assert_eq!(rendered(&"(".repeat(100)), "(".repeat(100));
    }

    #[test]
    fn all_templates_share_the_room() {
        let mut compiler = Compiler::new();
        let leaf = compiler.compile("ab{{ c }}").unwrap();
        let mut room = 7;
        let lookup = |_: &str| Some("c".to_owned());
        assert_eq!(compiler.render(&leaf, &lookup, &mut room).unwrap(), "abc");
        assert_eq!(compiler.render(&leaf, &lookup, &mut room).unwrap(), "abc");
        assert_eq!(
            compiler.render(&leaf, &lookup, &mut room),
            Err(Unrendered::TooLong)
        );
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in r#"([{}%#"|:.,()\[\]\\a \n\-0é]|\{\{|\}\}|default: ){0,60}"#) {
            let _ = compile(&text);
        }

        #[test]
        fn no_expression_makes_it_panic(text in r#"\{\{[{}%#"|:.,()\[\]\\a \n\-+?0é]{0,40}\}\}"#) {
            let _ = compile(&text);
        }
    }
}
