//! Checks README.md and docs/ as a book: every page is listed, every link has a target, every code block
//! names its check.

use std::path::{Component, Path, PathBuf};

use docs_reader::{Page, files, pages, root, source};

#[test]
fn the_readme_fits_on_a_few_screens() {
    let lines = Page::open("README.md").text.lines().count();
    assert!(lines <= 120, "README.md has {lines} lines, the limit is 120");
}

#[test]
fn every_page_is_in_the_summary_once() {
    let mut listed: Vec<String> = Page::open("docs/SUMMARY.md")
        .links()
        .iter()
        .map(|link| format!("docs/{link}"))
        .collect();
    listed.sort();
    let is_listed = |page: &Page| !["README.md", "docs/SUMMARY.md"].contains(&page.path.as_str());
    let there: Vec<String> = pages()
        .into_iter()
        .filter(is_listed)
        .map(|page| page.path)
        .collect();
    assert_eq!(listed, there);
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let others = [
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "CHANGELOG.md",
    ];
    let mut broken = Vec::new();
    for page in pages().into_iter().chain(others.map(Page::open)) {
        for link in page.links().iter().filter(|link| !is_elsewhere(link)) {
            if let Err(problem) = follow(&page, link) {
                broken.push(format!("{}: {link}: {problem}", page.path));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn every_code_block_says_what_checks_it_or_why_nothing_does() {
    let mut unmarked = Vec::new();
    for page in pages() {
        let unfenced = page.unfenced();
        unmarked.extend(
            unfenced
                .iter()
                .map(|line| format!("{}:{line}: give it a fence", page.path)),
        );
        for block in page.blocks() {
            let is_checked = CHECKED.contains(&(block.language.as_str(), block.kind.as_str()));
            let has_reason = block.norun.as_ref().is_some_and(|reason| reason.len() > 3);
            if !is_checked && !has_reason {
                unmarked.push(format!(
                    "{}: `{} {}` is checked by nothing: write `norun:` and the reason",
                    block.place, block.language, block.kind
                ));
            }
        }
    }
    assert!(unmarked.is_empty(), "{unmarked:#?}");
}

#[test]
fn every_xtask_that_is_named_exists() {
    let main = read("tools/xtask/src/main.rs");
    let tasks = source::variants(&[("main.rs".to_owned(), main)], "main::Task").unwrap();
    let tasks: Vec<String> = tasks.iter().map(|(name, _)| name.to_lowercase()).collect();
    assert!(tasks.len() > 5, "{tasks:?}");
    let mut named = 0;
    let workflows = files(&root().join(".github"), "yml");
    let pages = pages().into_iter().map(|page| page.path).chain(workflows);
    for path in
        pages.chain(["CONTRIBUTING.md", ".github/PULL_REQUEST_TEMPLATE.md", ".ci/run"].map(str::to_owned))
    {
        let text = read(&path);
        for rest in text.split("cargo xtask ").skip(1) {
            let name: String = rest.chars().take_while(char::is_ascii_alphanumeric).collect();
            named += 1;
            assert!(
                name.is_empty() || tasks.contains(&name),
                "{path}: cargo xtask {name}"
            );
        }
    }
    assert!(named > 10, "{named}");
}

#[test]
fn contributing_stays_short() {
    assert!(Page::open("CONTRIBUTING.md").text.lines().count() <= 40);
}

fn read(path: &str) -> String {
    Page::open(path).text
}

/// The code blocks that the tests of other packages check: language and kind.
const CHECKED: &[(&str, &str)] = &[
    // The command's own tests parse its lines, tests/docs the requests of curl.
    ("sh", ""),
    // tests/docs reads each as the server does.
    ("json", "push"),
    ("json", "notification"),
    ("json", "campaign"),
    ("json", "segment"),
    ("json", "api-keys"),
    ("ndjson", "devices"),
    ("ndjson", "import"),
    ("csv", "devices"),
    ("toml", "wrangler"),
    ("toml", "client"),
    // tests/docs compares their names with those that the code writes.
    ("json", "response"),
    ("json", "problem"),
    ("json", "webhook"),
    ("json", "device-list"),
    // tests/docs runs them.
    ("python", "webhook"),
    ("js", "webhook"),
];

fn is_elsewhere(link: &str) -> bool {
    ["https://", "http://", "mailto:"]
        .iter()
        .any(|scheme| link.starts_with(scheme))
}

fn follow(page: &Page, link: &str) -> Result<(), String> {
    let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
    let target = if path.is_empty() {
        page.path.clone()
    } else {
        let folder = Path::new(&page.path).parent().unwrap_or(Path::new(""));
        plain(&folder.join(path)).to_string_lossy().into_owned()
    };
    if !root().join(&target).exists() {
        return Err(format!("there is no {target}"));
    }
    let has = |anchor: &str| Page::open(&target).anchors().iter().any(|has| has == anchor);
    if anchor.is_empty() || has(anchor) {
        Ok(())
    } else {
        Err(format!("{target} has no heading {anchor}"))
    }
}

/// Returns the path without `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    plain
}
