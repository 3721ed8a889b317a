use super::*;

#[test]
fn an_empty_variable_counts_as_unset_and_an_empty_flag_is_refused() {
    let empty = [
        ("SAMPLE_DELAY", ""),
        ("REPLOG_TAKEOVER", ""),
        ("NATS_URL", ""),
        ("REPLOG_DATA_DIR", ""),
    ];
    let sample = settings(&[], &empty);
    assert_eq!(
        (
            sample.delay,
            sample.takeover,
            sample.common.storage.data_dir
        ),
        (Duration::ZERO, false, None)
    );
    for args in [
        &["--names="][..],
        &["--names", ""],
        &["--names=a,,b"],
        &["--names"],
    ] {
        assert_eq!(
            refusal(args, &[]),
            "sample: --names (SAMPLE_NAMES): \"\" is not allowed: expected a value"
        );
    }
    for flag in [
        "--delay=",
        "--data-dir=",
        "--log-format=",
        "--cluster=",
        "--nats-url=",
        "--max-connections=",
    ] {
        let line = refusal(&[flag], &[]);
        assert!(
            line.starts_with(&format!("sample: {} (", &flag[..flag.len() - 1])),
            "{line}"
        );
        assert!(line.contains("\"\" is not allowed: expected "), "{line}");
    }
}

#[test]
fn booleans_take_no_value_and_their_variables_are_true_or_false() {
    assert!(settings(&["--takeover"], &[]).takeover);
    assert!(settings(&["--takeover"], &[("REPLOG_TAKEOVER", "false")]).takeover);
    assert!(settings(&[], &[("REPLOG_TAKEOVER", "true")]).takeover);
    assert!(!settings(&[], &[("REPLOG_TAKEOVER", "false")]).takeover);
    let setting = "sample: --takeover (REPLOG_TAKEOVER): ";
    for value in ["1", "yes", "TRUE", "0"] {
        let expected = format!("{setting}{value:?} is not allowed: expected true or false");
        assert_eq!(refusal(&[], &[("REPLOG_TAKEOVER", value)]), expected);
    }
    let expected = format!("{setting}\"true\" is not allowed: this flag takes no value");
    assert_eq!(refusal(&["--takeover=true"], &[]), expected);
}

#[test]
fn a_refusal_names_the_setting_the_value_and_what_is_allowed() {
    let expected = "sample: --delay (SAMPLE_DELAY): \"5\" is not allowed: expected a duration with a unit: 500ms, 2s, 1m";
    assert_eq!(refusal(&["--delay", "5"], &[]), expected);
    assert_eq!(refusal(&[], &[("SAMPLE_DELAY", "5")]), expected);
    assert_eq!(
        refusal(&[], &[("REPLOG_LOG_FORMAT", "xml")]),
        "sample: --log-format (REPLOG_LOG_FORMAT): \"xml\" is not allowed: expected one of text, json"
    );
    let cases = [
        ("--cluster", "REPLOG_CLUSTER", "a.b"),
        ("--nats-url", "NATS_URL", "ws://h:1"),
        ("--allow-origin", "REPLOG_ALLOW_ORIGIN", "*"),
        ("--allow-origin", "REPLOG_ALLOW_ORIGIN", "https://a.b/page"),
        // CASES A4
        ("--heartbeat-interval", "REPLOG_HEARTBEAT_INTERVAL", "2ms"),
        ("--heartbeat-interval", "REPLOG_HEARTBEAT_INTERVAL", "61s"),
        ("--fsync", "REPLOG_FSYNC", "often"),
        ("--threads", "REPLOG_THREADS", "65"),
        ("--idle-timeout", "REPLOG_IDLE_TIMEOUT", "75"),
        ("--batch-bytes", "REPLOG_BATCH_BYTES", "1024"),
        ("--max-waiting", "REPLOG_MAX_WAITING", "0"),
        ("--max-header-bytes", "REPLOG_MAX_HEADER_BYTES", "-1KiB"),
    ];
    for (flag, variable, value) in cases {
        let by_variable = refusal(&[], &[(variable, value)]);
        assert_eq!(refusal(&[&format!("{flag}={value}")], &[]), by_variable);
        let start = format!("sample: {flag} ({variable}): {value:?} is not allowed: expected ");
        assert!(by_variable.starts_with(&start), "{by_variable}");
    }
}

/// A value with which the program would serve nobody, or no longer do what it promises, is refused with the range; the ends of
/// the range are taken, and `--help` says them.
#[test]
fn every_limit_has_a_range_that_its_help_and_its_refusal_name() {
    let Err(SettingsExit::Shown(help)) = run(&["--help"], &[]) else {
        panic!("help is shown");
    };
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    let flags = [
        ("--threads", "1", "64", &["0", "65", "100000"][..]),
        ("--max-connections", "1", "1048576", &["0", "4294967295"]),
        (
            "--max-connections-per-address",
            "1",
            "1048576",
            &["0", "4294967295"],
        ),
        (
            "--max-streams",
            "1",
            "1048576",
            &["0", "18446744073709551616"],
        ),
        ("--max-waiting", "1", "1048576", &["0", "4294967295"]),
        (
            "--max-header-bytes",
            "1KiB",
            "1MiB",
            &["1B", "1023B", "2MiB", "1GiB"],
        ),
        ("--max-body-bytes", "1KiB", "1GiB", &["1B", "2GiB"]),
        ("--batch-bytes", "1KiB", "64MiB", &["1B", "65MiB"]),
        ("--window-bytes", "1KiB", "64MiB", &["1B", "65MiB", "1GiB"]),
        ("--header-timeout", "50ms", "24h", &["0ms", "1ms", "25h"]),
        ("--body-timeout", "50ms", "24h", &["1ms", "25h"]),
        ("--write-timeout", "50ms", "24h", &["1ms", "25h"]),
        ("--idle-timeout", "50ms", "24h", &["1ms", "25h"]),
        ("--retry-min", "10ms", "10m", &["0ms", "1ms", "11m"]),
        ("--retry-max", "10ms", "10m", &["1ms", "11m", "8760h"]),
        ("--heartbeat-interval", "20ms", "60s", &["1ms", "61s"]),
        ("--suspect-after", "1ms", "24h", &["0ms", "25h"]),
        ("--unhealthy-after", "1ms", "24h", &["0ms", "25h"]),
    ];
    for (flag, least, most, refused) in flags {
        for value in refused {
            let line = refusal(&[&format!("{flag}={value}")], &[]);
            let range = format!("from {least} to {most}");
            let start = format!("sample: {flag} (REPLOG_");
            assert!(line.starts_with(&start), "{flag}: {line}");
            assert!(
                line.contains(value) && line.ends_with(&range),
                "{flag}: {line}"
            );
        }
        let about = help.split_once(&format!("{flag} <")).map_or("", |h| h.1);
        let about = about.split(" [env:").next().unwrap_or_default();
        // Where the end is that of another setting, that one is named.
        let says_end = about.contains(most) || about.contains("to --window-bytes");
        assert!(says_end, "{flag}: {about}");
        for value in [least, most] {
            // A relation between two settings may stand against the end of one alone.
            if let Err(SettingsExit::Wrong(line)) = run(&[&format!("{flag}={value}")], &[]) {
                assert!(line.contains(", which is "), "{line}");
            }
        }
    }
}

#[test]
fn a_refusal_is_one_short_line_without_passwords() {
    let line = refusal(&[], &[("SAMPLE_DELAY", &"x\n".repeat(10_000))]);
    assert!(line.len() < 500, "{line}");
    let line = refusal(&[], &[("NATS_URL", "nats://me:s3cret@h:x")]);
    assert!(
        line.contains("nats://h:x") && !line.contains("s3cret"),
        "{line}"
    );
    for url in ["nats://me:s3cret@h:1", "me:s3cret@h:1", "a,nats://s3cret@h"] {
        let line = refusal(&["--nats-url", url], &[]);
        assert!(
            line.contains("use NATS_URL") && !line.contains("s3cret"),
            "{line}"
        );
        settings(&[], &[("NATS_URL", url)]);
    }
}

#[test]
fn one_user_for_all_brokers() {
    let line = refusal(
        &[],
        &[("NATS_URL", "nats://a:s3cret@h:1,nats://b:s3cret@h:2")],
    );
    assert_eq!(
        line,
        "sample: --nats-url (NATS_URL): \"nats://h:1,nats://h:2\" is not allowed: \
         expected the same user in all of them, or NATS_USER and NATS_PASSWORD"
    );
    for urls in [
        "nats://a:b@h:1,nats://a:b@h:2",
        "nats://a:b@h:1,h:2",
        "h:1,h:2",
    ] {
        settings(&[], &[("NATS_URL", urls)]);
    }
}

#[test]
fn no_secondary_is_named_master() {
    let line = refusal(&["--node-id", "master"], &[]);
    assert!(
        line.starts_with(
            "sample: --node-id (REPLOG_NODE_ID): \"master\" is not allowed: expected 1 to 32 of "
        ),
        "{line}"
    );
}

#[test]
fn unknown_names_are_one_line_too() {
    assert_eq!(
        refusal(&["--dely", "5"], &[]),
        "sample: \"--dely\" is not known: did you mean --delay? --help lists what is"
    );
    assert_eq!(
        refusal(&["-x"], &[]),
        "sample: \"-x\" is not known: --help lists what is"
    );
    assert_eq!(
        refusal(&["what"], &[]),
        "sample: \"what\" is not known: --help lists what is"
    );
    assert!(refusal(&["healthchec"], &[]).contains("did you mean healthcheck?"));
    assert!(refusal(&["healthcheck", "what"], &[]).contains("\"what\" is not known"));
    assert!(refusal(&["--delay=1s", "--delay=2s"], &[]).contains("cannot be used multiple times"));
}

#[test]
fn relations_are_checked() {
    let cases = [
        (
            ["--retry-min=6s", "--retry-max=5s"],
            "--retry-min (REPLOG_RETRY_MIN): \"6s\" is not allowed: expected at most --retry-max, which is 5s",
        ),
        (
            ["--heartbeat-interval=2s", "--suspect-after=3s"],
            "--suspect-after (REPLOG_SUSPECT_AFTER): \"3s\" is not allowed: expected at least 2 x --heartbeat-interval, which is 2s",
        ),
        (
            ["--suspect-after=5s", "--unhealthy-after=5s"],
            "--unhealthy-after (REPLOG_UNHEALTHY_AFTER): \"5s\" is not allowed: expected more than --suspect-after, which is 5s",
        ),
        (
            ["--batch-bytes=2KiB", "--window-bytes=1KiB"],
            "--batch-bytes (REPLOG_BATCH_BYTES): \"2048B\" is not allowed: expected at most --window-bytes, which is 1024B",
        ),
    ];
    for (args, line) in cases {
        assert_eq!(refusal(&args, &[]), format!("sample: {line}"));
    }
    settings(&["--retry-min=5s", "--batch-bytes=1MiB"], &[]);
}
