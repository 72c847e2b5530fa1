//! What a connection does as time passes without events, in virtual time.

use std::time::Duration;

use apns::{Outcome, TransportError};
use apns_h2::{CloseReason, Options, State};
use bytes::Bytes;
use futures::future::join_all;
use tokio::io::duplex;
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep};

use crate::peer::{ACK, DATA, END_STREAM, HEADERS, PING, Peer, RST_STREAM, pair};
use crate::support::{PATIENCE, client, local, status};

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_pinged_once_an_hour_and_no_more() {
    local(async {
        let (mut peer, client) = pair(10, Options::default()).await;
        let start = Instant::now();
        for hour in 1..=3 {
            let ping = peer.next(PING).await;
            assert_eq!(ping.flags, 0);
            assert_eq!(start.elapsed().as_secs(), hour * 3600);
            peer.send(PING, ACK, 0, &ping.payload).await;
        }
        assert_eq!(client.connection.state(), State::Open);
        drop(peer.next(PING).await);
        assert_eq!(client.driver.await.unwrap(), CloseReason::Silent);
        assert_eq!(start.elapsed().as_secs(), 4 * 3600 + 10);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_answer_a_ping_loses_all_that_is_under_way() {
    local(async {
        let (mut peer, client) = pair(10, Options::default()).await;
        let requests: Vec<_> = (0..20).map(|number| client.request(number)).collect();
        let start = Instant::now();
        let pushes = join_all(requests.iter().map(|request| async {
            let slot = client.connection.slot().await.ok()?;
            let deadline = client.now() + Duration::from_secs(60);
            Some(slot.send(request, &client.template, deadline).await)
        }));
        let (outcomes, ()) = tokio::join!(pushes, async {
            peer.next(PING).await;
            assert_eq!(start.elapsed().as_secs(), 10);
        });
        assert_eq!(start.elapsed().as_secs(), 20);
        let lost = Some(Outcome::Lost(TransportError::ConnectionLost));
        assert_eq!(outcomes, [vec![lost; 10], vec![None; 10]].concat());
        assert_eq!(client.driver.await.unwrap(), CloseReason::Silent);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_answers_pings_may_take_its_time() {
    local(async {
        let (mut peer, client) = pair(10, Options::default()).await;
        let request = client.request(1);
        let (outcome, ()) = tokio::join!(client.push_within(&request, Duration::from_secs(60)), async {
            let stream = peer.next(HEADERS).await.stream;
            for _ in 0..3 {
                let ping = peer.next(PING).await;
                sleep(Duration::from_secs(9)).await;
                peer.send(PING, ACK, 0, &ping.payload).await;
            }
            peer.accept(stream).await;
        });
        assert_eq!(status(&outcome), 200);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_deadline_is_kept_to_the_moment_and_resets_the_stream() {
    local(async {
        let (mut peer, client) = pair(10, Options::default()).await;
        let start = Instant::now();
        let push = async |number, secs| {
            let request = client.request(number);
            let outcome = client.push_within(&request, Duration::from_secs(secs)).await;
            (outcome, start.elapsed().as_secs())
        };
        let lost = |secs| (Outcome::Lost(TransportError::Deadline), secs);
        let (outcomes, ()) = tokio::join!(join_all([push(1, 7), push(2, 3), push(3, 5)]), async {
            for (secs, stream) in [(3, 5), (5, 7), (7, 3)] {
                let reset = peer.next(RST_STREAM).await;
                assert_eq!((start.elapsed().as_secs(), reset.stream), (secs, stream));
                assert_eq!(&reset.payload[..], [0, 0, 0, 8]);
            }
        });
        assert_eq!(outcomes, [lost(7), lost(3), lost(5)]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_push_that_is_no_longer_awaited_is_reset_and_gives_its_slot_back() {
    local(async {
        let (mut peer, client) = pair(1, Options::default()).await;
        let slot = client.connection.slot().await.unwrap();
        let sent = slot.send(&client.request(1), &client.template, client.deadline());
        let stream = peer.next(HEADERS).await.stream;
        assert_eq!(client.connection.counters().in_flight, 1);
        drop(sent);
        assert_eq!(client.connection.counters().in_flight, 0);
        assert_eq!(peer.next(RST_STREAM).await.stream, stream);
        assert!(client.connection.slot().await.is_ok());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn slots_are_handed_out_in_the_order_of_asking() {
    local(async {
        let (mut peer, client) = pair(2, Options::default()).await;
        let pushes: Vec<_> = (1..=9)
            .map(|number| {
                let (connection, template) = (client.connection.clone(), client.template.clone());
                let (request, deadline) = (client.request(number), client.deadline());
                spawn_local(async move {
                    let slot = connection.slot().await.unwrap();
                    if number % 3 == 0 {
                        return None; // The slot is given back unused.
                    }
                    Some(slot.send(&request, &template, deadline).await)
                })
            })
            .collect();
        for number in [1, 2, 4, 5, 7, 8] {
            let body = peer.next(DATA).await;
            assert_eq!(body.payload, client.request(number).body);
            peer.accept(body.stream).await;
        }
        for push in pushes {
            assert!(push.await.unwrap().is_none_or(|outcome| status(&outcome) == 200));
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn bodies_wait_for_the_window_in_order_and_until_their_deadline() {
    local(async {
        let (mut peer, client) = pair(1000, Options::default()).await;
        let mut requests: Vec<_> = (0..100).map(|number| client.request(number)).collect();
        for (number, request) in (0u8..).zip(&mut requests) {
            request.body = Bytes::from(vec![number; 5120]);
        }
        // 65,535 bytes less those of the first push: twelve bodies and a piece of the next.
        let pushes = join_all(requests.iter().map(|request| client.push(request)));
        let (outcomes, ()) = tokio::join!(pushes, async {
            let mut whole = Vec::new();
            let mut stalled = false;
            while whole.len() < 20 {
                let frame = tokio::select! {
                    frame = peer.frame() => frame.unwrap(),
                    () = sleep(Duration::from_secs(5)) => {
                        assert!(!stalled, "the rest of the window was not used");
                        assert_eq!(whole, (0..12).collect::<Vec<_>>());
                        stalled = true;
                        peer.widen(0, 8 * 5120).await;
                        continue;
                    }
                };
                if frame.kind == DATA && frame.flags & END_STREAM != 0 {
                    whole.push(frame.payload[0]);
                    peer.accept(frame.stream).await;
                }
            }
            assert_eq!(whole, (0..20).collect::<Vec<_>>());
        });
        for (number, outcome) in outcomes.iter().enumerate() {
            if number < 20 {
                assert_eq!(status(outcome), 200);
            } else {
                assert_eq!(*outcome, Outcome::NotSent(TransportError::Deadline), "{number}");
            }
        }
        // The abandoned push left nothing that blocks the next.
        peer.widen(0, 65_535).await;
        let mut request = client.request(1);
        request.body = Bytes::from(vec![200; 5120]);
        let (outcome, ()) = tokio::join!(client.push(&request), async {
            loop {
                let body = peer.next(DATA).await;
                if body.flags & END_STREAM != 0 && body.payload[0] == 200 {
                    return peer.accept(body.stream).await;
                }
            }
        });
        assert_eq!(status(&outcome), 200);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_whose_stream_ids_run_out_takes_no_more_pushes() {
    local(async {
        let options = Options {
            last_stream: 5,
            ..Options::default()
        };
        let (mut peer, client) = pair(10, options).await;
        let requests = [client.request(1), client.request(2)];
        let (outcomes, ()) = tokio::join!(
            join_all(requests.iter().map(|request| client.push(request))),
            async {
                for expected in [3, 5] {
                    let stream = peer.next(HEADERS).await.stream;
                    assert_eq!(stream, expected);
                }
                assert_eq!(client.connection.state(), State::Draining(CloseReason::StreamIds));
                peer.accept(3).await;
                peer.accept(5).await;
            }
        );
        assert!(outcomes.iter().all(|outcome| status(outcome) == 200));
        assert_eq!(
            client.connection.slot().await.unwrap_err().end,
            CloseReason::StreamIds
        );
        assert_eq!(client.driver.await.unwrap(), CloseReason::StreamIds);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_had_not_left_when_the_connection_broke_is_handed_back_unsent() {
    local(async {
        // A pipe that holds a few pushes, and a server that stops reading.
        let (ours, theirs) = duplex(4096);
        let (mut peer, client) = tokio::join!(Peer::greet(theirs, Some(1)), client(ours, Options::default()));
        peer.settings(Some(1000)).await;
        let mut requests: Vec<_> = (0..100).map(|number| client.request(number)).collect();
        for request in &mut requests {
            request.body = Bytes::from(vec![b' '; 1000]);
        }
        let pushes = join_all(requests.iter().map(|request| client.push(request)));
        let (outcomes, ()) = tokio::join!(pushes, async {
            sleep(PATIENCE / 4).await;
            drop(peer);
        });
        let lost = outcomes
            .iter()
            .filter(|outcome| matches!(outcome, Outcome::Lost(_)))
            .count();
        assert!(lost > 0 && lost < 66, "{lost}");
        assert!(
            outcomes[..lost]
                .iter()
                .all(|outcome| *outcome == Outcome::Lost(TransportError::ConnectionLost))
        );
        assert!(
            outcomes[lost..]
                .iter()
                .all(|outcome| *outcome == Outcome::NotSent(TransportError::ConnectionLost))
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_may_still_leave_after_its_deadline_is_not_handed_back_unsent() {
    local(async {
        // A pipe that holds a few pushes, and a server that reads again only after the deadline.
        let (ours, theirs) = duplex(4096);
        let (mut peer, client) = tokio::join!(Peer::greet(theirs, Some(1)), client(ours, Options::default()));
        peer.settings(Some(1000)).await;
        let requests: Vec<_> = (0..250).map(|number| client.request(number)).collect();
        let bodies = requests
            .iter()
            .map(|request| [&request.body[..], &[b' '; 170]].concat());
        let requests: Vec<_> = requests
            .iter()
            .zip(bodies)
            .map(|(request, body)| apns::Request {
                body: body.into(),
                ..request.clone()
            })
            .collect();
        let pushes = requests
            .iter()
            .map(|request| client.push_within(request, Duration::from_secs(3)));
        let outcomes = join_all(pushes).await;
        let mut had = 0;
        while let Ok(Some(frame)) = tokio::time::timeout(Duration::from_secs(1), peer.frame()).await {
            if frame.kind == DATA && frame.flags & END_STREAM != 0 {
                let number = requests
                    .iter()
                    .position(|request| request.body == frame.payload)
                    .unwrap();
                assert_eq!(
                    outcomes[number],
                    Outcome::Lost(TransportError::Deadline),
                    "{number}"
                );
                had += 1;
            }
        }
        assert!(had > 10 && had < 250, "{had}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_out_of_use_ends_though_its_server_reads_nothing() {
    local(async {
        // Neither a request nor the GOAWAY after it fits into the pipe.
        let (ours, theirs) = duplex(100);
        let greeting = spawn_local(Peer::greet(theirs, Some(10)));
        let client = client(ours, Options::default()).await;
        let _unread = greeting.await.unwrap();
        let start = Instant::now();
        let request = client.request(1);
        let slot = client.connection.slot().await.unwrap();
        let deadline = client.now() + Duration::from_secs(1);
        slot.send(&request, &client.template, deadline).await;
        client.connection.close();
        assert_eq!(client.driver.await.unwrap(), CloseReason::Done);
        assert_eq!(start.elapsed().as_secs(), 11);
    })
    .await;
}
