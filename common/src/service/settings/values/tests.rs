use super::*;

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
        assert_eq!(duration(text), Err(DURATION_HINT.into()), "{text}");
    }
    for text in ["99999h", "18446744073709551615h"] {
        assert!(duration(text).is_err_and(|e| e.contains("8760h")), "{text}");
    }
    assert!(duration("18446744073709551616ms").is_err());
    assert!(positive_duration("0s").is_err());
    assert_eq!(positive_duration("1ms"), Ok(Duration::from_millis(1)));
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
        assert_eq!(size_bytes(text), Err(SIZE_HINT.into()), "{text}");
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
fn counts_begin_at_one() {
    assert_eq!(count("10240"), Ok(10_240));
    for text in ["", "0", "-1", "1.0", "4294967296", "many"] {
        assert!(count(text).is_err(), "{text}");
    }
}

#[test]
fn addresses_are_an_ip_and_a_port() {
    for text in ["127.0.0.1:8000", "0.0.0.0:0", "[::]:8000"] {
        assert!(socket_addr(text).is_ok(), "{text}");
    }
    for text in [
        "",
        "8000",
        ":8000",
        "localhost:8000",
        "127.0.0.1",
        "127.0.0.1:70000",
    ] {
        assert!(socket_addr(text).is_err(), "{text}");
    }
}

#[test]
fn texts_and_tokens() {
    assert_eq!(nonempty("x"), Ok("x".to_owned()));
    assert!(nonempty("").is_err());
    let longest = "x".repeat(32);
    for text in ["default", "A-b_9", longest.as_str()] {
        assert_eq!(subject_token(text), Ok(text.to_owned()));
    }
    let too_long = "x".repeat(33);
    for text in ["", "a.b", "*", ">", "a b", "ä", "a\0", too_long.as_str()] {
        assert!(subject_token(text).is_err(), "{text:?}");
    }
}

#[test]
fn broker_urls() {
    let good = [
        ("nats://127.0.0.1:4222", "nats://127.0.0.1:4222"),
        ("tls://broker.example", "tls://broker.example:4222"),
        ("nats:4222", "nats://nats:4222"),
        ("nats://[::1]:4222/", "nats://[::1]:4222"),
        ("nats://[::1]", "nats://[::1]:4222"),
        ("nats://u:p@h:1", "nats://u:p@h:1"),
    ];
    for (text, url) in good {
        assert_eq!(
            text.parse::<NatsUrl>().as_ref().map(NatsUrl::expose),
            Ok(url)
        );
    }
    let bad = [
        "",
        "ws://h:1",
        "http://h",
        "u:p@h:1",
        "nats://",
        "nats://h:0",
        "nats://h:99999",
        "nats://h:",
        "nats://h:+1",
        "nats://a b",
        "nats://::1:4222",
        "nats://h:1/path",
        "nats://[::1",
        "nats://[::1]4222",
    ];
    for text in bad {
        assert_eq!(text.parse::<NatsUrl>(), Err(URL_HINT.into()), "{text}");
    }
}

#[test]
fn a_shown_url_has_no_password() {
    let url: NatsUrl = "nats://me:s3cret@h:1".parse().expect("a valid URL");
    assert_eq!(
        (url.to_string(), format!("{url:?}")),
        ("nats://***@h:1".into(), "nats://***@h:1".into())
    );
    assert_eq!(
        without_credentials("nats://a:b@h:1,tls://c:d@i:2,j"),
        "nats://***@h:1,tls://***@i:2,j"
    );
    assert_eq!(
        without_credentials("nats://a:s3,cret@h:1"),
        "nats://***@h:1"
    );
    assert_eq!(without_credentials("token@h"), "***@h");
}
