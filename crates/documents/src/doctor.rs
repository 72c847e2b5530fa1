//! `GET /v1/doctor`: the checks of a deployment.

use serde::{Deserialize, Serialize};

/// The answer to `GET /v1/doctor`. It has names of settings and never their values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doctor {
    /// Whether no check failed.
    pub healthy: bool,
    /// The apps that work and that the caller reaches.
    pub apps: Vec<AppCheck>,
    /// The apps that send nothing because of faults in their settings. Absent if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub broken_apps: Vec<BrokenApp>,
    /// The faults of API keys. Absent if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub api_key_faults: Vec<Finding>,
    /// How long an attempt may take, in milliseconds.
    #[serde(default)]
    pub attempt_timeout_ms: u64,
    /// The most pushes in flight per credential.
    #[serde(default)]
    pub permits: u32,
    /// Whether pushes go to programs on the server's own machine.
    #[serde(default)]
    pub local_origins: bool,
    /// The gate of each credential.
    pub gates: Vec<GateCheck>,
    /// The newest batches that are paused. Absent if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paused_batches: Vec<PausedBatch>,
    /// Whether more batches are paused. Absent if not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more_paused_batches: bool,
    /// Why the paused batches are not known. Absent if they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batches_problem: Option<String>,
    /// The ways to APNs.
    pub probes: Vec<ProbeCheck>,
}

/// An app that works.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppCheck {
    /// Its name.
    pub name: String,
    /// Its topic.
    pub topic: String,
    /// Its environment: `production` or `sandbox`.
    pub environment: String,
    /// How its pushes are sent: `fetch` or `socket`.
    pub transport: String,
    /// `set`.
    #[serde(default)]
    pub team_id: String,
    /// `set`.
    #[serde(default)]
    pub key_id: String,
    /// `set`.
    #[serde(default)]
    pub signing_key: String,
    /// What is probably wrong with its settings. Absent if nothing is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Finding>,
}

/// An app that sends nothing until its settings are corrected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokenApp {
    /// Its name.
    pub name: String,
    /// What is wrong with its settings.
    pub faults: Vec<Finding>,
}

/// What is wrong, or probably wrong, with a setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The name of the setting, and the place within it.
    pub pointer: String,
    /// What is wrong with it.
    pub detail: String,
}

/// A batch that waits to be resumed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PausedBatch {
    /// Its id.
    pub id: String,
    /// The app that it sends as.
    pub app: String,
    /// When its upload began.
    pub created_at: String,
    /// How many pushes it has.
    pub pushes: u64,
}

/// The gate of a credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateCheck {
    /// The first app that uses the credential.
    pub app: String,
    /// The age of the provider token in seconds. Absent if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_token_age_s: Option<u64>,
    /// Whether APNs has accepted a push with this provider token.
    #[serde(default)]
    pub proven: bool,
    /// The most pushes in flight now.
    pub limit: u32,
    /// How many of them are taken.
    pub in_use: u32,
    /// How many requests wait for permits.
    pub waiting: u64,
    /// APNs' last refusal of the credential. Absent if it has accepted a push since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_refusal: Option<CredentialRefusal>,
    /// What keeps the credential from sending, and what to do. Absent if nothing does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// APNs' refusal of a credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialRefusal {
    /// The reason of APNs.
    pub reason: String,
    /// When it came.
    pub at: String,
}

/// A way to APNs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeCheck {
    /// The environment: `production` or `sandbox`.
    pub environment: String,
    /// The transport: `fetch` or `socket`.
    pub transport: String,
    /// The origin, or the host and port.
    pub target: String,
    /// Whether an app of the caller sends this way.
    pub in_use: bool,
    /// Whether APNs answered.
    pub ok: bool,
    /// What was answered, or what failed.
    pub answer: String,
    /// How long the answer took, in milliseconds.
    pub ms: u64,
    /// How many streams the server allows at first. Absent for `fetch`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub streams: Option<u64>,
}
