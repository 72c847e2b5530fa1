//! Shell commands, as far as the documentation uses them.

/// A command: its words and its standard input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The words, without quotes, up to a redirection or a comment.
    pub words: Vec<String>,
    /// The text of a here-document.
    pub input: Option<String>,
}

/// Returns the commands of a block.
///
/// Comments are left out, continued lines are joined, and commands that are joined by `&&` or `|` are
/// separated.
#[must_use]
pub fn commands(text: &str) -> Vec<Command> {
    let mut commands = Vec::new();
    let joined = text.replace("\\\n", " ");
    let mut lines = joined.lines();
    while let Some(line) = lines.next() {
        let mut line = line.to_owned();
        // Quoted text may have several lines.
        while !line.trim_start().starts_with('#') && line.matches('\'').count() % 2 == 1 {
            let Some(next) = lines.next() else { break };
            line.push('\n');
            line.push_str(next);
        }
        let end = line
            .split_once("<<'")
            .map(|(_, end)| end.trim_end_matches('\'').to_owned());
        let input = end.map(|end| {
            let body = lines.by_ref().take_while(|line| *line != end);
            body.map(|line| format!("{line}\n")).collect::<String>()
        });
        let of_line = words(&line);
        for words in of_line.split(|word| ["&&", "|"].contains(&word.as_str())) {
            if !words.is_empty() {
                let (words, input) = (words.to_vec(), input.clone());
                commands.push(Command { words, input });
            }
        }
    }
    commands
}

/// Splits a line into words, as a shell does.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for letter in line.chars() {
        match (quote, letter) {
            (Some(open), letter) if letter == open => quote = None,
            (Some(_), letter) => word.get_or_insert_default().push(letter),
            (None, '\'' | '"') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, '#' | '>' | '<') if word.is_none() => break,
            (None, letter) if letter.is_whitespace() => words.extend(word.take()),
            (None, letter) => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_into_words_as_by_a_shell() {
        assert_eq!(words("a 'b c' \"d\"e # f"), ["a", "b c", "de"]);
        assert_eq!(words("a=b > c"), ["a=b"]);
    }

    #[test]
    fn commands_are_joined_cut_and_given_their_input() {
        let text = "a \\\n  b\n# it's c\nd <<'END'\ne\nEND\nf '\n g' && h | i\n";
        let seen: Vec<(String, Option<String>)> = commands(text)
            .into_iter()
            .map(|command| (command.words.join(","), command.input))
            .collect();
        let expected = [
            ("a,b", None),
            ("d", Some("e\n")),
            ("f,\n g", None),
            ("h", None),
            ("i", None),
        ];
        let expected = expected.map(|(words, input)| (words.to_owned(), input.map(str::to_owned)));
        assert_eq!(seen, expected);
    }
}
