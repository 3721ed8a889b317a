use std::time::Duration;

use crate::settings::values::*;

#[test]
fn durations_have_a_unit() {
    let good = [
        ("0ms", 0),
        ("500ms", 500),
        ("2s", 2_000),
        ("1m", 60_000),
        ("1h", 3_600_000),
    ];
    for (text, ms) in good {
        assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
    }
    for text in [
        "", "5", "0", "ms", "-1s", "+1s", "1.5s", "1 s", "1S", "2sec", "1s1", "٣s",
    ] {
        assert_eq!(
            duration(text),
            Err("expected a duration with a unit: 500ms, 2s, 1m".into()),
            "{text}"
        );
    }
    for text in ["99999h", "18446744073709551615h"] {
        assert!(duration(text).is_err_and(|e| e.contains("8760h")), "{text}");
    }
    assert!(duration("18446744073709551616ms").is_err());
}

#[test]
fn sizes_have_a_unit() {
    let good = [
        ("1B", 1),
        ("16KiB", 16_384),
        ("256KiB", 262_144),
        ("1MiB", 1_048_576),
        ("1MB", 1_000_000),
        ("2kb", 2_000),
        ("1GiB", 1 << 30),
    ];
    for (text, bytes) in good {
        assert_eq!(size_bytes(text), Ok(bytes), "{text}");
    }
    for text in ["", "1024", "1K", "KiB", "-1B", "1.5MiB", "1 MiB"] {
        assert_eq!(
            size_bytes(text),
            Err("expected a size with a unit: 512B, 256KiB, 1MiB".into()),
            "{text}"
        );
    }
    for text in ["0B", "99999999999GiB"] {
        assert!(size_bytes(text).is_err(), "{text}");
    }
}

#[test]
fn rates_are_finite_and_within_zero_and_one() {
    for (text, value) in [("0", 0.0), ("1", 1.0), ("0.25", 0.25), ("1e-3", 0.001)] {
        assert_eq!(rate(text), Ok(value));
    }
    for text in ["", "-0.1", "1.01", "NaN", "inf", "50%", "half"] {
        assert!(rate(text).is_err(), "{text}");
    }
}

#[test]
fn counts_begin_at_one_and_end_where_no_process_has_more() {
    assert_eq!((count("1"), count("1048576")), (Ok(1), Ok(1 << 20)));
    for text in ["", "0", "-1", "1.0", "1048577", "4294967295", "many"] {
        assert!(count(text).is_err(), "{text}");
    }
}

#[test]
fn heartbeats_have_a_range() {
    for text in ["20ms", "500ms", "60s", "1m"] {
        assert!(heartbeat_interval(text).is_ok(), "{text}");
    }
    for text in ["0ms", "2ms", "19ms", "61s", "1h"] {
        let range = "expected a duration from 20ms to 60s".to_owned();
        assert_eq!(heartbeat_interval(text), Err(range), "{text}");
    }
    assert!(heartbeat_interval("500").is_err_and(|e| e.contains("unit")));
}

#[test]
fn few_threads_serve() {
    assert_eq!((threads("1"), threads("64")), (Ok(1), Ok(64)));
    for text in ["", "0", "65", "two"] {
        assert!(threads(text).is_err(), "{text}");
    }
}

#[test]
fn addresses_are_a_host_and_a_port() {
    for (text, host, port) in [
        ("127.0.0.1:8000", "127.0.0.1", 8000),
        ("0.0.0.0:0", "0.0.0.0", 0),
        ("[::]:8000", "::", 8000),
        ("localhost:65535", "localhost", 65535),
        ("node-1.example:80", "node-1.example", 80),
    ] {
        let addr: HttpAddr = text.parse().unwrap();
        assert_eq!(
            (addr.to_host_port(), &*addr.to_string()),
            ((host, port), text)
        );
    }
    for text in [
        "",
        "8000",
        ":8000",
        "localhost",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:70000",
        "127.0.0.1:+80",
        "::1:80",
        "[::1]",
        "[x]:80",
        "http://h:80",
        "a b:80",
    ] {
        assert!(text.parse::<HttpAddr>().is_err(), "{text}");
    }
}

#[test]
fn a_wildcard_is_reached_on_the_loopback() {
    for (bound, asked) in [
        ("0.0.0.0:80", "127.0.0.1:80"),
        ("[::]:80", "[::1]:80"),
        ("10.1.2.3:80", "10.1.2.3:80"),
        ("localhost:80", "localhost:80"),
    ] {
        let bound: HttpAddr = bound.parse().unwrap();
        assert_eq!(bound.reachable().to_string(), asked);
    }
}

#[test]
fn cluster_names_are_one_token() {
    let longest = "x".repeat(32);
    for text in ["default", "A-b_9", longest.as_str()] {
        assert_eq!(subject_token(text), Ok(text.to_owned()));
    }
    let too_long = "x".repeat(33);
    for text in ["", "a.b", "*", ">", "a b", "ä", "a\0", too_long.as_str()] {
        assert!(subject_token(text).is_err(), "{text:?}");
    }
}
