//! HTTP handlers, one file per resource.

pub(crate) mod audiences;
pub(crate) mod batches;
pub(crate) mod campaigns;
pub(crate) mod directory;
pub(crate) mod doctor;
pub(crate) mod push;
