//! The built Worker, run by wrangler or by workerd itself.
//!
//! It runs in a folder of its own, from a copy of what was built: a build meanwhile does not change it.

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

/// How long the Worker may take to answer for the first time.
const START_LIMIT: Duration = Duration::from_secs(90);

/// How often it is asked whether it answers.
const POLL: Duration = Duration::from_millis(50);

/// How long that answer may take: wrangler holds a request back until there is a Worker, and may forget it.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// The modules of a built Worker.
const MODULES: [&str; 2] = ["index.js", "index_bg.wasm"];

/// Where wrangler fires the cron trigger.
const TRIGGER: &str = "/cdn-cgi/local/scheduled?cron=*+*+*+*+*";

/// The variable by which wrangler keeps no traces. It stores those of every request and every use of a socket for its own
/// pages, in the Worker's process: a fifth of the work there.
const TRACES: &str = "X_LOCAL_OBSERVABILITY";

/// What runs a Worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Runner {
    /// `wrangler dev`, as a developer uses it: its `fetch` is workerd's own.
    Dev,
    /// wrangler's test harness, which can evict single objects: its `fetch` is Node's, and it stores nothing.
    Harness,
    /// This program, a workerd, without the proxies of `wrangler dev`. It has no queue, no cron trigger, and logs errors
    /// alone.
    Workerd(PathBuf),
}

/// What a Worker is started with.
#[derive(Clone, Debug)]
pub struct Setup {
    /// What runs it.
    pub runner: Runner,
    /// Node, for wrangler.
    pub node: PathBuf,
    /// The folder of the built Worker.
    pub built: PathBuf,
    /// Takes its configuration, its storage and its log; made if it is not there.
    pub folder: PathBuf,
    /// Its variables and secrets.
    pub settings: Settings,
    /// How it has its queue.
    pub queue: Queue,
    /// The file with the certificate that its connections trust beside the usual ones.
    pub ca: PathBuf,
    /// The port of its inspector.
    pub inspector: Option<u16>,
    /// Variables for wrangler itself.
    pub environment: Vec<(&'static str, String)>,
}

impl Setup {
    /// A Worker under `wrangler dev`, without an inspector.
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
    /// What the harness says in answer to commands.
    answers: Option<BufReader<ChildStdout>>,
}

impl Worker {
    /// Starts it and returns when it answers.
    pub fn start(setup: Setup) -> Result<Self> {
        let mut worker = Self::launch(setup)?;
        worker.wait(|| Ok(()))?;
        Ok(worker)
    }

    /// Starts it and returns at once; see [`Self::wait`].
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
            // The harness chooses its port.
            let url = worker.read_answer()?;
            url.trim_end_matches('/').clone_into(&mut worker.url);
        }
        Ok(worker)
    }

    /// Waits until it answers. `keep_waiting` is called between two looks; its error ends the wait.
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

    /// Returns whether it answers, be it that its settings have faults. Returns an error if it has ended.
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

    /// Ends the Worker and all that belongs to it at once, as a machine does that loses its power.
    pub fn kill(&mut self) {
        self.group.kill();
    }

    /// Starts a killed Worker again on what it has stored, and returns when it answers.
    pub fn restart(&mut self) -> Result<()> {
        ensure!(self.setup.runner != Runner::Harness, "the harness stores nothing");
        let port = self.authority().rsplit(':').next().context("a port")?.parse()?;
        self.setup.configure(port)?;
        self.group = self.setup.run(port)?;
        self.wait(|| Ok(()))
    }

    /// Returns what a killed Worker will be started with.
    pub fn setup(&mut self) -> &mut Setup {
        &mut self.setup
    }

    /// Puts a module in front of a killed Worker. The module finds the Worker as `./product.js`.
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

    /// Sends a message to its queue. The harness alone can.
    pub fn queue(&mut self, text: &str) -> Result<()> {
        self.command(&format!("queue {text}"), "queued")
    }

    /// Evicts an object from its memory, by the name of its binding and its own. The harness alone can.
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

    /// Returns everything that it and wrangler said since the first start.
    pub fn log(&self) -> String {
        self.group.log()
    }

    /// Returns the last lines of that.
    pub fn log_tail(&self) -> String {
        self.group.log_tail()
    }

    fn command(&mut self, command: &str, expected: &str) -> Result<()> {
        writeln!(self.group.input()?, "{command}")?;
        let answer = self.read_answer()?;
        ensure!(answer == expected, "`{command}` was answered by `{answer}`");
        Ok(())
    }

    /// Returns what the harness says next.
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
            // WRANGLER/bin/wrangler.js is the program, WRANGLER the package.
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

/// Returns a port that nobody listens on right now.
pub fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}
