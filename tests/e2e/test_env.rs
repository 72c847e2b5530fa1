//! A Worker and its APNs server.

use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};
use std::thread::{panicking, sleep};
use std::time::{Duration, Instant, SystemTime};
use std::{env, fs};

use apns_mock::{Options, RecordedRequest, Registration, Server};
use serde_json::Value;
use tempfile::TempDir;
use testbed::{Queue, Runner, Setup, Worker};
use tokio::runtime::Runtime;

use crate::caller::{self, Answer};
use crate::deployment::{self, App, Caller, NEWS, SHOP};
use crate::log;
use crate::shared::Shared;
use crate::storage;

/// The timeout of an attempt in the shared environment: far longer than an answer takes, and short enough for
/// tests without an answer.
pub(crate) const ATTEMPT_TIMEOUT_MS: &str = "2000";

/// How many requests the server records: more than any environment receives.
pub(crate) const REQUESTS_KEPT: usize = 100_000;

/// How long a test waits for an expected event.
const PATIENCE: Duration = Duration::from_secs(30);

/// The interval of polling for it.
const POLL: Duration = Duration::from_millis(20);

/// Older folders of environments belong to earlier runs, and are removed.
const STALE: Duration = Duration::from_secs(60 * 60);

/// A Worker and its APNs server.
///
/// The fields are dropped in this order: first the Worker, then the files.
#[derive(Debug)]
pub(crate) struct TestEnv {
    pub(crate) worker: Worker,
    pub(crate) apns: Apns,
    secrets: Mutex<BTreeSet<String>>,
    /// The number of send requests that the Worker answered with results.
    send_requests: AtomicUsize,
    folder: TempDir,
}

/// The server, which is stopped when this is dropped.
pub(crate) struct Apns(Server);

impl TestEnv {
    /// Returns the environment with `fetch` that tests share.
    pub(crate) fn shared() -> Shared {
        Shared::by_fetch()
    }

    /// Creates an environment for one test, with settings that override the usual ones.
    pub(crate) fn isolated(options: Options, settings: &[(&str, &str)]) -> Isolated {
        Isolated(Self::start(Runner::Dev, options, settings))
    }

    /// Creates the same with objects that can be evicted.
    pub(crate) fn evictable(options: Options, settings: &[(&str, &str)]) -> Isolated {
        Isolated(Self::start(Runner::Harness, options, settings))
    }

    /// Creates an environment for one test with a different queue.
    pub(crate) fn with_queue(
        runner: Runner,
        settings: &[(&str, &str)],
        change: impl FnOnce(&mut Queue),
    ) -> Isolated {
        Isolated(Self::start_with(runner, Options::default(), settings, change))
    }

    /// Starts a Worker and an APNs server, with settings that override the usual ones.
    pub(crate) fn start(runner: Runner, options: Options, changes: &[(&str, &str)]) -> Self {
        Self::start_with(runner, options, changes, |_| ())
    }

    fn start_with(
        runner: Runner,
        options: Options,
        changes: &[(&str, &str)],
        change: impl FnOnce(&mut Queue),
    ) -> Self {
        let apns = Apns::start(options);
        let mut settings = deployment::settings(&apns);
        settings.extend(
            changes
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        let folder = folder();
        let ca = folder.path().join("ca.pem");
        fs::write(&ca, apns.ca_pem().unwrap()).unwrap();
        let mut queue = Queue::of_transport(settings.get("TRANSPORT").map(String::as_str));
        change(&mut queue);
        let node = env::var_os("APNS_EDGE_NODE").expect("`cargo xtask e2e` runs these tests");
        let setup = Setup::new(node.as_ref(), folder.path(), settings, &ca);
        let worker = Worker::start(Setup {
            runner,
            queue,
            ..setup
        });
        Self {
            worker: worker.unwrap(),
            apns,
            secrets: Mutex::new(deployment::secrets().into_iter().collect()),
            send_requests: AtomicUsize::new(0),
            folder,
        }
    }

    /// Registers `count` devices of an app. `name` makes them unique to the test.
    pub(crate) fn devices(&self, app: &App, name: &str, count: usize) -> Vec<String> {
        let tokens = self.tokens(name, count);
        self.register(Registration {
            tokens: tokens.clone(),
            ..Registration::device(app.environment, app.topic, "")
        });
        tokens
    }

    /// Registers one device of the shop.
    pub(crate) fn device(&self, name: &str) -> String {
        self.devices(&SHOP, name, 1).remove(0)
    }

    /// Returns device tokens that are not registered.
    pub(crate) fn tokens(&self, name: &str, count: usize) -> Vec<String> {
        let tokens: Vec<String> = (0..count)
            .map(|number| deployment::digest(&format!("{name} {number}")))
            .collect();
        self.secrets.lock().unwrap().extend(tokens.iter().cloned());
        tokens
    }

    /// Adds a secret that [`Self::check`] looks for in the log.
    pub(crate) fn add_secret(&self, secret: &str) {
        self.secrets.lock().unwrap().insert(secret.to_owned());
    }

    /// Registers devices.
    pub(crate) fn register(&self, registration: Registration) {
        let count = registration.tokens.len();
        assert_eq!(self.apns.register(&registration).unwrap(), count as u64);
    }

    /// Posts a document as the caller with access to both apps.
    #[track_caller]
    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        self.call(Caller::Both, "POST", path, &[], body.to_string().as_bytes())
    }

    /// Sends a request, and returns its results.
    #[track_caller]
    pub(crate) fn push(&self, body: &Value) -> Value {
        self.post("/v1/push", body).with_status(200)
    }

    /// Reads a document as the caller with access to both apps.
    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.call(Caller::Both, "GET", path, &[], b"")
    }

    /// Sends any request with an API key.
    #[track_caller]
    pub(crate) fn call(
        &self,
        caller: Caller,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let authorization = format!("Bearer {}", caller.key());
        let mut all = vec![("authorization", authorization.as_str())];
        all.extend_from_slice(headers);
        let answer = caller::call(method, &self.worker.url(path), &all, body);
        if path == "/v1/push" && answer.status == 200 {
            self.send_requests.fetch_add(1, Ordering::Relaxed);
        }
        answer
    }

    /// Returns the requests that APNs received for a device, in order.
    pub(crate) fn requests_to(&self, device: &str) -> Vec<RecordedRequest> {
        self.apns.requests_to(device)
    }

    /// Returns and clears the violations that APNs has logged, for tests that cause them.
    pub(crate) fn take_violations(&self) -> Vec<String> {
        self.note_provider_tokens();
        let violations = self.apns.state().violations;
        self.apns.reset(false, false);
        violations
    }

    /// Asserts what holds after every test: APNs has logged no violation, and the log has no secret.
    pub(crate) fn check(&self) {
        let state = self.apns.state();
        assert_eq!(state.violations, Vec::<String>::new());
        assert_eq!(state.violations_total, 0);
        self.note_provider_tokens();
        let log = self.log();
        let secrets = self.secrets.lock().unwrap();
        let found = log::secrets_in(&log, secrets.iter().map(String::as_str));
        assert_eq!(found, Vec::<String>::new());
    }

    /// Returns the Worker's log, including the lines about all send requests that it has answered.
    pub(crate) fn log(&self) -> String {
        self.log_with(log::SENT, self.send_requests.load(Ordering::Relaxed))
    }

    /// Waits until the Worker's log contains a text `count` times. Returns the log.
    pub(crate) fn log_with(&self, text: &str, count: usize) -> String {
        until(&format!("{count} times {text} in the log"), || {
            self.worker.log().matches(text).count() >= count
        });
        self.worker.log()
    }

    fn note_provider_tokens(&self) {
        let mut secrets = self.secrets.lock().unwrap();
        for request in self.apns.requests(REQUESTS_KEPT) {
            let Some(authorization) = header(&request, "authorization") else {
                continue;
            };
            // Each part alone would be a leak: claims and signature.
            secrets.extend(authorization.split(['.', ' ']).skip(2).map(str::to_owned));
        }
    }
}

/// Waits for an expected event. Fails the test if it does not come in time.
#[track_caller]
pub(crate) fn until(what: &str, has_come: impl FnMut() -> bool) {
    until_within(PATIENCE, what, has_come);
}

/// Does the same with a longer timeout.
#[track_caller]
pub(crate) fn until_within(patience: Duration, what: &str, mut has_come: impl FnMut() -> bool) {
    let started = Instant::now();
    while !has_come() {
        assert!(started.elapsed() < patience, "in vain: {what}");
        sleep(POLL);
    }
}

/// Returns the value of a header that APNs received.
pub(crate) fn header<'r>(request: &'r RecordedRequest, name: &str) -> Option<&'r str> {
    let mut headers = request.headers.iter();
    headers
        .find(|(known, _)| known == name)
        .map(|(_, value)| value.as_str())
}

/// An environment for one test. Checked when the test has passed.
#[derive(Debug)]
pub(crate) struct Isolated(TestEnv);

impl Deref for Isolated {
    type Target = TestEnv;

    fn deref(&self) -> &TestEnv {
        &self.0
    }
}

impl Isolated {
    /// Kills the Worker and restarts it with its stored data.
    pub(crate) fn kill_and_restart(&mut self) {
        self.kill();
        self.restart();
    }

    /// Kills the Worker, as a power failure does.
    pub(crate) fn kill(&mut self) {
        // A killed Worker may lose log lines, so the log is checked before.
        self.0.check();
        self.0.worker.kill();
    }

    /// Kills it without checking its log first, because looking for the tokens of many devices takes a while.
    pub(crate) fn kill_at_once(&mut self) {
        self.0.worker.kill();
    }

    /// Lets a minute pass for the alarms of a killed Worker: those for interrupted work become due.
    pub(crate) fn away_for_a_minute(&self) {
        storage::bring_alarms_forward(self.0.folder.path(), Duration::from_secs(60));
    }

    /// Starts a killed Worker.
    pub(crate) fn restart(&mut self) {
        self.0.worker.restart().unwrap();
    }

    /// Changes the queue of a killed Worker.
    pub(crate) fn configure(&mut self, queue: Queue) {
        self.0.worker.setup().queue = queue;
    }

    /// Changes a setting of a killed Worker.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        let settings = &mut self.0.worker.setup().settings;
        settings.insert(name.to_owned(), value.to_owned());
    }

    /// Removes a setting of a killed Worker.
    pub(crate) fn unset(&mut self, name: &str) {
        self.0.worker.setup().settings.remove(name);
    }

    /// Wraps a killed Worker in a module; see [`Worker::wrap`].
    pub(crate) fn wrap(&self, module: &str) {
        self.0.worker.wrap(module).unwrap();
    }

    /// Changes the rows of all batches of a killed Worker.
    pub(crate) fn change_batches(&self, statement: &str) {
        storage::change_rows(self.0.folder.path(), "BatchObject", statement);
    }

    /// Sends a message to the Worker's queue.
    pub(crate) fn queue(&mut self, text: &str) {
        self.0.worker.queue(text).unwrap();
    }

    /// Evicts a batch's object from memory.
    pub(crate) fn evict_batch(&mut self, id: &str) {
        self.0.worker.evict("BATCH", id).unwrap();
    }

    /// Evicts a shard of an audience from memory.
    pub(crate) fn evict_shard(&mut self, audience: &str, shard: u32) {
        self.0
            .worker
            .evict("AUDIENCE", &format!("{audience}#{shard}"))
            .unwrap();
    }

    /// Evicts the scheduler from memory.
    pub(crate) fn evict_scheduler(&mut self) {
        self.0.worker.evict("SCHEDULER", "scheduler").unwrap();
    }

    /// Evicts the gate of an app's credential from memory.
    pub(crate) fn evict_gate(&mut self, app: &App) {
        let environment = app.environment.as_str();
        let name = format!("{}/{}/{environment}", app.team_id, app.key_id);
        self.0.worker.evict("GATE", &name).unwrap();
    }

    /// Evicts the first connection object of an app's credential, which must have no connection open.
    pub(crate) fn evict_connection(&mut self, app: &App) {
        let environment = app.environment.as_str();
        let name = format!("{}/{}/{environment}#0", app.team_id, app.key_id);
        self.0.worker.evict("CONNECTION", &name).unwrap();
    }
}

impl Drop for TestEnv {
    fn drop(&mut self) {
        // Killed, because its stored data is no longer needed.
        self.worker.kill();
    }
}

impl Drop for Isolated {
    fn drop(&mut self) {
        if !panicking() {
            self.0.check();
        }
    }
}

impl Apns {
    fn start(options: Options) -> Self {
        let options = Options {
            // workerd supports HTTP/2 only on Cloudflare's platform.
            http1: true,
            requests_kept: REQUESTS_KEPT,
            keys: vec![SHOP.key(), NEWS.key()],
            ..options
        };
        Self(runtime().block_on(Server::start(options)).unwrap())
    }

    /// Closes all connections and stops listening.
    pub(crate) fn stop(&self) {
        runtime().block_on(self.0.shutdown());
    }
}

impl Deref for Apns {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.0
    }
}

impl std::fmt::Debug for Apns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Apns").field(&self.0.production_addr()).finish()
    }
}

impl Drop for Apns {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Returns the runtime of all servers.
fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Runtime::new().unwrap())
}

/// Creates a folder for an environment, in cargo's folder for the files of tests.
fn folder() -> TempDir {
    static SWEPT: OnceLock<()> = OnceLock::new();
    let all = env!("CARGO_TARGET_TMPDIR");
    SWEPT.get_or_init(|| {
        // The shared environment is never dropped, so its folder is not removed when the process ends.
        for entry in fs::read_dir(all).unwrap().flatten() {
            let changed = entry.metadata().and_then(|data| data.modified());
            let is_stale = changed.is_ok_and(|at| at + STALE < SystemTime::now());
            if is_stale && entry.file_name().to_string_lossy().starts_with(FOLDER) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    });
    tempfile::Builder::new().prefix(FOLDER).tempdir_in(all).unwrap()
}

/// The prefix of the names of environments' folders.
const FOLDER: &str = "e2e-";
