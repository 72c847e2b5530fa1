//! Code blocks, and which check applies to each.

use crate::Page;

/// A fenced code block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The page and the line.
    pub place: String,
    /// The first word after the fence.
    pub language: String,
    /// The second word, which selects the check. Empty if the language is enough.
    pub kind: String,
    /// Why it is not checked: the text after `norun:`.
    pub norun: Option<String>,
    /// The contents.
    pub text: String,
}

/// Returns the fenced code blocks of a page.
pub(crate) fn blocks(page: &Page) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = page.text.lines().zip(1_usize..);
    while let Some((line, number)) = lines.next() {
        let Some(info) = line.trim_start().strip_prefix(FENCE) else {
            continue;
        };
        let body = lines
            .by_ref()
            .map(|(line, _)| line)
            .take_while(|line| !line.trim_start().starts_with(FENCE));
        let text = body.map(|line| format!("{line}\n")).collect();
        let (language, rest) = info.split_once(' ').unwrap_or((info, ""));
        let norun = rest.strip_prefix("norun:").map(|reason| reason.trim().to_owned());
        blocks.push(Block {
            place: format!("{}:{number}", page.path),
            language: language.to_owned(),
            kind: if norun.is_some() {
                String::new()
            } else {
                rest.to_owned()
            },
            norun,
            text,
        });
    }
    blocks
}

/// Returns the first lines of indented code blocks: after a blank line, and outside of lists and fences.
pub(crate) fn unfenced(text: &str) -> Vec<usize> {
    let mut found = Vec::new();
    let (mut is_fenced, mut is_blank, mut is_list) = (false, true, false);
    for (line, number) in text.lines().zip(1_usize..) {
        let trimmed = line.trim_start();
        if trimmed.starts_with(FENCE) {
            is_fenced = !is_fenced;
        } else if !is_fenced && line.starts_with("    ") && is_blank && !is_list {
            found.push(number);
        } else if !is_fenced && !line.starts_with(' ') && !trimmed.is_empty() {
            let digits = trimmed.trim_start_matches(|letter: char| letter.is_ascii_digit());
            let is_numbered = digits.len() < trimmed.len() && digits.starts_with(". ");
            is_list = is_numbered || ["* ", "- "].iter().any(|mark| trimmed.starts_with(mark));
        }
        is_blank = trimmed.is_empty();
    }
    found
}

const FENCE: &str = "```";

#[cfg(test)]
mod tests {
    use super::*;

    fn page(text: &str) -> Page {
        let (path, text) = ("a.md".to_owned(), text.to_owned());
        Page { path, text }
    }

    #[test]
    fn a_block_has_its_language_what_checks_it_and_why_nothing_does() {
        let text = "x\n```json push\n{}\n```\n\n```text norun: a picture\nab\n```\n```sh\nls\n```\n";
        let blocks = blocks(&page(text));
        let seen: Vec<_> = blocks
            .iter()
            .map(|block| {
                let norun = block.norun.as_deref();
                (&*block.place, &*block.language, &*block.kind, norun, &*block.text)
            })
            .collect();
        assert_eq!(
            seen,
            [
                ("a.md:2", "json", "push", None, "{}\n"),
                ("a.md:6", "text", "", Some("a picture"), "ab\n"),
                ("a.md:9", "sh", "", None, "ls\n"),
            ]
        );
    }

    #[test]
    fn a_block_without_a_fence_is_found_and_a_list_is_none() {
        assert_eq!(unfenced("a\n\n    code\n    more\n\nb\n"), [3]);
        assert!(unfenced("* a\n\n    still a\n\n1. b\n    c\n").is_empty());
        assert!(unfenced("a\n```sh\n\n    x\n```\n").is_empty());
    }
}
