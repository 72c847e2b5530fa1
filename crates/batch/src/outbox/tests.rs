use proptest::prelude::*;

use super::*;
use delivery::sql::fixture::Database;

const NOW: Timestamp = Timestamp::from_secs(1_795_420_800);

const DAY: Duration = Duration::from_hours(24);

fn outbox(events: u64) -> Outbox {
    outbox_at(events, NOW)
}

fn outbox_at(events: u64, now: Timestamp) -> Outbox {
    let mut outbox = Outbox::new("b");
    for number in 0..events {
        let chunks = vec![u32::try_from(number).unwrap()];
        outbox.add(Event::DevicesGone, Body::Gone { chunks }, now);
    }
    outbox
}

fn answered(code: u16) -> Result<Answered, &'static str> {
    Ok(Answered {
        code,
        retry_after: None,
    })
}

/// Attempts the delivery that is due and returns its id.
fn attempt(outbox: &mut Outbox, outcome: Result<Answered, &str>, now: Timestamp) -> String {
    let id = outbox.due(now).unwrap().id.clone();
    outbox.attempted(&id, outcome, now);
    id
}

fn states(outbox: &Outbox) -> Vec<State> {
    let mut states: Vec<State> = outbox.deliveries().map(|delivery| delivery.state).collect();
    states.reverse();
    states
}

/// Does what the object does before and after an attempt.
fn store(database: &Database, outbox: &mut Outbox) {
    for statement in outbox.take_changes() {
        database.execute(&statement);
    }
}

/// Stores the outbox in a database and loads it, like a restart.
fn restarted(database: &Database, outbox: &mut Outbox) -> Outbox {
    store(database, outbox);
    let loaded = Outbox::load("b", &database.execute(&Outbox::select()));
    assert_eq!(loaded.fault, None);
    loaded.machine
}

fn database() -> Database {
    let database = Database::new();
    for _ in 0..2 {
        database.execute(&Outbox::schema());
    }
    database
}

#[test]
fn a_delivery_that_is_taken_is_sent_once() {
    for code in [200, 204, 299] {
        let mut outbox = outbox(1);
        assert_eq!(outbox.wake(), Some(NOW));
        attempt(&mut outbox, answered(code), NOW);
        assert_eq!(states(&outbox), [State::Delivered], "{code}");
        assert_eq!((outbox.wake(), outbox.due(NOW + DAY)), (None, None));
    }
}

#[test]
fn an_answer_that_is_no_success_is_tried_again_on_the_schedule_and_then_no_more() {
    for outcome in [
        answered(500),
        answered(301),
        answered(404),
        answered(199),
        Err("reset"),
    ] {
        let (mut outbox, mut now) = (outbox(1), NOW);
        for delay in SCHEDULE {
            attempt(&mut outbox, outcome, now);
            let next = outbox.wake().unwrap();
            assert!(
                next.since(now) >= delay / 2 && next.since(now) <= delay,
                "{delay:?} {next}"
            );
            assert_eq!(outbox.due(next - Duration::from_millis(1)), None);
            now = next;
        }
        attempt(&mut outbox, outcome, now);
        assert_eq!((states(&outbox), outbox.wake()), (vec![State::Failed], None));
        let attempts = &outbox.deliveries().next().unwrap().attempts;
        assert_eq!(attempts.len(), SCHEDULE.len() + 1);
    }
}

#[test]
fn the_last_attempt_can_still_succeed() {
    let (mut outbox, mut now) = (outbox(1), NOW);
    for _ in SCHEDULE {
        attempt(&mut outbox, answered(503), now);
        now = outbox.wake().unwrap();
    }
    attempt(&mut outbox, answered(200), now);
    assert_eq!(states(&outbox), [State::Delivered]);
}

#[test]
fn retry_after_is_obeyed_up_to_a_day_and_never_shortens_a_delay() {
    for (asked, expected) in [
        (Duration::from_secs(600), Duration::from_secs(600)),
        (DAY, DAY),
        (DAY * 365, DAY),
        (Duration::MAX, DAY),
    ] {
        let mut outbox = outbox(1);
        let answer = Answered {
            code: 429,
            retry_after: Some(asked),
        };
        attempt(&mut outbox, Ok(answer), NOW);
        assert_eq!(outbox.wake(), Some(NOW + expected));
    }
    let mut outbox = outbox(1);
    let answer = Answered {
        code: 503,
        retry_after: Some(Duration::from_secs(1)),
    };
    attempt(&mut outbox, Ok(answer), NOW);
    assert!(outbox.wake().unwrap() >= NOW + SCHEDULE[0] / 2);
}

#[test]
fn a_retry_after_that_is_a_date_is_when_an_endpoint_is_asked_again() {
    // 2026-11-23T13:20:00Z. Within a second the wait ends at the date as well.
    let date = Timestamp::from_secs(1_795_440_000);
    for before in [Duration::from_secs(1200), Duration::from_millis(1_200_250)] {
        for code in [429, 503] {
            for value in [
                "Mon, 23 Nov 2026 13:20:00 GMT",
                "Monday, 23-Nov-26 13:20:00 GMT",
                "Mon Nov 23 13:20:00 2026",
            ] {
                let now = date - before;
                let mut outbox = outbox_at(1, now);
                attempt(&mut outbox, Ok(Answered::read(code, Some(value), now)), now);
                assert_eq!(outbox.wake(), Some(date), "{code} {value}");
            }
        }
    }
}

#[test]
fn a_retry_after_that_cannot_be_read_or_has_passed_leaves_the_schedule_as_it_is() {
    for value in [None, Some("soon"), Some("Mon, 23 Nov 2020 13:20:00 GMT")] {
        let mut outbox = outbox(1);
        attempt(&mut outbox, Ok(Answered::read(503, value, NOW)), NOW);
        let delay = outbox.wake().unwrap().since(NOW);
        assert!(
            delay >= SCHEDULE[0] / 2 && delay <= SCHEDULE[0],
            "{value:?}: {delay:?}"
        );
    }
}

#[test]
fn an_endpoint_that_is_gone_is_told_nothing_more() {
    let database = database();
    let mut outbox = outbox(2);
    attempt(&mut outbox, answered(410), NOW);
    assert_eq!(
        (states(&outbox), outbox.wake()),
        (vec![State::Failed, State::Failed], None)
    );
    let mut outbox = restarted(&database, &mut outbox);
    for _ in 0..=MAX_ENDED {
        outbox.add(Event::BatchEnded, Body::Text("{}".to_owned()), NOW);
    }
    // It is known to be gone even if the log is full.
    let mut outbox = restarted(&database, &mut outbox);
    outbox.add(Event::BatchEnded, Body::Text("{}".to_owned()), NOW);
    assert_eq!((outbox.wake(), outbox.due(NOW + DAY)), (None, None));
}

#[test]
fn what_is_due_longest_goes_first() {
    let mut outbox = outbox(3);
    let first = attempt(&mut outbox, answered(500), NOW);
    let second = attempt(&mut outbox, answered(200), NOW);
    let third = attempt(&mut outbox, answered(500), NOW);
    assert_eq!(
        [&first, &second, &third],
        [
            "msg_b_1795420800000_0",
            "msg_b_1795420800000_1",
            "msg_b_1795420800000_2"
        ]
    );
    let later = NOW + SCHEDULE[0];
    let mut both = [(); 2].map(|()| attempt(&mut outbox, answered(200), later));
    both.sort();
    assert_eq!([&both[0], &both[1]], [&first, &third]);
}

#[test]
fn what_fails_again_and_again_keeps_nothing_else_from_its_first_attempt() {
    let mut outbox = outbox(40);
    let mut now = NOW;
    let mut attempts = Vec::new();
    while attempts.len() < 40 {
        attempts.push(attempt(&mut outbox, answered(500), now));
        // Each takes long enough for the earlier ones to be due again.
        now = now + TIMEOUT;
    }
    attempts.sort();
    attempts.dedup();
    assert_eq!(attempts.len(), 40, "each was attempted once before any was again");
}

#[test]
fn only_so_many_deliveries_are_under_way_at_once() {
    let mut outbox = outbox(AT_ONCE as u64 + 2);
    let under_way: Vec<String> = (0..AT_ONCE)
        .map(|_| outbox.due(NOW).unwrap().id.clone())
        .collect();
    assert_eq!(outbox.due(NOW), None);
    assert_eq!(
        outbox.wake(),
        Some(NOW + OUTCOME_WAIT),
        "not before one of them ends"
    );
    outbox.attempted(&under_way[2], answered(200), NOW);
    assert_eq!(outbox.wake(), Some(NOW));
    let next = outbox.due(NOW).unwrap().id.clone();
    assert!(!under_way.contains(&next));
    assert_eq!(outbox.due(NOW), None);
}

#[test]
fn an_endpoint_that_says_it_is_gone_is_told_nothing_by_those_under_way_either() {
    let mut outbox = outbox(3);
    let [first, second] = [(); 2].map(|()| outbox.due(NOW).unwrap().id.clone());
    outbox.attempted(&first, answered(410), NOW);
    outbox.attempted(&second, answered(500), NOW);
    assert_eq!((states(&outbox), outbox.wake()), (vec![State::Failed; 3], None));
}

#[test]
fn an_attempt_whose_outcome_is_lost_gives_its_place_up_after_a_minute() {
    let mut outbox = outbox(1);
    let lost = outbox.due(NOW).unwrap().id.clone();
    let end = NOW + OUTCOME_WAIT;
    assert_eq!(outbox.wake(), Some(end));
    assert_eq!(outbox.due(end - Duration::from_millis(1)), None);
    assert_eq!(outbox.due(end).unwrap().attempts.len(), 2);
    outbox.attempted(&lost, answered(200), end);
    assert_eq!((states(&outbox), outbox.wake()), (vec![State::Delivered], None));
}

#[test]
fn an_attempt_that_the_objects_end_cut_off_counts_and_is_repeated_by_the_schedule() {
    let (database, mut now) = (database(), NOW);
    let mut outbox = outbox(1);
    for attempts in 1..=SCHEDULE.len() {
        assert_eq!(outbox.due(now).unwrap().attempts.len(), attempts);
        outbox = restarted(&database, &mut outbox);
        now = outbox.wake().unwrap();
    }
    outbox.due(now).unwrap();
    let outbox = restarted(&database, &mut outbox);
    assert_eq!((states(&outbox), outbox.wake()), (vec![State::Failed], None));
    let problems = outbox.deliveries().flat_map(|delivery| &delivery.attempts);
    assert!(
        problems
            .map(|attempt| attempt.problem.as_deref())
            .all(|problem| problem == Some(NO_OUTCOME))
    );
}

#[test]
fn a_stored_delivery_format_unchanged() {
    // Outboxes are kept across deployments: each version must read what the previous one stored.
    let mut outbox = outbox(1);
    outbox.add(Event::BatchEnded, Body::Text("{}".to_owned()), NOW);
    attempt(&mut outbox, answered(200), NOW);
    attempt(&mut outbox, Err("reset"), NOW);
    let next_at = outbox.wake().unwrap().as_millis();
    let texts: Vec<String> = outbox
        .deliveries()
        .map(|delivery| serde_json::to_string(delivery).unwrap())
        .collect();
    assert_eq!(
        texts,
        [
            format!(
                r#"{{"id":"msg_b_1795420800000_1","event":"batch.ended","body":{{"text":"{{}}"}},"created_at":1795420800000,"state":{{"waiting":{{"next_at":{next_at}}}}},"attempts":[{{"at":1795420800000,"problem":"reset"}}]}}"#
            ),
            r#"{"id":"msg_b_1795420800000_0","event":"devices.gone","body":{"gone":{"chunks":[0]}},"created_at":1795420800000,"state":"delivered","attempts":[{"at":1795420800000,"code":200}]}"#.to_owned(),
        ]
    );
}

#[test]
fn a_row_that_cannot_be_read_is_left_out_and_told() {
    let database = database();
    restarted(&database, &mut outbox(2));
    database.execute(&Statement::new(
        "UPDATE deliveries SET delivery = '{}' WHERE number = 0",
    ));
    let loaded = Outbox::load("b", &database.execute(&Outbox::select()));
    assert_eq!(states(&loaded.machine).len(), 1);
    assert!(loaded.fault.unwrap().starts_with("delivery 0: "));
}

#[test]
fn only_what_has_changed_is_stored() {
    let database = database();
    let mut outbox = outbox(3);
    restarted(&database, &mut outbox);
    assert_eq!(outbox.take_changes(), []);
    attempt(&mut outbox, answered(200), NOW);
    assert_eq!(outbox.take_changes().len(), 1);
}

#[test]
fn the_log_forgets_the_oldest_that_have_ended_and_nothing_that_waits() {
    let database = database();
    let mut outbox = outbox(2);
    attempt(&mut outbox, answered(500), NOW);
    attempt(&mut outbox, answered(200), NOW);
    for _ in 0..MAX_ENDED {
        outbox.add(Event::BatchEnded, Body::Text("{}".to_owned()), NOW);
        attempt(&mut outbox, answered(200), NOW);
    }
    let ended = |outbox: &Outbox| {
        let states = states(outbox).into_iter();
        states.filter(|state| *state == State::Delivered).count()
    };
    outbox.add(Event::BatchEnded, Body::Text("{}".to_owned()), NOW);
    assert_eq!(ended(&outbox), MAX_ENDED);
    let outbox = restarted(&database, &mut outbox);
    assert_eq!(states(&outbox).len(), MAX_ENDED + 2);
    assert!(outbox.deliveries().any(|delivery| delivery.id.ends_with("_0")));
    assert!(!outbox.deliveries().any(|delivery| delivery.id.ends_with("_1")));
}

#[test]
fn a_long_problem_is_cut() {
    let mut outbox = outbox(1);
    attempt(&mut outbox, Err(&"é".repeat(10_000)), NOW);
    let problem = outbox.deliveries().next().unwrap().attempts[0].problem.clone();
    assert_eq!(problem, Some("é".repeat(MAX_PROBLEM)));
}

/// The result of an attempt.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Answered(u16),
    Reset,
    Crash,
}

proptest! {
    #[test]
    fn each_delivery_ends_whatever_happens_and_no_attempt_comes_before_its_time(
        fates in prop::collection::vec(
            prop_oneof![
                prop_oneof![Just(200), Just(500), Just(429), Just(302)].prop_map(Fate::Answered),
                Just(Fate::Reset),
                Just(Fate::Crash),
            ],
            0..40,
        ),
        events in 1..6_u64,
    ) {
        let (database, mut outbox, mut now) = (database(), outbox(events), NOW);
        let mut fates = fates.into_iter();
        let mut steps = 0;
        while let Some(wake) = outbox.wake() {
            steps += 1;
            prop_assert!(steps <= 20 * events, "it never ends");
            now = now.max(wake);
            let Some(delivery) = outbox.due(now).cloned() else { continue };
            store(&database, &mut outbox);
            prop_assert!(delivery.attempts.len() <= SCHEDULE.len() + 1);
            for pair in delivery.attempts.windows(2) {
                prop_assert!(pair[1].at.since(pair[0].at) >= SCHEDULE[0] / 2);
            }
            match fates.next().unwrap_or(Fate::Answered(200)) {
                Fate::Answered(code) => outbox.attempted(&delivery.id, answered(code), now),
                Fate::Reset => outbox.attempted(&delivery.id, Err("reset"), now),
                Fate::Crash => outbox = restarted(&database, &mut outbox),
            }
        }
        for delivery in outbox.deliveries() {
            let taken = delivery.attempts.last().is_some_and(|attempt| attempt.code == Some(200));
            let expected = if taken { State::Delivered } else { State::Failed };
            prop_assert_eq!(delivery.state, expected);
        }
        prop_assert_eq!(&restarted(&database, &mut outbox).log(), &outbox.log());
    }
}
