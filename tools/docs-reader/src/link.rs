//! Links, and the headings that they link to.

/// Returns the targets of the links in `text`, outside of code.
pub(crate) fn links(text: &str) -> Vec<String> {
    let mut links = Vec::new();
    for line in prose(text) {
        let mut rest = without_code(line);
        while let Some((_, after)) = rest.split_once("](") {
            let Some((target, after)) = after.split_once(')') else {
                break;
            };
            links.push(target.to_owned());
            rest = after.to_owned();
        }
    }
    links
}

/// Returns the anchors of the headings in `text`, as GitHub and mdBook generate them.
pub(crate) fn anchors(text: &str) -> Vec<String> {
    let headings = prose(text).filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let heading = line.trim_start_matches('#').trim().to_lowercase();
            let kept = heading.chars().filter_map(|letter| match letter {
                ' ' => Some('-'),
                '-' | '_' => Some(letter),
                letter => letter.is_alphanumeric().then_some(letter),
            });
            kept.collect()
        })
        .collect()
}

/// Returns the lines outside of code blocks.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_fence && !is_code
    })
}

/// Returns the line without the text between backquotes.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_in_code_are_none() {
        let text = "[a](b.md) `[c](d.md)` [`e`](f.md#g)\n```sh\n[h](i)\n```\n";
        assert_eq!(links(text), ["b.md", "f.md#g"]);
    }

    #[test]
    fn an_anchor_is_made_as_on_github() {
        let text = "# Speed and price\n## 1. A key from Apple\n## `bad_device_tokens`\n```sh\n# no heading\n```\n## Rotate a `.p8`\n";
        assert_eq!(
            anchors(text),
            [
                "speed-and-price",
                "1-a-key-from-apple",
                "bad_device_tokens",
                "rotate-a-p8"
            ]
        );
    }
}
