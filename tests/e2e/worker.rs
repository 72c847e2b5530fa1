//! The built Worker, run by wrangler.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::caller;

/// How long the Worker may take to answer for the first time.
const START_LIMIT: Duration = Duration::from_secs(90);

/// How often it is looked whether it does.
const POLL: Duration = Duration::from_millis(50);

/// Runs its arguments, and ends its whole process group as soon as either these or its standard input ended: it ends
/// with this process, in whatever way that ends.
const WATCHED: &str = r#"("$@"; kill 0) </dev/null & read -r _; kill 0"#;

/// What wrangler.toml builds the Worker with, which is not wanted here.
const BUILD_TABLE: &str = "[build]";

/// What in wrangler.toml lets the Worker send to its queue.
const PRODUCERS_TABLE: &str = "[[queues.producers]]";

/// What wrangler.toml says of the size of a delivery.
const ONE_MESSAGE: &str = "max_batch_size = 1\n";

/// What it says of the deliveries of a message.
const RETRIES: &str = "max_retries = 20\n";

/// How it lets the Worker find the objects of batches.
const BATCH_BINDING: &str = "[[durable_objects.bindings]]\nname = \"BATCH\"\nclass_name = \"BatchObject\"\n";

/// A running Worker.
#[derive(Debug)]
pub(crate) struct Worker {
    folder: PathBuf,
    settings: BTreeMap<String, String>,
    runner: Runner,
    url: String,
    group: Child,
    /// What the harness says in answer to commands.
    answers: Option<BufReader<ChildStdout>>,
}

/// What runs a Worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Runner {
    /// `wrangler dev`, as a developer uses it: its `fetch` is workerd's own.
    Dev,
    /// wrangler's test harness, which can evict single objects: its `fetch` is Node's. See evict.mjs.
    Harness,
}

/// How the Worker has its queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Queue {
    /// The most messages of a delivery.
    pub(crate) delivery: u32,
    /// Whether it can send to it: without that, every sending fails.
    pub(crate) takes: bool,
    /// How many there are for chunks.
    pub(crate) shards: u32,
    /// How often a message is delivered again before it goes to the dead letters.
    pub(crate) retries: u32,
    /// Whether the objects of batches can be found: without that, no message can be done with.
    pub(crate) finds_batches: bool,
}

impl Queue {
    /// As wrangler.toml recommends it for a transport.
    pub(crate) fn of_transport(transport: Option<&str>) -> Self {
        let delivery = if transport == Some("socket") { 32 } else { 1 };
        Self {
            delivery,
            takes: true,
            shards: 1,
            retries: 20,
            finds_batches: true,
        }
    }
}

impl Worker {
    /// Starts it in a folder, from a copy of what was built, so that a build meanwhile does not change it.
    pub(crate) fn start(
        runner: Runner,
        folder: &Path,
        settings: &BTreeMap<String, String>,
        queue: Queue,
        ca: &str,
    ) -> Self {
        let root = root();
        fs::create_dir_all(folder.join("build")).unwrap();
        for file in ["build/index.js", "build/index_bg.wasm"] {
            fs::copy(root.join(file), folder.join(file)).expect("`cargo xtask build` makes the Worker");
        }
        configure(folder, queue);
        let file = match runner {
            Runner::Dev => env_file(settings),
            Runner::Harness => serde_json::to_string(settings).unwrap(),
        };
        fs::write(folder.join("settings"), file).unwrap();
        fs::write(folder.join("ca.pem"), ca).unwrap();
        let port = free_port();
        let mut worker = Self {
            folder: folder.to_owned(),
            settings: settings.clone(),
            runner,
            url: format!("http://127.0.0.1:{port}"),
            group: launch(runner, folder, port),
            answers: None,
        };
        if runner == Runner::Harness {
            worker.answers = worker.group.stdout.take().map(BufReader::new);
            // The harness chooses its port.
            worker.url = worker.read_answer().trim_end_matches('/').to_owned();
        }
        worker.wait();
        worker
    }

    /// Ends the Worker and all that belongs to it at once, as a machine would that loses its power, and starts it again
    /// on what it has stored.
    pub(crate) fn kill_and_restart(&mut self) {
        self.kill();
        self.restart();
    }

    /// Ends the Worker and all that belongs to it at once.
    pub(crate) fn kill(&mut self) {
        assert_eq!(self.runner, Runner::Dev, "the harness stores nothing");
        signal(&self.group, "KILL");
        self.group.wait().unwrap();
    }

    /// Starts a Worker that was killed.
    pub(crate) fn restart(&mut self) {
        let port = self.url.rsplit(':').next().unwrap().parse().unwrap();
        self.group = launch(self.runner, &self.folder, port);
        self.wait();
    }

    /// Changes how a Worker that was killed will have its queue.
    pub(crate) fn configure(&self, queue: Queue) {
        configure(&self.folder, queue);
    }

    /// Changes a setting of a Worker that was killed.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.settings.insert(name.to_owned(), value.to_owned());
        self.write_settings();
    }

    /// Removes a setting of a Worker that was killed.
    pub(crate) fn unset(&mut self, name: &str) {
        self.settings.remove(name);
        self.write_settings();
    }

    fn write_settings(&self) {
        fs::write(self.folder.join("settings"), env_file(&self.settings)).unwrap();
    }

    /// Puts a module in front of the Worker, that was killed. The module finds the Worker as `./product.js`.
    pub(crate) fn wrap(&self, module: &str) {
        let entry = self.folder.join("build/index.js");
        fs::rename(&entry, self.folder.join("build/product.js")).unwrap();
        fs::write(entry, module).unwrap();
    }

    /// Changes the rows of all objects of a class, of a Worker that was killed: with SQLite itself.
    pub(crate) fn change_rows(&self, class: &str, statement: &str) {
        let objects = self.folder.join(format!("storage/v3/do/apns-edge-{class}"));
        let mut changed = 0;
        for file in fs::read_dir(&objects).unwrap() {
            let path = file.unwrap().path();
            let is_object = path.extension().is_some_and(|extension| extension == "sqlite");
            if is_object && path.file_stem().is_some_and(|stem| stem != "metadata") {
                let connection = rusqlite::Connection::open(&path).unwrap();
                changed += connection.execute(statement, ()).unwrap();
            }
        }
        assert!(changed > 0, "nothing was changed in {}", objects.display());
    }

    /// Brings the alarms of all objects of a Worker that was killed forward, as if it had been away for so long. The platform
    /// keeps an alarm with its object's rows and in a list of each class.
    ///
    /// The tables are workerd's own and documented nowhere. There is no other way to let alarms come early; with a workerd that has
    /// other tables nothing is changed, and the assertion fails.
    pub(crate) fn bring_alarms_forward(&self, by: Duration) {
        let nanos = i64::try_from(by.as_nanos()).unwrap();
        let of_list = "UPDATE _cf_ALARM SET scheduled_time = scheduled_time - ?";
        let of_object = "UPDATE _cf_METADATA SET value = value - ? WHERE key = 1 AND value IS NOT NULL";
        let mut changed = 0;
        for class in fs::read_dir(self.folder.join("storage/v3/do")).unwrap() {
            for file in fs::read_dir(class.unwrap().path()).unwrap() {
                let path = file.unwrap().path();
                if path.extension().is_none_or(|extension| extension != "sqlite") {
                    continue;
                }
                let connection = rusqlite::Connection::open(&path).unwrap();
                let is_list = path.file_stem().is_some_and(|stem| stem == "metadata");
                let statement = if is_list { of_list } else { of_object };
                // An object that never had an alarm has no table for it.
                changed += connection.execute(statement, [nanos]).unwrap_or_default();
            }
        }
        assert!(changed > 0, "there are no alarms in {}", self.folder.display());
    }

    /// Sends a message to the Worker's own queue.
    pub(crate) fn queue(&mut self, text: &str) {
        let input = self.group.stdin.as_mut().unwrap();
        writeln!(input, "queue {text}").unwrap();
        assert_eq!(self.read_answer(), "queued");
    }

    /// Evicts an object from its memory, by the name of its binding and its own.
    pub(crate) fn evict(&mut self, binding: &str, name: &str) {
        let input = self.group.stdin.as_mut().unwrap();
        writeln!(input, "evict {binding} {name}").unwrap();
        assert_eq!(self.read_answer(), format!("evicted {binding} {name}"));
    }

    /// Where a path of it is.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// Its host and port.
    pub(crate) fn authority(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// Everything that it and wrangler said since the first start.
    pub(crate) fn log(&self) -> String {
        let log = fs::read(log_file(&self.folder)).unwrap();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// What the harness says next; if it has ended, the log says why.
    fn read_answer(&mut self) -> String {
        let answers = self.answers.as_mut().expect("the harness alone takes commands");
        let said = answers.lines().map_while(Result::ok);
        let answer = said
            .filter_map(|line| Some(line.strip_prefix('@')?.to_owned()))
            .next();
        answer.unwrap_or_else(|| panic!("the harness ended:\n{}", self.log()))
    }

    fn wait(&mut self) {
        let started = Instant::now();
        while !caller::answers(&self.url("/healthz")) {
            let ended = self.group.try_wait().unwrap();
            assert!(ended.is_none(), "wrangler ended:\n{}", self.log());
            assert!(
                started.elapsed() < START_LIMIT,
                "the Worker does not get ready:\n{}",
                self.log()
            );
            sleep(POLL);
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        signal(&self.group, "KILL");
        let _ = self.group.wait();
    }
}

/// Starts wrangler in a process group of its own.
fn launch(runner: Runner, folder: &Path, port: u16) -> Child {
    let [node, wrangler] = ["APNS_EDGE_NODE", "APNS_EDGE_WRANGLER"].map(|name| {
        std::env::var_os(name).unwrap_or_else(|| panic!("{name} is not set: run `cargo xtask test`"))
    });
    let log = File::options()
        .create(true)
        .append(true)
        .open(log_file(folder))
        .unwrap();
    let mut command;
    match runner {
        Runner::Dev => {
            command = Command::new("sh");
            command.args(["-c", WATCHED, "sh"]).arg(node).arg(wrangler);
            command.args(["dev", "--ip", "127.0.0.1", "--port", &port.to_string()]);
            command.args(["--inspector-port", "0", "--env-file", "settings"]);
            command.args(["--persist-to", "storage"]);
            command.stdout(log.try_clone().unwrap());
        }
        Runner::Harness => {
            // WRANGLER/bin/wrangler.js is the program, WRANGLER the package.
            let package = Path::new(&wrangler).ancestors().nth(2).unwrap();
            command = Command::new(node);
            command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("evict.mjs"));
            command.arg(package).arg("settings").stdout(Stdio::piped());
        }
    }
    command
        .env("NODE_EXTRA_CA_CERTS", folder.join("ca.pem"))
        .env("CI", "1")
        .env("WRANGLER_SEND_METRICS", "false");
    command
        .current_dir(folder)
        .process_group(0)
        .stdin(Stdio::piped())
        .stderr(log);
    command.spawn().unwrap()
}

/// The root of the checkout.
fn root() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    // tests/e2e is two levels down.
    package.ancestors().nth(2).unwrap()
}

fn log_file(folder: &Path) -> PathBuf {
    folder.join("wrangler.log")
}

/// Signals a whole process group, by the shell's own `kill`.
fn signal(leader: &Child, name: &str) {
    let kill = format!("kill -{name} -{}", leader.id());
    let _ = Command::new("sh")
        .args(["-c", &kill])
        .stderr(Stdio::null())
        .status();
}

/// Copies wrangler.toml without what builds, and with the queue as it is wanted.
fn configure(folder: &Path, queue: Queue) {
    let root = root();
    let config = fs::read_to_string(root.join("wrangler.toml")).unwrap();
    let mut config = without(BUILD_TABLE, &config);
    for known in [ONE_MESSAGE, PRODUCERS_TABLE, RETRIES, BATCH_BINDING] {
        assert!(config.contains(known), "wrangler.toml has no `{known}`");
    }
    let delivery = format!("max_batch_size = {}\n", queue.delivery);
    let retries = format!("max_retries = {}\n", queue.retries);
    config = config.replace(ONE_MESSAGE, &delivery).replace(RETRIES, &retries);
    if !queue.takes {
        config = without(PRODUCERS_TABLE, &config);
    }
    if !queue.finds_batches {
        config = config.replace(BATCH_BINDING, "");
    }
    for number in 2..=queue.shards {
        config.push_str(&shard(number, &delivery));
    }
    fs::write(folder.join("wrangler.toml"), config).unwrap();
}

/// One more queue for chunks: how the Worker sends to it, and how it gets its messages.
fn shard(number: u32, delivery: &str) -> String {
    let queue = format!("queue = \"apns-edge-pushes-{number}\"\n");
    format!(
        "\n{PRODUCERS_TABLE}\nbinding = \"PUSHES_{number}\"\n{queue}\n[[queues.consumers]]\n{queue}{delivery}max_batch_timeout = 0\n"
    )
}

/// A configuration without the tables of this name.
fn without(table: &str, config: &str) -> String {
    let mut inside = false;
    let mut rest = String::new();
    for line in config.lines() {
        if line.starts_with('[') {
            inside = line.trim() == table;
        }
        if !inside {
            rest.push_str(line);
            rest.push('\n');
        }
    }
    rest
}

/// The settings in the format that wrangler reads.
fn env_file(settings: &BTreeMap<String, String>) -> String {
    let mut file = String::new();
    for (name, value) in settings {
        assert!(!value.contains(['\'', '$']), "{name} cannot be quoted");
        file.push_str(&format!("{name}='{value}'\n"));
    }
    file
}

/// A port that nobody listens on right now.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

#[test]
fn the_copy_of_the_configuration_builds_nothing_and_keeps_the_rest() {
    let config = "name = \"a\"\n\n[build]\ncommand = \"b\"\n\n[[migrations]]\ntag = \"v1\"\n";
    assert_eq!(
        without(BUILD_TABLE, config),
        "name = \"a\"\n\n[[migrations]]\ntag = \"v1\"\n"
    );
}
