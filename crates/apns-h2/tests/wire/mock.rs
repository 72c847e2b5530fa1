//! What the mock APNs server sees of a connection without faults.

use std::sync::Arc;

use apns::Outcome;
use apns_h2::{CloseReason, Options, State};
use futures::future::join_all;

use crate::support::{
    assert_no_violations, client, headers_with_collapse_id, local, plain_server, server, status, tcp, tls,
};

#[tokio::test]
async fn a_thousand_pushes_go_over_one_connection_and_the_first_goes_alone() {
    local(async {
        let server = plain_server().await;
        let client = client(tcp(server.production_addr()).await, Options::default()).await;
        assert_eq!(client.connection.counters().limit, 1);
        let requests: Vec<_> = (0..3000).map(|number| client.request(number)).collect();
        let outcomes = join_all(requests.iter().map(|request| client.push(request))).await;
        for (request, outcome) in requests.iter().zip(&outcomes) {
            let Outcome::Answered(reply) = outcome else {
                panic!("{outcome:?}")
            };
            assert_eq!(reply.status, 200);
            assert!(
                reply
                    .apns_id
                    .as_ref()
                    .unwrap()
                    .eq_ignore_ascii_case(&request.apns_id.to_string())
            );
        }
        let state = server.state();
        assert_eq!(
            (state.accepted, state.connections, state.streams_refused),
            (3000, 1, 0)
        );
        assert!(state.peak_in_flight_on_one_connection <= 1000);
        assert_no_violations(&server);
        let counters = client.connection.counters();
        assert_eq!(
            (counters.sent, counters.answered, counters.in_flight),
            (3000, 3000, 0)
        );
        assert_eq!((counters.limit, counters.waiting), (1000, 0));
        assert!(counters.bytes_out > 3000 * 200 && counters.bytes_in > 3000 * 20);
    })
    .await;
}

#[tokio::test]
async fn tls_works_with_alpn_and_without() {
    local(async {
        let server = server(apns_mock::Options::default()).await;
        for alpn in [&["h2"][..], &[]] {
            let client = client(tls(&server, alpn).await, Options::default()).await;
            assert_eq!(status(&client.push(&client.request(1)).await), 200);
        }
        assert_eq!(server.state().connections_h2, 2);
        assert_no_violations(&server);
    })
    .await;
}

#[tokio::test]
async fn the_headers_on_the_wire_are_those_of_the_request() {
    local(async {
        let server = plain_server().await;
        let client = client(tcp(server.production_addr()).await, Options::default()).await;
        let mut own = client.request(2);
        own.headers = Arc::new(headers_with_collapse_id("news-2"));
        for request in [client.request(1), own] {
            assert_eq!(status(&client.push(&request).await), 200);
            let seen = server.requests(1).remove(0);
            assert_eq!(seen.path, request.path());
            let headers: Vec<_> = seen
                .headers
                .iter()
                .map(|(name, value)| (name.as_str(), value.clone()))
                .collect();
            let mut expected = request.header_list();
            expected.push((
                "authorization",
                format!("bearer {}", crate::support::provider_token()),
            ));
            let sorted = |mut list: Vec<_>| {
                list.sort();
                list
            };
            assert_eq!(sorted(headers), sorted(expected));
        }
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_nobody_holds_closes_when_its_pushes_are_answered() {
    local(async {
        let server = plain_server().await;
        let client = client(tcp(server.production_addr()).await, Options::default()).await;
        let request = client.request(1);
        let sent =
            client
                .connection
                .slot()
                .await
                .unwrap()
                .send(&request, &client.template, client.deadline());
        drop(client.connection);
        assert_eq!(status(&sent.await), 200);
        assert_eq!(client.driver.await.unwrap(), CloseReason::Done);
    })
    .await;
}

#[tokio::test]
async fn a_closed_connection_hands_out_no_slots_and_answers_what_is_under_way() {
    local(async {
        let server = plain_server().await;
        let client = client(tcp(server.production_addr()).await, Options::default()).await;
        let slot = client.connection.slot().await.unwrap();
        let waiting = client.connection.slot();
        client.connection.close();
        assert_eq!(waiting.await.unwrap_err().end, CloseReason::Done);
        assert_eq!(client.connection.state(), State::Draining(CloseReason::Done));
        drop(slot);
        assert_eq!(client.driver.await.unwrap(), CloseReason::Done);
        assert_eq!(client.connection.state(), State::Closed(CloseReason::Done));
    })
    .await;
}
