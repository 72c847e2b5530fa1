//! The clock of whoever drives a connection.
//!
//! `tokio` has one and the platform has another, and under test the clock is virtual.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use apns::time::Timestamp;

/// What time it is, and waiting.
pub trait Timer {
    /// The moment.
    fn now(&self) -> Timestamp;

    /// Ends after `duration`. Dropped before that, it leaves no timer behind.
    ///
    /// A busy connection asks for one every few seconds, not one for each push.
    fn sleep(&self, duration: Duration) -> Sleep;
}

/// Ends after a while.
pub type Sleep = Pin<Box<dyn Future<Output = ()>>>;
