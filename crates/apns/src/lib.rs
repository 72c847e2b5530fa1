//! Apple's protocol as values.
//!
//! Requests to APNs and its answers are parsed once, at the edge, so nothing inside checks them again. In
//! scope: the forms and limits in Apple's documentation. Out of scope: how we react to an answer
//! (`delivery`), and how bytes reach Apple (`apns-h2`, the Worker).

pub mod apns_id;
pub mod collapse_id;
pub mod credential;
pub mod device_token;
pub mod environment;
pub mod expiration;
pub mod fault;
pub mod notification;
pub mod outcome;
pub mod payload;
pub mod priority;
pub mod provider_token;
pub mod push_type;
pub mod reason;
pub mod reply;
pub mod request;
pub mod time;
pub mod topic;

pub use apns_id::ApnsId;
pub use collapse_id::CollapseId;
pub use device_token::DeviceToken;
pub use environment::Environment;
pub use expiration::Expiration;
pub use notification::Notification;
pub use outcome::{Outcome, TransportError};
pub use priority::Priority;
pub use push_type::PushType;
pub use reason::Reason;
pub use reply::Reply;
pub use request::Request;
