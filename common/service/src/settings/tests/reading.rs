use super::*;

#[test]
fn the_declaration_is_sound() {
    <Sample as clap::CommandFactory>::command().debug_assert();
}

#[test]
fn defaults() {
    let sample = settings(&[], &[]);
    let common = &sample.common;
    assert_eq!(common.nats.nats_url[0].address(), "nats://127.0.0.1:4222");
    assert_eq!(common.nats.cluster, "default");
    assert_eq!(common.storage.data_dir, None);
    assert_eq!(common.log_format, LogFormat::Text);
    assert_eq!(common.liveness.suspect_after(), Duration::from_millis(1500));
    assert_eq!(common.liveness.unhealthy_after(), Duration::from_secs(5));
    assert_eq!(sample.replication.window_bytes, 1 << 20);
    assert_eq!(
        (sample.command, sample.names.len(), sample.takeover),
        (None, 0, false)
    );
    let http = &common.http;
    assert_eq!(
        (http.max_header_bytes, http.max_connections),
        (16 * 1024, 10_240)
    );
    assert_eq!(
        (http.write_timeout, http.idle_timeout),
        (Duration::from_secs(30), Duration::from_secs(75))
    );
}

#[test]
fn silence_is_measured_in_heartbeats_unless_told() {
    let liveness = |args: &[&str]| {
        let liveness = settings(args, &[]).common.liveness;
        (liveness.suspect_after(), liveness.unhealthy_after())
    };
    let s = Duration::from_secs;
    assert_eq!(liveness(&["--heartbeat-interval=2s"]), (s(6), s(20)));
    assert_eq!(
        liveness(&["--heartbeat-interval=2s", "--suspect-after=4s"]),
        (s(4), s(20))
    );
    assert_eq!(
        liveness(&["--unhealthy-after=1m"]),
        (Duration::from_millis(1500), s(60))
    );
}

#[test]
fn flags_win_over_variables_and_those_over_defaults() {
    let delay =
        |args: &[&str], variables: &[(&str, &str)]| settings(args, variables).delay.as_secs();
    assert_eq!(delay(&[], &[("SAMPLE_DELAY", "2s")]), 2);
    assert_eq!(delay(&["--delay", "3s"], &[("SAMPLE_DELAY", "2s")]), 3);
    // A wrong variable that nobody reads does no harm.
    assert_eq!(delay(&["--delay=3s"], &[("SAMPLE_DELAY", "two")]), 3);
    assert_eq!(
        settings(&[], &[("NATS_URL", "nats://a:1, b:2")])
            .common
            .nats
            .nats_url
            .len(),
        2
    );
    assert_eq!(settings(&[], &[("SAMPLE_NAMES", "a,b")]).names, ["a", "b"]);
    assert_eq!(
        settings(&[], &[("SAMPLE_NAMES", "--delay")]).names,
        ["--delay"]
    );
}

#[test]
fn a_subcommand_sees_the_settings_of_the_program() {
    let sample = settings(&["healthcheck"], &[("SAMPLE_DELAY", "2s")]);
    assert_eq!(
        (sample.command, sample.delay.as_secs()),
        (Some(Sub::Healthcheck), 2)
    );
}

#[test]
fn help_shows_names_and_defaults_and_no_values() {
    let Err(SettingsExit::Shown(help)) = run(&["--help"], &[("SAMPLE_DELAY", "wrong")]) else {
        panic!("help is shown whatever the variables hold");
    };
    // However wide the terminal is.
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    for text in [
        "--delay",
        "[env: SAMPLE_DELAY]",
        "[default: 0ms]",
        "[env: NATS_URL]",
        "text, json",
        "Limits of HTTP:",
        "[env: REPLOG_WRITE_TIMEOUT] [default: 30s]",
        "NATS_CREDS",
        "Exit codes:",
    ] {
        assert!(help.contains(text), "{text}: {help}");
    }
    assert!(!help.contains("\"wrong\""));
    assert_eq!(
        run(&["--version"], &[]).expect_err("shown, not run"),
        SettingsExit::Shown("sample 1.2.3\n".into())
    );
}

#[test]
fn variables_that_nothing_knows_are_named_with_the_nearest_one() {
    let unknown = |names: &[&str]| {
        let found = unknown_variables::<Sample>(names.iter().map(OsString::from));
        let pair = |found: UnknownVariable| (found.name, found.nearest);
        found.into_iter().map(pair).collect::<Vec<_>>()
    };
    assert_eq!(
        unknown(&[
            "REPLOG_DEFUALT_W",
            "PATH",
            "REPLOG_CLUSTER",
            "REPLOG_DATADIR"
        ]),
        [
            ("REPLOG_DEFUALT_W".into(), Some("REPLOG_DEFAULT_W".into())),
            ("REPLOG_DATADIR".into(), Some("REPLOG_DATA_DIR".into()))
        ]
    );
    let of_others = ["REPLOG_SECONDARIES", "REPLOG_DELAY", "REPLOG_BIND"];
    assert_eq!(unknown(&of_others), []);
    // What Kubernetes injects for a service that is named replog-master.
    let injected = [
        "REPLOG_MASTER_SERVICE_HOST",
        "REPLOG_MASTER_SERVICE_PORT_HTTP",
        "REPLOG_MASTER_PORT",
        "REPLOG_MASTER_PORT_8000_TCP_ADDR",
    ];
    assert_eq!(unknown(&injected), []);
}

#[test]
fn credentials_come_from_the_environment_and_are_checked() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    settings(
        &[],
        &[
            ("NATS_USER", "me"),
            ("NATS_PASSWORD", "s3cret"),
            ("NATS_CA", path),
        ],
    );
    assert_eq!(
        refusal(&[], &[("NATS_PASSWORD", "s3cret")]),
        "sample: NATS_PASSWORD: \"set\" is not allowed: expected NATS_USER beside it"
    );
    let line = refusal(&[], &[("NATS_CREDS", "/")]);
    assert!(
        line.starts_with("sample: NATS_CREDS: \"/\" is not allowed: expected a file"),
        "{line}"
    );
    let read = credentials(&|name| (name == "NATS_TOKEN").then(|| "t0k3n".into())).unwrap();
    assert_eq!(read.token.as_deref(), Some("t0k3n"));
}
