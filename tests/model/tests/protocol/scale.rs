//! The simulation of large clusters: what it says of small ones is what can be counted by hand, and it says the same again.

use std::time::Duration;

use replog_model::scale::{Constants, Load, Setup, idle, loaded, storm};
use replog_protocol::write_concern::WriteConcern;

const SECOND: Duration = Duration::from_secs(1);

fn load(w: WriteConcern) -> Load {
    Load {
        clients: 16,
        w,
        think: Duration::ZERO,
    }
}

#[test]
fn ten_idle_secondaries_cost_forty_messages_a_second() {
    let (setup, costs) = (Setup::three_regions(10), Constants::measured());
    let seen = idle(&setup, &costs, SECOND * 10);
    // Two heartbeats and two ACKs each, as before.
    assert_eq!(seen.messages_per_second, 40.0);
    assert_eq!(
        idle(&setup.before(), &costs, SECOND * 10).messages_per_second,
        40.0
    );
    // Each of them takes half of what is paid for an exchange, and what each of ten secondaries is looked at for.
    let exchanges = 20.0 * costs.master.exchange_us;
    assert!(
        (exchanges..exchanges * 1.5).contains(&(seen.master * 1e6)),
        "{seen:?}"
    );
}

#[test]
fn heartbeats_of_many_idle_secondaries_have_a_budget() {
    let (setup, costs) = (Setup::three_regions(150), Constants::measured());
    let seen = idle(&setup, &costs, SECOND * 3);
    assert!(
        (398.0..=402.0).contains(&seen.messages_per_second),
        "{seen:?}"
    );
    let before = idle(&setup.before(), &costs, SECOND * 3);
    assert_eq!(before.messages_per_second, 600.0);
}

#[test]
fn who_waits_for_all_waits_for_the_farthest_region_and_who_waits_for_two_does_not() {
    let (setup, costs) = (Setup::three_regions(9), Constants::measured());
    let far = Duration::from_millis(80);
    let all = loaded(&setup, &costs, load(WriteConcern::All), SECOND);
    assert!((far..far * 11 / 10).contains(&all.p50), "{all:?}");
    let two = loaded(&setup, &costs, load(WriteConcern::Count(2)), SECOND);
    assert!(two.p99 < Duration::from_millis(5), "{two:?}");
    // Sixteen clients that wait for nothing else.
    let rate = 16.0 / all.p50.as_secs_f64();
    assert!(
        (rate * 0.9..rate * 1.1).contains(&all.appends_per_second),
        "{all:?}"
    );
}

#[test]
fn with_many_secondaries_those_that_nobody_waits_for_cost_less_and_are_not_forgotten() {
    let (setup, costs) = (Setup::three_regions(90), Constants::measured());
    let some = Load {
        think: Duration::from_millis(100),
        ..load(WriteConcern::Count(2))
    };
    let after = loaded(&setup, &costs, some, SECOND * 2);
    let before = loaded(&setup.before(), &costs, some, SECOND * 2);
    assert!(
        after.messages_per_second < before.messages_per_second * 0.8,
        "{after:?} {before:?}"
    );
    assert!(after.p50 <= before.p50, "{after:?} {before:?}");
    assert!(after.behind < 100, "{after:?}");
}

#[test]
fn a_region_that_comes_back_catches_up_and_a_seed_is_a_run() {
    let (setup, costs) = (Setup::three_regions(45), Constants::measured());
    let some = Load {
        think: Duration::from_millis(16),
        ..load(WriteConcern::Count(2))
    };
    let run = || storm(&setup, &costs, some, SECOND * 4, SECOND * 20);
    let seen = run();
    assert!(
        seen.caught_up.is_some_and(|time| time < SECOND * 10),
        "{seen:?}"
    );
    // What 15 secondaries have missed in four seconds, and no second time.
    assert!((1.0..40.0).contains(&seen.sent_mib), "{seen:?}");
    assert!(seen.meanwhile.p99 < seen.before.p99 * 3, "{seen:?}");
    assert_eq!(seen, run());
    let other = Setup {
        seed: 2,
        ..setup.clone()
    };
    assert_ne!(seen, storm(&other, &costs, some, SECOND * 4, SECOND * 20));
}
