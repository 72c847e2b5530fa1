//! Campaigns: who gets a notification, when, and with which text.
//!
//! In scope, as decisions and SQL statements: audiences and their devices, segments, templates, schedules,
//! the runs of a campaign, and scans. Out of scope: executing the statements (the Worker), sending pushes
//! (crate `batch` and below), and the HTTP contract (crate `api`).

pub mod audience;
pub mod scan;
pub mod schedule;
pub mod scheduler;
pub mod segment;
pub mod template;
