//! Every fault of the mock: the outcome of each push, without a violated rule.

use std::time::Duration;

use apns::time::Timestamp;
use apns::{Outcome, Reason, Request, TransportError};
use apns_h2::{CloseReason, Connection, OpenError, Options, State};
use apns_mock::{Fault, FaultBody, FaultKind, LastStream, Latency, Server};
use futures::future::join_all;

use crate::support::{Client, Clock, assert_no_violations, client, local, plain_server, server, status, tcp};

/// Long enough for an answer that arrives, short enough to wait for one that does not.
const SHORT: Duration = Duration::from_millis(300);

const LOST: Outcome = Outcome::Lost(TransportError::ConnectionLost);
const PASSED_OVER: Outcome = Outcome::NotSent(TransportError::GoingAway);
const REFUSED: Outcome = Outcome::NotSent(TransportError::StreamRefused);

/// Creates a connection to a new mock that has accepted one push.
async fn proven() -> (Server, Client) {
    let server = plain_server().await;
    let client = client(tcp(server.production_addr()).await, Options::default()).await;
    assert_eq!(status(&client.push(&client.request(0)).await), 200);
    (server, client)
}

/// Sends pushes 1 to `count` at once.
async fn push_all(client: &Client, count: u32) -> Vec<Outcome> {
    let requests: Vec<_> = (1..=count).map(|number| client.request(number)).collect();
    join_all(requests.iter().map(|request| client.push(request))).await
}

fn token(request: &Request) -> String {
    request.device_token.as_hex().to_owned()
}

#[tokio::test]
async fn an_error_answer_is_an_answer() {
    local(async {
        let (server, client) = proven().await;
        let mut gone = Fault::answer(410, "Unregistered").times(1);
        gone.timestamp = Some(1_454_402_113_000);
        server.fault(gone).unwrap();
        let Outcome::Answered(reply) = client.push(&client.request(1)).await else {
            panic!()
        };
        assert_eq!((reply.status, reply.reason), (410, Some(Reason::UNREGISTERED)));
        assert_eq!(reply.since, Some(Timestamp::from_millis(1_454_402_113_000)));

        let mut busy = Fault::answer(503, "ServiceUnavailable").times(1);
        busy.headers = vec![("retry-after".to_owned(), "7".to_owned())];
        server.fault(busy).unwrap();
        let outcome = client.push(&client.request(2)).await;
        assert_eq!(
            (status(&outcome), outcome.retry_after()),
            (503, Some(Duration::from_secs(7)))
        );

        for body in [FaultBody::BrokenJson, FaultBody::Html, FaultBody::Empty] {
            server
                .fault(Fault {
                    body,
                    ..Fault::answer(502, "BadGateway").times(1)
                })
                .unwrap();
            let Outcome::Answered(reply) = client.push(&client.request(3)).await else {
                panic!()
            };
            assert_eq!((reply.status, reply.reason), (502, None), "{body:?}");
        }
        assert_no_violations(&server);
    })
    .await;
}

#[tokio::test]
async fn a_reset_loses_the_push_unless_the_stream_was_refused() {
    local(async {
        let (server, client) = proven().await;
        for (code, expected) in [(8, LOST), (2, LOST), (0, LOST), (7, REFUSED)] {
            server
                .fault(Fault {
                    code: Some(code),
                    ..Fault::new(FaultKind::Reset).times(1)
                })
                .unwrap();
            assert_eq!(client.push(&client.request(1)).await, expected, "{code}");
            assert_eq!(client.connection.state(), State::Open);
        }
        assert_eq!(status(&client.push(&client.request(2)).await), 200);
        assert_no_violations(&server);
    })
    .await;
}

#[tokio::test]
async fn a_push_without_an_answer_is_given_up_at_its_deadline() {
    local(async {
        let (server, client) = proven().await;
        let (silent, answered) = (client.request(1), client.request(2));
        server
            .fault(Fault::new(FaultKind::Silence).for_token(&token(&silent)))
            .unwrap();
        let outcomes = tokio::join!(client.push_within(&silent, SHORT), client.push(&answered));
        assert_eq!(outcomes.0, Outcome::Lost(TransportError::Deadline));
        assert_eq!(status(&outcomes.1), 200);
        let counters = client.connection.counters();
        assert_eq!((counters.in_flight, counters.answered, counters.lost), (0, 2, 1));
        assert_eq!(client.connection.state(), State::Open);
        assert_no_violations(&server);
    })
    .await;
}

#[tokio::test]
async fn answers_that_come_too_late_do_not_harm_the_connection() {
    local(async {
        let (server, client) = proven().await;
        server.set_latency(Latency::fixed(Duration::from_millis(400)));
        let requests: Vec<_> = (1..=1000).map(|number| client.request(number)).collect();
        for _ in 0..2 {
            let pushes = requests
                .iter()
                .map(|request| client.push_within(request, Duration::from_millis(200)));
            for outcome in join_all(pushes).await {
                assert_eq!(outcome, Outcome::Lost(TransportError::Deadline));
            }
        }
        assert_eq!(status(&client.push(&client.request(2)).await), 200);
        assert_no_violations(&server);
    })
    .await;
}

#[tokio::test]
async fn an_answer_whose_body_does_not_end_has_its_status() {
    local(async {
        let (server, client) = proven().await;
        server.fault(Fault::new(FaultKind::HeadersOnly).times(1)).unwrap();
        assert_eq!(status(&client.push_within(&client.request(1), SHORT).await), 200);
        assert_eq!(status(&client.push(&client.request(2)).await), 200);
        assert_no_violations(&server);
    })
    .await;
}

#[tokio::test]
async fn an_answer_that_stalls_is_waited_for() {
    local(async {
        let (server, client) = proven().await;
        server
            .fault(Fault {
                delay_ms: Some(300),
                ..Fault::new(FaultKind::Stall).times(1)
            })
            .unwrap();
        assert_eq!(status(&client.push(&client.request(1)).await), 200);
        assert_no_violations(&server);
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_breaks_loses_all_that_was_under_way() {
    local(async {
        let (server, client) = proven().await;
        let last = client.request(50);
        server.fault(Fault::new(FaultKind::Silence).times(49)).unwrap();
        server
            .fault(Fault {
                delivered: true,
                ..Fault::new(FaultKind::Close).for_token(&token(&last))
            })
            .unwrap();
        assert_eq!(push_all(&client, 50).await, vec![LOST; 50]);
        let end = client.driver.await.unwrap();
        assert!(matches!(end, CloseReason::Broken(_)), "{end:?}");
        assert_eq!(client.connection.state(), State::Closed(end.clone()));
        assert_eq!(client.connection.slot().await.unwrap_err().end, end);
        assert_no_violations(&server);
    })
    .await;
}

#[tokio::test]
async fn a_go_away_takes_the_connection_out_of_use_and_what_is_under_way_finishes() {
    local(async {
        let (server, client) = proven().await;
        server.set_latency(Latency::fixed(Duration::from_millis(100)));
        let meets = client.request(20);
        let fault = Fault {
            reason: Some("Shutdown".to_owned()),
            ..Fault::new(FaultKind::GoAway)
        };
        server.fault(fault.for_token(&token(&meets))).unwrap();
        for outcome in push_all(&client, 20).await {
            assert_eq!(status(&outcome), 200);
        }
        let end = CloseReason::GoAway {
            code: 0,
            reason: Some(Reason::SHUTDOWN),
        };
        assert!(matches!(client.connection.state(), State::Draining(why) | State::Closed(why) if why == end));
        assert_eq!(client.connection.slot().await.unwrap_err().end, end);
        assert_eq!(client.driver.await.unwrap(), end);
        assert_no_violations(&server);
    })
    .await;
}

#[tokio::test]
async fn streams_above_the_last_of_a_go_away_are_handed_back_unsent() {
    for (last, answered) in [(LastStream::This, 10), (LastStream::Before, 9)] {
        local(async {
            let (server, client) = proven().await;
            server.set_latency(Latency::fixed(Duration::from_millis(100)));
            let meets = client.request(10);
            let fault = Fault {
                last,
                code: Some(11),
                ..Fault::new(FaultKind::GoAway)
            };
            server.fault(fault.for_token(&token(&meets))).unwrap();
            let outcomes = push_all(&client, 20).await;
            for (number, outcome) in (1..).zip(&outcomes) {
                if number <= answered {
                    assert_eq!(status(outcome), 200, "{last:?} {number}");
                } else {
                    assert_eq!(*outcome, PASSED_OVER, "{last:?} {number}");
                }
            }
            assert_eq!(
                client.driver.await.unwrap(),
                CloseReason::GoAway {
                    code: 11,
                    reason: None
                }
            );
            assert_eq!(server.state().accepted, 1 + answered);
            assert_no_violations(&server);
        })
        .await;
    }
}

#[tokio::test]
async fn a_go_away_on_an_idle_connection_is_noticed_at_once() {
    local(async {
        let (server, client) = proven().await;
        server
            .fault(Fault {
                now: true,
                ..Fault::new(FaultKind::GoAway)
            })
            .unwrap();
        assert_eq!(
            client.driver.await.unwrap(),
            CloseReason::GoAway {
                code: 0,
                reason: None
            }
        );
        assert!(client.connection.slot().await.is_err());
        assert_no_violations(&server);
    })
    .await;
}

#[tokio::test]
async fn a_stream_limit_that_falls_and_rises_is_obeyed() {
    local(async {
        let (server, client) = proven().await;
        server.set_latency(Latency::fixed(Duration::from_millis(20)));
        let (lower, raise) = (client.request(500), client.request(900));
        let limit = |streams| Fault {
            streams: Some(streams),
            ..Fault::new(FaultKind::StreamLimit)
        };
        server.fault(limit(3).for_token(&token(&lower)).times(1)).unwrap();
        server
            .fault(limit(200).for_token(&token(&raise)).times(1))
            .unwrap();
        let requests: Vec<_> = (1..=2000).map(|number| client.request(number)).collect();
        let mut left: Vec<&Request> = requests.iter().collect();
        let mut answered = 0;
        while !left.is_empty() {
            let outcomes = join_all(left.iter().map(|request| client.push(request))).await;
            left = left
                .into_iter()
                .zip(outcomes)
                .filter_map(|(request, outcome)| match outcome {
                    Outcome::Answered(reply) if reply.status == 200 => {
                        answered += 1;
                        None
                    }
                    REFUSED => Some(request),
                    other => panic!("{other:?}"),
                })
                .collect();
        }
        assert_eq!(answered, 2000);
        assert_eq!(client.connection.counters().limit, 200);
        assert_eq!(server.state().accepted, 2001);
        assert_no_violations(&server);
    })
    .await;
}

#[tokio::test]
async fn a_server_that_throttles_after_errors_is_followed() {
    local(async {
        let options = apns_mock::Options {
            throttle_on_error: true,
            plaintext: true,
            ..apns_mock::Options::default()
        };
        let server = server(options).await;
        let client = client(tcp(server.production_addr()).await, Options::default()).await;
        server
            .fault(Fault {
                every: Some(10),
                ..Fault::answer(400, "BadDeviceToken")
            })
            .unwrap();
        let mut refused = 0;
        for _ in 0..20 {
            refused += push_all(&client, 50)
                .await
                .iter()
                .filter(|outcome| **outcome == REFUSED)
                .count();
        }
        let state = server.state();
        assert_eq!(usize::try_from(state.streams_refused).unwrap(), refused);
        assert_no_violations(&server);
    })
    .await;
}

#[tokio::test]
async fn a_server_that_hangs_up_or_speaks_no_http_2_is_not_opened() {
    local(async {
        let server = plain_server().await;
        let refuse = Fault {
            delay_ms: Some(60_000),
            ..Fault::new(FaultKind::RefuseConnections)
        };
        server.fault(refuse).unwrap();
        let io = tcp(server.production_addr()).await;
        let error = Connection::open(io, "localhost", Clock::new(), Options::default())
            .await
            .err();
        assert!(
            matches!(error, Some(OpenError::Ended(CloseReason::Broken(_)))),
            "{error:?}"
        );

        let (io, _held) = tokio::io::duplex(1024);
        let options = Options {
            open_timeout: Duration::from_millis(50),
            ..Options::default()
        };
        let error = Connection::open(io, "localhost", Clock::new(), options)
            .await
            .err();
        assert!(matches!(error, Some(OpenError::Silent)), "{error:?}");

        let (io, mut other) = tokio::io::duplex(1024);
        tokio::io::AsyncWriteExt::write_all(&mut other, b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .await
            .unwrap();
        let error = Connection::open(io, "localhost", Clock::new(), Options::default())
            .await
            .err();
        assert!(
            matches!(error, Some(OpenError::Ended(CloseReason::Broken(_)))),
            "{error:?}"
        );
    })
    .await;
}
