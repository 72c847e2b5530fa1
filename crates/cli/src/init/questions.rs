//! Asks questions on a terminal, or reads answers from a pipe.

use std::fmt::Display;
use std::io::{BufRead, Write};

use crate::failure::Failure;

/// The source of answers, and the output for questions.
pub(super) struct Questions<R, W> {
    answers: R,
    out: W,
}

impl<R: BufRead, W: Write> Questions<R, W> {
    /// Reads answers from `answers`, one per line, and writes questions to `out`.
    pub(super) const fn new(answers: R, out: W) -> Self {
        Self { answers, out }
    }

    /// Returns the value of a flag, or asks until an answer can be read. An empty answer is the default.
    ///
    /// # Errors
    /// The flag cannot be read; or there are no answers any more.
    pub(super) fn ask<T, E: Display>(
        &mut self,
        flag: &str,
        question: &str,
        given: Option<&str>,
        default: Option<&str>,
        read: impl Fn(&str) -> Result<T, E>,
    ) -> Result<T, Failure> {
        if let Some(given) = given {
            return read(given).map_err(|error| Failure::Usage(format!("{flag}: {error}")));
        }
        loop {
            let hint = default.map(|default| format!(" [{default}]")).unwrap_or_default();
            // If the question cannot be written, there may still be an answer.
            let _ = write!(self.out, "{question}{hint}: ").and_then(|()| self.out.flush());
            let mut line = String::new();
            let length = self
                .answers
                .read_line(&mut line)
                .map_err(|error| Failure::Usage(error.to_string()))?;
            let answer = match (line.trim(), default) {
                ("", Some(default)) => default,
                ("", None) if length == 0 => {
                    return Err(Failure::Usage(format!(
                        "{question} is missing: give it with {flag}"
                    )));
                }
                ("", None) => continue,
                (answer, _) => answer,
            };
            match read(answer) {
                Ok(value) => return Ok(value),
                Err(error) if length == 0 => return Err(Failure::Usage(format!("{flag}: {error}"))),
                Err(error) => {
                    let _ = writeln!(self.out, "{error}");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(answers: &str, given: Option<&str>, default: Option<&str>) -> (Result<u8, String>, String) {
        let mut out = Vec::new();
        let mut questions = Questions::new(answers.as_bytes(), &mut out);
        let read = questions.ask("--age", "Age", given, default, str::parse::<u8>);
        (
            read.map_err(|failure| failure.to_string()),
            String::from_utf8(out).unwrap(),
        )
    }

    #[test]
    fn a_flag_is_not_asked_for() {
        assert_eq!(ask("", Some("7"), None), (Ok(7), String::new()));
        assert!(ask("8\n", Some("x"), None).0.unwrap_err().starts_with("--age: "));
    }

    #[test]
    fn it_is_asked_until_the_answer_can_be_read() {
        let (read, out) = ask("\nold\n 9 \n", None, None);
        assert_eq!(read, Ok(9));
        assert_eq!(out.matches("Age: ").count(), 3, "{out}");
    }

    #[test]
    fn nothing_is_the_default_and_the_end_without_one_names_the_flag() {
        assert_eq!(ask("\n", None, Some("5")), (Ok(5), "Age [5]: ".to_owned()));
        assert_eq!(ask("", None, Some("5")).0, Ok(5));
        assert_eq!(
            ask("x\n", None, None).0,
            Err("Age is missing: give it with --age".to_owned())
        );
    }
}
