//! An example per command, which its help shows.
//!
//! They are in one table: a test fails for a command without an example, and each example is parsed.

use clap::Command;

/// Adds an example to the help of each subcommand.
pub(crate) fn added(command: Command) -> Command {
    add(command, "")
}

fn add(command: Command, above: &str) -> Command {
    let names: Vec<String> = command
        .get_subcommands()
        .map(|subcommand| subcommand.get_name().to_owned())
        .collect();
    names.into_iter().fold(command, |command, name| {
        let path = format!("{above} {name}").trim_start().to_owned();
        command.mut_subcommand(name, |subcommand| {
            let subcommand = add(subcommand, &path);
            match of(&path) {
                Some(example) => subcommand.after_help(format!("Example:\n  {example}")),
                None => subcommand,
            }
        })
    })
}

/// Returns the example for the subcommand with this path, such as `batch send`.
pub(crate) fn of(path: &str) -> Option<&'static str> {
    let found = EXAMPLES.iter().find(|(of, _)| *of == path);
    found.map(|(_, example)| *example)
}

/// The path of each command, and its example.
const EXAMPLES: &[(&str, &str)] = &[
    (
        "init",
        "apns-edge init --team-id DEF123GHIJ --p8 AuthKey_ABC123DEFG.p8 --topic com.example.shop --environment production",
    ),
    (
        "push",
        "apns-edge push --app shop --title 'Your parcel' --body 'Four stops away' --device \
         740f4707bebcf74f9b7c25d48e3358945f6aa01da5ddb387462c7eaf61bb78ad=user-1",
    ),
    (
        "batch send",
        "apns-edge batch send devices.ndjson --app shop --notification notification.json --rate 5000",
    ),
    (
        "batch watch",
        "apns-edge batch watch 5f3c1f0e8a2b4d6c9e7f00112233aabb",
    ),
    (
        "batch status",
        "apns-edge batch status 5f3c1f0e8a2b4d6c9e7f00112233aabb --json",
    ),
    ("batch list", "apns-edge batch list --app shop --state paused"),
    (
        "batch cancel",
        "apns-edge batch cancel 5f3c1f0e8a2b4d6c9e7f00112233aabb",
    ),
    (
        "batch pause",
        "apns-edge batch pause 5f3c1f0e8a2b4d6c9e7f00112233aabb",
    ),
    (
        "batch resume",
        "apns-edge batch resume 5f3c1f0e8a2b4d6c9e7f00112233aabb",
    ),
    (
        "batch delete",
        "apns-edge batch delete 5f3c1f0e8a2b4d6c9e7f00112233aabb",
    ),
    (
        "receipts",
        "apns-edge receipts 5f3c1f0e8a2b4d6c9e7f00112233aabb --status rejected,failed --output receipts.ndjson",
    ),
    (
        "gone",
        "apns-edge gone 5f3c1f0e8a2b4d6c9e7f00112233aabb --output gone.ndjson",
    ),
    ("suspect", "apns-edge suspect 5f3c1f0e8a2b4d6c9e7f00112233aabb"),
    (
        "audience create",
        "apns-edge audience create customers --app shop --shards 8",
    ),
    ("audience list", "apns-edge audience list"),
    ("audience show", "apns-edge audience show customers"),
    (
        "audience import",
        "apns-edge audience import customers devices.csv",
    ),
    (
        "audience export",
        "apns-edge audience export customers --output customers.ndjson",
    ),
    (
        "audience count",
        r#"apns-edge audience count customers --segment '{"eq": {"language": "de"}}'"#,
    ),
    (
        "audience remove",
        "apns-edge audience remove customers devices.ndjson",
    ),
    ("audience delete", "apns-edge audience delete customers"),
    ("campaign create", "apns-edge campaign create campaign.json"),
    ("campaign list", "apns-edge campaign list --state scheduled"),
    (
        "campaign show",
        "apns-edge campaign show 5f3c1f0e8a2b4d6c9e7f00112233aabb --json",
    ),
    (
        "campaign update",
        "apns-edge campaign update 5f3c1f0e8a2b4d6c9e7f00112233aabb campaign.json",
    ),
    (
        "campaign schedule",
        "apns-edge campaign schedule 5f3c1f0e8a2b4d6c9e7f00112233aabb",
    ),
    (
        "campaign pause",
        "apns-edge campaign pause 5f3c1f0e8a2b4d6c9e7f00112233aabb",
    ),
    (
        "campaign resume",
        "apns-edge campaign resume 5f3c1f0e8a2b4d6c9e7f00112233aabb",
    ),
    (
        "campaign cancel",
        "apns-edge campaign cancel 5f3c1f0e8a2b4d6c9e7f00112233aabb",
    ),
    (
        "campaign delete",
        "apns-edge campaign delete 5f3c1f0e8a2b4d6c9e7f00112233aabb",
    ),
    (
        "campaign test",
        "apns-edge campaign test 5f3c1f0e8a2b4d6c9e7f00112233aabb --ref user-1",
    ),
    (
        "campaign preview",
        "apns-edge campaign preview 5f3c1f0e8a2b4d6c9e7f00112233aabb --ref user-1 --ref user-2",
    ),
    (
        "campaign runs",
        "apns-edge campaign runs 5f3c1f0e8a2b4d6c9e7f00112233aabb --limit 10",
    ),
    (
        "campaign watch",
        "apns-edge campaign watch 5f3c1f0e8a2b4d6c9e7f00112233aabb --follow",
    ),
    ("doctor", "apns-edge doctor"),
    ("key new", "apns-edge key new --name backend --app shop"),
    (
        "completions",
        "apns-edge completions bash > ~/.local/share/bash-completion/completions/apns-edge",
    ),
    ("man", "apns-edge man --output ~/.local/share/man/man1"),
];
