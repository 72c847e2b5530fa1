use std::process::Command;

use crate::fake::{Fake, KEY, json};
use crate::run::{Folder, ID, Run, bare, command, document};

const STATUS: [&str; 3] = ["batch", "status", ID];

fn fake(times: usize) -> Fake {
    Fake::start(vec![json(200, document("running", 4, 1, 0)); times])
}

fn run(command: &mut Command) -> Run {
    Run::of(command.output().unwrap())
}

/// Creates a config file with the key and this URL.
fn file(folder: &Folder, name: &str, url: &str, key: &str) -> String {
    let path = folder.file(name, format!("url = \"{url}\"\nkey = \"{key}\"\n"));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    path
}

const WRONG: &str = "http://127.0.0.1:9";

#[test]
fn the_config_file_of_the_home_is_read() {
    let (folder, fake) = (Folder::new(), fake(2));
    file(&folder, ".config/apns-edge/config.toml", &fake.url(), KEY);
    run(bare(&STATUS).env("HOME", folder.root())).with_code(0);
    let configs = folder.path(".config");
    let output = run(bare(&STATUS).env("XDG_CONFIG_HOME", configs)).with_code(0);
    assert_eq!(output.err, "");
    fake.requests();
}

#[test]
fn flags_come_before_the_environment_and_that_before_the_file() {
    let (folder, fake) = (Folder::new(), fake(3));
    let wrong = file(&folder, "wrong.toml", WRONG, "wrong");
    let right = file(&folder, "right.toml", &fake.url(), KEY);
    let url = fake.url();
    run(bare(&STATUS).args(["--config", &right])).with_code(0);
    run(command(&fake, &STATUS).args(["--config", &wrong])).with_code(0);
    let flags = ["--url", &url, "--key", KEY, "--config", &wrong];
    run(bare(&STATUS)
        .args(flags)
        .env("APNS_EDGE_URL", WRONG)
        .env("APNS_EDGE_KEY", "wrong"))
    .with_code(0);
    fake.requests();
}

#[test]
fn what_is_missing_is_named_with_its_three_sources() {
    let output = run(&mut bare(&STATUS)).with_code(2);
    assert_eq!(
        output.err,
        "error: the deployment's URL is missing: give the flag --url, the variable APNS_EDGE_URL, or `url = \"…\"` in \
         the file /nonexistent/.config/apns-edge/config.toml\n"
    );
    let output = run(bare(&STATUS).env("APNS_EDGE_URL", WRONG)).with_code(2);
    assert!(
        output
            .err
            .contains("the flag --key, the variable APNS_EDGE_KEY, or `key = \"…\"`"),
        "{}",
        output.err
    );
}

#[cfg(unix)]
#[test]
fn a_key_that_others_can_read_is_warned_of_even_to_machines() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, fake) = (Folder::new(), fake(1));
    let path = file(&folder, "config.toml", &fake.url(), KEY);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let output = run(bare(&STATUS).args(["--config", &path, "--json"])).with_code(0);
    assert!(
        output.err.starts_with("warning: ") && output.err.contains("chmod 600"),
        "{}",
        output.err
    );
    assert_eq!(output.out, document("running", 4, 1, 0) + "\n");
}

#[test]
fn a_file_at_fault_is_told_without_its_key() {
    let folder = Folder::new();
    let path = folder.file("config.toml", format!("key = {KEY}\n"));
    // That no output holds the key is seen to for every run.
    let output = run(bare(&STATUS).args(["--config", &path])).with_code(2);
    assert!(output.err.contains("config.toml: line 1"), "{}", output.err);
}

#[test]
fn the_help_tells_the_exit_codes() {
    let output = run(&mut bare(&["--help"])).with_code(0);
    for line in [
        "Exit codes:",
        "0    done",
        "1    some pushes",
        "5    the batch or campaign is paused or cancelled",
    ] {
        assert!(output.out.contains(line), "{}", output.out);
    }
}

#[test]
fn the_help_shows_no_setting_of_the_environment() {
    let output = run(bare(&["push", "--help"]).env("APNS_EDGE_KEY", KEY)).with_code(0);
    assert!(output.out.contains("APNS_EDGE_KEY"), "{}", output.out);
}
