use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use replog_service::settings::{SettingsExit, parse_from};

use super::*;
use crate::Config;
use crate::config::Command;

/// The flags, or the line that refuses them.
fn args(flags: &[&str]) -> Result<NatsConfigArgs, String> {
    let line = ["replog-master", "nats-config", "--out", "unused"];
    let line = line.iter().chain(flags).map(OsString::from);
    match parse_from::<Config>(line, &|_| None) {
        Ok(config) => match config.command {
            Some(Command::NatsConfig(args)) => Ok(args),
            other => panic!("{other:?}"),
        },
        Err(SettingsExit::Shown(text) | SettingsExit::Wrong(text)) => Err(text),
    }
}

/// Every file below a directory: its mode and its text.
fn read(dir: &Path) -> BTreeMap<String, (u32, String)> {
    let mut found = BTreeMap::new();
    let mut directories = vec![dir.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
                continue;
            }
            let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
            let name = path.strip_prefix(dir).unwrap().display().to_string();
            found.insert(name, (mode, fs::read_to_string(path).unwrap()));
        }
    }
    found
}

struct Made {
    dir: tempfile::TempDir,
    said: String,
    files: BTreeMap<String, (u32, String)>,
}

fn made(flags: &[&str]) -> Made {
    let dir = tempfile::tempdir().unwrap();
    let mut args = args(flags).unwrap();
    args.out = dir.path().join("out");
    let said = args.write().unwrap();
    let files = read(&args.out);
    Made { dir, said, files }
}

impl Made {
    fn text(&self, name: &str) -> &str {
        &self.files[name].1
    }
}

/// The values of an env file.
fn values(env: &str) -> Vec<&str> {
    env.lines()
        .filter_map(|line| line.split_once('='))
        .map(|(_, value)| value)
        .collect()
}

#[test]
fn names_that_cannot_have_a_user_are_refused_by_name() {
    for (names, named) in [
        ("a.b", "a.b"),
        ("a,master", "master"),
        ("observer", "observer"),
        ("x,broker", "broker"),
        ("system", "system"),
        ("authority", "authority"),
        ("sys", "sys"),
        ("a,a", "\"a\""),
        ("a-b,a_b", "a_b"),
        ("a,A", "\"A\""),
    ] {
        let line = args(&["--secondaries", names]).expect_err(names);
        assert!(
            line.contains(named) && line.contains("--secondaries"),
            "{names}: {line}"
        );
        assert_eq!(line.trim_end().lines().count(), 1, "{line}");
    }
    for (flags, named) in [
        (&["--secondaries", "a", "--tls", "a b"][..], "a b"),
        (&["--secondaries", "a", "--tls", "nats://h"], "nats://h"),
        (&["--secondaries", "a", "--tls=-h"], "-h"),
        (&["--secondaries", "a", "--auth", "token"], "token"),
        (&["--secondaries", "a", "--cluster", "a.b"], "a.b"),
        (&[], "--secondaries"),
    ] {
        let line = args(flags).expect_err("refused");
        assert!(line.contains(named), "{flags:?}: {line}");
    }
    assert!(
        args(&[
            "--secondaries",
            "a,b",
            "--tls",
            "::1,10.0.0.1,*.example.org,nats"
        ])
        .is_ok()
    );
}

#[test]
fn passwords_are_long_different_and_nowhere_but_in_files_of_their_owner() {
    let made = made(&["--secondaries", "a,b-1", "--cluster", "blue"]);
    let names: Vec<&str> = made.files.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "a/nats.env",
            "b-1/nats.env",
            "broker/accounts.conf",
            "broker/broker.env",
            "broker/common.conf",
            "broker/nats-public.conf",
            "master/nats.env",
            "observer/nats.env",
            "system/nats.env",
        ]
    );
    let broker = made.text("broker/broker.env");
    let passwords = values(broker);
    assert_eq!(passwords.len(), 5);
    for (i, password) in passwords.iter().enumerate() {
        // Four bits a letter.
        assert!(password.len() * 4 >= 128 && password.bytes().all(|b| b.is_ascii_lowercase()));
        assert!(!passwords[..i].contains(password));
        for (name, (mode, text)) in &made.files {
            assert!(!text.contains(password) || *mode == 0o600, "{name}");
        }
        assert!(!made.said.contains(password), "{}", made.said);
    }
    for (user, variable) in [
        ("master", "MASTER"),
        ("b-1", "B_1"),
        ("observer", "OBSERVER"),
        ("system", "SYS"),
    ] {
        let env = made.text(&format!("{user}/nats.env"));
        let (first, password) = env.split_once("\nNATS_PASSWORD=").unwrap();
        assert_eq!(first, format!("NATS_USER={user}"));
        let line = format!("NATS_{variable}_PASSWORD={password}");
        assert!(broker.contains(&line), "{user}");
        let known = format!("user: {user:?}\n        password: $NATS_{variable}_PASSWORD");
        assert!(made.text("broker/accounts.conf").contains(&known), "{user}");
    }
    let accounts = made.text("broker/accounts.conf");
    assert!(
        accounts.contains(r#""replog.blue.ack.b-1.*""#) && !accounts.contains("replog.default")
    );
    assert!(
        made.said.contains("--cluster blue") && made.said.contains("--secondaries a,b-1"),
        "{}",
        made.said
    );
    let other = self::made(&["--secondaries", "a"]);
    assert!(!values(other.text("broker/broker.env")).contains(&passwords[0]));
    drop(made.dir);
}

#[test]
fn with_nkeys_the_broker_has_no_secret() {
    let made = made(&["--secondaries", "a", "--auth", "nkey"]);
    assert!(!made.files.contains_key("broker/broker.env"));
    let accounts = made.text("broker/accounts.conf");
    assert!(!accounts.contains("password: "), "{accounts}");
    for user in ["master", "a", "observer", "system"] {
        let path = format!("{user}/user.nk");
        let (mode, seed) = &made.files[&path];
        let pair = KeyPair::from_seed(seed.trim()).unwrap();
        assert_eq!(*mode, 0o600);
        assert!(accounts.contains(&format!("# {user}\n        nkey: {}\n", pair.public_key())));
        let home = made.dir.path().join("out");
        let env = format!("NATS_NKEY={}\n", home.join(&path).display());
        assert_eq!(made.text(&format!("{user}/nats.env")), env);
        for (name, (_, text)) in &made.files {
            assert!(!text.contains(seed.trim()) || *name == path, "{name}");
        }
        assert!(!made.said.contains(seed.trim()));
    }
}

#[test]
fn with_tls_every_user_has_a_certificate_of_one_authority() {
    let made = made(&["--secondaries", "a", "--tls", "broker.example,10.0.0.1"]);
    let ca = made.text("authority/ca.pem");
    for user in ["master", "a", "observer", "system"] {
        assert_eq!(made.text(&format!("{user}/ca.pem")), ca);
        let env = made.text(&format!("{user}/nats.env"));
        for file in ["ca", "cert", "key"] {
            assert!(env.contains(&format!("/out/{user}/{file}.pem\n")), "{env}");
        }
    }
    assert_eq!(made.text("broker/tls/ca.pem"), ca);
    for (name, (mode, text)) in &made.files {
        let is_secret = text.contains("PRIVATE KEY") || name.ends_with(".env");
        assert_eq!(*mode, if is_secret { 0o600 } else { 0o644 }, "{name}");
    }
    let keys = made
        .files
        .values()
        .filter(|(_, text)| text.contains("PRIVATE KEY"));
    assert_eq!(
        keys.count(),
        6,
        "one each, the broker's and the authority's"
    );
    assert!(
        made.said.contains("tls://broker.example:4222") && made.said.contains("nats-tls.conf"),
        "{}",
        made.said
    );
}

#[test]
fn what_is_there_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let mut args = args(&["--secondaries", "a"]).unwrap();
    args.out = dir.path().to_owned();
    fs::write(dir.path().join("precious"), "mine").unwrap();
    let refused = args.write().unwrap_err();
    assert!(
        matches!(&refused, NatsConfigError::NotEmpty(path) if path == dir.path()),
        "{refused}"
    );
    assert_eq!(read(dir.path()).len(), 1);
    let unfinished = format!("{}.unfinished", dir.path().display());
    assert!(!Path::new(&unfinished).exists());
    fs::remove_file(dir.path().join("precious")).unwrap();
    args.write().expect("into an empty one");
    assert!(matches!(args.write(), Err(NatsConfigError::NotEmpty(_))));
    args.out = dir.path().join("a b");
    assert!(matches!(args.write(), Err(NatsConfigError::Path(_))));
}

#[test]
fn nodes_without_services_have_fewer_permissions() {
    let with = made(&["--secondaries", "a"]);
    let without = made(&["--secondaries", "a", "--no-nats-service"]);
    assert!(with.text("broker/accounts.conf").contains("$SRV.>"));
    assert!(!without.text("broker/accounts.conf").contains("$SRV.>"));
    assert!(without.said.contains("--no-nats-service"));
}

/// It has no access control, and tells who is connected and from where.
#[test]
fn the_monitoring_of_the_broker_is_for_its_own_machine() {
    let made = made(&["--secondaries", "a", "--tls", "localhost"]);
    let common = made.text("broker/common.conf");
    assert!(common.contains("http: \"127.0.0.1:8222\""), "{common}");
    let open = made
        .files
        .iter()
        .find(|(_, (_, text))| text.contains("0.0.0.0:8222"));
    assert!(open.is_none(), "{open:?}");
}

#[test]
fn with_a_journal_the_master_and_the_broker_have_what_it_takes() {
    let flags = ["--secondaries", "a", "--cluster", "blue"];
    let without = made(&flags);
    let calls = "$JS.API.";
    assert!(!without.text("broker/accounts.conf").contains(calls));
    assert!(!without.files.contains_key("broker/jetstream.conf"));
    for (flag, stream, started) in [
        (
            "--journal",
            "replog-blue",
            " --store jetstream --secondaries a",
        ),
        (
            "--journal=kept",
            "kept",
            " --store jetstream --journal-stream kept --secondaries a",
        ),
    ] {
        let made = made(&[&flags[..], &[flag]].concat());
        let accounts = made.text("broker/accounts.conf");
        assert!(accounts.contains("jetstream: enabled"), "{accounts}");
        let needed = ["STREAM.INFO", "STREAM.CREATE", "DIRECT.GET"];
        for call in needed.map(|call| format!("{call}.{stream}\"")) {
            assert!(accounts.contains(&format!("{calls}{call}")), "{accounts}");
        }
        assert_eq!(accounts.matches(calls).count(), 3, "of the master only");
        assert!(accounts.contains("\"replog.blue.journal\""), "{accounts}");
        let conf = made.text("broker/nats-public.conf");
        assert!(conf.ends_with("\ninclude jetstream.conf\n"), "{conf}");
        assert!(
            made.text("broker/jetstream.conf")
                .contains("sync_interval: always")
        );
        let said = &made.said;
        assert!(
            said.contains(started) && said.contains("NATS_STORE_DIR"),
            "{said}"
        );
    }
    for wrong in ["--journal=a.b", "--journal=a b", "--journal=>"] {
        let line = args(&[&flags[..], &[wrong]].concat()).expect_err(wrong);
        assert!(line.contains("--journal"), "{line}");
    }
}

#[test]
fn brokers_of_a_cluster_show_each_other_a_password_that_nobody_else_has() {
    let made = made(&[
        "--secondaries",
        "a",
        "--tls",
        "n1",
        "--routes",
        "n1,10.0.0.1:7222,[::1]",
    ]);
    let (mode, conf) = &made.files["broker/cluster.conf"];
    assert_eq!(*mode, 0o600);
    let password = conf.split("password: \"").nth(1).unwrap();
    let password = password.split('"').next().unwrap();
    assert!(password.len() * 4 >= 128, "{conf}");
    for route in ["n1:6222", "10.0.0.1:7222", "[::1]:6222"] {
        let url = format!("\"nats://route:{password}@{route}\"");
        assert!(conf.contains(&url), "{conf}");
    }
    assert!(
        conf.contains("ca_file") && conf.contains("verify: true"),
        "{conf}"
    );
    for (name, (_, text)) in &made.files {
        assert!(
            !text.contains(password) || name == "broker/cluster.conf",
            "{name}"
        );
    }
    assert!(!made.said.contains(password) && made.said.contains("--name"));
    assert!(
        made.text("broker/nats-tls.conf")
            .ends_with("\ninclude cluster.conf\n")
    );
    for wrong in ["a b", "n1:0", "n1:x", "nats://n1", "*.n", "n1:1:2"] {
        let line = args(&["--secondaries", "a", "--routes", wrong]).expect_err(wrong);
        assert!(line.contains("--routes"), "{line}");
    }
}
