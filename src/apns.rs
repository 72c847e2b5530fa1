//! Ring 1: Apple's protocol as values.
//!
//! What APNs takes and what it answers, parsed once at the edge, so that nothing inside checks again. In scope: the
//! forms and limits of Apple's documentation. Out of scope: what we do about an answer (`delivery`), and how bytes get
//! to Apple (`wire`, `shell`).

pub mod credential;
pub mod environment;
pub mod payload;
pub mod priority;
pub mod provider_token;
pub mod push_type;

pub use environment::Environment;
pub use priority::Priority;
pub use push_type::PushType;
