//! The built Worker, run by wrangler or by workerd itself.
//!
//! It runs in its own folder from a copy of the build, so that a new build does not change it.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::group::{Group, Output};
use crate::http;
use crate::settings::{Settings, env_file};

mod workerd;
mod wrangler;

pub use wrangler::Queue;

/// How long the Worker may take until its first answer.
const START_LIMIT: Duration = Duration::from_secs(90);

/// The interval of polling for that answer.
const POLL: Duration = Duration::from_millis(50);

/// The timeout of that answer. wrangler holds a request until there is a Worker, and may lose it.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// The modules of a built Worker.
const MODULES: [&str; 2] = ["index.js", "index_bg.wasm"];

/// The path at which wrangler fires the cron trigger.
const TRIGGER: &str = "/cdn-cgi/local/scheduled?cron=*+*+*+*+*";

/// The variable that turns off wrangler's traces. It stores traces of every request and every use of a socket
/// for its own pages. In the Worker's process they are a fifth of the work.
const TRACES: &str = "X_LOCAL_OBSERVABILITY";

/// The program that runs a Worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Runner {
    /// `wrangler dev`, as developers use it. Its `fetch` is workerd's own.
    Dev,
    /// wrangler's test harness, which can evict single objects. Its `fetch` is Node's, and it stores nothing.
    Harness,
    /// The workerd with this path, without the proxies of `wrangler dev`. It has no queue and no cron
    /// trigger, and logs only errors.
    Workerd(PathBuf),
}

/// The setup of a Worker.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The program that runs it.
    pub runner: Runner,
    /// Node, for wrangler.
    pub node: PathBuf,
    /// The folder of the built Worker.
    pub built: PathBuf,
    /// The folder for its configuration, storage and log. Created if it does not exist.
    pub folder: PathBuf,
    /// Its variables and secrets.
    pub settings: Settings,
    /// The configuration of its queue.
    pub queue: Queue,
    /// The file with the certificate authority that its connections trust in addition to the usual ones.
    pub ca: PathBuf,
    /// The port of its inspector.
    pub inspector: Option<u16>,
    /// Variables for wrangler itself.
    pub environment: Vec<(&'static str, String)>,
}

impl Setup {
    /// Creates the setup of a Worker under `wrangler dev`, without an inspector.
    pub fn new(node: &Path, folder: &Path, settings: Settings, ca: &Path) -> Self {
        Self {
            runner: Runner::Dev,
            node: node.to_owned(),
            built: crate::build(),
            folder: folder.to_owned(),
            settings,
            queue: Queue::default(),
            ca: ca.to_owned(),
            inspector: None,
            environment: Vec::new(),
        }
    }
}

/// A running Worker.
#[derive(Debug)]
pub struct Worker {
    setup: Setup,
    url: String,
    group: Group,
    /// The harness's answers to commands.
    answers: Option<BufReader<ChildStdout>>,
}

impl Worker {
    /// Starts it, and returns when it answers.
    pub fn start(setup: Setup) -> Result<Self> {
        let mut worker = Self::launch(setup)?;
        worker.wait(|| Ok(()))?;
        Ok(worker)
    }

    /// Starts it, and returns at once; see [`Self::wait`].
    pub fn launch(setup: Setup) -> Result<Self> {
        let build = setup.folder.join("build");
        fs::create_dir_all(&build)?;
        for module in MODULES {
            let from = setup.built.join(module);
            fs::copy(&from, build.join(module))
                .with_context(|| format!("there is no {}: build the Worker first", from.display()))?;
        }
        let port = free_port()?;
        setup.configure(port)?;
        let mut worker = Self {
            group: setup.run(port)?,
            url: format!("http://127.0.0.1:{port}"),
            setup,
            answers: None,
        };
        if worker.setup.runner == Runner::Harness {
            worker.answers = worker.group.output().map(BufReader::new);
            // The harness chooses its own port.
            let url = worker.read_answer()?;
            url.trim_end_matches('/').clone_into(&mut worker.url);
        }
        Ok(worker)
    }

    /// Waits until it answers. Calls `keep_waiting` repeatedly, and ends the wait if that returns an error.
    pub fn wait(&mut self, mut keep_waiting: impl FnMut() -> Result<()>) -> Result<()> {
        let started = Instant::now();
        while !self.is_ready()? {
            keep_waiting()?;
            ensure!(
                started.elapsed() < START_LIMIT,
                "the Worker does not get ready:\n{}",
                self.log_tail()
            );
            sleep(POLL);
        }
        Ok(())
    }

    /// Returns whether it answers, even if it only reports faults in its settings. Returns an error if it has
    /// ended.
    pub fn is_ready(&mut self) -> Result<bool> {
        let answer = http::call("GET", &self.url("/healthz"), &[], b"", ANSWER_LIMIT);
        if let Ok(answer) = answer
            && answer.header("content-type") == Some(http::JSON)
            && matches!(answer.status, 200 | 503)
        {
            return Ok(true);
        }
        ensure!(self.group.is_running(), "the Worker ended:\n{}", self.log_tail());
        Ok(false)
    }

    /// Kills the Worker and all its processes, as a power failure does.
    pub fn kill(&mut self) {
        self.group.kill();
    }

    /// Restarts a killed Worker with its stored data, and returns when it answers.
    pub fn restart(&mut self) -> Result<()> {
        ensure!(self.setup.runner != Runner::Harness, "the harness stores nothing");
        let port = self.authority().rsplit(':').next().context("a port")?.parse()?;
        self.setup.configure(port)?;
        self.group = self.setup.run(port)?;
        self.wait(|| Ok(()))
    }

    /// Returns the setup for the next start of a killed Worker.
    pub fn setup(&mut self) -> &mut Setup {
        &mut self.setup
    }

    /// Wraps a killed Worker in a module, which can import the Worker as `./product.js`.
    pub fn wrap(&self, module: &str) -> Result<()> {
        let build = self.setup.folder.join("build");
        fs::rename(build.join("index.js"), build.join("product.js"))?;
        Ok(fs::write(build.join("index.js"), module)?)
    }

    /// Fires its cron trigger, as the platform does each minute.
    pub fn fire_trigger(&self) -> Result<()> {
        let answer = http::call("GET", &self.url(TRIGGER), &[], b"", http::LIMIT)?;
        answer.success().context("the cron trigger failed").map(drop)
    }

    /// Sends a message to its queue. Only the harness supports this.
    pub fn queue(&mut self, text: &str) -> Result<()> {
        self.command(&format!("queue {text}"), "queued")
    }

    /// Evicts an object from memory, given its binding and its name. Only the harness supports this.
    pub fn evict(&mut self, binding: &str, name: &str) -> Result<()> {
        self.command(
            &format!("evict {binding} {name}"),
            &format!("evicted {binding} {name}"),
        )
    }

    /// Returns the URL of one of its paths.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// Returns its host and port.
    pub fn authority(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// Returns the root of its process tree.
    pub fn process(&self) -> u32 {
        self.group.id()
    }

    /// Returns the log of the Worker and wrangler since the first start.
    pub fn log(&self) -> String {
        self.group.log()
    }

    /// Returns the last lines of the log.
    pub fn log_tail(&self) -> String {
        self.group.log_tail()
    }

    fn command(&mut self, command: &str, expected: &str) -> Result<()> {
        writeln!(self.group.input()?, "{command}")?;
        let answer = self.read_answer()?;
        ensure!(answer == expected, "`{command}` was answered by `{answer}`");
        Ok(())
    }

    /// Returns the harness's next answer.
    fn read_answer(&mut self) -> Result<String> {
        let answers = self
            .answers
            .as_mut()
            .context("the harness alone takes commands")?;
        let mut said = answers.lines().map_while(Result::ok);
        match said.find_map(|line| Some(line.strip_prefix('@')?.to_owned())) {
            Some(answer) => Ok(answer),
            None => bail!("the harness ended:\n{}", self.log_tail()),
        }
    }
}

impl Setup {
    /// Writes the configuration.
    fn configure(&self, port: u16) -> Result<()> {
        let file = crate::root().join("wrangler.toml");
        let file = fs::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))?;
        let folder = &self.folder;
        let settings = match &self.runner {
            Runner::Dev => env_file(&self.settings)?,
            Runner::Harness => serde_json::to_string(&self.settings)?,
            Runner::Workerd(_) => {
                fs::copy(&self.ca, folder.join("ca.pem"))?;
                fs::create_dir_all(folder.join("storage"))?;
                let config = workerd::configuration(&file, &self.settings, folder, port)?;
                return Ok(fs::write(folder.join("config.capnp"), config)?);
            }
        };
        fs::write(
            folder.join("wrangler.toml"),
            wrangler::configuration(&file, self.queue)?,
        )?;
        Ok(fs::write(folder.join("settings"), settings)?)
    }

    /// Starts the program that runs the Worker.
    fn run(&self, port: u16) -> Result<Group> {
        let log = self.folder.join("log");
        let mut command = Command::new(match &self.runner {
            Runner::Workerd(program) => program,
            Runner::Dev | Runner::Harness => &self.node,
        });
        command.current_dir(&self.folder);
        if let Runner::Workerd(_) = self.runner {
            command.args(["serve", "--experimental", "config.capnp"]);
            return Group::start_watched(&command, &log, Output::Discarded);
        }
        command
            .env("NODE_EXTRA_CA_CERTS", &self.ca)
            .env("CI", "1")
            .env("WRANGLER_SEND_METRICS", "false")
            .env(TRACES, "false")
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        if self.runner == Runner::Harness {
            let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("harness.mjs");
            // The program is WRANGLER/bin/wrangler.js, and the package is WRANGLER.
            let wrangler = crate::wrangler();
            let package = wrangler.ancestors().nth(2).context("wrangler's package")?;
            command.arg(script).arg(package).arg("settings");
            return Group::start(&mut command, &log, Output::Piped);
        }
        command.arg(crate::wrangler());
        command.args(["dev", "--ip", "127.0.0.1", "--port", &port.to_string()]);
        command.args([
            "--inspector-port",
            &self.inspector.unwrap_or_default().to_string(),
        ]);
        command.args(["--env-file", "settings", "--persist-to", "storage"]);
        Group::start_watched(&command, &log, Output::Log)
    }
}

/// Returns a port that is free at the moment.
pub fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}
