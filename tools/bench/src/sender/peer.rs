//! A sender other than apns-edge: a small program around a library, which reads a request per line and writes
//! a result per line.

use std::cell::RefCell;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use testbed::Mock;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::Semaphore;

use super::{Sender, process};
use crate::credentials::{Credentials, TEAM_ID, TOPIC};
use crate::exchange::Answers;
use crate::order::Orders;
use crate::project;

/// The host to which senders with a fixed host send.
const APPLES_HOST: &str = "api.push.apple.com";

/// How many bytes of results are read at once.
const INPUT_BUFFER: usize = 256 * 1024;

/// A running peer.
#[derive(Debug)]
pub(crate) struct Peer {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    log: PathBuf,
}

impl Peer {
    /// Starts it. Its signing key is written to `folder`.
    pub(crate) fn start(
        sender: Sender,
        node: &Path,
        mock: &Mock,
        credentials: &Credentials,
        folder: &Path,
        isolated: bool,
    ) -> Result<Self> {
        let key = folder.join(format!("{}.p8", credentials.key_id));
        fs::write(&key, &credentials.key.private_pem)?;
        // A host name, because the mock's certificate is for `localhost`.
        let host = if isolated { APPLES_HOST } else { "localhost" };
        let log = folder.join(format!("{}.log", credentials.key_id));
        let mut command = command(sender, node)?;
        command
            .env("APNS_HOST", host)
            .env("APNS_PORT", mock.port("production")?.to_string())
            .env("APNS_CA", mock.ca())
            .env("NODE_EXTRA_CA_CERTS", mock.ca())
            .env("APNS_KEY", key)
            .env("APNS_KEY_ID", &credentials.key_id)
            .env("APNS_TEAM_ID", TEAM_ID)
            .env("APNS_TOPIC", TOPIC)
            .env("WINDOW", sender.window().to_string())
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?);
        let mut child = process::spawn(&mut command)?;
        let input = child.stdin.take().context("its input is piped")?;
        let output = child.stdout.take().context("its output is piped")?;
        Ok(Self {
            child,
            input,
            output: BufReader::with_capacity(INPUT_BUFFER, output),
            log,
        })
    }

    pub(super) fn process(&self) -> Result<u32> {
        self.child.id().context("the sender has ended")
    }

    pub(super) async fn send(&mut self, orders: Orders, at_once: usize) -> Result<Answers> {
        let (pushes, input, output, log) = (orders.pushes(), &mut self.input, &mut self.output, &self.log);
        let an_order = orders.clone().next().map_or(1, |order| order.devices);
        let places = Semaphore::new(at_once);
        let answers = RefCell::new(Answers::from_now_on());
        let give = async {
            for order in orders {
                places.acquire().await?.forget();
                input.write_all(&order.body).await?;
                input.write_all(b"\n").await?;
            }
            input.flush().await?;
            anyhow::Ok(())
        };
        let take = async {
            let mut line = Vec::new();
            while answers.borrow().count() < pushes {
                line.clear();
                if output.read_until(b'\n', &mut line).await? == 0 {
                    let log = fs::read_to_string(log).unwrap_or_default();
                    bail!("it ended: {}", log.trim_end().lines().last().unwrap_or_default());
                }
                answers.borrow_mut().line(&line)?;
                // Results arrive in any order, so this many of them count as a finished request.
                if answers.borrow().count().is_multiple_of(an_order) {
                    places.add_permits(1);
                }
            }
            Ok(())
        };
        tokio::try_join!(give, take)?;
        Ok(answers.into_inner())
    }

    pub(super) async fn stop(self) -> Result<()> {
        process::stop(self.child, Some(self.input)).await
    }
}

fn command(sender: Sender, node: &Path) -> Result<Command> {
    let script = |folder: &str, name: &str| project::peers().join(folder).join(name);
    let run = |program: PathBuf, script: PathBuf| {
        let mut command = Command::new(program);
        command.arg(script);
        command
    };
    Ok(match sender {
        Sender::A2 => Command::new(project::a2_target().join("release").join("bench-a2")),
        Sender::NodeApn => run(node.to_owned(), script("node", "node-apn.mjs")),
        Sender::Apns2 => run(node.to_owned(), script("node", "apns2.mjs")),
        Sender::Aioapns => {
            let python = project::python_packages().join("bin").join("python");
            run(python, script("aioapns", "sender.py"))
        }
        Sender::Fetch | Sender::Socket1 | Sender::Socket4 => bail!("{sender} is no peer"),
    })
}
