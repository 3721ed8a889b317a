//! Programs that refuse to start: the exit code, and one line that says why.

use std::ffi::OsString;
use std::net::TcpListener;

use anyhow::{Result, ensure};
use clap::CommandFactory;
use replog_service::settings::unknown_variables;
use replog_tests::harness::{BrokerOptions, NatsServer, Node, NodeSpec, Role};
use tempfile::TempDir;
use tokio::time::timeout;

use crate::support::SOON;

/// How it is started, beside what a test says.
pub(crate) fn spec(role: Role, dir: &TempDir, args: &[&str], env: &[(&str, &str)]) -> NodeSpec {
    NodeSpec {
        role,
        name: "node".into(),
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        env: env
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect(),
        inherit_settings: false,
        port: None,
        dir: dir.path().into(),
    }
}

/// Starts it, waits for its end: its exit code and what it wrote.
pub(crate) async fn end_of(
    role: Role,
    args: &[&str],
    env: &[(&str, &str)],
) -> Result<(i32, String)> {
    let dir = tempfile::tempdir()?;
    let mut node = Node::reserve(spec(role, &dir, args, env))?;
    node.spawn()?;
    let code = timeout(SOON, node.exited()).await??;
    Ok((code, node.log_tail(100)))
}

/// Ends with 2 and one line that has all the parts.
async fn wrong(role: Role, args: &[&str], env: &[(&str, &str)], parts: &[&str]) -> Result<()> {
    let (code, said) = end_of(role, args, env).await?;
    ensure!(code == 2, "exit code {code} for {args:?} {env:?}: {said}");
    ensure!(
        said.lines().count() == 1,
        "more than a line for {args:?} {env:?}: {said}"
    );
    for part in parts {
        ensure!(
            said.contains(part),
            "no {part:?} for {args:?} {env:?}: {said}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_wrong_flag_is_named_with_its_value_and_what_is_allowed() -> Result<()> {
    let both = [Role::Master, Role::Secondary];
    for role in both {
        wrong(
            role,
            &["--cluster", "a.b"],
            &[],
            &["--cluster", "a.b", "expected"],
        )
        .await?;
        let interval = ["--heartbeat-interval", "500"];
        wrong(
            role,
            &interval,
            &[],
            &["--heartbeat-interval", "500", "500ms"],
        )
        .await?;
    }
    let master: [(&[&str], &[&str]); 6] = [
        (&["--default-w", "0"], &["--default-w", "\"0\"", "from 1"]),
        (
            &["--secondaries", "a,b", "--default-w", "4"],
            &["--default-w", "1 to 3"],
        ),
        (
            &["--secondaries", "a,a"],
            &["--secondaries", "\"a\"", "once"],
        ),
        (
            &["--suspect-after", "10s"],
            &["--unhealthy-after", "--suspect-after"],
        ),
        (
            &["--deduplicate-by", "sender"],
            &["--deduplicate-by", "message_id or content"],
        ),
        (&["--no-such-flag"], &["--no-such-flag"]),
    ];
    for (args, parts) in master {
        wrong(Role::Master, args, &[], parts).await?;
    }
    let secondary: [(&[&str], &[&str]); 4] = [
        (&["--node-id", "a b"], &["--node-id", "a b", "A-Z a-z 0-9"]),
        (&["--delay", "2"], &["--delay", "\"2\"", "2s"]),
        (&["--error-rate", "1.5"], &["--error-rate", "1.5", "0 to 1"]),
        (&["--delay", ""], &["--delay", "expected"]),
    ];
    for (args, parts) in secondary {
        wrong(Role::Secondary, args, &[], parts).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_wrong_variable_is_named_too_and_an_empty_one_is_unset() -> Result<()> {
    let master: [(&str, &str); 5] = [
        ("REPLOG_DEFAULT_W", "two"),
        ("REPLOG_ALLOW_CLEAR", "yes"),
        ("REPLOG_RETRY_MIN", "50"),
        ("REPLOG_BATCH_BYTES", "256"),
        ("REPLOG_SECONDARIES", "a b"),
    ];
    for (name, value) in master {
        wrong(
            Role::Master,
            &[],
            &[(name, value)],
            &[name, value, "allowed: "],
        )
        .await?;
    }
    let dir = tempfile::tempdir()?;
    let empty = [
        "REPLOG_DEFAULT_W",
        "REPLOG_ALLOW_CLEAR",
        "REPLOG_SECONDARIES",
        "REPLOG_DATA_DIR",
    ];
    let nats = ["NATS_URL", "NATS_USER", "NATS_PASSWORD", "NATS_CREDS"];
    let env: Vec<_> = empty.iter().chain(&nats).map(|name| (*name, "")).collect();
    let mut node = Node::start(spec(Role::Master, &dir, &[], &env)).await?;
    ensure!(node.terminate().await? == 0);
    Ok(())
}

#[tokio::test]
async fn an_address_in_use_is_named() -> Result<()> {
    let dir = tempfile::tempdir()?;
    for role in [Role::Master, Role::Secondary] {
        let mut node = Node::reserve(spec(role, &dir, &[], &[]))?;
        let taken = TcpListener::bind(node.addr())?;
        node.spawn()?;
        let code = timeout(SOON, node.exited()).await??;
        let said = node.log_tail(100);
        ensure!(code == 3, "{code}: {said}");
        ensure!(said.contains(&node.addr().to_string()), "{said}");
        drop(taken);
    }
    Ok(())
}

const USERS: &str = r#"
{user: whole, password: secret}
{user: deaf, password: secret, permissions: {subscribe: {deny: "replog.default.ack.>"}}}
{user: mute, password: secret, permissions: {publish: {deny: ["replog.default.heartbeat.>", "replog.default.claim.>"]}}}
{user: silent, password: secret, permissions: {publish: {deny: "replog.default.ack.>"}}}
"#;

#[tokio::test]
async fn a_broker_that_refuses_ends_it() -> Result<()> {
    let broker = NatsServer::start(BrokerOptions::default().users(USERS)).await?;
    let url = broker.url();
    let listed = ["--secondaries", "secondary1"];
    for (role, args, user, password, part) in [
        (
            Role::Master,
            &listed[..],
            "whole",
            "wrong",
            "refuses the user",
        ),
        (Role::Master, &listed, "", "", "refuses the user"),
        (Role::Secondary, &[], "nobody", "secret", "refuses the user"),
        (
            Role::Master,
            &listed,
            "deaf",
            "secret",
            "replog.default.ack.",
        ),
        (
            Role::Master,
            &listed,
            "mute",
            "secret",
            "replog.default.heartbeat.secondary1",
        ),
        (
            Role::Secondary,
            &[],
            "deaf",
            "secret",
            "replog.default.ack.node",
        ),
        (
            Role::Secondary,
            &[],
            "mute",
            "secret",
            "replog.default.claim.node",
        ),
        (
            Role::Secondary,
            &[],
            "silent",
            "secret",
            "replog.default.ack.node",
        ),
    ] {
        let env = [
            ("NATS_URL", url.as_str()),
            ("NATS_USER", user),
            ("NATS_PASSWORD", password),
        ];
        let (code, said) = end_of(role, args, &env).await?;
        ensure!(code == 3, "exit code {code} for {user:?}: {said}");
        let last = said.lines().last().unwrap_or_default();
        ensure!(last.contains(part), "no {part:?} for {user:?}: {said}");
        ensure!(!said.contains("secret"), "a password in the log: {said}");
    }
    let dir = tempfile::tempdir()?;
    let env = [
        ("NATS_URL", url.as_str()),
        ("NATS_USER", "whole"),
        ("NATS_PASSWORD", "secret"),
    ];
    let mut node = Node::start(spec(Role::Master, &dir, &listed, &env)).await?;
    crate::support::wait_health(&node, "broker", "connected").await?;
    ensure!(node.terminate().await? == 0);
    Ok(())
}

/// Case A4: an interval that no machine keeps, and one after which nobody would wait.
#[tokio::test]
async fn a_heartbeat_interval_out_of_its_range_is_refused() -> Result<()> {
    for role in [Role::Master, Role::Secondary] {
        for value in ["2ms", "19ms", "61s"] {
            let interval = ["--heartbeat-interval", value];
            let parts = ["--heartbeat-interval", value, "20ms", "60s"];
            wrong(role, &interval, &[], &parts).await?;
        }
    }
    Ok(())
}

/// Case 43: as in the `nats` CLI.
#[tokio::test]
async fn a_user_or_a_token_in_the_variable_is_used_and_never_shown() -> Result<()> {
    let by_user = BrokerOptions::default().users("{user: me, password: \"pa:55\"}");
    let by_token = BrokerOptions::default().config("authorization { token: pa55 }");
    for (options, who) in [(by_user, "me:pa%3A55"), (by_token, "pa55")] {
        let broker = NatsServer::start(options).await?;
        let url = format!("nats://{who}@127.0.0.1:{}", broker.port());
        for role in [Role::Master, Role::Secondary] {
            let dir = tempfile::tempdir()?;
            let env = [("NATS_URL", url.as_str()), ("RUST_LOG", "trace")];
            let mut node = Node::start(spec(role, &dir, &[], &env)).await?;
            crate::support::wait_health(&node, "broker", "connected").await?;
            ensure!(node.terminate().await? == 0);
            let log = node.log_tail(10_000);
            for secret in ["pa55", "pa:55", "pa%3A55"] {
                ensure!(!log.contains(secret), "a secret in the log: {log}");
            }
        }
    }
    Ok(())
}

/// Other processes see the flags of this one.
#[tokio::test]
async fn a_password_or_a_token_in_the_flag_is_refused_and_not_repeated() -> Result<()> {
    for role in [Role::Master, Role::Secondary] {
        for url in [
            "nats://me:pa55@127.0.0.1:4222",
            "nats://pa55@127.0.0.1:4222",
        ] {
            let (code, said) = end_of(role, &["--nats-url", url], &[]).await?;
            ensure!(code == 2, "exit code {code}: {said}");
            ensure!(said.contains("NATS_URL"), "{said}");
            ensure!(!said.contains("pa55"), "{said}");
        }
    }
    Ok(())
}

/// One environment serves all programs of a compose file: what one of them knows, the other must not warn of.
#[test]
fn each_program_knows_the_variables_of_the_other() {
    fn of<C: CommandFactory>() -> Vec<OsString> {
        let command = C::command();
        let variables = command.get_arguments().filter_map(|arg| arg.get_env());
        variables.map(ToOwned::to_owned).collect()
    }
    let (master, secondary) = (
        of::<replog_master::Config>(),
        of::<replog_secondary::Config>(),
    );
    assert!(master.len() > 20 && secondary.len() > 20);
    assert_eq!(unknown_variables::<replog_master::Config>(secondary), []);
    assert_eq!(unknown_variables::<replog_secondary::Config>(master), []);
}
