//! The built Worker under `wrangler dev`: workerd alone has no queue.
//!
//! wrangler adds a second workerd, through which requests come in, and passes on what the Worker logs; both are measured
//! with it and told apart.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};
use toml::{Table, Value};

use crate::arguments::{Arguments, BatchArguments};
use crate::http::Client;
use crate::project;
use crate::sender::process;
use crate::sender::worker::{API_KEY, WATCHED, free_address};

/// The modules of a built Worker.
const MODULES: [&str; 2] = ["index.js", "index_bg.wasm"];

/// How long the Worker may take to answer for the first time.
const START_LIMIT: Duration = Duration::from_secs(90);

/// How often it is asked whether it answers.
const POLL: Duration = Duration::from_millis(100);

/// How many of the log's last lines are worth showing.
const TAIL: usize = 40;

/// The variable by which wrangler keeps no traces. It stores those of every request and every use of a socket for its own
/// pages, in the Worker's process: a fifth of what would be measured.
const TRACES: &str = "X_LOCAL_OBSERVABILITY";

/// The variable with flags for V8. Without a limit it lets buffers and other garbage lie by the hundred megabytes.
const V8_FLAGS: &str = "MINIFLARE_WORKERD_V8_FLAGS";

/// What the dead-letter queue's name ends with.
const DEAD: &str = "-dead-letters";

/// A running Worker.
pub(super) struct Dev {
    child: Child,
    pub(super) client: Client,
    /// Where its inspector listens.
    pub(super) inspector: u16,
    log: PathBuf,
}

impl Dev {
    /// Starts it in a folder, which takes its configuration, its storage and its log, and returns when it answers.
    pub(super) async fn start(
        arguments: &Arguments,
        folder: &Path,
        settings: &[(String, String)],
        ca: &Path,
        batch: &BatchArguments,
    ) -> Result<Self> {
        fs::create_dir_all(folder.join("build"))?;
        for module in MODULES {
            let from = arguments.worker.join(module);
            fs::copy(&from, folder.join("build").join(module))
                .with_context(|| format!("there is no {}: build the Worker first", from.display()))?;
        }
        let file = fs::read_to_string(project::root().join("wrangler.toml"))?;
        fs::write(
            folder.join("wrangler.toml"),
            configuration(&file, batch.messages)?.to_string(),
        )?;
        fs::write(folder.join("settings"), env_file(settings)?)?;
        let address = free_address()?;
        let inspector = free_address()?.port();
        let log = folder.join("log");
        let file = File::create(&log)?;
        let mut command = Command::new("sh");
        command
            .args(["-c", WATCHED, "sh"])
            .arg(&arguments.node)
            .arg(
                project::root()
                    .join("node_modules")
                    .join("wrangler")
                    .join("bin")
                    .join("wrangler.js"),
            )
            .args(["dev", "--ip", "127.0.0.1", "--port", &address.port().to_string()])
            .args(["--inspector-port", &inspector.to_string()])
            .args(["--env-file", "settings"])
            .args(["--persist-to", "storage"])
            .env("NODE_EXTRA_CA_CERTS", ca)
            .env("CI", "1")
            .env(TRACES, "false")
            .env("WRANGLER_SEND_METRICS", "false")
            .current_dir(folder)
            .process_group(0)
            .stdout(file.try_clone()?)
            .stderr(file);
        if batch.heap > 0 {
            command.env(V8_FLAGS, format!("--max-heap-size={}", batch.heap));
        }
        let child = process::spawn(&mut command)?;
        let mut dev = Self {
            child,
            client: Client::new(format!("http://{address}")).with_key(API_KEY)?,
            inspector,
            log,
        };
        // A request that wrangler holds back until there is a Worker would wait for ever.
        let ready = timeout(START_LIMIT, dev.wait()).await;
        let ready = ready.unwrap_or_else(|_| bail!("the Worker does not get ready"));
        ready.with_context(|| dev.tail())?;
        Ok(dev)
    }

    /// The root of its process tree.
    pub(super) fn process(&self) -> Result<u32> {
        self.child.id().context("wrangler has ended")
    }

    /// Everything that it logged.
    pub(super) fn log(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&fs::read(&self.log)?).into_owned())
    }

    /// The last lines of its log.
    pub(super) fn tail(&self) -> String {
        let log = self.log().unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        let tail = lines.get(lines.len().saturating_sub(TAIL)..);
        format!("the log ends with\n{}", tail.unwrap_or_default().join("\n"))
    }

    pub(super) async fn stop(self) -> Result<()> {
        process::stop(self.child, None).await
    }

    async fn wait(&mut self) -> Result<()> {
        while self.client.get_json("/healthz").await.is_err() {
            ensure!(self.child.try_wait()?.is_none(), "wrangler has ended");
            sleep(POLL).await;
        }
        Ok(())
    }
}

/// wrangler.toml, but nothing is built and an invocation gets so many messages of the queues of pushes.
fn configuration(file: &str, messages: u8) -> Result<Table> {
    let mut table: Table = toml::from_str(file)?;
    table.remove("build");
    let consumers = table
        .get_mut("queues")
        .and_then(|queues| queues.get_mut("consumers"))
        .and_then(Value::as_array_mut)
        .context("wrangler.toml has no consumers of queues")?;
    for consumer in consumers.iter_mut().filter_map(Value::as_table_mut) {
        let queue = consumer.get("queue").and_then(Value::as_str).unwrap_or_default();
        if !queue.ends_with(DEAD) {
            consumer.insert("max_batch_size".to_owned(), i64::from(messages).into());
        }
    }
    Ok(table)
}

/// The settings in the format that wrangler reads. What that cannot carry as it is, is an error.
fn env_file(settings: &[(String, String)]) -> Result<String> {
    let mut file = String::new();
    for (name, value) in settings {
        ensure!(
            !value.contains(['\'', '$']),
            "the value of {name} holds a character that has a meaning in the file of settings"
        );
        file += &format!("{name}='{value}'\n");
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::configuration;
    use crate::project;

    #[test]
    fn the_copy_of_the_configuration_builds_nothing_and_changes_the_pushes_queue_alone() {
        let file = std::fs::read_to_string(project::root().join("wrangler.toml")).unwrap();
        let before: toml::Table = toml::from_str(&file).unwrap();
        let after: toml::Table = toml::from_str(&configuration(&file, 32).unwrap().to_string()).unwrap();
        assert!(!after.contains_key("build"));
        assert_eq!(before["durable_objects"], after["durable_objects"]);
        let sizes = |table: &toml::Table| {
            let consumers = table["queues"]["consumers"].as_array().unwrap().clone();
            consumers
                .iter()
                .map(|consumer| (consumer["queue"].clone(), consumer["max_batch_size"].as_integer()))
                .collect::<Vec<_>>()
        };
        for (before, after) in sizes(&before).into_iter().zip(sizes(&after)) {
            let dead = before.0.as_str().unwrap().ends_with("-dead-letters");
            let expected = if dead { before.1 } else { Some(32) };
            assert_eq!(after, (before.0, expected));
        }
    }
}
