use super::*;
use proptest::prelude::*;

const START: Timestamp = Timestamp::from_secs(1_795_420_800);
const CONFIG: PoolConfig = PoolConfig {
    capacity: 4,
    streams: 1000,
    idle: Duration::from_secs(60),
};
const SECOND: Duration = Duration::from_secs(1);

#[test]
fn the_lowest_slot_with_room_is_filled_first() {
    let (mut pool, now) = open_pool(2);
    assert_eq!(assign(&mut pool, 1, 400, now), 0);
    assert_eq!(assign(&mut pool, 2, 400, now), 0);
    assert_eq!(assign(&mut pool, 3, 400, now), 1);
    pool.release(lease(1), ConnectionHealth::Open, now);
    assert_eq!(assign(&mut pool, 4, 400, now), 0);
}

#[test]
fn a_slot_is_added_when_all_are_near_their_limit_a_few_seconds_after_the_last() {
    let (mut pool, now) = open_pool(1);
    let last = now - SECOND;
    assert_eq!(assign(&mut pool, 1, 900, now), 0);
    assert_eq!(assign(&mut pool, 2, 900, now), 0, "too soon after the first slot");
    let later = last + GROWTH_PAUSE;
    assert_eq!(assign(&mut pool, 3, 900, later), 1);
    pool.release(lease(3), ConnectionHealth::Open, later);
    assert_eq!(assign(&mut pool, 4, 900, later), 1, "the least loaded");
    assert_eq!(assign(&mut pool, 5, 900, later), 1, "the least loaded");
}

#[test]
fn while_a_slot_may_be_opening_no_other_is_handed_out_that_is_not_open() {
    let (mut pool, mut now) = open_pool(1);
    assign(&mut pool, 1, 900, now);
    now = now + GROWTH_PAUSE;
    assert_eq!(assign(&mut pool, 2, 400, now), 1, "the dialing slot");
    assert_eq!(assign(&mut pool, 3, 400, now), 1, "it has room");
    assert_eq!(
        assign(&mut pool, 4, 400, now),
        1,
        "it has less to do than the open one"
    );
    assert_eq!(
        assign(&mut pool, 5, 400, now + GROWTH_PAUSE),
        0,
        "the open one has less to do"
    );
    pool.release(lease(1), ConnectionHealth::Open, now + GROWTH_PAUSE);
    pool.release(lease(2), ConnectionHealth::Open, now + GROWTH_PAUSE);
    assign(&mut pool, 6, 500, now + GROWTH_PAUSE);
    assert_eq!(
        assign(&mut pool, 7, 400, now + GROWTH_PAUSE),
        2,
        "the dialing slot is open"
    );
}

#[test]
fn without_an_open_slot_all_share_the_dialing_slot() {
    let mut pool = Pool::default();
    for number in 0..10 {
        let now = START + GROWTH_PAUSE * u32::try_from(number).unwrap();
        assert_eq!(assign(&mut pool, number, 900, now), 0);
    }
    assert_eq!(pool.len(), 1);
}

#[test]
fn a_dial_of_which_nobody_tells_is_over_in_time() {
    let (mut pool, now) = open_pool(1);
    assign(&mut pool, 1, 900, now);
    let opening = now + GROWTH_PAUSE;
    assert_eq!(assign(&mut pool, 2, 2000, opening), 1);
    let end = opening + DIAL_TIME;
    pool.release(lease(1), ConnectionHealth::Open, opening + SECOND);
    assign(&mut pool, 3, 900, opening + SECOND);
    assert_eq!(
        assign(&mut pool, 4, 900, end - SECOND),
        0,
        "the dialing slot may be opening"
    );
    assert_eq!(
        assign(&mut pool, 5, 900, end),
        2,
        "nobody told of the first dialing_slot"
    );
}

#[test]
fn an_object_that_answers_nobody_is_passed_over_though_orders_keep_coming() {
    let mut pool = Pool::default();
    let second = |number: u64| START + SECOND * u32::try_from(number).unwrap();
    for number in 0..60 {
        assert_eq!(assign(&mut pool, number, 1, second(number)), 0);
    }
    assert_eq!(assign(&mut pool, 60, 1, second(60)), 1);
    pool.release(lease(60), ConnectionHealth::Unavailable(SECOND), second(61));
    assert_eq!(assign(&mut pool, 61, 1, second(62)), 0);
}

#[test]
fn an_object_that_answers_some_is_shared_on() {
    let mut pool = Pool::default();
    for number in 0..200 {
        let now = START + SECOND * u32::try_from(number).unwrap();
        assert_eq!(assign(&mut pool, number, 1, now), 0);
        if number % 50 == 0 {
            pool.release(lease(number), ConnectionHealth::Unused, now);
        }
    }
}

#[test]
fn a_slot_is_thought_open_for_most_of_the_idle_time() {
    let (mut pool, now) = open_pool(1);
    let known = CONFIG.idle - CONFIG.idle / MARGIN;
    let shown = now - SECOND;
    assign(&mut pool, 1, 10, shown + known - SECOND);
    assert_eq!(pool.dialing_slot, None);
    assign(&mut pool, 2, 10, shown + known);
    assert_eq!(pool.dialing_slot.map(|dialing_slot| dialing_slot.slot), Some(0));
    pool.release(lease(2), ConnectionHealth::Open, shown + known);
    assign(&mut pool, 3, 10, shown + known * 2 - SECOND);
    assert_eq!(pool.dialing_slot, None);
}

#[test]
fn a_slot_whose_pushes_had_no_answer_is_not_thought_open() {
    let (mut pool, now) = open_pool(3);
    for number in 1..=3 {
        assign(&mut pool, number, 900, now);
    }
    pool.release(lease(1), ConnectionHealth::Broken, now);
    pool.release(lease(2), ConnectionHealth::Broken, now);
    pool.release(lease(3), ConnectionHealth::Unused, now);
    assert_eq!(assign(&mut pool, 4, 900, now), 2);
    let later = now + GROWTH_PAUSE;
    assert_eq!(assign(&mut pool, 5, 800, later), 0);
    assert_eq!(
        assign(&mut pool, 6, 10, later),
        0,
        "not the second, which might open too"
    );
}

/// A gate that was evicted still has its pool, including leases by number.
#[test]
fn a_pools_format_unchanged() {
    let mut pool = Pool::default();
    assign(&mut pool, 6, 900, START);
    pool.release(lease(6), ConnectionHealth::Open, START);
    assign(&mut pool, 7, 900, START);
    assign(&mut pool, 8, 900, START + GROWTH_PAUSE);
    let text = serde_json::to_string(&pool).unwrap();
    assert_eq!(
        text,
        r#"{"slots":[{"used_at":1795420800000,"unavailable_until":0,"open_at":1795420800000},{"used_at":1795420803000,"unavailable_until":0,"open_at":0}],"loads":{"7":{"slot":0,"permits":900,"expires_at":1795420900000},"8":{"slot":1,"permits":900,"expires_at":1795420903000}},"dialed_at":1795420803000,"dialing_slot":{"slot":1,"since":1795420803000,"until":1795420833000}}"#
    );
    assert_eq!(serde_json::from_str::<Pool>(&text).unwrap(), pool);
}

#[test]
fn a_pool_of_before_it_knew_what_is_open_is_read_as_one_of_which_nothing_is_known() {
    let text = r#"{"slots":[{"used_at":1795420800000,"unavailable_until":0},{"used_at":1795420800000,"unavailable_until":0}],"loads":{"7":{"slot":0,"permits":900,"expires_at":1795420900000}},"dialed_at":1795420800000}"#;
    let mut pool: Pool = serde_json::from_str(text).unwrap();
    assert_eq!(assign(&mut pool, 8, 900, START), 0);
    assert_eq!(assign(&mut pool, 9, 900, START + GROWTH_PAUSE), 0);
    pool.release(lease(7), ConnectionHealth::Open, START + GROWTH_PAUSE);
    assert_eq!(assign(&mut pool, 10, 900, START + GROWTH_PAUSE), 1);
}

#[test]
fn the_pool_never_grows_past_its_capacity() {
    let (mut pool, now) = open_pool(4);
    for number in 0..20 {
        assign(
            &mut pool,
            number,
            1000,
            now + GROWTH_PAUSE * u32::try_from(number).unwrap(),
        );
    }
    assert_eq!(pool.len(), 4);
}

#[test]
fn idle_slots_leave_from_the_end() {
    let (mut pool, now) = open_pool(3);
    assert_eq!(assign(&mut pool, 9, 10, now + CONFIG.idle), 0);
    assert_eq!(pool.len(), 1);
}

#[test]
fn after_a_failure_no_other_slot_is_tried_before_the_delay_is_over() {
    let delay = SECOND * 8;
    let (mut pool, now) = open_pool(3);
    let now = now + CONFIG.idle - SECOND * 10;
    assert_eq!(assign(&mut pool, 1, 10, now), 0);
    pool.release(lease(1), ConnectionHealth::Unavailable(delay), now);
    for (number, pause) in [
        (2, SECOND),
        (3, GROWTH_PAUSE),
        (4, delay - Duration::from_millis(1)),
    ] {
        assert_eq!(
            assign(&mut pool, number, 2000, now + pause),
            0,
            "its object refuses at once"
        );
        pool.release(
            lease(number),
            ConnectionHealth::Unavailable(delay - pause),
            now + pause,
        );
    }
    assert_eq!(assign(&mut pool, 5, 10, now + delay), 0);
    pool.release(lease(5), ConnectionHealth::Open, now + delay);
    assign(&mut pool, 6, 2000, now + delay);
    assert_eq!(assign(&mut pool, 7, 10, now + delay + GROWTH_PAUSE), 1);
}

#[test]
fn after_a_failure_orders_go_to_the_slots_that_are_open() {
    let (mut pool, now) = open_pool(2);
    assign(&mut pool, 1, 900, now);
    assign(&mut pool, 2, 900, now);
    let now = now + GROWTH_PAUSE;
    assert_eq!(assign(&mut pool, 3, 900, now), 2);
    pool.release(lease(3), ConnectionHealth::Unavailable(SECOND * 8), now);
    assert_eq!(assign(&mut pool, 4, 900, now + GROWTH_PAUSE), 0);
    assert_eq!(assign(&mut pool, 5, 900, now + GROWTH_PAUSE), 1);
    assert_eq!(assign(&mut pool, 6, 900, now + SECOND * 8), 2);
}

#[test]
fn an_request_on_its_way_to_a_slot_that_failed_keeps_others_from_opening() {
    let mut pool = Pool::default();
    assign(&mut pool, 1, 10, START);
    assign(&mut pool, 2, 10, START);
    pool.release(lease(1), ConnectionHealth::Unavailable(SECOND), START);
    assert_eq!(pool.dialing_slot.map(|dialing_slot| dialing_slot.slot), Some(0));
    pool.release(lease(2), ConnectionHealth::Unavailable(SECOND), START);
    assert_eq!(pool.dialing_slot, None);
}

#[test]
fn a_slot_that_is_shut_is_not_forgotten_while_it_is_idle() {
    let (mut pool, now) = open_pool(1);
    assign(&mut pool, 1, 900, now);
    let now = now + GROWTH_PAUSE;
    assert_eq!(assign(&mut pool, 2, 10, now), 1);
    let delay = CONFIG.idle * 2;
    pool.release(lease(2), ConnectionHealth::Unavailable(delay), now);
    pool.release(lease(1), ConnectionHealth::Unused, now);
    assert_eq!(
        assign(&mut pool, 3, 10, now + delay - SECOND),
        1,
        "the first would have to open"
    );
    assert_eq!(assign(&mut pool, 4, 10, now + delay + DIAL_TIME), 0);
}

#[test]
fn a_lease_that_ended_unsaid_holds_no_slot() {
    let (mut pool, now) = open_pool(1);
    assign(&mut pool, 1, 1000, now);
    let later = now + SECOND * 100;
    assert_eq!(assign(&mut pool, 2, 1000, later), 0);
    assert_eq!(pool.len(), 1);
}

proptest! {
    #[test]
    fn a_chosen_slot_always_exists(
        steps in prop::collection::vec((0_u64..20, 1_u32..1200, 0_u64..10_000, 0_u8..8, 1_u32..5), 1..200)
    ) {
        let mut pool = Pool::default();
        let mut now = START;
        for (number, permits, millis, kind, capacity) in steps {
            now = now + Duration::from_millis(millis);
            match kind {
                0 => pool.release(lease(number), ConnectionHealth::Unavailable(SECOND * 5), now),
                1 => pool.release(lease(number), ConnectionHealth::Broken, now),
                2 => pool.release(lease(number), ConnectionHealth::Unused, now),
                3 | 4 => pool.release(lease(number), ConnectionHealth::Open, now),
                _ => {
                    let config = PoolConfig { capacity, ..CONFIG };
                    let chosen = pool.assign(lease(number), permits, now + SECOND * 100, &config, now);
                    prop_assert!(index(chosen) < pool.len());
                }
            }
            prop_assert!(pool.len() <= 4);
        }
    }
}

/// Creates a pool of empty slots that have been open for a second.
fn open_pool(slots: u64) -> (Pool, Timestamp) {
    let mut pool = Pool::default();
    let mut now = START;
    for number in 100..100 + slots {
        now = now + GROWTH_PAUSE;
        assign(&mut pool, number, 10, now);
        pool.release(lease(number), ConnectionHealth::Open, now);
        // Keeps the slot full, so that the next is dialed.
        assign(&mut pool, number + 100, 2000, now);
    }
    for number in 200..200 + slots {
        pool.release(lease(number), ConnectionHealth::Open, now);
    }
    assert_eq!(pool.len(), usize::try_from(slots).unwrap());
    (pool, now + SECOND)
}

fn lease(number: u64) -> LeaseId {
    serde_json::from_str(&number.to_string()).unwrap()
}

fn assign(pool: &mut Pool, number: u64, permits: u32, now: Timestamp) -> u32 {
    pool.assign(lease(number), permits, now + SECOND * 100, &CONFIG, now)
}

#[test]
fn the_slots_are_told_by_what_leases_told_of_them() {
    let mut pool = Pool::default();
    let at = |secs| START + Duration::from_secs(secs);
    let stand = |open, idle, unavailable| PoolStats {
        open,
        idle,
        unavailable,
    };
    assign(&mut pool, 1, 400, at(1));
    assert_eq!(pool.stats(&CONFIG, at(1)), stand(0, 1, 0));
    pool.release(lease(1), ConnectionHealth::Open, at(2));
    assert_eq!(pool.stats(&CONFIG, at(2)), stand(1, 0, 0));
    assign(&mut pool, 2, 400, at(3));
    pool.release(
        lease(2),
        ConnectionHealth::Unavailable(Duration::from_secs(5)),
        at(4),
    );
    assert_eq!(pool.stats(&CONFIG, at(8)), stand(0, 0, 1));
    assert_eq!(pool.stats(&CONFIG, at(9)), stand(0, 1, 0));
}
