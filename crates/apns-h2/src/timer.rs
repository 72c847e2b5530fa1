//! The clock of a connection.
//!
//! Natively it is `tokio`'s, on Workers the platform's, and in tests a virtual one.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use apns::time::Timestamp;

/// Reads the time and waits.
pub trait Timer {
    /// Returns the current time.
    fn now(&self) -> Timestamp;

    /// Resolves after `duration`. Dropping it earlier cancels the timer.
    ///
    /// A busy connection creates one every few seconds, not one per push.
    fn sleep(&self, duration: Duration) -> Sleep;
}

/// Resolves after a while.
pub type Sleep = Pin<Box<dyn Future<Output = ()>>>;
