//! Examines the deployment for `GET /v1/doctor`.

use futures::future::join_all;
use worker::Env;

use super::{clock, fetch, gate, socket};
use crate::api::Answer;
use crate::api::doctor::{self, CredentialCheck, Probe};
use crate::apns::Environment;
use crate::config::{Address, App, Caller, Config, Transport};
use crate::delivery::gate::{Command, Reply};

/// Asks the gates of the caller's apps how they stand, and APNs by each transport whether it can be reached.
pub(super) async fn examine(caller: &Caller, config: &Config, env: &Env) -> Answer {
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
    let checks = join_all(credentials.into_iter().map(|app| check(app, env))).await;
    let uses = |environment, transport| {
        apps.iter()
            .any(|app| app.credential.environment == environment && app.transport == transport)
    };
    let fetches = environments
        .iter()
        .map(|environment| by_fetch(*environment, uses(*environment, Transport::Fetch), config));
    let sockets = environments.iter().flat_map(|environment| {
        let usual = config.address(*environment);
        config.probed(*environment).into_iter().map(move |address| {
            let in_use = address == usual && uses(*environment, Transport::Socket);
            by_socket(*environment, address, in_use, config)
        })
    });
    let (mut probes, by_socket) = futures::join!(join_all(fetches), join_all(sockets));
    probes.extend(by_socket);
    doctor::answer(config, caller, &apps, &checks, &probes, clock::now())
}

async fn check<'c>(app: &'c App, env: &Env) -> CredentialCheck<'c> {
    let gate = match gate::ask(env, &app.credential, &Command::Inspect).await {
        Ok(Reply::Inspected(inspection)) => Ok(inspection),
        Ok(_) => Err("the gate gave an answer to another question".to_owned()),
        Err(problem) => Err(problem),
    };
    CredentialCheck { app, gate }
}

async fn by_fetch(environment: Environment, in_use: bool, config: &Config) -> Probe {
    let started = clock::now();
    let target = config.origin(environment);
    let outcome = fetch::probe(&target, started + config.attempt_timeout).await;
    let ms = clock::millis_since(started);
    Probe {
        environment,
        transport: Transport::Fetch,
        target,
        in_use,
        outcome,
        ms,
        streams: None,
    }
}

async fn by_socket(environment: Environment, address: Address, in_use: bool, config: &Config) -> Probe {
    let target = format!("{}:{}", address.host, address.port);
    let socket::Probed { outcome, ms, streams } = socket::probe(&address, config.attempt_timeout).await;
    Probe {
        environment,
        transport: Transport::Socket,
        target,
        in_use,
        outcome,
        ms,
        streams,
    }
}
