//! Leases: asking the gate for them, and giving them back.

use std::time::Duration;

use crate::objects::gate;
use crate::platform::log::Event;
use api::call_limit;
use api::config::{App, Transport};
use api::problem::{Kind, Problem};
use delivery::gate::{Command, Lease, Refusal, Reply};
use delivery::limiter::FairShare;
use worker::Env;

/// A lease of up to `want` permits for an app's credential, with a connection of the pool for the socket transport.
pub(crate) async fn open(env: &Env, app: &App, want: u32, transport: Transport) -> Result<Lease, Problem> {
    match ask(env, app, want, transport, None, None).await {
        Ok(Reply::Granted(lease)) => Ok(lease),
        Ok(Reply::Full { retry_after_ms }) => {
            let detail = "all permits of the app's credential are taken and the queue for them is full; nothing was sent";
            Err(Problem::new(Kind::Busy, detail).retry_after_ms(retry_after_ms))
        }
        Ok(Reply::Stopped {
            retry_after_ms,
            problem,
        }) => {
            let detail = format!("{problem}; nothing was sent");
            Err(Problem::new(Kind::ProviderTokenRefused, detail).retry_after_ms(retry_after_ms))
        }
        Ok(Reply::Unavailable { problem }) => Err(Problem::new(Kind::Misconfigured, problem)),
        Ok(Reply::Settled | Reply::Dial(_) | Reply::Inspected(_)) | Err(_) => {
            let detail = "the gate of the app's credential did not answer; nothing was sent";
            Err(Problem::new(Kind::Unavailable, detail).retry_after_ms(GATE_RETRY_MS))
        }
    }
}

/// Asks for a lease; `share` is that of the batch, if it is for one, and `refused` the token that APNs has refused, if that
/// is why.
pub(crate) async fn ask(
    env: &Env,
    app: &App,
    want: u32,
    transport: Transport,
    share: Option<FairShare>,
    refused: Option<Refusal>,
) -> Result<Reply, String> {
    let command = Command::Lease {
        want,
        ttl_ms: TTL_MS,
        wait_ms: call_limit::PERMIT_WAIT_MS,
        refused,
        pooled: transport == Transport::Socket,
        share,
    };
    logged(env, app, &command).await
}

/// Gives a lease back. A failure is logged; the permits then come back when the lease's time is over.
pub(crate) async fn give_back(env: &Env, app: &App, settle: Command) {
    let _ = logged(env, app, &settle).await;
}

async fn logged(env: &Env, app: &App, command: &Command) -> Result<Reply, String> {
    let reply = gate::ask(env, &app.credential, command).await;
    if let Err(problem) = &reply {
        Event::GateFailed {
            app: &app.name,
            problem,
        }
        .write();
    }
    reply
}

/// How long an order may go on launching pushes: 500 devices, six at a time, at 700 ms each. What is left then goes back
/// to the caller unsent.
pub(crate) const LAUNCH_TIME: Duration = Duration::from_secs(60);

/// The life of a lease: the launching time and the longest attempt after it.
pub(crate) const TTL_MS: u64 = 2 * 60 * 1000;

/// When to try again after the gate did not answer.
const GATE_RETRY_MS: u64 = 1000;
