//! The platform: clock, storage, HTTP bodies, log, settings.

pub(crate) mod bindings;
pub(crate) mod body_reader;
pub(crate) mod clock;
pub(crate) mod database;
pub(crate) mod http;
pub(crate) mod log;
