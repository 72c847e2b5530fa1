//! Examines the deployment for `GET /v1/doctor`.

use futures::future::join_all;
use worker::Env;

use super::{clock, fetch, gate};
use crate::api::Answer;
use crate::api::doctor::{self, CredentialCheck, Probe};
use crate::apns::Environment;
use crate::config::{ApiKey, App, Config};
use crate::delivery::gate::{Command, Reply};

/// Asks the gates of the caller's apps how they stand, and APNs whether it can be reached.
pub(super) async fn examine(caller: &ApiKey, config: &Config, env: &Env) -> Answer {
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
    let probes = join_all(
        environments
            .into_iter()
            .map(|environment| probe(environment, config)),
    )
    .await;
    doctor::answer(config, &apps, &checks, &probes, clock::now())
}

async fn check<'c>(app: &'c App, env: &Env) -> CredentialCheck<'c> {
    let gate = match gate::ask(env, &app.credential, &Command::Inspect).await {
        Ok(Reply::Inspected(inspection)) => Ok(inspection),
        Ok(_) => Err("the gate gave an answer to another question".to_owned()),
        Err(problem) => Err(problem),
    };
    CredentialCheck { app, gate }
}

async fn probe(environment: Environment, config: &Config) -> Probe {
    let started = clock::now();
    let outcome = fetch::probe(&config.origin(environment), started + config.attempt_timeout).await;
    let ms = u64::try_from(clock::now().since(started).as_millis()).unwrap_or(u64::MAX);
    Probe {
        environment,
        outcome,
        ms,
    }
}
