use super::*;
use delivery::verdict::TokenRefusal;

#[test]
fn a_records_format_unchanged() {
    // A batch of the previous deployment continues in this one, and its receipts are read for weeks.
    let record = Record {
        sealed_at: Some(BEGIN),
        ended_at: Some(BEGIN + secs(9)),
        state: State::Paused,
        paused: Some(Pause {
            by: PausedBy::BadDeviceTokens,
            detail: "so".to_owned(),
        }),
        terms: Terms {
            rate: Some(1000),
            expires_at: Some(BEGIN),
            webhook: Some("https://example.com".to_owned()),
            ..terms()
        },
        invalid: 3,
        ignores_bad_tokens: true,
        final_results: vec![
            FinalResult {
                verdict: Verdict::Accepted,
                code: 200,
                reason: None,
                attempts: 1,
                gave_up: None,
            },
            FinalResult {
                verdict: Verdict::Retry(RetryCause::ProviderToken(TokenRefusal::TooManyUpdates)),
                code: 429,
                reason: Some("TooManyProviderTokenUpdates".to_owned()),
                attempts: 7,
                gave_up: Some(GaveUp::OutOfRetries),
            },
        ],
        ..record(terms())
    };
    let text = concat!(
        r#"{"id":"00112233445566778899aabbccddeeff","app":"shop","created_at":1800000000000,"#,
        r#""sealed_at":1800000000000,"ended_at":1800000009000,"state":"paused","#,
        r#""paused":{"by":"bad_device_tokens","detail":"so"},"#,
        r#""terms":{"rate":1000,"weight":1,"retry_for_ms":86400000,"expires_at":1800000000000,"#,
        r#""repeatable":true,"one_attempt":false,"collapse_repeats":true,"bad_token_percent":20,"claim_ms":120000,"#,
        r#""keep_ms":604800000,"webhook":"https://example.com"},"invalid":3,"ignores_bad_tokens":true,"#,
        r#""final_results":[{"verdict":"accepted","code":200,"attempts":1},"#,
        r#"{"verdict":{"retry":{"provider_token":"too_many_updates"}},"code":429,"#,
        r#""reason":"TooManyProviderTokenUpdates","attempts":7,"gave_up":"out_of_retries"}]}"#,
    );
    assert_eq!(serde_json::to_string(&record).unwrap(), text);
    assert_eq!(serde_json::from_str::<Record>(text).unwrap(), record);
}

#[test]
fn a_runs_record_format_unchanged() {
    // A run of the previous deployment continues in this one.
    let record = Record {
        state: State::Running,
        terms: Terms {
            windows: vec![(BEGIN, BEGIN + secs(1))],
            ..terms()
        },
        run: Some(RunRef {
            campaign: "c".to_owned(),
            at: BEGIN,
            audience: audience(),
            opened_at: BEGIN,
        }),
        cut_off: Some(CutOff::Full),
        run_report: ReportProgress {
            reported: true,
            next: 7,
            over: false,
        },
        cut_off_detail: Some("so".to_owned()),
        ..record(terms())
    };
    let text = concat!(
        r#"{"id":"00112233445566778899aabbccddeeff","app":"shop","created_at":1800000000000,"#,
        r#""sealed_at":null,"ended_at":null,"state":"running","paused":null,"#,
        r#""terms":{"rate":null,"weight":1,"retry_for_ms":86400000,"expires_at":null,"#,
        r#""repeatable":true,"one_attempt":false,"collapse_repeats":true,"bad_token_percent":20,"claim_ms":120000,"#,
        r#""keep_ms":604800000,"webhook":null,"windows":[[1800000000000,1800000001000]]},"invalid":0,"#,
        r#""final_results":[],"run":{"campaign":"c","at":1800000000000,"audience":{"name":"customers","created_at":1800000000000,"shards":8},"opened_at":1800000000000},"#,
        r#""cut_off":"full","cut_off_detail":"so","run_report":{"reported":true,"next":7,"over":false}}"#,
    );
    assert_eq!(serde_json::to_string(&record).unwrap(), text);
    assert_eq!(serde_json::from_str::<Record>(text).unwrap(), record);
}

#[test]
fn a_progress_format_unchanged() {
    // A row of each chunk that a batch of the previous deployment has begun. Receipts read the result codes.
    let text = concat!(
        r#"{"claim":{"until":1800000120000,"groups":[{"rounds":0,"attempts":0,"indices":[[4,4]]},"#,
        r#"{"rounds":2,"attempts":3,"first_at":1800000000000,"indices":[[5,6]]}]},"#,
        r#""retries":[{"due_at":1800000060000,"group":{"rounds":1,"attempts":1,"#,
        r#""first_at":1800000000000,"indices":[[2,3]]}}],"#,
        r##""result_codes":"#$     "}"##,
    );
    let progress: Progress = serde_json::from_str(text).unwrap();
    assert_eq!(serde_json::to_string(&progress).unwrap(), text);
    assert_eq!(progress.ended(), BitSet::first(2));
    assert_eq!(progress.rescheduled(), (2..4).collect());
    assert_eq!(progress.in_flight(), (4..7).collect());
    assert_eq!(progress.ready(8), std::iter::once(7).collect());
    assert_eq!(serde_json::to_string(&Progress::default()).unwrap(), "{}");
    assert_eq!(
        serde_json::from_str::<Progress>("{}").unwrap(),
        Progress::default()
    );
}

#[test]
fn what_one_push_alone_has_is_kept_once_with_its_ending() {
    let mut batch = sealed(terms(), 1, 2);
    let work = batch.claim(0, BEGIN).unwrap();
    let mut results = bad_tokens([1]);
    results.details = vec![Detail {
        index: 1,
        since: Some(BEGIN),
        unique_id: None,
    }];
    for _ in 0..2 {
        batch.settle(0, work.until, &results, false, BEGIN);
    }
    assert_eq!(batch.progress(0).unwrap().details, results.details);
}
