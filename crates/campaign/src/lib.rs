//! Campaigns: who gets a notification, when, and in which words.
//!
//! In scope: audiences and their devices, segments, templates, schedules, the runs of a campaign, and how a run goes
//! through an audience, as decisions and as SQL statements. Out of scope: executing them (the Worker), sending the pushes
//! (crate `batch` and below), and the HTTP contract (crate `api`).

pub mod audience;
pub mod schedule;
pub mod scheduler;
pub mod segment;
pub mod template;
pub mod walk;
