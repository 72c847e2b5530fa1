//! Compares the documentation of the command with what clap knows, and parses its examples with clap.
//!
//! `BLESS=1 cargo test cli_reference` writes docs/reference/cli.md anew.

use clap::{Arg, Command, FromArgMatches};
use docs_reader::{Page, pages, root, shell};

use crate::{Cli, command, examples};

#[test]
fn the_cli_reference_is_what_clap_knows() {
    let page = reference();
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(root().join(REFERENCE), &page).unwrap();
    }
    let there = Page::open(REFERENCE).text;
    assert!(
        there == page,
        "{REFERENCE} is out of date: run `BLESS=1 cargo test cli_reference`"
    );
}

#[test]
fn every_command_has_an_example_that_is_a_line_for_it() {
    for (path, _) in leaves(&command(), "") {
        let example = examples::of(&path).unwrap_or_else(|| panic!("no example of `{path}`"));
        assert!(example.starts_with(&format!("apns-edge {path}")), "{example}");
        for found in shell::commands(example) {
            check(&found.words).unwrap_or_else(|problem| panic!("{problem}"));
        }
    }
}

#[test]
fn every_line_of_the_documentation_is_parsed() {
    let mut problems = Vec::new();
    let mut parsed = 0;
    for page in pages() {
        for block in page
            .blocks()
            .iter()
            .filter(|block| block.language == "sh" && block.norun.is_none())
        {
            for found in shell::commands(&block.text) {
                parsed += 1;
                let problem = check(&found.words).err();
                problems.extend(problem.map(|problem| format!("{}: {problem}", block.place)));
            }
        }
        // Commands in prose and tables. The benchmark's rows are senders.
        if page.path.contains("benchmark") {
            continue;
        }
        for code in page
            .text
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|code| code.starts_with("apns-edge "))
        {
            let known = leaves(&command(), "");
            let words = code.trim_start_matches("apns-edge ");
            let is_known = known
                .iter()
                .any(|(path, _)| words == path || words.starts_with(&format!("{path} ")));
            if !is_known && !code.contains(['\n', '<']) {
                problems.push(format!("{}: `{code}` is no command", page.path));
            }
        }
    }
    assert!(problems.is_empty(), "{problems:#?}");
    assert!(parsed > 40, "only {parsed} lines were found");
}

/// Checks that a reader can run a command: `apns-edge` with its flags, or one of the few others that pages
/// use.
fn check(words: &[String]) -> Result<(), String> {
    let line = words.join(" ");
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["apns-edge", "--help"] => {}
        ["apns-edge", ..] => {
            let matches = command().try_get_matches_from(&words);
            let read = matches.and_then(|matches| Cli::from_arg_matches(&matches));
            read.map_err(|error| format!("{line}: {error}"))?;
            let files = words.iter().filter(|word| word.starts_with("examples/"));
            let missing = files.clone().find(|file| !root().join(file).is_file());
            if let Some(file) = missing {
                return Err(format!("{line}: there is no {file}"));
            }
        }
        // tests/docs checks what they send.
        ["curl", ..] => {}
        [
            "cargo",
            "xtask",
            "demo" | "test" | "check" | "e2e" | "build" | "bench" | "dist",
            ..,
        ] => {}
        ["cargo", "install", "--path", "crates/cli"] | ["npm", "ci"] => {}
        [
            "npx",
            "wrangler",
            "login" | "deploy" | "delete" | "rollback" | "tail",
            ..,
        ] => {}
        ["npx", "wrangler", "deployments", "list", ..] => {}
        ["npx", "wrangler", "secret", "put" | "delete", _, ..] => {}
        ["npx", "wrangler", "queues", "create" | "delete", _] => {}
        ["export", assignment] if assignment.contains('=') => {}
        ["echo", _] => {}
        _ => return Err(format!("{line}: is no command that is known to work")),
    }
    Ok(())
}

/// Returns the page with all commands.
fn reference() -> String {
    let command = command();
    let mut page = String::from(
        "# Commands\n\n<!-- Written by `BLESS=1 cargo test cli_reference`. Do not edit. -->\n\nThe \
         [guide](../guides/command-line.md) explains settings and exit codes. These options are common to all commands:\n\n",
    );
    page.push_str(HEAD);
    for argument in command.get_arguments().filter(|argument| !is_help(argument)) {
        page.push_str(&row(argument));
    }
    for (path, leaf) in leaves(&command, "") {
        page.push_str(&format!("\n## `apns-edge {path}`\n\n"));
        let about = leaf.get_long_about().or_else(|| leaf.get_about());
        page.push_str(&about.map(ToString::to_string).unwrap_or_default());
        page.push_str(".\n\n");
        let arguments: Vec<String> = leaf
            .get_arguments()
            .filter(|argument| !is_help(argument) && !argument.is_global_set() && !argument.is_hide_set())
            .map(row)
            .collect();
        if !arguments.is_empty() {
            page.push_str(HEAD);
            page.extend(arguments);
            page.push('\n');
        }
        let example = examples::of(&path).unwrap_or_default();
        page.push_str(&format!("```sh\n{example}\n```\n"));
    }
    page.replace("..\n", ".\n")
}

fn row(argument: &Arg) -> String {
    let values = argument.get_value_names().unwrap_or_default();
    let values: Vec<String> = values.iter().map(ToString::to_string).collect();
    let takes = argument.get_action().takes_values();
    let name = match argument.get_long() {
        Some(long) if takes => format!("--{long} {}", values.join(" ")),
        Some(long) => format!("--{long}"),
        None => values.join(" "),
    };
    let mut help = argument.get_help().map(ToString::to_string).unwrap_or_default();
    let possible: Vec<String> = argument
        .get_possible_values()
        .iter()
        .map(|value| format!("`{}`", value.get_name()))
        .collect();
    if takes && !possible.is_empty() {
        help.push_str(&format!(": {}", possible.join(", ")));
    }
    let default: Vec<String> = argument
        .get_default_values()
        .iter()
        .map(|value| format!("`{}`", value.to_string_lossy()))
        .collect();
    if takes && !default.is_empty() {
        help.push_str(&format!("; default: {}", default.join(", ")));
    }
    if argument.is_required_set() {
        help.push_str(" (required)");
    }
    let name = name.replace('|', "\\|");
    format!("| `{name}` | {} |\n", help.replace('|', "\\|"))
}

fn is_help(argument: &Arg) -> bool {
    ["help", "version"].contains(&argument.get_id().as_str())
}

/// Returns the commands without subcommands, with their paths.
fn leaves(command: &Command, above: &str) -> Vec<(String, Command)> {
    let mut found = Vec::new();
    for subcommand in command.get_subcommands().filter(|each| each.get_name() != "help") {
        let path = format!("{above} {}", subcommand.get_name())
            .trim_start()
            .to_owned();
        if subcommand.has_subcommands() {
            found.extend(leaves(subcommand, &path));
        } else {
            found.push((path, subcommand.clone()));
        }
    }
    found
}

const REFERENCE: &str = "docs/reference/cli.md";

const HEAD: &str = "| argument | meaning |\n|---|---|\n";

#[test]
fn a_command_with_a_flag_that_there_is_none_of_is_found() {
    let problem = |line: &str| check(&shell::commands(line)[0].words).is_err();
    assert!(problem("apns-edge push --no-such-flag"));
    assert!(problem("apns-edge batch watch nonsense"));
    assert!(problem("apns-edge audience import customers examples/none.csv"));
    assert!(problem("rm -rf /"));
    assert!(!problem("apns-edge doctor"));
}

#[test]
fn the_settings_in_the_documentation_are_read() {
    let blocks: Vec<_> = pages().iter().flat_map(Page::blocks).collect();
    let blocks: Vec<_> = blocks.iter().filter(|block| block.kind == "client").collect();
    assert!(!blocks.is_empty());
    for block in blocks {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.toml");
        std::fs::write(&file, &block.text).unwrap();
        let line = ["apns-edge", "doctor", "--config", file.to_str().unwrap()];
        let cli = Cli::from_arg_matches(&command().try_get_matches_from(line).unwrap()).unwrap();
        crate::settings::Settings::find(&cli.common.flags, |_| None, None).unwrap();
    }
}
