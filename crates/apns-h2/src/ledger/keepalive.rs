//! Detects a server that no longer answers.
//!
//! A broken path may stay silent for hours. A PING is sent if a connection is idle for long, or if pushes
//! wait and nothing arrives. If the PING is not answered, the connection is closed. Source: RFC 9113 section
//! 6.7. Apple asks for at most one PING per hour on an idle connection.

use std::time::Duration;

use super::Due;
use apns::time::Timestamp;

/// How long the server may be silent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeepaliveTimes {
    /// With no push in flight, before a PING is sent.
    pub(crate) idle: Duration,
    /// With pushes in flight, before a PING is sent.
    pub(crate) stall: Duration,
    /// After a PING, before the connection is closed.
    pub(crate) pong: Duration,
}

/// Decides when to send a PING and when the server is considered gone.
#[derive(Debug)]
pub(crate) struct Keepalive {
    times: KeepaliveTimes,
    heard: Timestamp,
    launched: Timestamp,
    /// Since when at least one push has been in flight without a break.
    busy_since: Timestamp,
    pinged: Option<Timestamp>,
}

impl Keepalive {
    pub(super) const fn new(times: KeepaliveTimes, now: Timestamp) -> Self {
        Self {
            times,
            heard: now,
            launched: now,
            busy_since: now,
            pinged: None,
        }
    }

    pub(super) fn heard(&mut self, now: Timestamp) {
        self.heard = now;
    }

    pub(super) fn ponged(&mut self, now: Timestamp) {
        self.heard = now;
        self.pinged = None;
    }

    /// Records that a push is sent; `first` if no other was in flight.
    pub(super) fn launched(&mut self, first: bool, now: Timestamp) {
        self.launched = now;
        if first {
            self.busy_since = now;
        }
    }

    pub(super) fn tick(&mut self, busy: bool, now: Timestamp) -> Due {
        if now < self.next(busy) {
            return Due::default();
        }
        let dead = self.pinged.is_some();
        if !dead {
            self.pinged = Some(now);
        }
        Due { ping: !dead, dead }
    }

    /// Returns when to close a connection that has been out of use since `since`: after the time limit of a
    /// PING. The server may keep it open.
    pub(super) fn close_by(&self, since: Timestamp) -> Timestamp {
        since + self.times.pong
    }

    /// Returns when the silence has lasted too long, if nothing arrives.
    pub(super) fn next(&self, busy: bool) -> Timestamp {
        match self.pinged {
            Some(pinged) => self.heard.max(pinged) + self.times.pong,
            None if busy => self.heard.max(self.busy_since) + self.times.stall,
            None => self.heard.max(self.launched) + self.times.idle,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PING: Due = Due {
        ping: true,
        dead: false,
    };
    const DEAD: Due = Due {
        ping: false,
        dead: true,
    };
    const QUIET: Due = Due {
        ping: false,
        dead: false,
    };

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    fn keepalive() -> Keepalive {
        let times = KeepaliveTimes {
            idle: Duration::from_secs(3600),
            stall: Duration::from_secs(10),
            pong: Duration::from_secs(10),
        };
        Keepalive::new(times, at(0))
    }

    #[test]
    fn an_idle_connection_is_asked_after_an_hour() {
        let mut keepalive = keepalive();
        keepalive.launched(true, at(5));
        keepalive.heard(at(6));
        assert_eq!(keepalive.tick(false, at(3605)), QUIET);
        assert_eq!(keepalive.tick(false, at(3606)), PING);
        keepalive.ponged(at(3607));
        assert_eq!(keepalive.next(false), at(7207));
    }

    #[test]
    fn a_connection_is_asked_when_answers_stall() {
        let mut keepalive = keepalive();
        keepalive.launched(true, at(100));
        assert_eq!(keepalive.next(true), at(110));
        keepalive.launched(false, at(108));
        keepalive.heard(at(109));
        assert_eq!(keepalive.tick(true, at(118)), QUIET);
        assert_eq!(keepalive.tick(true, at(119)), PING);
    }

    #[test]
    fn a_ping_without_an_answer_means_that_the_server_is_gone() {
        let mut keepalive = keepalive();
        keepalive.launched(true, at(0));
        assert_eq!(keepalive.tick(true, at(10)), PING);
        assert_eq!(keepalive.tick(true, at(19)), QUIET);
        assert_eq!(keepalive.tick(true, at(20)), DEAD);
    }

    #[test]
    fn anything_received_after_a_ping_shows_that_the_server_is_there() {
        let mut keepalive = keepalive();
        keepalive.launched(true, at(0));
        assert_eq!(keepalive.tick(true, at(10)), PING);
        keepalive.heard(at(15));
        assert_eq!(keepalive.tick(true, at(24)), QUIET);
        assert_eq!(keepalive.tick(true, at(25)), DEAD);
    }
}
