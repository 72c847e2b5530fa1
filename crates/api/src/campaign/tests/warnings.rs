//! The warnings of a campaign, found with samples for its variables.

use super::*;

fn kinds(campaign: &Campaign) -> Vec<String> {
    let kinds = campaign.warnings.kinds().iter();
    kinds
        .map(|kind| format!("{} {}", kind.code, kind.pointer))
        .collect()
}

#[test]
fn a_campaigns_document_has_its_warnings_and_can_be_put_back() {
    let odd = with(json!({
        "notification": {"payload": {"aps": {"alert": "Hi"}, "badge": 1}},
        "variants": {"de": {"aps": {"alrt": "Hallo"}}, "fr": {"aps": {"alert": "Salut"}}},
    }));
    let campaign = read_it(&odd).unwrap();
    assert_eq!(
        kinds(&campaign),
        [
            "misplaced_key /notification/payload/badge",
            "misspelled_key /variants/de/aps/alrt"
        ]
    );
    let shown: Value = serde_json::from_str(&document::answer(&campaign).body).unwrap();
    assert_eq!(shown["warnings"][1]["pointer"], "/variants/de/aps/alrt");
    let again = read_it(&shown).unwrap();
    assert_eq!(again.document, campaign.document);
    assert_eq!(again.warnings, campaign.warnings);
    assert!(read_it(&whole()).unwrap().warnings.is_empty());
}

#[test]
fn a_strict_campaign_is_refused_for_a_warning() {
    let odd =
        with(json!({"strict": true, "notification": {"payload": {"aps": {"alert": "Hi"}, "badge": 1}}}));
    let faults = read_it(&odd).map(|_| ()).unwrap_err();
    assert!(
        faults[0].starts_with("/notification/payload/badge: "),
        "{faults:?}"
    );
    let fine = read_it(&with(json!({"strict": true}))).unwrap();
    assert!(fine.document.contains(r#""strict":true"#));
    let odd = with(json!({"strict": 1}));
    assert_eq!(
        read_it(&odd).map(|_| ()).unwrap_err(),
        ["/strict: must be a boolean, but is a number"]
    );
}

#[test]
fn a_value_that_each_device_fills_in_has_no_warning() {
    let level = json!({"aps": {"alert": "Hi {{ name }}", "interruption-level": "{{ level }}", "sound": "{{ sound }}"}});
    let campaign = read_it(&with(json!({"notification": {"payload": level}}))).unwrap();
    assert_eq!(kinds(&campaign), [""; 0]);
    let fixed = json!({"aps": {"alert": "Hi {{ name }}", "interruption-level": "loud"}});
    let campaign = read_it(&with(json!({"notification": {"payload": fixed}}))).unwrap();
    assert_eq!(
        kinds(&campaign),
        ["wrong_value /notification/payload/aps/interruption-level"]
    );
}

#[test]
fn a_run_has_the_warnings_of_its_campaign() {
    let odd =
        with(json!({"notification": {"payload": {"aps": {"alert": "Hi"}, "badge": 1}}, "schedule": at(60)}));
    let config = config();
    let campaign = read_with(&config, &odd).unwrap();
    let run = documents::run(NOW, campaign::scheduler::RunState::Starting);
    let audience = ::batch::AudienceRef {
        name: "customers".to_owned(),
        created_at: run.at,
        shards: 1,
    };
    let (record, _) =
        run::batch_record(&campaign, &run, &audience, config.app("shop").unwrap(), &config).unwrap();
    assert_eq!(record.warnings, campaign.warnings);
}
