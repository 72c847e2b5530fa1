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
    fn a_wrong_method_names_the_right_ones() {
        for (path, allowed) in [
            ("/v1/push", "POST"),
            ("/v1/batches/7", "GET, DELETE"),
            ("/v1/batches/7/pause", "POST"),
        ] {
            let answer = Route::find("PUT", path).unwrap_err().answer();
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
        ] {
            assert_eq!(
                Route::find("POST", path).unwrap_err().kind(),
                Kind::NotFound,
                "{path}"
            );
        }
    }
}
