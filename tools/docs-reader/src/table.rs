//! Tables.

/// Returns the rows of all tables in `text` whose first column has this heading.
pub(crate) fn rows(text: &str, heading: &str) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if !line.starts_with('|') {
            continue;
        }
        let is_wanted = cells(line).first().is_some_and(|cell| cell == heading);
        while let Some(line) = lines.next_if(|line| line.starts_with('|')) {
            if is_wanted && !line.starts_with("|-") {
                rows.push(cells(line));
            }
        }
    }
    rows
}

/// Returns the cells of a row. An escaped pipe belongs to its cell.
fn cells(line: &str) -> Vec<String> {
    let line = line.trim().trim_start_matches('|');
    let line = line.strip_suffix('|').unwrap_or(line);
    let line = line.replace("\\|", "\u{0}");
    line.split('|')
        .map(|cell| cell.trim().replace('\u{0}', "|"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::rows;

    #[test]
    fn rows_are_those_of_the_tables_with_that_heading() {
        let text = "| a | b |\n|---|---|\n| 1 | x \\| y |\n| 2 | |\n\n| c |\n|---|\n| 3 |\n";
        assert_eq!(rows(text, "a"), [["1", "x | y"], ["2", ""]]);
        assert_eq!(rows(text, "c"), [["3"]]);
        assert!(rows(text, "b").is_empty());
    }
}
