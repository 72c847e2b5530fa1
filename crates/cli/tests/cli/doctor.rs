use crate::fake::{Fake, json, problem};
use crate::run::run;

const APPS: &str = r#"[{"name":"shop","topic":"com.example.shop","environment":"production","transport":"fetch","team_id":"set","key_id":"set","signing_key":"set"}]"#;
const WELL: &str =
    r#"{"app":"shop","provider_token_age_s":125,"proven":true,"limit":3000,"in_use":6,"waiting":2}"#;
const ILL: &str =
    r#"{"app":"news","proven":false,"limit":0,"in_use":0,"waiting":0,"problem":"the gate is away"}"#;
const PROBES: &str = r#"[{"environment":"production","transport":"fetch","target":"https://api.push.apple.com","in_use":true,"ok":true,"answer":"403 MissingProviderToken","ms":12},{"environment":"production","transport":"socket","target":"api.push.apple.com:443","in_use":false,"ok":false,"answer":"Unreachable","ms":9,"streams":1},{"environment":"sandbox","transport":"fetch","target":"https://api.sandbox.push.apple.com","in_use":true,"ok":false,"answer":"502 no reason of APNs","ms":7}]"#;

fn report(healthy: bool, gates: &str) -> String {
    format!(
        r#"{{"healthy":{healthy},"apps":{APPS},"attempt_timeout_ms":10000,"permits":3000,"local_origins":false,"gates":[{gates}],"probes":{PROBES}}}"#
    )
}

#[test]
fn a_report_is_told_with_what_is_wrong() {
    let fake = Fake::start(vec![json(200, report(false, &format!("{WELL},{ILL}")))]);
    let output = run(&fake, &["doctor"]).with_code(1);
    assert_eq!(
        output.out,
        "Apps that your key reaches\n\
         \x20 ok    shop  com.example.shop  production  by fetch\n\
         Provider tokens and permits\n\
         \x20 ok    shop  provider token 125 s old, accepted by APNs  6 of 3000 permits in use, 2 waiting\n\
         \x20 FAIL  news  the gate is away\n\
         Ways to APNs\n\
         \x20 ok    production by fetch  https://api.push.apple.com  403 MissingProviderToken  12 ms\n\
         \x20 -     production by socket  api.push.apple.com:443  Unreachable  9 ms, 1 streams at first\n\
         \x20 FAIL  sandbox by fetch  https://api.sandbox.push.apple.com  502 no reason of APNs  7 ms\n\
         Something is wrong: see the lines that say FAIL.\n"
    );
    assert_eq!(fake.only().line, "GET /v1/doctor");
}

#[test]
fn a_healthy_deployment_ends_well() {
    let text = report(true, WELL);
    let fake = Fake::start(vec![json(200, text.clone()), json(200, text.clone())]);
    assert!(
        run(&fake, &["doctor"])
            .with_code(0)
            .out
            .ends_with("All is well.\n")
    );
    assert_eq!(run(&fake, &["doctor", "--json"]).with_code(0).out, text + "\n");
}

#[test]
fn a_misconfigured_deployment_tells_its_faults() {
    let body = r#"{"type":"urn:apns-edge:problem:misconfigured","title":"The deployment's configuration has faults","status":500,"detail":"x","errors":[{"pointer":"/APPS/shop/topic","detail":"is required"}]}"#;
    let fake = Fake::start(vec![json(500, body)]);
    let output = run(&fake, &["doctor"]).with_code(4);
    assert!(
        output.err.contains("/APPS/shop/topic: is required"),
        "{}",
        output.err
    );
    // It will not pass by itself: it was asked once.
    fake.only();
}

#[test]
fn a_caller_that_is_not_known_is_refused() {
    let fake = Fake::start(vec![problem(401, "unauthenticated")]);
    run(&fake, &["doctor"]).with_code(3);
    fake.only();
}

#[test]
fn faults_of_settings_refusals_and_paused_batches_are_shown() {
    let apps = r#"[{"name":"calls","topic":"com.acme.voip","environment":"production","transport":"fetch","warnings":[{"pointer":"/APPS/calls/topic","detail":"ends in `.voip`"}]}]"#;
    let broken = r#"[{"name":"news","faults":[{"pointer":"/APNS_KEY_NEWSKEY001","detail":"is required"}]}]"#;
    let keys = r#"[{"pointer":"/API_KEYS/0/name","detail":"`backend` is also the name of entry 1"}]"#;
    let gate = r#"{"app":"calls","proven":false,"limit":2000,"in_use":0,"waiting":0,"last_refusal":{"reason":"InvalidProviderToken","at":"2026-11-23T08:00:00.000Z"},"problem":"APNs refused the credential with `InvalidProviderToken` at 2026-11-23T08:00:00.000Z. Compare `key_id`"}"#;
    let batch = r#"{"id":"00112233445566778899aabbccddeeff","app":"calls","created_at":"2026-11-23T07:00:00.000Z","pushes":7}"#;
    let body = format!(
        r#"{{"healthy":false,"apps":{apps},"broken_apps":{broken},"api_key_faults":{keys},"gates":[{gate}],"paused_batches":[{batch}],"more_paused_batches":true,"probes":[]}}"#
    );
    let fake = Fake::start(vec![json(200, body)]);
    let output = run(&fake, &["doctor"]).with_code(1);
    assert_eq!(
        output.out,
        "Apps that your key reaches\n\
         \x20 ok    calls  com.acme.voip  production  by fetch\n\
         \x20 warn  calls  /APPS/calls/topic: ends in `.voip`\n\
         \x20 FAIL  news  /APNS_KEY_NEWSKEY001: is required\n\
         API keys\n\
         \x20 FAIL  /API_KEYS/0/name: `backend` is also the name of entry 1\n\
         Provider tokens and permits\n\
         \x20 FAIL  calls  APNs refused the credential with `InvalidProviderToken` at 2026-11-23T08:00:00.000Z. Compare `key_id`\n\
         Paused batches; go on with: apns-edge batch resume ID\n\
         \x20 -     00112233445566778899aabbccddeeff  calls  2026-11-23T07:00:00.000Z  7 pushes\n\
         \x20 -     and more: apns-edge batch list --state paused\n\
         Ways to APNs\n\
         Something is wrong: see the lines that say FAIL.\n"
    );
    fake.only();
}
