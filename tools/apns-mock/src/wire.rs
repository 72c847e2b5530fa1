//! The streams, limits and GOAWAYs of an HTTP/2 connection, tracked by its frames.
//!
//! Crate `h2` cannot change the stream limit of an open connection, cannot send GOAWAY with debug data, and
//! does not report how many streams a client has open. So [`tap::Tap`] is between `h2` and the socket. It
//! reports each frame to a [`Wire`], and inserts the frames that the [`Wire`] wants to send. Source: RFC 9113
//! sections 5.1.2, 6.5, 6.7 and 6.8.

pub(crate) mod frame;
pub(crate) mod tap;

use std::collections::{HashMap, HashSet, VecDeque};
use std::task::Waker;
use std::time::Duration;

use foldhash::fast::FixedState;

use self::frame::{ACK, END_STREAM, FrameHead, Kind};
use crate::fault::LastStream;
use crate::simulation::Simulation;

/// How a stream is handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It is answered.
    Serve,
    /// It gets RST_STREAM with `REFUSED_STREAM`.
    Refuse,
    /// It gets no answer.
    Ignore,
}

#[derive(Debug)]
struct Farewell {
    last: u32,
    /// How streams above `last` are handled.
    later: Admission,
    /// Whether the client has acknowledged the PING after the GOAWAY, and so has seen it.
    confirmed: bool,
    /// How long the connection stays open after the last answer.
    linger: Duration,
}

/// The streams and limits of a connection.
#[derive(Debug)]
pub(crate) struct Wire {
    /// Streams without an answer.
    open: HashSet<u32, FixedState>,
    highest: u32,
    /// Streams that will not be served, until the connection has handled them.
    doomed: HashMap<u32, Admission, FixedState>,
    initial_limit: u32,
    /// The last limit sent.
    limit: u32,
    /// The last limit that the client has acknowledged, if any.
    acked: Option<u32>,
    unacked: VecDeque<u32>,
    farewell: Option<Farewell>,
    /// Frames to insert at the next frame boundary.
    outbox: Vec<u8>,
    waker: Option<Waker>,
}

impl Wire {
    pub(crate) fn new(initial_limit: u32) -> Self {
        Self {
            open: HashSet::with_hasher(FixedState::with_seed(0)),
            highest: 0,
            doomed: HashMap::with_hasher(FixedState::with_seed(0)),
            initial_limit,
            limit: initial_limit,
            acked: None,
            unacked: VecDeque::new(),
            farewell: None,
            outbox: frame::initial_settings(initial_limit),
            waker: None,
        }
    }

    /// Sends a new stream limit, unless it is the current one.
    pub(crate) fn set_limit(&mut self, limit: u32) {
        if self.limit != limit {
            self.limit = limit;
            self.unacked.push_back(limit);
            self.outbox.extend(frame::stream_limit(limit));
            self.wake();
        }
    }

    /// Sends GOAWAY, and a PING whose acknowledgement shows that the client has seen it. `stream` is the one
    /// that caused it.
    ///
    /// The connection closes `linger` after the last answer.
    pub(crate) fn say_farewell(
        &mut self,
        last: LastStream,
        stream: Option<u32>,
        code: u32,
        debug: &[u8],
        linger: Duration,
    ) {
        let this = stream.unwrap_or(self.highest);
        let (last, later) = match last {
            LastStream::Seen => (self.highest, Admission::Refuse),
            LastStream::This => (this, Admission::Ignore),
            LastStream::Before => (this.saturating_sub(2), Admission::Ignore),
        };
        self.outbox.extend(frame::go_away(last, code, debug));
        self.outbox.extend(frame::ping());
        self.farewell = Some(Farewell {
            last,
            later,
            confirmed: false,
            linger,
        });
        self.wake();
    }

    /// Returns how a new stream is handled.
    pub(crate) fn admit(&mut self, stream: u32) -> Admission {
        if self.doomed.is_empty() && self.farewell.is_none() {
            return Admission::Serve;
        }
        match self.doomed.remove(&stream) {
            Some(admission) => admission,
            None if self.has_dropped(stream) => Admission::Ignore,
            None => Admission::Serve,
        }
    }

    /// Whether a GOAWAY has said that this stream is not processed.
    pub(crate) fn has_dropped(&self, stream: u32) -> bool {
        self.farewell
            .as_ref()
            .is_some_and(|farewell| stream > farewell.last)
    }

    /// Returns how long the connection stays open after a GOAWAY once everything is answered.
    pub(crate) fn linger(&self) -> Duration {
        self.farewell
            .as_ref()
            .map(|farewell| farewell.linger)
            .unwrap_or_default()
    }

    /// Whether a GOAWAY was sent, and every stream that it promised to answer is answered.
    pub(crate) fn is_drained(&self) -> bool {
        self.farewell
            .as_ref()
            .is_some_and(|farewell| self.open.iter().all(|stream| *stream > farewell.last))
    }

    /// Whether a GOAWAY was sent.
    pub(crate) fn has_said_farewell(&self) -> bool {
        self.farewell.is_some()
    }

    /// Returns the number of streams without an answer.
    pub(crate) fn open_streams(&self) -> usize {
        self.open.len()
    }

    fn set_waker(&mut self, waker: &Waker) {
        if !self.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            self.waker = Some(waker.clone());
        }
    }

    fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }

    /// Tracks a frame from the client. Returns `true` if `h2` must not see it.
    fn received(&mut self, frame: FrameHead, simulation: &Simulation) -> bool {
        match frame.kind {
            Kind::Headers if frame.stream > self.highest => self.arrived(frame.stream, simulation),
            Kind::Reset => self.closed(frame.stream, simulation),
            Kind::Priority => simulation
                .violations
                .log(|| "a PRIORITY frame was sent".to_owned()),
            Kind::Settings if frame.has(ACK) => {
                if self.acked.is_none() {
                    self.acked = Some(self.initial_limit);
                } else if let Some(limit) = self.unacked.pop_front() {
                    self.acked = Some(limit);
                    return true;
                }
            }
            Kind::Ping if frame.has(ACK) => {
                if let Some(farewell) = &mut self.farewell {
                    farewell.confirmed = true;
                    return true;
                }
            }
            Kind::Ping => simulation.counters.pings.add(1),
            Kind::Headers | Kind::Data | Kind::Settings | Kind::GoAway | Kind::Other => {}
        }
        false
    }

    /// Tracks a new stream: it is open, or too late, or above the limit.
    fn arrived(&mut self, stream: u32, simulation: &Simulation) {
        self.highest = stream;
        if let Some(farewell) = &self.farewell {
            self.doomed.insert(stream, farewell.later);
            if farewell.confirmed {
                simulation
                    .violations
                    .log(|| format!("stream {stream} was opened after GOAWAY had arrived"));
            }
            return;
        }
        let open = u32::try_from(self.open.len()).unwrap_or(u32::MAX);
        if open >= self.limit {
            self.doomed.insert(stream, Admission::Refuse);
            let allowed = self
                .acked
                .map(|acked| self.unacked.iter().copied().fold(acked, u32::max));
            if let Some(allowed) = allowed.filter(|allowed| open >= *allowed) {
                simulation.violations.log(|| {
                    format!(
                        "stream {stream} was opened beside {open} others; the acknowledged limit is {allowed}"
                    )
                });
            }
            return;
        }
        self.open.insert(stream);
        simulation.counters.opened(1);
        simulation
            .counters
            .peak_in_flight_on_one_connection
            .raise_to(self.open.len() as u64);
    }

    fn closed(&mut self, stream: u32, simulation: &Simulation) {
        if self.open.remove(&stream) {
            simulation.counters.in_flight.sub(1);
        }
    }

    /// Tracks a frame to the client.
    fn sent(&mut self, frame: FrameHead, simulation: &Simulation) {
        match frame.kind {
            Kind::Headers | Kind::Data if frame.has(END_STREAM) => self.closed(frame.stream, simulation),
            Kind::Reset => self.closed(frame.stream, simulation),
            _ => {}
        }
    }
}
