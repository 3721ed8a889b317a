//! Whether a secondary is taken for alive, while what it may be silent for changes.

use replog_protocol::leader::health::{Health, Status};

use crate::support::{at, ms};

/// Suspected after one second, unhealthy after five; seen at the beginning.
fn seen() -> Health {
    let mut health = Health::new(ms(1000), ms(5000));
    health.seen(0, at(0));
    health
}

#[test]
fn longer_limits_hold_at_once_for_one_that_is_there() {
    let mut health = seen();
    health.set_limits(ms(10_000), ms(50_000), at(900));
    assert_eq!(health.status(at(9_999)), Status::Healthy);
    assert_eq!(health.status(at(10_000)), Status::Suspected);
    assert_eq!(health.status(at(50_000)), Status::Unhealthy);
}

/// When many others join, nobody becomes alive by that who is missed already.
#[test]
fn longer_limits_make_nobody_alive_again_who_is_missed() {
    for (now, status) in [(1_500, Status::Suspected), (6_000, Status::Unhealthy)] {
        let mut health = seen();
        health.set_limits(ms(10_000), ms(50_000), at(now));
        assert_eq!(health.status(at(now)), status);
        assert_eq!(health.status(at(7_000)), Status::Unhealthy);
        health.seen(0, at(8_000));
        assert_eq!(health.status(at(17_999)), Status::Healthy);
        assert_eq!(health.status(at(18_000)), Status::Suspected);
    }
}

#[test]
fn shorter_limits_hold_from_its_next_sign_of_life_on() {
    let mut health = seen();
    health.set_limits(ms(100), ms(500), at(10));
    assert_eq!(health.status(at(999)), Status::Healthy);
    health.seen(0, at(999));
    assert_eq!(health.status(at(1_099)), Status::Suspected);
}
