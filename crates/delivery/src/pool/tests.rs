use super::*;
use proptest::prelude::*;

const START: Timestamp = Timestamp::from_secs(1_795_420_800);
const SHAPE: Shape = Shape {
    capacity: 4,
    streams: 1000,
    idle: Duration::from_secs(60),
};
const SECOND: Duration = Duration::from_secs(1);

#[test]
fn the_lowest_place_with_room_is_filled_first() {
    let (mut pool, now) = open_pool(2);
    assert_eq!(place(&mut pool, 1, 400, now), 0);
    assert_eq!(place(&mut pool, 2, 400, now), 0);
    assert_eq!(place(&mut pool, 3, 400, now), 1);
    pool.release(lease(1), Sign::Open, now);
    assert_eq!(place(&mut pool, 4, 400, now), 0);
}

#[test]
fn a_place_is_added_when_all_are_near_their_limit_a_few_seconds_after_the_last() {
    let (mut pool, now) = open_pool(1);
    let last = now - SECOND;
    assert_eq!(place(&mut pool, 1, 900, now), 0);
    assert_eq!(place(&mut pool, 2, 900, now), 0, "too soon after the first place");
    let later = last + GROWTH_PAUSE;
    assert_eq!(place(&mut pool, 3, 900, later), 1);
    pool.release(lease(3), Sign::Open, later);
    assert_eq!(place(&mut pool, 4, 900, later), 1, "the least loaded");
    assert_eq!(place(&mut pool, 5, 900, later), 1, "the least loaded");
}

#[test]
fn while_a_place_may_be_opening_no_other_is_handed_out_that_is_not_open() {
    let (mut pool, mut now) = open_pool(1);
    place(&mut pool, 1, 900, now);
    now = now + GROWTH_PAUSE;
    assert_eq!(place(&mut pool, 2, 400, now), 1, "the opener");
    assert_eq!(place(&mut pool, 3, 400, now), 1, "it has room");
    assert_eq!(
        place(&mut pool, 4, 400, now),
        1,
        "it has less to do than the open one"
    );
    assert_eq!(
        place(&mut pool, 5, 400, now + GROWTH_PAUSE),
        0,
        "the open one has less to do"
    );
    pool.release(lease(1), Sign::Open, now + GROWTH_PAUSE);
    pool.release(lease(2), Sign::Open, now + GROWTH_PAUSE);
    place(&mut pool, 6, 500, now + GROWTH_PAUSE);
    assert_eq!(
        place(&mut pool, 7, 400, now + GROWTH_PAUSE),
        2,
        "the opener is open"
    );
}

#[test]
fn without_an_open_place_all_share_the_opener() {
    let mut pool = Pool::default();
    for number in 0..10 {
        let now = START + GROWTH_PAUSE * u32::try_from(number).unwrap();
        assert_eq!(place(&mut pool, number, 900, now), 0);
    }
    assert_eq!(pool.len(), 1);
}

#[test]
fn an_opening_of_which_nobody_tells_is_over_in_time() {
    let (mut pool, now) = open_pool(1);
    place(&mut pool, 1, 900, now);
    let opening = now + GROWTH_PAUSE;
    assert_eq!(place(&mut pool, 2, 2000, opening), 1);
    let end = opening + OPENING_TIME;
    pool.release(lease(1), Sign::Open, opening + SECOND);
    place(&mut pool, 3, 900, opening + SECOND);
    assert_eq!(
        place(&mut pool, 4, 900, end - SECOND),
        0,
        "the opener may be opening"
    );
    assert_eq!(
        place(&mut pool, 5, 900, end),
        2,
        "nobody told of the first opener"
    );
}

#[test]
fn an_object_that_answers_nobody_is_passed_over_though_orders_keep_coming() {
    let mut pool = Pool::default();
    let second = |number: u64| START + SECOND * u32::try_from(number).unwrap();
    for number in 0..60 {
        assert_eq!(place(&mut pool, number, 1, second(number)), 0);
    }
    assert_eq!(place(&mut pool, 60, 1, second(60)), 1);
    pool.release(lease(60), Sign::Shut(SECOND), second(61));
    assert_eq!(place(&mut pool, 61, 1, second(62)), 0);
}

#[test]
fn an_object_that_answers_some_is_shared_on() {
    let mut pool = Pool::default();
    for number in 0..200 {
        let now = START + SECOND * u32::try_from(number).unwrap();
        assert_eq!(place(&mut pool, number, 1, now), 0);
        if number % 50 == 0 {
            pool.release(lease(number), Sign::Unused, now);
        }
    }
}

#[test]
fn a_place_is_thought_open_for_most_of_the_idle_time() {
    let (mut pool, now) = open_pool(1);
    let known = SHAPE.idle - SHAPE.idle / MARGIN;
    let shown = now - SECOND;
    place(&mut pool, 1, 10, shown + known - SECOND);
    assert_eq!(pool.opener, None);
    place(&mut pool, 2, 10, shown + known);
    assert_eq!(pool.opener.map(|opener| opener.place), Some(0));
    pool.release(lease(2), Sign::Open, shown + known);
    place(&mut pool, 3, 10, shown + known * 2 - SECOND);
    assert_eq!(pool.opener, None);
}

#[test]
fn a_place_whose_pushes_had_no_answer_is_not_thought_open() {
    let (mut pool, now) = open_pool(3);
    for number in 1..=3 {
        place(&mut pool, number, 900, now);
    }
    pool.release(lease(1), Sign::Broken, now);
    pool.release(lease(2), Sign::Broken, now);
    pool.release(lease(3), Sign::Unused, now);
    assert_eq!(place(&mut pool, 4, 900, now), 2);
    let later = now + GROWTH_PAUSE;
    assert_eq!(place(&mut pool, 5, 800, later), 0);
    assert_eq!(
        place(&mut pool, 6, 10, later),
        0,
        "not the second, which might open too"
    );
}

/// A gate that is evicted finds its pool as it left it, leases by number included.
#[test]
fn a_pools_format_unchanged() {
    let mut pool = Pool::default();
    place(&mut pool, 6, 900, START);
    pool.release(lease(6), Sign::Open, START);
    place(&mut pool, 7, 900, START);
    place(&mut pool, 8, 900, START + GROWTH_PAUSE);
    let text = serde_json::to_string(&pool).unwrap();
    assert_eq!(
        text,
        r#"{"places":[{"used_at":1795420800000,"shut_until":0,"open_at":1795420800000},{"used_at":1795420803000,"shut_until":0,"open_at":0}],"loads":{"7":{"place":0,"permits":900,"expires_at":1795420900000},"8":{"place":1,"permits":900,"expires_at":1795420903000}},"grown_at":1795420803000,"opener":{"place":1,"since":1795420803000,"until":1795420833000}}"#
    );
    assert_eq!(serde_json::from_str::<Pool>(&text).unwrap(), pool);
}

#[test]
fn a_pool_of_before_it_knew_what_is_open_is_read_as_one_of_which_nothing_is_known() {
    let text = r#"{"places":[{"used_at":1795420800000,"shut_until":0},{"used_at":1795420800000,"shut_until":0}],"loads":{"7":{"place":0,"permits":900,"expires_at":1795420900000}},"grown_at":1795420800000}"#;
    let mut pool: Pool = serde_json::from_str(text).unwrap();
    assert_eq!(place(&mut pool, 8, 900, START), 0);
    assert_eq!(place(&mut pool, 9, 900, START + GROWTH_PAUSE), 0);
    pool.release(lease(7), Sign::Open, START + GROWTH_PAUSE);
    assert_eq!(place(&mut pool, 10, 900, START + GROWTH_PAUSE), 1);
}

#[test]
fn the_pool_never_grows_past_its_capacity() {
    let (mut pool, now) = open_pool(4);
    for number in 0..20 {
        place(
            &mut pool,
            number,
            1000,
            now + GROWTH_PAUSE * u32::try_from(number).unwrap(),
        );
    }
    assert_eq!(pool.len(), 4);
}

#[test]
fn idle_places_leave_from_the_end() {
    let (mut pool, now) = open_pool(3);
    assert_eq!(place(&mut pool, 9, 10, now + SHAPE.idle), 0);
    assert_eq!(pool.len(), 1);
}

#[test]
fn after_a_failure_no_other_place_is_tried_before_the_delay_is_over() {
    let delay = SECOND * 8;
    let (mut pool, now) = open_pool(3);
    let now = now + SHAPE.idle - SECOND * 10;
    assert_eq!(place(&mut pool, 1, 10, now), 0);
    pool.release(lease(1), Sign::Shut(delay), now);
    for (number, pause) in [
        (2, SECOND),
        (3, GROWTH_PAUSE),
        (4, delay - Duration::from_millis(1)),
    ] {
        assert_eq!(
            place(&mut pool, number, 2000, now + pause),
            0,
            "its object refuses at once"
        );
        pool.release(lease(number), Sign::Shut(delay - pause), now + pause);
    }
    assert_eq!(place(&mut pool, 5, 10, now + delay), 0);
    pool.release(lease(5), Sign::Open, now + delay);
    place(&mut pool, 6, 2000, now + delay);
    assert_eq!(place(&mut pool, 7, 10, now + delay + GROWTH_PAUSE), 1);
}

#[test]
fn after_a_failure_orders_go_to_the_places_that_are_open() {
    let (mut pool, now) = open_pool(2);
    place(&mut pool, 1, 900, now);
    place(&mut pool, 2, 900, now);
    let now = now + GROWTH_PAUSE;
    assert_eq!(place(&mut pool, 3, 900, now), 2);
    pool.release(lease(3), Sign::Shut(SECOND * 8), now);
    assert_eq!(place(&mut pool, 4, 900, now + GROWTH_PAUSE), 0);
    assert_eq!(place(&mut pool, 5, 900, now + GROWTH_PAUSE), 1);
    assert_eq!(place(&mut pool, 6, 900, now + SECOND * 8), 2);
}

#[test]
fn an_order_on_its_way_to_a_place_that_failed_keeps_others_from_opening() {
    let mut pool = Pool::default();
    place(&mut pool, 1, 10, START);
    place(&mut pool, 2, 10, START);
    pool.release(lease(1), Sign::Shut(SECOND), START);
    assert_eq!(pool.opener.map(|opener| opener.place), Some(0));
    pool.release(lease(2), Sign::Shut(SECOND), START);
    assert_eq!(pool.opener, None);
}

#[test]
fn a_place_that_is_shut_is_not_forgotten_while_it_is_idle() {
    let (mut pool, now) = open_pool(1);
    place(&mut pool, 1, 900, now);
    let now = now + GROWTH_PAUSE;
    assert_eq!(place(&mut pool, 2, 10, now), 1);
    let delay = SHAPE.idle * 2;
    pool.release(lease(2), Sign::Shut(delay), now);
    pool.release(lease(1), Sign::Unused, now);
    assert_eq!(
        place(&mut pool, 3, 10, now + delay - SECOND),
        1,
        "the first would have to open"
    );
    assert_eq!(place(&mut pool, 4, 10, now + delay + OPENING_TIME), 0);
}

#[test]
fn a_lease_that_ended_unsaid_holds_no_place() {
    let (mut pool, now) = open_pool(1);
    place(&mut pool, 1, 1000, now);
    let later = now + SECOND * 100;
    assert_eq!(place(&mut pool, 2, 1000, later), 0);
    assert_eq!(pool.len(), 1);
}

proptest! {
    #[test]
    fn a_chosen_place_always_exists(
        steps in prop::collection::vec((0_u64..20, 1_u32..1200, 0_u64..10_000, 0_u8..8, 1_u32..5), 1..200)
    ) {
        let mut pool = Pool::default();
        let mut now = START;
        for (number, permits, millis, kind, capacity) in steps {
            now = now + Duration::from_millis(millis);
            match kind {
                0 => pool.release(lease(number), Sign::Shut(SECOND * 5), now),
                1 => pool.release(lease(number), Sign::Broken, now),
                2 => pool.release(lease(number), Sign::Unused, now),
                3 | 4 => pool.release(lease(number), Sign::Open, now),
                _ => {
                    let shape = Shape { capacity, ..SHAPE };
                    let chosen = pool.place(lease(number), permits, now + SECOND * 100, &shape, now);
                    prop_assert!(index(chosen) < pool.len());
                }
            }
            prop_assert!(pool.len() <= 4);
        }
    }
}

/// A pool of so many places that are known to be open since a second, and are empty.
fn open_pool(places: u64) -> (Pool, Timestamp) {
    let mut pool = Pool::default();
    let mut now = START;
    for number in 100..100 + places {
        now = now + GROWTH_PAUSE;
        place(&mut pool, number, 10, now);
        pool.release(lease(number), Sign::Open, now);
        // Keeps it full, so that the next is opened.
        place(&mut pool, number + 100, 2000, now);
    }
    for number in 200..200 + places {
        pool.release(lease(number), Sign::Open, now);
    }
    assert_eq!(pool.len(), usize::try_from(places).unwrap());
    (pool, now + SECOND)
}

fn lease(number: u64) -> LeaseId {
    serde_json::from_str(&number.to_string()).unwrap()
}

fn place(pool: &mut Pool, number: u64, permits: u32, now: Timestamp) -> u32 {
    pool.place(lease(number), permits, now + SECOND * 100, &SHAPE, now)
}

#[test]
fn the_places_are_told_by_what_leases_told_of_them() {
    let mut pool = Pool::default();
    let at = |secs| START + Duration::from_secs(secs);
    let stand = |open, idle, shut| Standing { open, idle, shut };
    place(&mut pool, 1, 400, at(1));
    assert_eq!(pool.standing(&SHAPE, at(1)), stand(0, 1, 0));
    pool.release(lease(1), Sign::Open, at(2));
    assert_eq!(pool.standing(&SHAPE, at(2)), stand(1, 0, 0));
    place(&mut pool, 2, 400, at(3));
    pool.release(lease(2), Sign::Shut(Duration::from_secs(5)), at(4));
    assert_eq!(pool.standing(&SHAPE, at(8)), stand(0, 0, 1));
    assert_eq!(pool.standing(&SHAPE, at(9)), stand(0, 1, 0));
}
