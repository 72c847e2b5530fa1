//! Leases: requests them from the gate and returns them.

use std::time::Duration;

use crate::objects::gate;
use crate::platform::log::Event;
use api::call_limit;
use api::config::{App, Transport};
use api::problem::{Kind, Problem};
use delivery::gate::{Command, Lease, Refusal, Reply};
use delivery::limiter::FairShare;
use worker::Env;

/// Requests a lease of up to `want` permits for an app's credential. With the socket transport, it includes a
/// slot of the connection pool.
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

/// Requests a lease. `share` is the batch's share, if it is for a batch. `refused` is the token that APNs
/// refused, if that is the reason.
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

/// Returns a lease. A failure is logged; the permits then return when the lease expires.
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

/// How long a send request may launch pushes: 500 devices, six at a time, at 700 ms each. The rest is
/// returned to the caller unsent.
pub(crate) const LAUNCH_TIME: Duration = Duration::from_secs(60);

/// The lifetime of a lease: the launch time and the longest attempt after it.
pub(crate) const TTL_MS: u64 = 2 * 60 * 1000;

/// The delay after the gate did not answer.
const GATE_RETRY_MS: u64 = 1000;
