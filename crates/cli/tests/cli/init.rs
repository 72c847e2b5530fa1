use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use api::config::Config;
use serde_json::Value;

use crate::run::{Folder, Run, bare};

/// A test key, in the form of Apple's files.
const P8: &str = include_str!("../../../apns/tests/rfc_6979.p8");

const BASE: &str = include_str!("../../../../wrangler.toml");

const FLAGS: [&str; 8] = [
    "--team-id",
    "DEF123GHIJ",
    "--p8",
    "AuthKey_ABC123DEFG.p8",
    "--topic",
    "com.example.shop",
    "--environment",
    "sandbox",
];

/// Creates a folder with wrangler.toml and a key.
fn folder() -> Folder {
    let folder = Folder::new();
    folder.file("wrangler.toml", BASE);
    folder.file("AuthKey_ABC123DEFG.p8", P8);
    folder
}

fn init(folder: &Folder, arguments: &[&str]) -> Command {
    let mut command = bare(&[["init"].as_slice(), arguments].concat());
    command.current_dir(folder.root());
    command
}

/// Runs the command with these answers.
fn asked(folder: &Folder, arguments: &[&str], answers: &str) -> Run {
    let mut command = init(folder, arguments);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(answers.as_bytes()).unwrap();
    Run::of(child.wait_with_output().unwrap())
}

/// Returns the settings that the Worker would read from a configuration, with the key and this entry of
/// API_KEYS.
fn load(config: &str, entry: &Value) -> Config {
    let table: toml::Table = config.parse().unwrap();
    let apps = serde_json::to_value(&table["vars"]["APPS"]).unwrap();
    Config::load(|name| match name {
        "APPS" => Some(apps.to_string()),
        "API_KEYS" => Some(format!("[{entry}]")),
        "APNS_KEY_ABC123DEFG" => Some(P8.to_owned()),
        _ => None,
    })
    .unwrap()
}

#[test]
fn flags_make_a_configuration_that_the_worker_reads() {
    let folder = folder();
    let arguments = [FLAGS.as_slice(), &["--json"]].concat();
    let run = Run::of(init(&folder, &arguments).output().unwrap());
    // The key id and the name have defaults, which the end of the input takes.
    let run = run.with_code(0);
    let document: Value = serde_json::from_str(&run.out).unwrap();
    let written = fs::read_to_string(folder.path("wrangler.local.toml")).unwrap();
    let config = load(&written, &document["entry"]);
    assert!(config.faults().is_empty(), "{}", config.faults());
    assert_eq!(config.apps.first().unwrap().name, "shop");
    assert_eq!(
        config.apps.first().unwrap().credential.environment.as_str(),
        "sandbox"
    );
    assert_eq!(document["key"].as_str().unwrap().len(), 64);
    let commands = document["commands"].to_string();
    for part in [
        "secret put APNS_KEY_ABC123DEFG --config wrangler.local.toml < AuthKey_ABC123DEFG.p8",
        "secret put API_KEYS --config wrangler.local.toml",
        "wrangler deploy --config wrangler.local.toml",
    ] {
        assert!(commands.contains(part), "{commands}");
    }
    assert!(
        !commands.contains(document["key"].as_str().unwrap()),
        "a key is in no command"
    );
}

#[test]
fn what_no_flag_says_is_asked_for_until_it_can_be_read() {
    let folder = folder();
    let answers = "nonsense\nDEF123GHIJ\nnone.p8\nAuthKey_ABC123DEFG.p8\n\ncom.example.shop\n\n\n";
    let run = asked(&folder, &[], answers).with_code(0);
    assert!(
        run.err.contains("Key id [ABC123DEFG]: ") && run.err.contains("Name of the app [shop]: "),
        "{}",
        run.err
    );
    assert!(run.err.contains("none.p8: "), "{}", run.err);
    let written = fs::read_to_string(folder.path("wrangler.local.toml")).unwrap();
    assert!(written.contains("[vars.APPS.shop]") && written.contains(r#"environment = "production""#));
}

#[test]
fn a_file_that_is_no_key_stops_before_anything_is_written() {
    let folder = folder();
    folder.file("AuthKey_ABC123DEFG.p8", P8.replace("PRIVATE", "PUBLIC"));
    let run = Run::of(init(&folder, &FLAGS).output().unwrap()).with_code(2);
    assert!(run.err.contains("--p8: AuthKey_ABC123DEFG.p8: "), "{}", run.err);
    assert!(!folder.path("wrangler.local.toml").exists());
}

#[test]
fn without_an_answer_the_flag_is_named() {
    let run = Run::of(init(&folder(), &[]).output().unwrap()).with_code(2);
    assert!(run.err.contains("give it with --team-id"), "{}", run.err);
}

#[test]
fn a_configuration_that_is_there_is_refreshed_and_never_overwritten() {
    let folder = folder();
    Run::of(init(&folder, &FLAGS).output().unwrap()).with_code(0);
    let first = fs::read_to_string(folder.path("wrangler.local.toml")).unwrap();
    let again = Run::of(init(&folder, &FLAGS).output().unwrap()).with_code(2);
    assert!(again.err.contains("init --refresh"), "{}", again.err);
    folder.file("wrangler.toml", format!("# newer\n{BASE}"));
    Run::of(init(&folder, &["--refresh"]).output().unwrap()).with_code(0);
    let second = fs::read_to_string(folder.path("wrangler.local.toml")).unwrap();
    assert_eq!(second, format!("# newer\n{first}"));
}

#[test]
fn git_ignores_the_configuration() {
    let ignored = include_str!("../../../../.gitignore");
    assert!(
        ignored.lines().any(|line| line == "/wrangler.local*.toml"),
        "{ignored}"
    );
}
