use super::*;
use crate::campaign::document;
use crate::campaign::query::{Filter, RunRange, STATES};
use crate::fixture::caller;
use ::batch::RunCounts;
use campaign::scheduler::{Command, Page, Run, RunState};

pub(super) fn run(at: Timestamp, state: RunState) -> Run {
    let run = json!({"campaign": ID, "at": at, "batch": "ff", "state": state});
    serde_json::from_value(run).unwrap()
}

fn page(runs: Vec<Run>, cursor: Option<Timestamp>) -> String {
    document::runs(&Page { runs, cursor }).body
}

#[test]
fn a_campaign_format_unchanged() {
    // Callers read it.
    let mut campaign = read_it(&with(json!({"rate": 5}))).unwrap();
    campaign.next_at = Some(NOW);
    campaign.runs = 2;
    let document = r#"{"id":"00112233445566778899aabbccddeeff","app":"shop","state":"draft","created_at":"2026-11-23T08:00:00.000Z","next_at":"2026-11-23T08:00:00.000Z","runs":2,"name":"n","audience":"customers","notification":{"payload":{"aps":{"alert":"Hi"}}},"rate":5,"draft":true}"#;
    assert_eq!(document::answer(&campaign).body, document);
    let created = document::created(&campaign);
    assert_eq!((created.status, created.body.as_str()), (201, document));
    assert_eq!(created.headers, [("location", format!("/v1/campaigns/{ID}"))]);
    let idle = Campaign {
        next_at: None,
        ..campaign.clone()
    };
    let list = document::list([&campaign, &idle].into_iter());
    // A list is without what they send.
    let summary = document.split_once(r#","notification""#).unwrap().0.to_owned() + "}";
    let without = summary.replacen(r#""next_at":"2026-11-23T08:00:00.000Z","#, "", 1);
    assert_eq!(list.body, format!(r#"{{"campaigns":[{summary},{without}]}}"#));
}

#[test]
fn what_a_campaigns_document_says_can_be_put_back() {
    let campaign = read_it(&whole()).unwrap();
    let shown = serde_json::from_str(&document::answer(&campaign).body).unwrap();
    let again = read_it(&shown).unwrap();
    assert_eq!(again.document.to_string(), campaign.document.to_string());
}

#[test]
fn a_draft_that_is_put_back_is_a_draft() {
    let draft = read_it(&with(json!({"schedule": at(60), "draft": true}))).unwrap();
    let shown = serde_json::from_str(&document::answer(&draft).body).unwrap();
    assert_eq!(read_it(&shown).unwrap().state, State::Draft);
    let scheduled = Campaign {
        state: State::Scheduled,
        ..draft
    };
    let shown = serde_json::from_str(&document::answer(&scheduled).body).unwrap();
    assert_eq!(read_it(&shown).unwrap().state, State::Scheduled);
}

#[test]
fn a_run_format_unchanged() {
    // Callers read it.
    let mut done = run(NOW, RunState::Done);
    done.zones = Some(vec!["Europe/Vienna".to_owned(), String::new()]);
    (done.started_at, done.ended_at) = (Some(NOW), Some(NOW));
    done.pushes = Some(3);
    done.counts = Some(RunCounts {
        accepted: 1,
        rejected: 2,
        failed: 0,
        cancelled: 0,
        gone: 2,
    });
    let mut missed = run(NOW, RunState::Missed);
    missed.detail = Some("it was due for more than 1h".to_owned());
    let all = [
        r#"{"scheduled_at":"2026-11-23T08:00:00.000Z","state":"done","started_at":"2026-11-23T08:00:00.000Z","ended_at":"2026-11-23T08:00:00.000Z","batch":"ff","time_zones":["Europe/Vienna",""],"pushes":3,"counts":{"accepted":1,"rejected":2,"failed":0,"cancelled":0,"gone":2}}"#,
        r#"{"scheduled_at":"2026-11-23T08:00:00.000Z","state":"missed","detail":"it was due for more than 1h"}"#,
        r#"{"scheduled_at":"2026-11-23T08:00:00.000Z","state":"running","batch":"ff"}"#,
    ]
    .join(",");
    let page = page(vec![done, missed, run(NOW, RunState::Running)], None);
    assert_eq!(page, format!(r#"{{"runs":[{all}],"cursor":null}}"#));
}

#[test]
fn a_page_of_runs_says_where_the_next_one_begins() {
    let told = page(vec![run(NOW, RunState::Done)], Some(NOW));
    let cursor = told
        .split_once(r#""cursor":""#)
        .unwrap()
        .1
        .trim_end_matches("\"}");
    let range = RunRange::parse(&format!("limit=1&cursor={cursor}")).unwrap();
    assert_eq!((range.before, range.limit), (Some(NOW), 1));
    assert_eq!(page(Vec::new(), None), r#"{"runs":[],"cursor":null}"#);
}

#[test]
fn the_query_strings_are_read_with_all_faults() {
    let all = Filter::parse("app=shop&state=paused").unwrap();
    assert_eq!(
        (all.app.as_deref(), all.state),
        (Some("shop"), Some(State::Paused))
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
    let command = |query: &str, name: &str| Filter::parse(query).unwrap().command(caller(&config, name));
    let list = |apps: Option<&[&str]>, state| Command::List {
        apps: apps.map(|apps| apps.iter().map(|app| (*app).to_owned()).collect()),
        state,
    };
    assert_eq!(command("", "backend"), list(Some(&["shop"]), None));
    let drafts = list(Some(&["shop"]), Some(State::Draft));
    assert_eq!(command("app=shop&state=draft", "backend"), drafts);
    // An app that the caller does not reach is in nobody's list, not in everybody's.
    assert_eq!(command("app=news", "backend"), list(Some(&[]), None));
    for name in STATES {
        let state = Filter::parse(&format!("state={name}")).unwrap().state;
        assert_eq!(state.map(State::as_str), Some(name));
    }
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
