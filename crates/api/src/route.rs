//! The table of routes.

use super::problem::{Kind, Problem};

/// The route of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route<'p> {
    /// `POST /v1/push`: sends.
    Push,
    /// `POST /v1/preview`: shows what would be sent.
    Preview,
    /// `GET /healthz`: whether the apps can send.
    Healthz,
    /// `GET /v1/doctor`: checks the configuration and APNs.
    Doctor,
    /// `GET /metrics`: the metrics for Prometheus.
    Metrics,
    /// `GET /v1/batches`: the caller's batches.
    Batches,
    /// `/v1/batches/{id}` and the paths below it.
    Batch {
        /// The batch's id.
        id: &'p str,
        /// The endpoint.
        endpoint: BatchEndpoint,
    },
    /// `GET /v1/audiences`: the caller's audiences.
    Audiences,
    /// `/v1/audiences/{name}` and the paths below it.
    Audience {
        /// The audience's name.
        name: &'p str,
        /// The endpoint.
        endpoint: AudienceEndpoint,
    },
    /// `GET /v1/campaigns`: the caller's campaigns.
    Campaigns,
    /// `POST /v1/campaigns`: creates a campaign.
    CreateCampaign,
    /// `/v1/campaigns/{id}` and the paths below it.
    Campaign {
        /// The campaign's id.
        id: &'p str,
        /// The endpoint.
        endpoint: CampaignEndpoint,
    },
    /// `GET /v1/dead-letters`: queue messages that could not be handled.
    DeadLetters,
    /// `POST /v1/dead-letters/{id}/replay`: queues the message again.
    ReplayDeadLetter {
        /// The message's id.
        id: &'p str,
    },
    /// `DELETE /v1/dead-letters/{id}`: deletes the message.
    DropDeadLetter {
        /// The message's id.
        id: &'p str,
    },
}

/// An endpoint of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchEndpoint {
    /// `GET`: returns the status.
    Status,
    /// `DELETE`: deletes the batch.
    Delete,
    /// `GET receipts`.
    Receipts,
    /// `GET gone`: the devices to delete.
    Gone,
    /// `GET suspect`: the devices whose tokens APNs refused with 400.
    Suspect,
    /// `GET events`: streams the progress.
    Events,
    /// `GET deliveries`: the deliveries to the webhook.
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
    /// `GET`: returns the audience and its number of devices.
    Read,
    /// `PUT`: creates the audience.
    Put,
    /// `DELETE`: deletes the audience and its devices.
    Delete,
    /// `GET devices`: exports all devices.
    Export,
    /// `POST devices`: imports devices.
    Import,
    /// `DELETE devices`: removes devices.
    Remove,
    /// `POST count`: counts the devices of a segment.
    Count,
}

/// An endpoint of a campaign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CampaignEndpoint {
    /// `GET`: returns the campaign and its state.
    Read,
    /// `PUT`: replaces the campaign.
    Replace,
    /// `DELETE`: deletes the campaign.
    Delete,
    /// `POST schedule`: schedules a draft.
    Schedule,
    /// `POST pause`.
    Pause,
    /// `POST resume`.
    Resume,
    /// `POST cancel`.
    Cancel,
    /// `POST test`: sends to a few devices now.
    Test,
    /// `POST preview`: shows what would be sent to a few devices.
    Preview,
    /// `GET runs`: the runs.
    Runs,
}

/// An entry of [`TABLE`].
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The method. An entry with `GET` also accepts `HEAD`.
    pub method: &'static str,
    /// The path. A segment in braces is a parameter that must not be empty.
    pub path: &'static str,
    make: for<'p> fn(&'p str) -> Route<'p>,
}

impl<'p> Route<'p> {
    /// Finds the route of a request.
    ///
    /// # Errors
    /// 404 for an unknown path, 405 with `Allow` for a method that the path does not accept.
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
    /// Returns the parameter in `path`, or the empty text if the entry has none. Returns `None` if the path
    /// does not match.
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

/// `GET`, which includes `HEAD`.
const GET: &str = "GET";

/// The method that asks for the headers of a `GET` (RFC 9110, section 9.3.2).
pub const HEAD: &str = "HEAD";

/// All routes.
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
    // For clients and proxies that do not send a body with a DELETE.
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
