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
        /// The endpoint.
        endpoint: BatchEndpoint,
    },
    /// `GET /v1/audiences`: the caller's audiences.
    Audiences,
    /// `/v1/audiences/{name}` and what is below it.
    Audience {
        /// The audience's name.
        name: &'p str,
        /// The endpoint.
        endpoint: AudienceEndpoint,
    },
    /// `GET /v1/campaigns`: the caller's campaigns.
    Campaigns,
    /// `POST /v1/campaigns`: a new one.
    CreateCampaign,
    /// `/v1/campaigns/{id}` and what is below it.
    Campaign {
        /// The campaign's id.
        id: &'p str,
        /// The endpoint.
        endpoint: CampaignEndpoint,
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

/// An endpoint of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchEndpoint {
    /// `GET`: how it stands.
    Status,
    /// `DELETE`: it is forgotten.
    Delete,
    /// `GET receipts`.
    Receipts,
    /// `GET gone`: the devices to delete.
    Gone,
    /// `GET suspect`: the devices whose tokens APNs refused with 400.
    Suspect,
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

/// An endpoint of an audience.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AudienceEndpoint {
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

/// An endpoint of a campaign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CampaignEndpoint {
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

/// An entry of [`TABLE`].
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The method. What takes `GET` takes `HEAD` as well.
    pub method: &'static str,
    /// The path; a segment in braces is a parameter, and not empty.
    pub path: &'static str,
    make: for<'p> fn(&'p str) -> Route<'p>,
}

impl<'p> Route<'p> {
    /// Finds the route of a request.
    ///
    /// # Errors
    /// 404 for an unknown path, 405 with `Allow` for a method that the path does not take.
    pub fn find(method: &str, path: &'p str) -> Result<Self, Problem> {
        let wanted = if method == HEAD { GET } else { method };
        let mut allowed = Vec::new();
        for entry in TABLE {
            let Some(parameter) = entry.parameter(path) else {
                continue;
            };
            if entry.method == wanted {
                return Ok((entry.make)(parameter));
            }
            allowed.push(entry.method);
            if entry.method == GET {
                allowed.push(HEAD);
            }
        }
        if allowed.is_empty() {
            return Err(Problem::new(
                Kind::NotFound,
                "unknown path; docs/reference/http.md lists all paths",
            ));
        }
        let allowed = allowed.join(", ");
        let detail = format!("{path} takes {allowed}");
        Err(Problem::new(Kind::MethodNotAllowed, detail).with_header("allow", allowed))
    }
}

impl Entry {
    /// The parameter in `path`, empty if the entry has none; `None` if the path is another.
    fn parameter<'p>(&self, path: &'p str) -> Option<&'p str> {
        let (mut pattern, mut segments) = (self.path.split('/'), path.split('/'));
        let mut parameter = "";
        loop {
            match (pattern.next(), segments.next()) {
                (None, None) => return Some(parameter),
                (Some(wanted), Some(segment)) if wanted.starts_with('{') && !segment.is_empty() => {
                    parameter = segment;
                }
                (Some(wanted), Some(segment)) if wanted == segment => {}
                _ => return None,
            }
        }
    }
}

/// `GET`, which brings `HEAD` with it.
const GET: &str = "GET";

/// The method that asks for the headers of a `GET` (RFC 9110, section 9.3.2).
pub const HEAD: &str = "HEAD";

/// Every request that there is.
pub const TABLE: &[Entry] = &[
    entry(GET, "/healthz", |_| Route::Healthz),
    entry(GET, "/metrics", |_| Route::Metrics),
    entry("POST", "/v1/push", |_| Route::Push),
    entry("POST", "/v1/preview", |_| Route::Preview),
    entry(GET, "/v1/doctor", |_| Route::Doctor),
    entry(GET, "/v1/batches", |_| Route::Batches),
    entry(GET, "/v1/batches/{id}", |id| Route::Batch {
        id,
        endpoint: BatchEndpoint::Status,
    }),
    entry("DELETE", "/v1/batches/{id}", |id| Route::Batch {
        id,
        endpoint: BatchEndpoint::Delete,
    }),
    entry(GET, "/v1/batches/{id}/receipts", |id| Route::Batch {
        id,
        endpoint: BatchEndpoint::Receipts,
    }),
    entry(GET, "/v1/batches/{id}/gone", |id| Route::Batch {
        id,
        endpoint: BatchEndpoint::Gone,
    }),
    entry(GET, "/v1/batches/{id}/suspect", |id| Route::Batch {
        id,
        endpoint: BatchEndpoint::Suspect,
    }),
    entry(GET, "/v1/batches/{id}/events", |id| Route::Batch {
        id,
        endpoint: BatchEndpoint::Events,
    }),
    entry(GET, "/v1/batches/{id}/deliveries", |id| Route::Batch {
        id,
        endpoint: BatchEndpoint::Deliveries,
    }),
    entry("POST", "/v1/batches/{id}/cancel", |id| Route::Batch {
        id,
        endpoint: BatchEndpoint::Cancel,
    }),
    entry("POST", "/v1/batches/{id}/pause", |id| Route::Batch {
        id,
        endpoint: BatchEndpoint::Pause,
    }),
    entry("POST", "/v1/batches/{id}/resume", |id| Route::Batch {
        id,
        endpoint: BatchEndpoint::Resume,
    }),
    entry(GET, "/v1/audiences", |_| Route::Audiences),
    entry(GET, "/v1/audiences/{name}", |name| Route::Audience {
        name,
        endpoint: AudienceEndpoint::Read,
    }),
    entry("PUT", "/v1/audiences/{name}", |name| Route::Audience {
        name,
        endpoint: AudienceEndpoint::Put,
    }),
    entry("DELETE", "/v1/audiences/{name}", |name| Route::Audience {
        name,
        endpoint: AudienceEndpoint::Delete,
    }),
    entry(GET, "/v1/audiences/{name}/devices", |name| Route::Audience {
        name,
        endpoint: AudienceEndpoint::Export,
    }),
    entry("POST", "/v1/audiences/{name}/devices", |name| Route::Audience {
        name,
        endpoint: AudienceEndpoint::Import,
    }),
    entry("DELETE", "/v1/audiences/{name}/devices", |name| Route::Audience {
        name,
        endpoint: AudienceEndpoint::Remove,
    }),
    // For clients and proxies that send no body with a DELETE.
    entry("POST", "/v1/audiences/{name}/devices/remove", |name| {
        Route::Audience {
            name,
            endpoint: AudienceEndpoint::Remove,
        }
    }),
    entry("POST", "/v1/audiences/{name}/count", |name| Route::Audience {
        name,
        endpoint: AudienceEndpoint::Count,
    }),
    entry(GET, "/v1/campaigns", |_| Route::Campaigns),
    entry("POST", "/v1/campaigns", |_| Route::CreateCampaign),
    entry(GET, "/v1/campaigns/{id}", |id| Route::Campaign {
        id,
        endpoint: CampaignEndpoint::Read,
    }),
    entry("PUT", "/v1/campaigns/{id}", |id| Route::Campaign {
        id,
        endpoint: CampaignEndpoint::Replace,
    }),
    entry("DELETE", "/v1/campaigns/{id}", |id| Route::Campaign {
        id,
        endpoint: CampaignEndpoint::Delete,
    }),
    entry("POST", "/v1/campaigns/{id}/schedule", |id| Route::Campaign {
        id,
        endpoint: CampaignEndpoint::Schedule,
    }),
    entry("POST", "/v1/campaigns/{id}/pause", |id| Route::Campaign {
        id,
        endpoint: CampaignEndpoint::Pause,
    }),
    entry("POST", "/v1/campaigns/{id}/resume", |id| Route::Campaign {
        id,
        endpoint: CampaignEndpoint::Resume,
    }),
    entry("POST", "/v1/campaigns/{id}/cancel", |id| Route::Campaign {
        id,
        endpoint: CampaignEndpoint::Cancel,
    }),
    entry("POST", "/v1/campaigns/{id}/test", |id| Route::Campaign {
        id,
        endpoint: CampaignEndpoint::Test,
    }),
    entry("POST", "/v1/campaigns/{id}/preview", |id| Route::Campaign {
        id,
        endpoint: CampaignEndpoint::Preview,
    }),
    entry(GET, "/v1/campaigns/{id}/runs", |id| Route::Campaign {
        id,
        endpoint: CampaignEndpoint::Runs,
    }),
    entry(GET, "/v1/dead-letters", |_| Route::DeadLetters),
    entry("DELETE", "/v1/dead-letters/{id}", |id| Route::DropDeadLetter {
        id,
    }),
    entry("POST", "/v1/dead-letters/{id}/replay", |id| {
        Route::ReplayDeadLetter { id }
    }),
];

const fn entry(method: &'static str, path: &'static str, make: for<'p> fn(&'p str) -> Route<'p>) -> Entry {
    Entry { method, path, make }
}

#[cfg(test)]
mod tests;
