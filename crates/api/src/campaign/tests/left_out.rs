//! A run from its campaign's document to its own: the devices that it leaves out are counted in every step.

use super::*;
use ::batch::{Append, AudienceRef, Batch, Report};
use campaign::audience::{Command as ShardCommand, Device};
use campaign::scan::{AudienceScan, Rendered};
use campaign::scheduler::{Audience, Command, Page, Run, SchedulerState};
use campaign::template::Recipient;
use delivery::sql::fixture::Database;

const GRACE: Duration = Duration::from_secs(3600);

/// Returns the documents of the run and of its batch. The answer to each step is lost, so each is handed over
/// twice.
fn documents_of(campaign: &Value, devices: &[Device]) -> (Value, Value) {
    let config = config();
    let app = config.app("shop").unwrap();
    let mut scheduler = SchedulerState::default();
    let audience = Audience {
        name: "customers".to_owned(),
        app: "shop".to_owned(),
        shards: 1,
        created_at: NOW,
        is_deleting: false,
    };
    scheduler.apply(Command::PutAudience(audience), GRACE, NOW);
    let campaign = read_it(campaign).unwrap();
    scheduler.apply(Command::Create(Box::new(campaign.clone())), GRACE, NOW);
    scheduler.tick(GRACE, NOW);
    let run = only_run(&mut scheduler);

    let shard = Database::of::<ShardCommand>();
    let devices = devices.to_vec();
    shard.ask(&ShardCommand::Upsert { devices }, NOW).unwrap();
    let audience = AudienceRef {
        name: "customers".to_owned(),
        created_at: NOW,
        shards: 1,
    };
    let (record, _) = run::batch_record(&campaign, &run, &audience, app, &config).unwrap();
    let mut batch = Batch::open(record, 1, NOW);
    let mut scan = run::scan(&campaign, &run);
    scan.begin(&shard.execute(&AudienceScan::highest())).unwrap();
    let mut renderer = ChunkRenderer::new(&document_of(&campaign), app, NOW).unwrap();
    loop {
        let rows = |statement| Ok(shard.execute(&statement));
        let step = scan.step(2, rows, |members| {
            let recipients = members.iter().map(|member| Recipient::of(&member.device));
            let chunk = renderer.render(&recipients.collect::<Vec<_>>());
            Rendered {
                lines: chunk.body,
                pushes: chunk.pushes,
                left_out: chunk.left_out,
                problems: chunk.problems,
                indices: chunk.indices,
                taken: chunk.taken,
            }
        });
        let step = step.unwrap();
        let append = Append {
            scan: 0,
            from: scan.cursor.to_string(),
            to: step.to.to_string(),
            pushes: step.pushes,
            left_out: step.left_out,
            last: step.last,
            fault: step.fault,
        };
        batch.append(&append, 0, NOW);
        let told = batch.append(&append, 0, NOW).appended;
        if told.last {
            break;
        }
        scan.move_to(told.cursor.parse().unwrap());
    }
    if let Some(Report::Ended(ended)) = batch.report(NOW) {
        scheduler.apply(Command::RunEnded(ended.clone()), GRACE, NOW);
        scheduler.apply(Command::RunEnded(ended), GRACE, NOW);
    }
    let run = only_run(&mut scheduler);
    let page = Page {
        runs: vec![run],
        cursor: None,
    };
    let of_run: Value = serde_json::from_str(&document::runs(&page).body).unwrap();
    let of_batch = crate::batch::document(batch.record(), &batch.overview(NOW), None);
    (
        of_run["runs"][0].clone(),
        serde_json::from_str(&of_batch).unwrap(),
    )
}

fn only_run(scheduler: &mut SchedulerState) -> Run {
    let runs = Command::Runs {
        id: ID.to_owned(),
        before: None,
        limit: 9,
    };
    match scheduler.apply(runs, GRACE, NOW) {
        Reply::Runs(mut page) => page.runs.remove(0),
        other => panic!("{other:?}"),
    }
}

fn device(token: &str, attribute: &str) -> Device {
    let mut device = Device::new(token.repeat(16));
    device.attributes.insert(attribute.to_owned(), "Ann".into());
    device
}

#[test]
fn a_run_whose_variable_no_device_has_is_done_with_no_push_and_says_why() {
    let campaign = with(json!({
        "notification": {"payload": {"aps": {"alert": "Hi {{ frist_name }}"}}}, "schedule": at(0),
    }));
    let devices = ["00ff", "11ff", "22ff"].map(|token| device(token, "first_name"));
    let (run, batch) = documents_of(&campaign, &devices);
    let left_out = json!({"missing": {"frist_name": 3}});
    assert_eq!(
        (&run["state"], &run["pushes"]),
        (&json!("done"), &json!(0)),
        "{run}"
    );
    assert_eq!(run["left_out"], left_out, "{run}");
    assert_eq!((&batch["state"], &batch["pushes"]), (&json!("done"), &json!(0)));
    assert_eq!(
        (&batch["left_out"], &batch["invalid"]),
        (&left_out, &json!(3)),
        "{batch}"
    );
}

#[test]
fn a_run_whose_segment_no_device_is_in_and_one_whose_payloads_are_too_long_say_so() {
    let devices = ["00ff", "11ff", "22ff"].map(|token| device(token, "first_name"));
    let nobody = with(json!({"segment": {"eq": {"tags": "news"}}, "schedule": at(0)}));
    let (run, _) = documents_of(&nobody, &devices);
    assert_eq!(run["left_out"], json!({"outside_segment": 3}), "{run}");
    let mut devices = devices;
    let long = "x".repeat(4096);
    devices[1].attributes.insert("first_name".to_owned(), long.into());
    devices[0]
        .attributes
        .insert("first_name".to_owned(), "x".repeat(4096).into());
    devices[2]
        .attributes
        .insert("first_name".to_owned(), "x".repeat(4096).into());
    let long = with(json!({
        "notification": {"payload": {"aps": {"alert": "{{ first_name }}"}}}, "schedule": at(0),
    }));
    let (run, _) = documents_of(&long, &devices);
    assert_eq!(
        (&run["pushes"], &run["left_out"]),
        (&json!(0), &json!({"invalid": 3})),
        "{run}"
    );
}

#[test]
fn only_devices_of_the_segment_are_looked_at_for_missing_variables() {
    let shard = Database::of::<ShardCommand>();
    let mut devices = ["00ff", "11ff", "22ff"].map(|token| device(token, "nickname"));
    devices[1] = device("11ff", "first_name");
    devices[1].tags = vec!["named".to_owned()];
    let devices = devices.to_vec();
    shard.ask(&ShardCommand::Upsert { devices }, NOW).unwrap();
    let config = config();
    let app = config.app("shop").unwrap();
    let warned = |fields: Value| {
        let mut campaign = read_it(&with(fields)).unwrap();
        let (after, limit) = (0, variables::SAMPLE);
        let page = shard.ask(&ShardCommand::Page { after, limit }, NOW).unwrap();
        let campaign::audience::Reply::Page { mut members, .. } = page else {
            panic!("{page:?}")
        };
        if let Some(question) = variables::question(&campaign, &members, NOW) {
            let judged = shard.ask(&ShardCommand::Judge(question), NOW).unwrap();
            let campaign::audience::Reply::Judged(judged) = judged else {
                panic!("{judged:?}")
            };
            members = variables::in_segment(members, &judged);
        }
        variables::warn(&mut campaign, app, &members, NOW).unwrap();
        campaign.warnings.kinds().len()
    };
    let notification = json!({"payload": {"aps": {"alert": "Hi {{ first_name }}"}}});
    assert_eq!(warned(json!({"notification": notification})), 1);
    let segment = json!({"eq": {"tags": "named"}});
    assert_eq!(
        warned(json!({"notification": notification, "segment": segment})),
        0
    );
    let segment = json!({"not": segment});
    assert_eq!(
        warned(json!({"notification": notification, "segment": segment})),
        1
    );
}
