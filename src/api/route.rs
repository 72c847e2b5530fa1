//! Which requests there are.

use super::problem::{Kind, Problem};

/// A request that we know, before its body is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route<'p> {
    /// `POST /v1/push`: send.
    Push,
    /// `POST /v1/preview`: what would be sent.
    Preview,
    /// `GET /healthz`: the Worker runs.
    Healthz,
    /// `GET /v1/doctor`: the configuration and APNs, probed.
    Doctor,
    /// `GET /metrics`: for Prometheus.
    Metrics,
    /// `GET /v1/batches`: the caller's batches.
    Batches,
    /// `/v1/batches/{id}` and what is below it.
    Batch {
        /// The batch's id.
        id: &'p str,
        /// What is done with it.
        action: BatchAction,
    },
    /// `GET /v1/audiences`: the caller's audiences.
    Audiences,
    /// `/v1/audiences/{name}` and what is below it.
    Audience {
        /// The audience's name.
        name: &'p str,
        /// What is done with it.
        action: AudienceAction,
    },
    /// `GET /v1/campaigns`: the caller's campaigns.
    Campaigns,
    /// `POST /v1/campaigns`: a new one.
    CreateCampaign,
    /// `/v1/campaigns/{id}` and what is below it.
    Campaign {
        /// The campaign's id.
        id: &'p str,
        /// What is done with it.
        action: CampaignAction,
    },
    /// `GET /v1/dead-letters`: queue messages that nothing could be done with.
    DeadLetters,
    /// `POST /v1/dead-letters/{id}/replay`: into the queue again.
    ReplayDeadLetter {
        /// The message's id.
        id: &'p str,
    },
    /// `DELETE /v1/dead-letters/{id}`: away with it.
    DropDeadLetter {
        /// The message's id.
        id: &'p str,
    },
}

/// What is done with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchAction {
    /// `GET`: how it stands.
    Status,
    /// `DELETE`: it is forgotten.
    Delete,
    /// `GET receipts`.
    Receipts,
    /// `GET gone`: the devices to delete.
    Gone,
    /// `GET events`: its progress.
    Events,
    /// `GET deliveries`: what was told to its webhook.
    Deliveries,
    /// `POST cancel`.
    Cancel,
    /// `POST pause`.
    Pause,
    /// `POST resume`.
    Resume,
}

/// What is done with an audience.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AudienceAction {
    /// `GET`: what it is, and how many devices it has.
    Read,
    /// `PUT`: there is such a one.
    Put,
    /// `DELETE`: it is forgotten, with its devices.
    Delete,
    /// `GET devices`: all of them.
    Export,
    /// `POST devices`: these are in it.
    Import,
    /// `DELETE devices`: these are not.
    Remove,
    /// `POST count`: the devices of a segment.
    Count,
}

/// What is done with a campaign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CampaignAction {
    /// `GET`: what it is, and how it stands.
    Read,
    /// `PUT`: it becomes another.
    Replace,
    /// `DELETE`: it is forgotten.
    Delete,
    /// `POST schedule`: a draft is one no more.
    Schedule,
    /// `POST pause`.
    Pause,
    /// `POST resume`.
    Resume,
    /// `POST cancel`.
    Cancel,
    /// `POST test`: send now to a few.
    Test,
    /// `POST preview`: what would be sent to a few.
    Preview,
    /// `GET runs`: what was sent.
    Runs,
}

impl<'p> Route<'p> {
    /// Finds the route of a request.
    ///
    /// # Errors
    /// 404 for a path that there is not, 405 with `Allow` for a method that the path does not take.
    pub fn find(method: &str, path: &'p str) -> Result<Self, Problem> {
        let routes = Self::at(path);
        if let Some((_, route)) = routes.iter().find(|(allowed, _)| *allowed == method) {
            return Ok(*route);
        }
        if routes.is_empty() {
            return Err(Problem::new(Kind::NotFound, "see the README for the paths"));
        }
        let allowed: Vec<&str> = routes.iter().map(|(allowed, _)| *allowed).collect();
        let allowed = allowed.join(", ");
        let detail = format!("{path} takes {allowed}");
        Err(Problem::new(Kind::MethodNotAllowed, detail).with_header("allow", allowed))
    }

    /// What there is at a path, by method.
    fn at(path: &'p str) -> Vec<(&'static str, Self)> {
        let parts: Vec<&str> = path.strip_prefix('/').unwrap_or_default().split('/').collect();
        match *parts.as_slice() {
            ["healthz"] => vec![("GET", Self::Healthz)],
            ["metrics"] => vec![("GET", Self::Metrics)],
            ["v1", "push"] => vec![("POST", Self::Push)],
            ["v1", "preview"] => vec![("POST", Self::Preview)],
            ["v1", "doctor"] => vec![("GET", Self::Doctor)],
            ["v1", "batches"] => vec![("GET", Self::Batches)],
            ["v1", "batches", id] if !id.is_empty() => {
                let batch = |action| Self::Batch { id, action };
                vec![
                    ("GET", batch(BatchAction::Status)),
                    ("DELETE", batch(BatchAction::Delete)),
                ]
            }
            ["v1", "batches", id, below] if !id.is_empty() => BatchAction::below(below)
                .map(|(method, action)| (method, Self::Batch { id, action }))
                .into_iter()
                .collect(),
            ["v1", "audiences"] => vec![("GET", Self::Audiences)],
            ["v1", "audiences", name, ref below @ ..] if !name.is_empty() => AudienceAction::at(below)
                .iter()
                .map(|(method, action)| {
                    (
                        *method,
                        Self::Audience {
                            name,
                            action: *action,
                        },
                    )
                })
                .collect(),
            ["v1", "campaigns"] => vec![("GET", Self::Campaigns), ("POST", Self::CreateCampaign)],
            ["v1", "campaigns", id, ref below @ ..] if !id.is_empty() => CampaignAction::at(below)
                .iter()
                .map(|(method, action)| (*method, Self::Campaign { id, action: *action }))
                .collect(),
            ["v1", "dead-letters"] => vec![("GET", Self::DeadLetters)],
            ["v1", "dead-letters", id] if !id.is_empty() => vec![("DELETE", Self::DropDeadLetter { id })],
            ["v1", "dead-letters", id, "replay"] if !id.is_empty() => {
                vec![("POST", Self::ReplayDeadLetter { id })]
            }
            _ => Vec::new(),
        }
    }
}

impl BatchAction {
    /// The action below a batch's path, and its method.
    fn below(name: &str) -> Option<(&'static str, Self)> {
        Some(match name {
            "receipts" => ("GET", Self::Receipts),
            "gone" => ("GET", Self::Gone),
            "events" => ("GET", Self::Events),
            "deliveries" => ("GET", Self::Deliveries),
            "cancel" => ("POST", Self::Cancel),
            "pause" => ("POST", Self::Pause),
            "resume" => ("POST", Self::Resume),
            _ => return None,
        })
    }
}

impl AudienceAction {
    /// The actions at what is below an audience's path, by method.
    const fn at(below: &[&str]) -> &'static [(&'static str, Self)] {
        match below {
            [] => &[("GET", Self::Read), ("PUT", Self::Put), ("DELETE", Self::Delete)],
            [below] => match below.as_bytes() {
                b"devices" => &[
                    ("GET", Self::Export),
                    ("POST", Self::Import),
                    ("DELETE", Self::Remove),
                ],
                b"count" => &[("POST", Self::Count)],
                _ => &[],
            },
            _ => &[],
        }
    }
}

impl CampaignAction {
    /// The actions at what is below a campaign's path, by method.
    const fn at(below: &[&str]) -> &'static [(&'static str, Self)] {
        match below {
            [] => &[
                ("GET", Self::Read),
                ("PUT", Self::Replace),
                ("DELETE", Self::Delete),
            ],
            [below] => match below.as_bytes() {
                b"schedule" => &[("POST", Self::Schedule)],
                b"pause" => &[("POST", Self::Pause)],
                b"resume" => &[("POST", Self::Resume)],
                b"cancel" => &[("POST", Self::Cancel)],
                b"test" => &[("POST", Self::Test)],
                b"preview" => &[("POST", Self::Preview)],
                b"runs" => &[("GET", Self::Runs)],
                _ => &[],
            },
            _ => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "00112233445566778899aabbccddeeff";

    #[test]
    fn the_routes_are_found() {
        assert_eq!(Route::find("POST", "/v1/push"), Ok(Route::Push));
        assert_eq!(Route::find("GET", "/v1/doctor"), Ok(Route::Doctor));
        assert_eq!(Route::find("GET", "/v1/batches"), Ok(Route::Batches));
        assert_eq!(Route::find("GET", "/metrics"), Ok(Route::Metrics));
        let batch = |action| Ok(Route::Batch { id: ID, action });
        let path = format!("/v1/batches/{ID}");
        let receipts = format!("{path}/receipts");
        let cancel = format!("{path}/cancel");
        assert_eq!(Route::find("GET", &path), batch(BatchAction::Status));
        assert_eq!(Route::find("DELETE", &path), batch(BatchAction::Delete));
        assert_eq!(Route::find("GET", &receipts), batch(BatchAction::Receipts));
        assert_eq!(Route::find("POST", &cancel), batch(BatchAction::Cancel));
        assert_eq!(
            Route::find("POST", "/v1/dead-letters/7/replay"),
            Ok(Route::ReplayDeadLetter { id: "7" })
        );
    }

    #[test]
    fn the_routes_of_audiences_are_found() {
        let audience = |action| Ok(Route::Audience { name: "all", action });
        assert_eq!(Route::find("GET", "/v1/audiences"), Ok(Route::Audiences));
        for (method, below, action) in [
            ("GET", "", AudienceAction::Read),
            ("PUT", "", AudienceAction::Put),
            ("DELETE", "", AudienceAction::Delete),
            ("GET", "/devices", AudienceAction::Export),
            ("POST", "/devices", AudienceAction::Import),
            ("DELETE", "/devices", AudienceAction::Remove),
            ("POST", "/count", AudienceAction::Count),
        ] {
            let path = format!("/v1/audiences/all{below}");
            assert_eq!(Route::find(method, &path), audience(action), "{method} {path}");
        }
    }

    #[test]
    fn the_routes_of_campaigns_are_found() {
        let campaign = |action| Ok(Route::Campaign { id: ID, action });
        assert_eq!(Route::find("GET", "/v1/campaigns"), Ok(Route::Campaigns));
        assert_eq!(Route::find("POST", "/v1/campaigns"), Ok(Route::CreateCampaign));
        for (method, below, action) in [
            ("GET", "", CampaignAction::Read),
            ("PUT", "", CampaignAction::Replace),
            ("DELETE", "", CampaignAction::Delete),
            ("POST", "/schedule", CampaignAction::Schedule),
            ("POST", "/pause", CampaignAction::Pause),
            ("POST", "/resume", CampaignAction::Resume),
            ("POST", "/cancel", CampaignAction::Cancel),
            ("POST", "/test", CampaignAction::Test),
            ("POST", "/preview", CampaignAction::Preview),
            ("GET", "/runs", CampaignAction::Runs),
        ] {
            let path = format!("/v1/campaigns/{ID}{below}");
            assert_eq!(Route::find(method, &path), campaign(action), "{method} {path}");
        }
    }

    #[test]
    fn a_wrong_method_names_the_right_ones() {
        for (path, allowed) in [
            ("/v1/push", "POST"),
            ("/v1/batches/7", "GET, DELETE"),
            ("/v1/batches/7/pause", "POST"),
            ("/v1/audiences/all/devices", "GET, POST, DELETE"),
            ("/v1/campaigns", "GET, POST"),
            ("/v1/campaigns/7/runs", "GET"),
        ] {
            let answer = Route::find("PATCH", path).unwrap_err().answer();
            assert_eq!(
                (answer.status, answer.headers),
                (405, vec![("allow", allowed.to_owned())])
            );
        }
    }

    #[test]
    fn a_path_is_exact() {
        for path in [
            "/",
            "",
            "/v1/push/",
            "/V1/push",
            "/v1/push?x",
            "//v1/push",
            "v1/push",
            "/v1/batches/",
            "/v1/batches/7/",
            "/v1/batches/7/none",
            "/v1/batches//cancel",
            "/v1/audiences/",
            "/v1/audiences/all/devices/",
            "/v1/audiences/all/devices/7",
            "/v1/campaigns//test",
            "/v1/campaigns/7/send",
            "/v1/campaigns/7/test/7",
        ] {
            assert_eq!(
                Route::find("POST", path).unwrap_err().kind(),
                Kind::NotFound,
                "{path}"
            );
        }
    }
}
