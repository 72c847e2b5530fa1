//! The promises of a connection, whatever a server does.
//!
//! A server takes random steps in virtual time: answers, refusals, resets, SETTINGS, GOAWAY, windows,
//! silence, hanging up. A sender sends pushes as the fan-out does: a push that was not sent is repeated while
//! the connection accepts pushes, a lost one is not. The server records which pushes it received completely,
//! and which of them it has promised not to have processed.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use apns::{Outcome, Reply};
use apns_h2::Options;
use proptest::prelude::*;
use tokio::io::{DuplexStream, duplex};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{sleep, timeout};

use crate::peer::{ACK, DATA, END_STREAM, Frame, HEADERS, PING, Peer, RST_STREAM, SETTINGS};
use crate::support::client;

/// The server's next step. A number chooses one of the possible streams.
#[derive(Clone, Debug)]
enum Step {
    Accept(usize),
    Reject(usize),
    Refuse(usize),
    Reset(usize),
    Settings(Option<u32>),
    Widen(u32),
    GoAway(usize),
    Sleep(u64),
    /// Neither reads nor writes for this many milliseconds.
    Stall(u64),
    Mute,
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => any::<usize>().prop_map(Step::Accept),
        4 => any::<usize>().prop_map(Step::Reject),
        2 => any::<usize>().prop_map(Step::Refuse),
        1 => any::<usize>().prop_map(Step::Reset),
        2 => prop::option::of(0u32..40).prop_map(Step::Settings),
        4 => (1u32..60_000).prop_map(Step::Widen),
        1 => any::<usize>().prop_map(Step::GoAway),
        6 => (0u64..500).prop_map(Step::Sleep),
        1 => (0u64..30_000).prop_map(Step::Sleep),
        2 => (0u64..30_000).prop_map(Step::Stall),
        1 => Just(Step::Mute),
        1 => Just(Step::Close),
    ]
}

/// Creates the body of a push: its number and filling.
fn body(number: u32, len: usize) -> Vec<u8> {
    let mut body = number.to_be_bytes().to_vec();
    body.resize(4 + len, b' ');
    body
}

/// The server's record.
#[derive(Default)]
struct Truth {
    /// Bodies, by stream; whole or not.
    bodies: BTreeMap<u32, Vec<u8>>,
    /// Streams whose request is complete and not disclaimed.
    whole: BTreeSet<u32>,
    /// Streams that neither side has closed.
    open: BTreeSet<u32>,
    /// Statuses, by push.
    answers: BTreeMap<u32, Vec<u16>>,
    /// Streams above this one are not processed.
    last: Option<u32>,
    highest: u32,
    /// The highest stream that was answered.
    processed: u32,
    /// The limits that were sent and not acknowledged yet, and the acknowledged one.
    limits: Vec<Option<u32>>,
    limit: Option<u32>,
    /// Whether more than one stream may be opened.
    proven: bool,
    faults: Vec<String>,
}

impl Truth {
    fn number(&self, stream: u32) -> u32 {
        let body = &self.bodies[&stream];
        u32::from_be_bytes(body[..4].try_into().unwrap())
    }

    fn see(&mut self, frame: &Frame) {
        let Frame {
            kind,
            flags,
            stream,
            payload,
        } = frame;
        match *kind {
            SETTINGS if flags & ACK != 0 => {
                let limit = self.limits.remove(0);
                let raised = limit.is_some_and(|limit| self.limit.is_some_and(|before| limit > before));
                self.proven |= raised;
                self.limit = limit.or(self.limit);
            }
            HEADERS => {
                if *stream <= self.highest {
                    self.faults
                        .push(format!("stream {stream} after {}", self.highest));
                }
                self.highest = *stream;
                if self.last.is_none_or(|last| *stream <= last) {
                    self.open.insert(*stream);
                }
                self.bodies.insert(*stream, Vec::new());
                let allowed = self.limit.map_or(usize::MAX, |limit| limit as usize);
                if self.open.len() > allowed {
                    self.faults
                        .push(format!("{} streams of {allowed}", self.open.len()));
                }
                if self.open.len() > 1 && !self.proven {
                    self.faults.push("a second stream too early".to_owned());
                }
            }
            DATA => {
                if let Some(body) = self.bodies.get_mut(stream) {
                    body.extend_from_slice(payload);
                }
                if flags & END_STREAM != 0 && self.open.contains(stream) {
                    self.whole.insert(*stream);
                }
            }
            RST_STREAM => {
                self.open.remove(stream);
            }
            _ => {}
        }
    }

    /// Chooses one of the streams that can be answered.
    fn answerable(&self, pick: usize) -> Option<u32> {
        let streams: Vec<u32> = self.whole.intersection(&self.open).copied().collect();
        streams.get(pick % streams.len().max(1)).copied()
    }

    fn any_open(&self, pick: usize) -> Option<u32> {
        let streams: Vec<u32> = self.open.iter().copied().collect();
        streams.get(pick % streams.len().max(1)).copied()
    }

    /// Chooses the last stream of a GOAWAY: at least the highest answered stream, and never higher than
    /// before.
    fn disclaim(&mut self, pick: usize) -> u32 {
        let last = self
            .any_open(pick)
            .map_or(self.highest, |stream| stream.saturating_sub(2));
        let last = self
            .last
            .map_or(last, |before| before.min(last))
            .max(self.processed);
        self.last = Some(last);
        self.whole.retain(|stream| *stream <= last);
        self.open.retain(|stream| *stream <= last);
        last
    }

    fn answer(&mut self, stream: u32, status: u16) {
        self.open.remove(&stream);
        self.proven = true;
        self.processed = self.processed.max(stream);
        let number = self.number(stream);
        self.answers.entry(number).or_default().push(status);
    }
}

async fn serve(io: DuplexStream, streams: Option<u32>, steps: Vec<Step>, truth: Rc<RefCell<Truth>>) {
    truth.borrow_mut().limits.push(streams);
    let mut peer = Peer::greet(io, streams).await;
    // The connection stays open until then; other tests cover a server that ends it earlier.
    sleep(Duration::from_millis(1)).await;
    let mut mute = false;
    for step in steps {
        // Everything that has arrived is read before each step and while it sleeps.
        let pause = if let Step::Sleep(millis) = step { millis } else { 0 };
        let pause = sleep(Duration::from_millis(pause));
        tokio::pin!(pause);
        loop {
            let frame = tokio::select! {
                biased;
                frame = peer.frame() => frame,
                () = &mut pause => break,
            };
            let Some(frame) = frame else { return };
            truth.borrow_mut().see(&frame);
            if frame.kind == PING && frame.flags & ACK == 0 && !mute {
                peer.send(PING, ACK, 0, &frame.payload).await;
            }
        }
        let stream = |pick| truth.borrow().any_open(pick);
        let answerable = |pick| truth.borrow().answerable(pick);
        match step {
            Step::Accept(pick) => {
                if let Some(stream) = answerable(pick) {
                    truth.borrow_mut().answer(stream, 200);
                    peer.accept(stream).await;
                }
            }
            Step::Reject(pick) => {
                if let Some(stream) = answerable(pick) {
                    truth.borrow_mut().answer(stream, 400);
                    peer.reject(stream).await;
                }
            }
            Step::Refuse(pick) => {
                if let Some(stream) = stream(pick) {
                    truth.borrow_mut().open.remove(&stream);
                    truth.borrow_mut().whole.remove(&stream);
                    peer.reset(stream, 7).await;
                }
            }
            Step::Reset(pick) => {
                if let Some(stream) = stream(pick) {
                    truth.borrow_mut().open.remove(&stream);
                    peer.reset(stream, 2).await;
                }
            }
            Step::Settings(streams) => {
                truth.borrow_mut().limits.push(streams);
                peer.settings(streams).await;
            }
            Step::Widen(bytes) => peer.widen(0, bytes).await,
            Step::GoAway(pick) => {
                let last = truth.borrow_mut().disclaim(pick);
                peer.go_away(last, 0, br#"{"reason":"Shutdown"}"#).await;
            }
            Step::Sleep(_) => {}
            Step::Stall(millis) => sleep(Duration::from_millis(millis)).await,
            Step::Mute => mute = true,
            Step::Close => return,
        }
    }
    // Nothing more is answered, but everything is read.
    while let Some(frame) = peer.frame().await {
        truth.borrow_mut().see(&frame);
    }
}

/// Sends all pushes and checks their outcomes.
async fn run(
    pipe: usize,
    streams: Option<u32>,
    steps: Vec<Step>,
    pushes: Vec<(usize, u64)>,
) -> Result<(), TestCaseError> {
    let (ours, theirs) = duplex(pipe);
    let truth = Rc::new(RefCell::new(Truth::default()));
    let server = spawn_local(serve(theirs, streams, steps, Rc::clone(&truth)));
    let options = Options {
        max_in_flight: 30,
        ..Options::default()
    };
    let client = Rc::new(client(ours, options).await);
    let settled = Rc::new(Cell::new(0_u64));
    let mut tasks = Vec::new();
    for (number, (len, patience)) in (0_u32..).zip(pushes) {
        let (client, settled) = (Rc::clone(&client), Rc::clone(&settled));
        tasks.push(spawn_local(async move {
            let mut request = client.request(number);
            request.body = body(number, len).into();
            let mut last = None;
            while let Ok(Ok(slot)) = timeout(Duration::from_secs(60), client.connection.slot()).await {
                let deadline = client.now() + Duration::from_millis(patience);
                let outcome = slot.send(&request, &client.template, deadline).await;
                settled.set(settled.get() + 1);
                let again = matches!(outcome, Outcome::NotSent(_));
                last = Some(outcome);
                if !again {
                    break;
                }
            }
            last
        }));
    }
    let mut outcomes = Vec::new();
    for task in tasks {
        outcomes.push(task.await.unwrap());
    }
    let counters = client.connection.counters();
    prop_assert_eq!((counters.in_flight, counters.waiting), (0, 0));
    prop_assert_eq!(counters.sent, settled.get());
    prop_assert_eq!(
        counters.sent,
        counters.answered + counters.not_sent + counters.lost
    );
    client.connection.close();
    let _ = server.await;

    let truth = truth.borrow();
    prop_assert_eq!(&truth.faults, &Vec::<String>::new());
    for (number, outcome) in (0_u32..).zip(outcomes) {
        let had = truth
            .whole
            .iter()
            .filter(|stream| truth.number(**stream) == number)
            .count();
        let answers = truth.answers.get(&number).cloned().unwrap_or_default();
        match outcome {
            Some(Outcome::Answered(Reply { status, .. })) => {
                prop_assert_eq!((had, answers), (1, vec![status]));
            }
            Some(Outcome::Lost(_)) => prop_assert!(had <= 1, "{} was had {} times", number, had),
            Some(Outcome::NotSent(_)) | None => prop_assert_eq!(had, 0, "{} was had", number),
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_push_is_lost_or_settled_twice_or_sent_twice_unless_its_outcome_is_unknown(
        pipe in prop_oneof![Just(100_usize), Just(1000), Just(1 << 20)],
        streams in prop::option::of(0u32..40),
        steps in prop::collection::vec(step(), 0..60),
        pushes in prop::collection::vec((prop_oneof![0usize..200, 2000usize..5000], 100u64..40_000), 1..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let test = async { timeout(Duration::from_secs(3600), run(pipe, streams, steps, pushes)).await };
        runtime.block_on(LocalSet::new().run_until(test)).expect("it hangs")?;
    }
}
