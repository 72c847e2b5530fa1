mod devices;
mod runs;
mod terms;

use super::*;
use crate::batch::receipts::{Chunk, Page};
use apns::time::Timestamp;
use batch::bit_set::BitSet;
use batch::{
    Announcement, Assignment, Batch, Counts, Detail, FinalResult, Pause, PausedBy, Progress, ReportProgress,
    ResultGroup, Results, Size, State, Terms,
};
use delivery::verdict::Verdict;
use proptest::prelude::*;
use serde_json::{Value, json};

pub(super) const NOW: Timestamp = Timestamp::from_secs(1_795_420_800);
const ID: &str = "00112233445566778899aabbccddeeff";

pub(super) fn sample() -> Record {
    Record {
        id: ID.to_owned(),
        app: "shop".to_owned(),
        created_at: NOW,
        sealed_at: None,
        ended_at: None,
        state: State::Staging,
        paused: None,
        refusal: None,
        is_deleting: false,
        terms: Terms {
            rate: None,
            weight: 1,
            retry_for_ms: 86_400_000,
            expires_at: None,
            repeatable: true,
            one_attempt: false,
            collapse_repeats: true,
            bad_token_percent: 20,
            claim_ms: 120_000,
            keep_ms: 604_800_000,
            webhook: None,
            windows: Vec::new(),
        },
        invalid: 0,
        warnings: Default::default(),
        ignores_bad_tokens: false,
        controlled_at: Timestamp::default(),
        final_results: Vec::new(),
        run: None,
        cut_off: None,
        cut_off_detail: None,
        run_report: ReportProgress::default(),
        announcement: Announcement::default(),
    }
}

pub(super) fn found(verdict: Verdict, code: u16, reason: Option<&str>, indices: &[usize]) -> ResultGroup {
    ResultGroup {
        result: FinalResult {
            verdict,
            code,
            reason: reason.map(str::to_owned),
            attempts: 1,
            gave_up: None,
        },
        retry_after_ms: None,
        untried: false,
        indices: indices.iter().copied().collect(),
    }
}

/// Returns a batch of one chunk: its first two pushes are accepted, the third is gone, the fourth waits for
/// another round, and the others were not attempted.
fn batch(pushes: usize) -> (Batch, Progress) {
    let size = Size { first: 0, pushes };
    let mut batch = Batch::seal(sample(), vec![size], NOW);
    assert_eq!(batch.plan(NOW), [0]);
    let work = batch.claim(0, NOW).unwrap();
    assert_eq!(work.indices, BitSet::first(pushes));
    let results = Results {
        groups: vec![
            found(Verdict::Accepted, 200, None, &[0, 1]),
            found(Verdict::DropDevice, 410, Some("Unregistered"), &[2]),
            ResultGroup {
                retry_after_ms: Some(60_000),
                ..found(
                    Verdict::Retry(delivery::verdict::RetryCause::Server),
                    503,
                    Some("ServiceUnavailable"),
                    &[3],
                )
            },
        ],
        details: details(),
    };
    batch.settle(0, work.until, &results, true, NOW);
    let progress = batch.progress(0).unwrap().clone();
    (batch, progress)
}

fn details() -> Vec<Detail> {
    vec![Detail {
        index: 2,
        since: Some(NOW),
        unique_id: None,
    }]
}

pub(super) fn lines(count: usize) -> String {
    (0..count)
        .map(|number| format!("{{\"token\":\"{number:064x}\",\"ref\":\"user-{number}\"}}\n"))
        .collect()
}

fn page(limit: usize, from: u64, only: &[&str]) -> Vec<Value> {
    let (batch, progress) = batch(6);
    let lines = lines(6);
    let chunk = Chunk {
        record: batch.record(),
        seed: seed(ID).unwrap(),
        size: Size { first: 0, pushes: 6 },
        lines: &lines,
        details: &details(),
        progress: &progress,
    };
    let only: Vec<String> = only.iter().map(|word| (*word).to_owned()).collect();
    let mut page = Page::new(limit);
    if chunk.has_any(&only) {
        page.add_receipts(&chunk, from, &only);
    }
    page.end(batch.record().state);
    let text = String::from_utf8(page.text).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn the_status_document_format_unchanged() {
    // Callers' programs read it.
    let (mut batch, _) = batch(6);
    let pause = Pause {
        by: PausedBy::Caller,
        detail: "paused by `backend`".to_owned(),
    };
    batch.pause(pause, NOW);
    let overview = batch::Overview {
        rate: 0,
        eta: None,
        ..batch.overview(NOW)
    };
    let text = document(batch.record(), &overview, Some(Transport::Socket));
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        document,
        json!({
            "id": ID, "app": "shop", "state": "paused",
            "created_at": "2026-11-23T08:00:00.000Z", "sealed_at": "2026-11-23T08:00:00.000Z",
            "transport": "socket", "pushes": 6, "chunks": 1, "invalid": 0,
            "counts": {"accepted": 2, "rejected": 1, "failed": 0, "duplicate": 0, "cancelled": 0, "retrying": 1, "in_flight": 0,
                       "waiting": 2, "gone": 1},
            "reasons": [
                {"status": "accepted", "code": 200, "verdict": "accepted", "attempts": 1, "count": 2},
                {"status": "rejected", "code": 410, "reason": "Unregistered", "verdict": "drop_device", "attempts": 1,
                 "count": 1},
            ],
            "rate": 0,
            "paused": {"by": "caller", "detail": "paused by `backend`"},
            "options": {"weight": 1, "retry_for_s": 86400, "collapse_repeats": true},
        })
    );
}

#[test]
fn the_answer_to_an_upload_says_where_the_batch_is() {
    let answer = accepted(&sample(), "{}".to_owned(), true);
    assert_eq!(answer.status, 202);
    assert_eq!(
        answer.headers,
        [
            ("location", format!("/v1/batches/{ID}")),
            ("preference-applied", "respond-async".to_owned()),
            ("idempotent-replayed", "true".to_owned()),
        ]
    );
    let lines = [InvalidLine {
        line: 18,
        detail: "/token: is required".to_owned(),
    }];
    let kinds = [InvalidKind {
        pointer: "/token".to_owned(),
        detail: "is required".to_owned(),
        count: 1,
        lines: vec![18],
    }];
    let text = with_invalid_lines(r#"{"id":"x"}"#.to_owned(), &lines, &kinds);
    assert_eq!(
        text,
        concat!(
            r#"{"id":"x","invalid_lines":[{"line":18,"detail":"/token: is required"}],"#,
            r#""invalid_kinds":[{"pointer":"/token","detail":"is required","count":1,"lines":[18]}]}"#,
        )
    );
    assert_eq!(with_invalid_lines("{}".to_owned(), &[], &[]), "{}");
}

/// Returns the collapse ids of a chunk's pushes to devices with these own payloads.
fn collapse_ids(collapse_repeats: bool, own: &[(u8, Value)]) -> Vec<Option<String>> {
    use crate::send_request::{Basis, Repeats, SendRequest};
    let head = r#"{"app":"shop","notification":{"payload":{"aps":{"alert":"Hi"}}}}"#;
    let assignment = Assignment {
        batch: ID.to_owned(),
        chunk: 7,
        claim: NOW,
        app: "shop".to_owned(),
        created_at: NOW,
        first: 3500,
        indices: BitSet::first(1),
        weight: 1,
        collapse_repeats,
        launch_until: None,
    };
    let lines = own.iter().map(|(token, payload)| {
        let line = json!({"token": format!("{token:064x}"), "payload": payload});
        format!("{line}\n")
    });
    let body = chunk_body(head, &lines.collect::<String>());
    let id = collapse_id(&assignment);
    let basis = Basis {
        seed: [7; 16],
        first: 0,
        repeats: id.as_deref().map_or(Repeats::Keep, Repeats::Separate),
    };
    let config = crate::fixture::config();
    let app = config.app("shop").unwrap();
    let send_request = SendRequest::parse_chunk(app, body.as_bytes(), basis, NOW).unwrap();
    let headers = send_request
        .pushes
        .iter()
        .map(|push| push.request.as_ref().unwrap().headers.clone());
    headers
        .map(|headers| headers.collapse_id.as_ref().map(|id| id.as_str().to_owned()))
        .collect()
}

#[test]
fn a_chunks_pushes_share_a_collapse_id_but_for_further_ones_to_a_device() {
    let own = |badge: u32| json!({"aps": {"badge": badge}});
    let pushes = [(1, own(1)), (2, own(1)), (1, own(2)), (2, own(3)), (1, own(4))];
    let expected = ["", "", "-2", "-3", "-4"].map(|end| Some(format!("{ID}-7{end}")));
    assert_eq!(collapse_ids(true, &pushes), expected);
    assert_eq!(collapse_ids(false, &pushes), [const { None }; 5]);
}

#[test]
fn a_batch_does_what_it_can_as_it_stands() {
    let refused = |action: BatchAction, state| action.check(state).err().map(|problem| problem.kind());
    for state in [State::Running, State::Paused, State::Cancelling] {
        for action in [
            BatchAction::Pause,
            BatchAction::Resume,
            BatchAction::Cancel,
            BatchAction::Status,
        ] {
            assert_eq!(refused(action, state), None);
        }
        assert_eq!(refused(BatchAction::Delete, state), Some(Kind::BatchRunning));
    }
    for state in [State::Done, State::Cancelled] {
        for action in [BatchAction::Pause, BatchAction::Resume] {
            assert_eq!(refused(action, state), Some(Kind::BatchEnded));
        }
        assert_eq!(
            (
                refused(BatchAction::Delete, state),
                refused(BatchAction::Events, state)
            ),
            (None, None)
        );
    }
    assert_eq!(refused(BatchAction::Cancel, State::Done), Some(Kind::BatchEnded));
    assert_eq!(
        refused(BatchAction::Cancel, State::Cancelled),
        None,
        "it is cancelled"
    );
}

#[test]
fn the_longest_collapse_id_of_ours_is_one() {
    let id = format!("{ID}-{}", u32::MAX);
    assert!(apns::collapse_id::CollapseId::parse(&id).is_ok());
}

#[test]
fn a_key_names_one_batch_of_its_caller() {
    let id = named_id("backend", "order-7");
    assert_eq!(id, named_id("backend", "order-7"));
    for (caller, key) in [
        ("backend", "order-8"),
        ("editor", "order-7"),
        ("backend\norder", "7"),
    ] {
        assert_ne!(named_id(caller, key), id);
    }
    assert!(seed(&id).is_some());
    assert_eq!(
        named_id("backend", "order-7"),
        "75c5e462a00441ebb1831f73ee1bbb35",
        "format unchanged"
    );
}

#[test]
fn only_what_can_be_ours_is_an_id() {
    for text in [
        "",
        "7",
        &ID[1..],
        &ID.to_uppercase(),
        &format!("{ID}0"),
        "0011223344556677889-aabbccddeeff+",
    ] {
        assert_eq!(seed(text), None, "{text}");
    }
}

#[test]
fn receipts_come_in_the_order_of_the_upload_with_what_became_of_each() {
    let receipts = page(10, 0, &[]);
    let status: Vec<&str> = receipts[..6]
        .iter()
        .map(|receipt| receipt["status"].as_str().unwrap())
        .collect();
    assert_eq!(
        status,
        [
            "accepted", "accepted", "rejected", "retrying", "waiting", "waiting"
        ]
    );
    assert_eq!(
        receipts[2],
        json!({
            "index": 2, "ref": "user-2", "token_hint": "0000…0002",
            "status": "rejected", "apns_id": "00112233-4455-8677-8899-aabb00000002", "code": 410,
            "reason": "Unregistered", "verdict": "drop_device", "since": "2026-11-23T08:00:00.000Z", "attempts": 1,
        })
    );
    assert_eq!(receipts[3]["attempts"], 1);
    assert_eq!(
        receipts[6],
        json!({"cursor": null, "more": false, "state": "running"})
    );
}

#[test]
fn a_page_ends_at_its_limit_and_its_cursor_goes_on() {
    let first = page(2, 0, &[]);
    assert_eq!(first.len(), 3);
    assert_eq!(first[2], json!({"cursor": "2", "more": true, "state": "running"}));
    let second = page(4, 2, &[]);
    assert_eq!((second[0]["index"].as_u64(), second.len()), (Some(2), 5));
    assert_eq!(second[4]["more"], false);
}

#[test]
fn receipts_are_filtered_by_standing() {
    let some = page(10, 0, &["rejected", "waiting"]);
    let indices: Vec<u64> = some[..3]
        .iter()
        .map(|receipt| receipt["index"].as_u64().unwrap())
        .collect();
    assert_eq!(indices, [2, 4, 5]);
    assert_eq!(page(10, 0, &["cancelled"]).len(), 1, "the last line alone");
}

#[test]
fn nothing_of_a_batch_that_ended_waits() {
    let (mut batch, _) = batch(6);
    batch.cancel(NOW);
    assert_eq!(batch.record().state, State::Cancelled);
    let counts = batch.overview(NOW).counts;
    let expected = Counts {
        accepted: 2,
        rejected: 1,
        cancelled: 3,
        gone: 1,
        ..Counts::default()
    };
    assert_eq!(counts, expected);
}

#[test]
fn a_listing_can_ask_for_every_word_that_an_answer_has() {
    use crate::batch::receipts::PushStatus;
    use crate::listing::{STATES, STATUSES};
    use delivery::receipt::Status;
    let statuses = [
        PushStatus::Ended(Status::Accepted),
        PushStatus::Ended(Status::Rejected),
        PushStatus::Ended(Status::Failed),
        PushStatus::Ended(Status::Duplicate),
        PushStatus::Cancelled,
        PushStatus::Retrying,
        PushStatus::InFlight,
        PushStatus::Waiting,
    ];
    assert_eq!(statuses.map(PushStatus::as_str), STATUSES);
    let states = [
        State::Staging,
        State::Running,
        State::Paused,
        State::Cancelling,
        State::Cancelled,
        State::Done,
    ];
    assert_eq!(states.map(State::as_str), STATES);
}

proptest! {
    #[test]
    fn an_id_is_its_seed(bytes: [u8; 16]) {
        prop_assert_eq!(seed(&id(bytes)), Some(bytes));
    }
}
