//! Answers that an APNs server should not give. They must do no harm.

use std::time::Duration;

use apns::{Outcome, Reason, TransportError};
use apns_h2::{Options, State};
use futures::future::join_all;

use crate::peer::{DATA, END_STREAM, HEADERS, RST_STREAM, pair};
use crate::support::{local, status};

#[tokio::test(start_paused = true)]
async fn the_receive_window_is_given_back() {
    local(async {
        let (mut peer, client) = pair(1, Options::default()).await;
        let body = format!("{{\"reason\":\"BadTopic\"}}{}", " ".repeat(4000));
        // Twice the window of the whole connection.
        for number in 0..600 {
            let request = client.request(number);
            let (outcome, ()) = tokio::join!(client.push(&request), async {
                let stream = peer.next(DATA).await.stream;
                peer.reject_with(stream, body.as_bytes()).await;
            });
            let Outcome::Answered(reply) = outcome else {
                panic!("{outcome:?}")
            };
            assert_eq!(reply.reason, Some(Reason::BAD_TOPIC));
        }
        assert_eq!(client.connection.state(), State::Open);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_body_too_long_to_be_apples_is_not_read_to_its_end() {
    local(async {
        let (mut peer, client) = pair(1, Options::default()).await;
        let request = client.request(1);
        let (outcome, ()) = tokio::join!(client.push(&request), async {
            let stream = peer.next(DATA).await.stream;
            peer.send(HEADERS, 4, stream, &[0x8e]).await;
            peer.send(DATA, 0, stream, &[b' '; 10_000]).await;
            assert_eq!(peer.next(RST_STREAM).await.stream, stream);
        });
        assert_eq!(status(&outcome), 500);
        assert_eq!(client.connection.state(), State::Open);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn answers_to_pushes_that_were_given_up_are_ignored_however_many() {
    local(async {
        let (mut peer, client) = pair(1000, Options::default()).await;
        for round in 0..3 {
            let requests: Vec<_> = (0..500).map(|number| client.request(number)).collect();
            let pushes = requests
                .iter()
                .map(|request| client.push_within(request, Duration::from_secs(1)));
            let (outcomes, ()) = tokio::join!(join_all(pushes), async {
                let mut given_up = Vec::new();
                while given_up.len() < 500 {
                    let frame = peer.frame().await.unwrap();
                    if frame.kind == RST_STREAM && frame.payload[..] == [0, 0, 0, 8] {
                        given_up.push(frame.stream);
                    } else if frame.kind == DATA && frame.flags & END_STREAM != 0 {
                        peer.widen(0, u32::try_from(frame.payload.len()).unwrap()).await;
                    }
                }
                for stream in given_up {
                    peer.accept(stream).await;
                }
            });
            for outcome in outcomes {
                let state = client.connection.state();
                assert_eq!(
                    outcome,
                    Outcome::Lost(TransportError::Deadline),
                    "{round}, {state:?}"
                );
            }
        }
        let request = client.request(1);
        let (outcome, ()) = tokio::join!(client.push(&request), async {
            let stream = peer.next(HEADERS).await.stream;
            peer.accept(stream).await;
        });
        assert_eq!(status(&outcome), 200);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_before_the_body_was_sent_is_an_answer() {
    local(async {
        let (mut peer, client) = pair(10, Options::default()).await;
        let mut request = client.request(1);
        // More than the window, so the end of the body is not sent.
        request.body = vec![b' '; 70_000].into();
        let (outcome, ()) = tokio::join!(client.push(&request), async {
            let stream = peer.next(HEADERS).await.stream;
            peer.reject(stream).await;
        });
        assert_eq!(status(&outcome), 400);
        peer.widen(0, 70_000).await;
        let request = client.request(2);
        let (outcome, ()) = tokio::join!(client.push(&request), async {
            let stream = peer.next(HEADERS).await.stream;
            peer.accept(stream).await;
        });
        assert_eq!(status(&outcome), 200);
    })
    .await;
}
