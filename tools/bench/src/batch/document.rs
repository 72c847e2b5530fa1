//! Writes the published figures between two marks in docs/internals/benchmark-batch.md. The rest is written
//! by hand.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::project;

/// The marks around the figures.
const BEGIN: &str = "<!-- figures -->\n";
const END: &str = "<!-- end of the figures -->\n";

/// Replaces the figures. Returns the path of the file.
pub(super) fn write(figures: &str) -> Result<PathBuf> {
    let file = project::root().join("docs/internals").join("benchmark-batch.md");
    let page = fs::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))?;
    let page =
        replaced(&page, figures).with_context(|| format!("{} has no marks for figures", file.display()))?;
    fs::write(&file, page)?;
    Ok(file)
}

fn replaced(page: &str, figures: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{figures}\n\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::replaced;
    use crate::project;

    #[test]
    fn figures_are_replaced_between_the_marks_of_the_page() {
        let page = std::fs::read_to_string(project::root().join("docs/internals").join("benchmark-batch.md"))
            .unwrap();
        let once = replaced(&page, "1").unwrap();
        assert_eq!(replaced(&once, "1").unwrap(), once);
        assert!(once.len() < page.len() + 10);
        assert!(replaced("no marks", "1").is_none());
    }
}
