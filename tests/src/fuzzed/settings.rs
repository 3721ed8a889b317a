//! The settings of both programs: a line of the input is a flag where it begins with `-`, a variable where it has a `=`, and a
//! further word of the command line otherwise.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use replog_protocol::ids::MasterId;
use replog_service::settings::{
    CommonArgs, Settings, SettingsExit, credentials, parse_from, unknown_variables,
};

/// So many lines are looked at.
const MAX_LINES: usize = 40;
/// The longest refusal.
const MAX_REASON_BYTES: usize = 1024;
/// Variables that name files: what lies on this machine is nobody's input.
const FILES: [&str; 8] = [
    "NATS_CA",
    "NATS_CERT",
    "NATS_CREDS",
    "NATS_KEY",
    "NATS_NKEY",
    "REPLOG_TLS_CERT",
    "REPLOG_TLS_KEY",
    "REPLOG_TOKENS_FILE",
];
/// What stands for a secret. Where it stands before the `@` of the brokers' URLs and nowhere else, nobody is ever shown it.
const SECRET: &str = "s3cr3t";

/// Reads the settings of both programs.
///
/// # Panics
/// Where settings are taken that nobody can run with, or a refusal is long, or shows a secret.
pub fn run(bytes: &[u8]) {
    let (mut args, mut variables) = (Vec::new(), BTreeMap::new());
    for line in super::lines(bytes).take(MAX_LINES) {
        let text = OsStr::from_bytes(line).to_owned();
        let equals = memchr::memchr(b'=', line).filter(|at| *at > 0 && line[0] != b'-');
        match equals {
            Some(at) => {
                let name = String::from_utf8_lossy(&line[..at]).into_owned();
                let value = OsStr::from_bytes(&line[at + 1..]).to_owned();
                variables.insert(name, value);
            }
            None if !line.is_empty() => args.push(text),
            None => {}
        }
    }
    variables.retain(|name, _| !FILES.contains(&name.as_str()));
    args.retain(|arg| !is_of_a_file(arg));
    check::<replog_master::Config>(&args, &variables, |config| {
        let leader = config.leader(MasterId::default(), None);
        assert!(leader.replication.batch_bytes <= leader.replication.window_bytes);
        assert!(leader.replication.retry_min <= leader.replication.retry_max);
        let addr = &config.http_addr;
        drop(config.common.guard(addr));
        let _ = config.common.url(addr, 8000);
        &config.common
    });
    // Every host has a name, and not every name can be a node's.
    variables
        .entry("REPLOG_NODE_ID".to_owned())
        .or_insert_with(|| "s1".into());
    check::<replog_secondary::Config>(&args, &variables, |config| {
        let _ = config.faults();
        if config.node_id.is_some() {
            assert_ne!(config.node().as_str(), "master");
        }
        drop(config.common.guard(&config.http_addr));
        &config.common
    });
}

/// Whether a word is the flag of a file.
fn is_of_a_file(arg: &OsStr) -> bool {
    let flags: [&[u8]; 3] = [b"--tokens", b"--tls-cert", b"--tls-key"];
    flags.iter().any(|flag| arg.as_bytes().starts_with(flag))
}

fn check<C: Settings>(
    args: &[OsString],
    variables: &BTreeMap<String, OsString>,
    common: impl Fn(&C) -> &CommonArgs,
) {
    let environment = |name: &str| variables.get(name).cloned();
    let all = std::iter::once(OsString::from("replog")).chain(args.iter().cloned());
    match parse_from::<C>(all, &environment) {
        Ok(config) => {
            can_run(common(&config));
            assert!(credentials(&environment).is_ok(), "they were checked");
        }
        Err(SettingsExit::Shown(text)) => assert!(!text.is_empty()),
        Err(SettingsExit::Wrong(line)) => {
            assert!(line.len() <= MAX_REASON_BYTES, "{line:.1100}");
            assert_eq!(line.lines().count(), 1, "{line:?}");
            assert!(
                !is_kept(args, variables) || !line.contains(SECRET),
                "{line}"
            );
        }
    }
    for unknown in unknown_variables::<C>(variables.keys().map(OsString::from)) {
        assert!(unknown.name.starts_with("REPLOG_"));
    }
}

/// Whether the secret stands only where it is to be kept.
fn is_kept(args: &[OsString], variables: &BTreeMap<String, OsString>) -> bool {
    let in_urls = |value: &str| value.split(',').all(is_kept_in_url);
    let args = args.iter().map(|arg| arg.to_string_lossy());
    let mut args = args.map(|arg| {
        arg.strip_prefix("--nats-url=")
            .map_or(!arg.contains(SECRET), in_urls)
    });
    let mut variables = variables.iter().map(|(name, value)| {
        let value = value.to_string_lossy();
        let is_url = name == "NATS_URL" && in_urls(&value);
        is_url || !value.contains(SECRET) && !name.contains(SECRET)
    });
    args.all(|kept| kept) && variables.all(|kept| kept)
}

/// Whether the secret stands only before the `@` of a broker's URL, or in its first half where a comma in it has cut that off;
/// not where a scheme, a host or a port stands.
fn is_kept_in_url(part: &str) -> bool {
    let (scheme, rest) = part.split_once("://").unwrap_or(("", part));
    let is_secret = |at: usize| match rest.rfind('@') {
        Some(end) => at < end,
        None => rest[..at].contains(':') && !rest.starts_with('['),
    };
    let mut secrets = rest.match_indices(SECRET);
    !scheme.contains(SECRET) && secrets.all(|(at, _)| is_secret(at))
}

/// Whether a node can run with what was taken.
fn can_run(common: &CommonArgs) {
    let liveness = common.liveness;
    let heartbeat = liveness.heartbeat_interval;
    let bounds = Duration::from_millis(20)..=Duration::from_secs(60);
    assert!(bounds.contains(&heartbeat), "{heartbeat:?}");
    assert!(liveness.suspect_after() >= heartbeat * 2);
    assert!(liveness.unhealthy_after() > liveness.suspect_after());
    // As a secondary asks, of a master with the longest interval there is.
    let longest = liveness.suspect_after_of(Duration::from_secs(60));
    assert!(longest >= liveness.suspect_after());
    assert!((1..=64).contains(&common.threads));
    assert!(common.storage.cache_bytes > 0 && common.http.max_body_bytes > 0);
    let limits = common.http.limits();
    assert!(limits.max_connections > 0 && limits.max_streams > 0);
    // Deadlines are made of them.
    for timeout in [
        limits.header_timeout,
        limits.body_timeout,
        limits.write_timeout,
        limits.idle_timeout,
    ] {
        let deadline = std::time::Instant::now().checked_add(timeout);
        assert!(!timeout.is_zero() && deadline.is_some());
    }
    let subjects = replog_nats::Subjects::of(&common.nats.cluster);
    let announce = subjects.name(&replog_protocol::wire::Address::Announce);
    assert_eq!(announce.split('.').count(), 3, "{announce}");
    for url in &common.nats.nats_url {
        assert!(!url.to_string().contains('@'));
        // A host may be called so.
        assert!(url.address().contains(SECRET) || !format!("{url:?}").contains(SECRET));
    }
}
