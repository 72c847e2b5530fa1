//! The exact bytes of what a scheduler stores and replies.

use serde_json::json;

use super::fixture::{NOW, audience, campaign, once, scheduler, work};
use super::*;
use batch::{LeftOut, RunCounts, RunReport};

fn texts(scheduler: &mut SchedulerState) -> Vec<String> {
    let statements = scheduler.take_changes();
    let last = |statement: delivery::sql::Statement| match statement.values.last() {
        Some(delivery::sql::Value::Text(text)) => text.clone(),
        other => panic!("{other:?}"),
    };
    statements.into_iter().map(last).collect()
}

#[test]
fn the_rows_of_a_scheduler_format_unchanged() {
    // Schedulers outlive deploys: what one version stores the next must read.
    let mut document = campaign("c1", once());
    document.window = serde_json::from_value(json!({"from": "09:00", "to": "21:00"})).ok();
    let mut scheduler = scheduler(vec![document]);
    assert_eq!(
        texts(&mut scheduler),
        [
            r#"{"name":"all","app":"shop","shards":8,"created_at":1795420800000}"#,
            r#"{"name":"News"}"#,
            r#"{"id":"c1","app":"shop","audience":"all","created_at":1795420800000,"state":"scheduled","name":"News","schedule":{"at":"2026-11-23T08:01:00.000Z"},"window":{"from":"09:00","to":"21:00"},"next_at":1795420860000,"runs":0,"seen":0}"#,
        ]
    );
    let later = NOW + fixture::MINUTE;
    scheduler.tick(fixture::GRACE, later);
    let task = scheduler.next_task(later);
    scheduler.failed(&task, "no answer", later);
    let retry = scheduler.wake().unwrap().as_millis();
    let run = texts(&mut scheduler).remove(0);
    assert_eq!(
        run,
        format!(
            r#"{{"campaign":"c1","at":1795420860000,"batch":"451296ba70d9b33f6a560c925c99a62d","state":"starting","detail":"no answer","wanted":"resume","wanted_at":0,"needs_sync":false,"retry":{{"next_at":{retry},"failures":1,"failing_since":1795420860000}},"start_until":1795420920000,"starts":1}}"#
        )
    );
    work(&mut scheduler, later + fixture::MINUTE);
    fixture::end(&mut scheduler, "c1", later, later + fixture::MINUTE * 2);
    assert_eq!(
        texts(&mut scheduler).remove(0),
        r#"{"campaign":"c1","at":1795420860000,"batch":"451296ba70d9b33f6a560c925c99a62d","state":"done","started_at":1795420920000,"ended_at":1795420980000,"pushes":7,"counts":{"accepted":7,"rejected":0,"failed":0,"cancelled":0,"gone":0},"wanted":"resume","wanted_at":0,"needs_sync":false,"retry":{"next_at":1795420920000,"failures":0},"start_until":1795420980000,"starts":2}"#
    );
}

#[test]
fn a_run_stored_without_what_came_later_is_read() {
    let text = r#"{"campaign":"c1","at":7,"batch":"b","state":"missed"}"#;
    let run: Run = serde_json::from_str(text).unwrap();
    assert_eq!(
        (run.wanted, run.needs_sync, run.zones),
        (BatchControl::Resume, false, None)
    );
}

#[test]
fn the_commands_of_a_scheduler_format_unchanged() {
    // A Worker of the last deployment asks a scheduler of this one.
    let commands = [
        Command::PutAudience(audience("all")),
        Command::ForgetAudience {
            name: "all".to_owned(),
        },
        Command::List {
            apps: Some(vec!["shop".to_owned()]),
            state: Some(State::Paused),
        },
        Command::ChangeState {
            id: "c1".to_owned(),
            action: CampaignAction::Schedule,
        },
        Command::Runs {
            id: "c1".to_owned(),
            before: None,
            limit: 9,
        },
        Command::RunEnded(Box::new(RunReport {
            campaign: "c1".to_owned(),
            at: NOW,
            is_cancelled: true,
            pushes: 1,
            counts: RunCounts {
                cancelled: 1,
                ..RunCounts::default()
            },
            detail: Some("so".to_owned()),
            left_out: LeftOut {
                frequency_cap: 2,
                ..LeftOut::default()
            },
        })),
        Command::Stopping {
            id: "c1".to_owned(),
            limit: 9,
        },
        Command::Count,
    ];
    let texts = [
        r#"{"put_audience":{"name":"all","app":"shop","shards":8,"created_at":1795420800000}}"#,
        r#"{"forget_audience":{"name":"all"}}"#,
        r#"{"list":{"apps":["shop"],"state":"paused"}}"#,
        r#"{"change_state":{"id":"c1","action":"schedule"}}"#,
        r#"{"runs":{"id":"c1","before":null,"limit":9}}"#,
        r#"{"run_ended":{"campaign":"c1","at":1795420800000,"is_cancelled":true,"pushes":1,"counts":{"accepted":0,"rejected":0,"failed":0,"cancelled":1,"gone":0},"detail":"so","left_out":{"frequency_cap":2}}}"#,
        r#"{"stopping":{"id":"c1","limit":9}}"#,
        r#""count""#,
    ];
    for (command, text) in commands.into_iter().zip(texts) {
        assert_eq!(serde_json::to_string(&command).unwrap(), text);
        assert_eq!(serde_json::from_str::<Command>(text).unwrap(), command);
    }
}

#[test]
fn the_replies_of_a_scheduler_format_unchanged() {
    let replies = [
        Reply::Done,
        Reply::InUse {
            campaigns: vec!["c1".to_owned()],
        },
        Reply::Full {
            scope: Scope::App,
            limit: 250,
        },
        Reply::Taken,
        Reply::Starting,
        Reply::State {
            state: State::Cancelled,
        },
        Reply::Runs(Page {
            runs: Vec::new(),
            cursor: Some(NOW),
        }),
        Reply::Counted(vec![CampaignCount {
            app: "shop".to_owned(),
            state: State::Draft,
            campaigns: 2,
        }]),
    ];
    let texts = [
        r#""done""#,
        r#"{"in_use":{"campaigns":["c1"]}}"#,
        r#"{"full":{"scope":"app","limit":250}}"#,
        r#""taken""#,
        r#""starting""#,
        r#"{"state":{"state":"cancelled"}}"#,
        r#"{"runs":{"runs":[],"cursor":1795420800000}}"#,
        r#"{"counted":[{"app":"shop","state":"draft","campaigns":2}]}"#,
    ];
    for (reply, text) in replies.into_iter().zip(texts) {
        assert_eq!(serde_json::to_string(&reply).unwrap(), text);
        assert_eq!(serde_json::from_str::<Reply>(text).unwrap(), reply);
    }
}

#[test]
fn a_batch_id_of_a_run_format_unchanged() {
    // A start that is repeated after a deployment must find the batch that the first one opened.
    let id = batch_id("c1", NOW);
    assert_eq!(id, "1b6538e0351340289c879b5324f22790");
    assert_ne!(id, batch_id("c1", NOW + fixture::MINUTE));
    assert_ne!(id, batch_id("c2", NOW));
}
