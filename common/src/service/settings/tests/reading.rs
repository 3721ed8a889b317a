use super::*;
use crate::service::settings::parse::Plan;

#[test]
fn the_declaration_is_sound() {
    <Sample as clap::CommandFactory>::command().debug_assert();
    Plan::new(<Sample as clap::CommandFactory>::command())
        .command
        .debug_assert();
}

#[test]
fn defaults() {
    let sample = settings(&[], &[]);
    assert_eq!(sample.common.nats_url[0].expose(), "nats://127.0.0.1:4222");
    assert_eq!(sample.common.cluster, "default");
    assert_eq!(sample.common.data_dir, None);
    assert_eq!(sample.common.log_format, LogFormat::Text);
    assert_eq!(
        sample.replication.suspect_after,
        Duration::from_millis(1500)
    );
    assert_eq!(sample.replication.window_bytes, 1 << 20);
    assert_eq!(
        (sample.command, sample.names.len(), sample.takeover),
        (None, 0, false)
    );
    let limits = sample.common.http_limits();
    assert_eq!(
        (limits.max_header_bytes, limits.max_connections),
        (16 * 1024, 10_240)
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
        settings(&[], &[("NATS_URL", "nats://a:1,b:2")])
            .common
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
    for text in [
        "--delay",
        "[env: SAMPLE_DELAY]",
        "[default: 0ms]",
        "[env: NATS_URL]",
        "text, json",
    ] {
        assert!(help.contains(text), "{text}: {help}");
    }
    assert!(!help.contains("wrong"));
    assert_eq!(
        run(&["--version"], &[]).expect_err("shown, not run"),
        SettingsExit::Shown("sample 1.2.3\n".into())
    );
}
