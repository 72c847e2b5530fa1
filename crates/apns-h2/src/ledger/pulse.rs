//! Whether the server is still there.
//!
//! A broken path may stay silent for hours. So a connection that is idle for long, or on which pushes wait and nothing
//! comes, is asked with a PING, and given up if that is not answered. Source: RFC 9113 section 6.7; Apple asks for no
//! more than a PING an hour on a connection that is idle.

use std::time::Duration;

use super::Due;
use apns::time::Timestamp;

/// How long silence is borne.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// With nothing under way, before a PING.
    pub(crate) idle: Duration,
    /// With pushes under way, before a PING.
    pub(crate) stall: Duration,
    /// After a PING, before the connection is given up.
    pub(crate) pong: Duration,
}

/// When something was last heard and said.
#[derive(Debug)]
pub(crate) struct Pulse {
    patience: Patience,
    heard: Timestamp,
    launched: Timestamp,
    /// Since when pushes have been under way without a break.
    busy_since: Timestamp,
    pinged: Option<Timestamp>,
}

impl Pulse {
    pub(super) const fn new(patience: Patience, now: Timestamp) -> Self {
        Self {
            patience,
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

    /// A push goes out; `first` if there was none under way.
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

    /// How long the server has to let a connection end that is of no more use since `since`: as long as for a PING.
    pub(super) fn farewell(&self, since: Timestamp) -> Timestamp {
        since + self.patience.pong
    }

    /// When silence has lasted too long, if it lasts.
    pub(super) fn next(&self, busy: bool) -> Timestamp {
        match self.pinged {
            Some(pinged) => self.heard.max(pinged) + self.patience.pong,
            None if busy => self.heard.max(self.busy_since) + self.patience.stall,
            None => self.heard.max(self.launched) + self.patience.idle,
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

    fn pulse() -> Pulse {
        let patience = Patience {
            idle: Duration::from_secs(3600),
            stall: Duration::from_secs(10),
            pong: Duration::from_secs(10),
        };
        Pulse::new(patience, at(0))
    }

    #[test]
    fn an_idle_connection_is_asked_after_an_hour() {
        let mut pulse = pulse();
        pulse.launched(true, at(5));
        pulse.heard(at(6));
        assert_eq!(pulse.tick(false, at(3605)), QUIET);
        assert_eq!(pulse.tick(false, at(3606)), PING);
        pulse.ponged(at(3607));
        assert_eq!(pulse.next(false), at(7207));
    }

    #[test]
    fn a_connection_is_asked_when_answers_stall() {
        let mut pulse = pulse();
        pulse.launched(true, at(100));
        assert_eq!(pulse.next(true), at(110));
        pulse.launched(false, at(108));
        pulse.heard(at(109));
        assert_eq!(pulse.tick(true, at(118)), QUIET);
        assert_eq!(pulse.tick(true, at(119)), PING);
    }

    #[test]
    fn a_ping_without_an_answer_means_that_the_server_is_gone() {
        let mut pulse = pulse();
        pulse.launched(true, at(0));
        assert_eq!(pulse.tick(true, at(10)), PING);
        assert_eq!(pulse.tick(true, at(19)), QUIET);
        assert_eq!(pulse.tick(true, at(20)), DEAD);
    }

    #[test]
    fn whatever_is_heard_after_a_ping_is_a_sign_of_life() {
        let mut pulse = pulse();
        pulse.launched(true, at(0));
        assert_eq!(pulse.tick(true, at(10)), PING);
        pulse.heard(at(15));
        assert_eq!(pulse.tick(true, at(24)), QUIET);
        assert_eq!(pulse.tick(true, at(25)), DEAD);
    }
}
