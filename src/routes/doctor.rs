//! Examines the deployment for `GET /v1/doctor`.

use std::cell::RefCell;
use std::time::Duration;

use crate::objects::gate;
use crate::platform::clock;
use crate::routes::directory;
use crate::sending::{fetch, socket};
use api::Answer;
use api::config::{Address, App, Caller, Config, Transport};
use api::doctor::{self, CredentialCheck, Probe, Probing, RecentProbes};
use api::problem::{Kind, Problem};
use apns::Environment;
use delivery::gate::{Command, Reply};
use futures::future::{join_all, try_join_all};
use worker::Env;

thread_local! {
    /// The recent probes of this isolate. They concern the deployment and are the same for every caller.
    static RECENT: RefCell<RecentProbes> = RefCell::default();
}

/// Gets the state of the gates of the caller's apps, and probes APNs over each transport.
pub(crate) async fn examine(caller: &Caller, config: &Config, env: &Env) -> Result<Answer, Problem> {
    let apps: Vec<&App> = config
        .apps
        .iter()
        .filter(|app| caller.reaches(&app.name))
        .collect();
    let mut credentials: Vec<&App> = Vec::new();
    let mut environments: Vec<Environment> = Vec::new();
    for app in &apps {
        if !credentials.iter().any(|known| known.credential == app.credential) {
            credentials.push(app);
        }
        if !environments.contains(&app.credential.environment) {
            environments.push(app.credential.environment);
        }
    }
    let checks = join_all(credentials.into_iter().map(|app| check(app, env)));
    let paused = directory::paused(caller, config, env);
    let probes = try_join_all(environments.iter().map(|environment| probe(*environment, config)));
    let (checks, paused, probes) = futures::join!(checks, paused, probes);
    let mut probes = probes?.concat();
    let sends = |environment, transport| {
        apps.iter()
            .any(|app| app.credential.environment == environment && app.transport == transport)
    };
    for probe in &mut probes {
        // A probe is marked as in use only if one of the caller's apps uses its transport and environment.
        probe.in_use &= sends(probe.environment, probe.transport);
    }
    probes.sort_by_key(|probe| probe.transport == Transport::Socket);
    let paused = paused.as_ref().map_err(|problem| problem.detail().to_owned());
    Ok(doctor::answer(
        config,
        caller,
        &apps,
        &checks,
        paused,
        &probes,
        clock::now(),
    ))
}

async fn check<'c>(app: &'c App, env: &Env) -> CredentialCheck<'c> {
    let gate = match gate::ask(env, &app.credential, &Command::Inspect).await {
        Ok(Reply::Inspected(inspection)) => Ok(inspection),
        Ok(_) => Err("the gate gave an answer to another question".to_owned()),
        Err(problem) => Err(problem),
    };
    CredentialCheck { app, gate }
}

/// Probes each transport to an environment, unless this was done a moment ago.
async fn probe(environment: Environment, config: &Config) -> Result<Vec<Probe>, Problem> {
    let longest = config.attempt_timeout * 2 + CONNECT_TIME;
    let decided = RECENT.with_borrow_mut(|recent| recent.begin(environment, longest, clock::now()));
    match decided {
        Probing::Known(probes) => return Ok(probes),
        Probing::Busy => {
            let detail = "others examine the deployment right now";
            return Err(Problem::new(Kind::TooManyRequests, detail).retry_after_ms(1000));
        }
        Probing::Begin => {}
    }
    let usual = config.address(environment);
    let sockets = config.probed(environment).into_iter().map(|address| {
        let is_usual = address == usual;
        by_socket(environment, address, is_usual, config)
    });
    let (by_fetch, by_socket) = futures::join!(by_fetch(environment, config), join_all(sockets));
    let mut probes = vec![by_fetch];
    probes.extend(by_socket);
    RECENT.with_borrow_mut(|recent| recent.finish(environment, probes.clone(), clock::now()));
    Ok(probes)
}

async fn by_fetch(environment: Environment, config: &Config) -> Probe {
    let started = clock::now();
    let target = config.origin(environment);
    let outcome = fetch::probe(&target, started + config.attempt_timeout).await;
    let ms = clock::millis_since(started);
    Probe {
        environment,
        transport: Transport::Fetch,
        target,
        in_use: true,
        outcome,
        ms,
        streams: None,
    }
}

async fn by_socket(environment: Environment, address: Address, is_usual: bool, config: &Config) -> Probe {
    let target = format!("{}:{}", address.host, address.port);
    let socket::Probed { outcome, ms, streams } = socket::probe(&address, config.attempt_timeout).await;
    Probe {
        environment,
        transport: Transport::Socket,
        target,
        in_use: is_usual,
        outcome,
        ms,
        streams,
    }
}

/// The time limit for opening a socket, in addition to the attempts of a probe.
const CONNECT_TIME: Duration = Duration::from_secs(10);
