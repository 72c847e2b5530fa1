use super::*;
use crate::api::campaign::document::{self, Entry};
use crate::api::campaign::pending::{Counts, Run, RunState};
use crate::api::campaign::query::{Filter, RunRange, STATES};
use crate::api::fixture::caller;

fn run(at: Timestamp, state: RunState) -> Run {
    Run {
        campaign: ID.to_owned(),
        at,
        zones: None,
        batch: "ff".to_owned(),
        state,
        started_at: None,
        ended_at: None,
        detail: None,
        pushes: None,
        counts: None,
    }
}

#[test]
fn a_campaign_format_unchanged() {
    // Callers read it.
    let campaign = read_it(&with(json!({"rate": 5}))).unwrap();
    let entry = Entry {
        campaign: &campaign,
        next_at: Some(NOW),
        runs: 2,
    };
    let document = r#"{"id":"00112233445566778899aabbccddeeff","app":"shop","state":"draft","created_at":"2026-11-23T08:00:00.000Z","next_at":"2026-11-23T08:00:00.000Z","runs":2,"name":"n","audience":"customers","notification":{"payload":{"aps":{"alert":"Hi"}}},"rate":5}"#;
    assert_eq!(entry.answer().body, document);
    let created = entry.created();
    assert_eq!((created.status, created.body.as_str()), (201, document));
    assert_eq!(created.headers, [("location", format!("/v1/campaigns/{ID}"))]);
    let list = document::list(
        [
            entry,
            Entry {
                next_at: None,
                ..entry
            },
        ]
        .into_iter(),
    );
    let without = document.replacen(r#""next_at":"2026-11-23T08:00:00.000Z","#, "", 1);
    assert_eq!(list.body, format!(r#"{{"campaigns":[{document},{without}]}}"#));
}

#[test]
fn a_run_format_unchanged() {
    // Callers read it.
    let done = Run {
        zones: Some(vec!["Europe/Vienna".to_owned(), String::new()]),
        started_at: Some(NOW),
        ended_at: Some(NOW),
        pushes: Some(3),
        counts: Some(Counts {
            accepted: 1,
            rejected: 2,
            failed: 0,
            cancelled: 0,
            gone: 2,
        }),
        ..run(NOW, RunState::Done)
    };
    let missed = Run {
        detail: Some("it was due for more than 1h".to_owned()),
        ..run(NOW, RunState::Missed)
    };
    let all = [
        r#"{"scheduled_at":"2026-11-23T08:00:00.000Z","state":"done","started_at":"2026-11-23T08:00:00.000Z","ended_at":"2026-11-23T08:00:00.000Z","batch":"ff","time_zones":["Europe/Vienna",""],"pushes":3,"counts":{"accepted":1,"rejected":2,"failed":0,"cancelled":0,"gone":2}}"#,
        r#"{"scheduled_at":"2026-11-23T08:00:00.000Z","state":"missed","detail":"it was due for more than 1h"}"#,
        r#"{"scheduled_at":"2026-11-23T08:00:00.000Z","state":"running","batch":"ff"}"#,
    ]
    .join(",");
    let page = document::runs(&[done, missed, run(NOW, RunState::Running)], 4);
    assert_eq!(page.body, format!(r#"{{"runs":[{all}],"cursor":null}}"#));
}

#[test]
fn a_full_page_of_runs_says_where_the_next_one_begins() {
    let page = document::runs(&[run(NOW, RunState::Done)], 1).body;
    let cursor = page
        .split_once(r#""cursor":""#)
        .unwrap()
        .1
        .trim_end_matches("\"}");
    let range = RunRange::parse(&format!("limit=1&cursor={cursor}")).unwrap();
    assert_eq!((range.before, range.limit), (Some(NOW), 1));
    assert_eq!(document::runs(&[], 1).body, r#"{"runs":[],"cursor":null}"#);
}

#[test]
fn the_query_strings_are_read_with_all_faults() {
    let all = Filter::parse("app=shop&state=paused").unwrap();
    assert_eq!(
        (all.app.as_deref(), all.state.as_deref()),
        (Some("shop"), Some("paused"))
    );
    assert_eq!(Filter::parse(""), Ok(Filter::default()));
    assert_eq!(
        Filter::parse("state=over&apps=x").unwrap_err().to_string(),
        "?apps: is not a known field; did you mean `app`?; ?state: must be one of draft, scheduled, running, paused, done, cancelled"
    );
    let range = RunRange::parse("").unwrap();
    assert_eq!((range.before, range.limit), (None, 100));
    assert_eq!(
        RunRange::parse("limit=1001&cursor=x").unwrap_err().to_string(),
        "?cursor: must be the `cursor` of an earlier answer; ?limit: must be an integer from 1 to 1000"
    );
}

#[test]
fn a_caller_sees_the_campaigns_of_its_apps() {
    let config = config();
    let campaign = read_with(&config, &with(json!({}))).unwrap();
    let takes = |query: &str, name: &str| {
        Filter::parse(query)
            .unwrap()
            .takes(&campaign, caller(&config, name))
    };
    assert!(takes("", "backend") && takes("app=shop&state=draft", "editor"));
    assert!(!takes("app=news", "editor") && !takes("state=done", "editor") && !takes("", "intern"));
}

#[test]
fn each_state_has_its_word() {
    let states = [
        State::Draft,
        State::Scheduled,
        State::Running,
        State::Paused,
        State::Done,
        State::Cancelled,
    ];
    assert_eq!(states.map(State::as_str), STATES);
}
