//! Reads README.md and docs/ for the tests that compare them with the code.
//!
//! In scope: finding pages, their tables, code blocks, headings and links; and constants and enums of the
//! source code. Out of scope: what the pages must say, which the tests of each package check. Unreadable
//! input panics, because only tests use this crate. Source: CommonMark 0.31, as far as the pages use it.

#![expect(clippy::panic, reason = "only tests use this")]

mod block;
mod link;
pub mod shell;
pub mod source;
mod table;

use std::fs;
use std::path::{Path, PathBuf};

pub use block::Block;

/// A page of the documentation.
#[derive(Clone, Debug)]
pub struct Page {
    /// Its path from the root of the repository, such as `docs/start.md`.
    pub path: String,
    /// Its text.
    pub text: String,
}

impl Page {
    /// Reads the page with this path from the root of the repository.
    #[must_use]
    pub fn open(path: &str) -> Self {
        let text = read(&root().join(path));
        let path = path.to_owned();
        Self { path, text }
    }

    /// Returns the rows of all tables whose first column has this heading, as the texts of their cells.
    #[must_use]
    pub fn rows(&self, heading: &str) -> Vec<Vec<String>> {
        table::rows(&self.text, heading)
    }

    /// Returns the code blocks in order.
    #[must_use]
    pub fn blocks(&self) -> Vec<Block> {
        block::blocks(self)
    }

    /// Returns the lines, from 1, at which a code block without a fence begins.
    #[must_use]
    pub fn unfenced(&self) -> Vec<usize> {
        block::unfenced(&self.text)
    }

    /// Returns the targets of its links.
    #[must_use]
    pub fn links(&self) -> Vec<String> {
        link::links(&self.text)
    }

    /// Returns the anchors of its headings.
    #[must_use]
    pub fn anchors(&self) -> Vec<String> {
        link::anchors(&self.text)
    }
}

/// Returns README.md and every page of docs/, sorted by path.
#[must_use]
pub fn pages() -> Vec<Page> {
    let mut paths = vec!["README.md".to_owned()];
    paths.extend(files(&root().join("docs"), "md"));
    paths.sort();
    paths.iter().map(|path| Page::open(path)).collect()
}

/// Returns the files below `folder` with this extension, as paths from the root of the repository.
#[must_use]
pub fn files(folder: &Path, extension: &str) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut found = Vec::new();
    for entry in entries.filter_map(Result::ok) {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|has| has == extension)
            && let Ok(path) = path.strip_prefix(root())
        {
            found.push(path.to_string_lossy().into_owned());
        }
    }
    found.sort();
    found
}

/// Returns the root of the repository: the nearest folder above with docs/SUMMARY.md.
#[must_use]
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let is_root = |folder: &&Path| folder.join("docs/SUMMARY.md").is_file();
    let root = here.ancestors().find(is_root);
    root.unwrap_or_else(|| panic!("no docs/SUMMARY.md above {}", here.display()))
        .to_owned()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
