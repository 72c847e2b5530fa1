use crate::fake::{Fake, Reply, json, problem};
use crate::run::{Folder, ID, run, run_with};

/// Returns the document of the campaign in these tests.
pub(crate) fn campaign(state: &str) -> String {
    format!(
        r#"{{"id":"{ID}","app":"shop","state":"{state}","name":"Monday news","audience":"customers","notification":{{"payload":{{"aps":{{"alert":"Hi"}}}}}},"schedule":{{"cron":"0 9 * * 1","time_zone":"Europe/Berlin"}},"created_at":"2026-11-23T08:00:00.000Z","next_at":"2026-11-30T08:00:00.000Z","runs":3}}"#
    )
}

const BODY: &str = "{\n  \"name\": \"Monday news\", \"audience\": \"customers\", \"rate\": 1.50\n}\n";

#[test]
fn a_campaign_is_created_and_says_when_it_is_due() {
    let folder = Folder::new();
    let file = folder.file("campaign.json", BODY);
    let fake = Fake::start(vec![
        json(201, campaign("scheduled")),
        json(201, campaign("draft")),
    ]);
    let output = run(&fake, &["campaign", "create", &file]).with_code(0);
    assert_eq!(
        output.out,
        format!(
            "campaign {ID} of shop: scheduled\n  name      Monday news\n  audience  customers\n  \
             schedule  cron 0 9 * * 1, Europe/Berlin\n  next run  2026-11-30T08:00:00.000Z\n  runs      3\n"
        )
    );
    let read = run_with(&fake, &["campaign", "create", "-", "--json"], BODY).with_code(0);
    assert_eq!(read.out, campaign("draft") + "\n");
    for request in fake.requests() {
        assert_eq!(request.line, "POST /v1/campaigns");
        assert_eq!(
            request.text(),
            r#"{"name":"Monday news","audience":"customers","rate":1.50}"#
        );
    }
}

#[test]
fn a_campaign_whose_answer_is_lost_is_not_created_twice() {
    let folder = Folder::new();
    let file = folder.file("campaign.json", BODY);
    let fake = Fake::start(vec![Reply::Broken("{".to_owned())]);
    let output = run(&fake, &["campaign", "create", &file]).with_code(4);
    assert!(output.err.contains("apns-edge campaign list"), "{}", output.err);
    fake.only();
}

#[test]
fn faults_of_a_campaign_are_told_by_their_fields() {
    let folder = Folder::new();
    let file = folder.file("campaign.json", BODY);
    let body = r#"{"type":"urn:apns-edge:problem:invalid-request","title":"The request has faults","status":422,"detail":"x","errors":[{"pointer":"/schedule/cron","detail":"is no cron expression"}]}"#;
    let fake = Fake::start(vec![json(422, body)]);
    let output = run(&fake, &["campaign", "create", &file]).with_code(3);
    assert!(
        output.err.contains("/schedule/cron: is no cron expression"),
        "{}",
        output.err
    );
}

#[test]
fn a_campaign_is_replaced_again_and_again_until_it_is() {
    let folder = Folder::new();
    let file = folder.file("campaign.json", BODY);
    let fake = Fake::start(vec![
        Reply::Cut(5),
        json(200, campaign("paused")),
        problem(409, "campaign-state"),
    ]);
    run(&fake, &["campaign", "update", ID, &file]).with_code(0);
    run(&fake, &["campaign", "update", ID, &file]).with_code(3);
    assert_eq!(fake.lines()[1], format!("PUT /v1/campaigns/{ID}"));
}

#[test]
fn a_campaign_is_scheduled_paused_resumed_and_cancelled() {
    for (what, state) in [
        ("schedule", "scheduled"),
        ("pause", "paused"),
        ("resume", "running"),
        ("cancel", "cancelled"),
    ] {
        let fake = Fake::start(vec![json(200, campaign(state)), problem(409, "campaign-state")]);
        let output = run(&fake, &["campaign", what, ID, "--json"]).with_code(0);
        assert_eq!(output.out, campaign(state) + "\n");
        run(&fake, &["campaign", what, ID]).with_code(3);
        assert_eq!(fake.lines()[0], format!("POST /v1/campaigns/{ID}/{what}"));
    }
}

#[test]
fn how_a_campaign_stands_is_the_exit_code() {
    for (state, code) in [("draft", 0), ("scheduled", 0), ("paused", 5), ("cancelled", 5)] {
        let fake = Fake::start(vec![problem(503, "unavailable"), json(200, campaign(state))]);
        run(&fake, &["campaign", "show", ID]).with_code(code);
        assert_eq!(fake.lines()[1], format!("GET /v1/campaigns/{ID}"));
    }
}

#[test]
fn campaigns_are_listed_and_deleted() {
    let list = format!(r#"{{"campaigns":[{}]}}"#, campaign("done"));
    let fake = Fake::start(vec![json(200, list.clone()), json(200, list), json(204, "")]);
    let output = run(
        &fake,
        &["campaign", "list", "--app", "my shop", "--state", "done"],
    )
    .with_code(0);
    assert_eq!(
        output.out,
        format!("{ID}  done       2026-11-30T08:00:00.000Z      3 runs  shop  Monday news\n")
    );
    let read = run(&fake, &["campaign", "list", "--json"]).with_code(0);
    assert_eq!(read.out, campaign("done") + "\n");
    let deleted = run(&fake, &["campaign", "delete", ID]).with_code(0);
    assert_eq!(
        (deleted.out.as_str(), deleted.err),
        ("", format!("campaign {ID} is deleted\n"))
    );
    assert_eq!(
        fake.lines(),
        [
            "GET /v1/campaigns?app=my%20shop&state=done".to_owned(),
            "GET /v1/campaigns".to_owned(),
            format!("DELETE /v1/campaigns/{ID}")
        ]
    );
}

#[test]
fn runs_are_listed_page_after_page() {
    let newest =
        r#"{"scheduled_at":"2026-11-30T08:00:00.000Z","state":"missed","detail":"was due too long ago"}"#;
    let oldest = format!(
        r#"{{"scheduled_at":"2026-11-23T08:00:00.000Z","state":"done","batch":"{ID}","pushes":1000,"counts":{{"accepted":990,"rejected":10,"gone":4}}}}"#
    );
    let fake = Fake::start(vec![
        json(200, format!(r#"{{"runs":[{newest}],"cursor":"c1"}}"#)),
        json(200, format!(r#"{{"runs":[{oldest}],"cursor":null}}"#)),
    ]);
    let output = run(&fake, &["campaign", "runs", ID]).with_code(0);
    assert_eq!(
        output.out,
        format!(
            "2026-11-30T08:00:00.000Z  missed     was due too long ago\n\
             2026-11-23T08:00:00.000Z  done            1000 pushes        990 accepted  10 rejected  4 gone  {ID}\n"
        )
    );
    assert_eq!(
        fake.lines(),
        [
            format!("GET /v1/campaigns/{ID}/runs?limit=100"),
            format!("GET /v1/campaigns/{ID}/runs?limit=99&cursor=c1")
        ]
    );
}

const RESULTS: &str = r#"{"app":"shop","transport":"fetch","counts":{"devices":2,"accepted":1,"rejected":1,"retrying":0,"failed":0,"gone":0},"results":[{"ref":"user-1","token_hint":"740f…78ad","status":"accepted","code":200},{"ref":"user-2","token_hint":"0000…0000","status":"rejected","code":400,"reason":"BadDeviceToken","verdict":"drop_device"}]}"#;

#[test]
fn a_test_is_sent_once_and_told_by_device() {
    let fake = Fake::start(vec![json(200, RESULTS), problem(503, "busy")]);
    let test = ["campaign", "test", ID, "--ref", "user-1", "--ref", "user-2"];
    let output = run(&fake, &test).with_code(0);
    assert!(
        output.out.ends_with("2 devices: 1 accepted, 1 rejected\n"),
        "{}",
        output.out
    );
    run(&fake, &test).with_code(4);
    for request in fake.requests() {
        assert_eq!(request.line, format!("POST /v1/campaigns/{ID}/test"));
        assert_eq!(request.text(), r#"{"refs":["user-1","user-2"]}"#);
    }
}

#[test]
fn a_preview_shows_what_each_device_would_get() {
    let good = r#"{"ref":"user-1","token_hint":"740f…78ad","request":{"method":"POST","path":"/3/device/0011","headers":{"apns-push-type":"alert","apns-priority":"5"},"body":"{\"aps\":{\"alert\":\"Hi Ann\"}}","size":26,"limit":4096}}"#;
    let bad = r#"{"ref":"user-2","token_hint":"0000…0000","problem":{"pointer":"/payload","detail":"first_name is missing"}}"#;
    let answer = |pushes: &str| format!(r#"{{"app":"shop","environment":"production","pushes":[{pushes}]}}"#);
    let both = answer(&format!("{good},{bad}"));
    let fake = Fake::start(vec![
        problem(503, "unavailable"),
        json(200, both.clone()),
        json(200, answer(good)),
        json(200, answer("")),
    ]);
    let preview = ["campaign", "preview", ID, "--ref", "user-1"];
    let output = run(
        &fake,
        &[&preview, ["--ref", "user-2", "--json"].as_slice()].concat(),
    )
    .with_code(1);
    assert_eq!(output.out, both + "\n");
    let output = run(&fake, &preview).with_code(0);
    assert_eq!(
        output.out,
        "740f…78ad  user-1  26 of 4096 bytes\n  apns-push-type: alert\n  apns-priority: 5\n  {\"aps\":{\"alert\":\"Hi Ann\"}}\n"
    );
    run(&fake, &preview).with_code(1);
    assert_eq!(fake.lines()[1], format!("POST /v1/campaigns/{ID}/preview"));
}

#[test]
fn the_warnings_of_a_campaign_go_to_standard_error() {
    let folder = Folder::new();
    let file = folder.file("campaign.json", BODY);
    let warnings =
        r#""warnings":[{"code":"null_value","pointer":"/notification/payload/k","detail":"is null"}],"#;
    let with_warnings = campaign("scheduled").replacen("\"app\"", &format!("{warnings}\"app\""), 1);
    let preview = format!(
        r#"{{"app":"shop",{warnings}"pushes":[{{"token_hint":"740f…78ad","request":{{"headers":{{}},"body":"{{}}","size":2,"limit":4096}}}}]}}"#
    );
    let fake = Fake::start(vec![
        json(201, with_warnings.clone()),
        json(200, with_warnings.clone()),
        json(200, preview),
        json(201, with_warnings.clone()),
    ]);
    for arguments in [
        ["campaign", "create", &file].as_slice(),
        &["campaign", "update", ID, &file],
        &["campaign", "preview", ID, "--ref", "user-1"],
    ] {
        let output = run(&fake, arguments).with_code(0);
        assert_eq!(
            output.err,
            "warning: /notification/payload/k: is null (null_value)\n"
        );
    }
    let read = run(&fake, &["campaign", "create", &file, "--json"]).with_code(0);
    assert_eq!((read.out, read.err.as_str()), (with_warnings + "\n", ""));
    fake.requests();
}

#[test]
fn what_is_wrong_on_this_side_asks_nothing() {
    let folder = Folder::new();
    let list = folder.file("list.json", "[]");
    let fake = Fake::start(vec![]);
    for arguments in [
        ["campaign", "show", "../../v1/doctor"].as_slice(),
        &["campaign", "create", &list],
        &["campaign", "create", "/nowhere"],
        &["campaign", "update", ID],
        &["campaign", "test", ID],
        &["campaign", "watch", "0123"],
    ] {
        run(&fake, arguments).with_code(2);
    }
    assert!(fake.requests().is_empty());
}
