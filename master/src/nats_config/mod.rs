//! `nats-config`: users for a broker and its nodes, with their permissions, secrets and certificates.
//!
//! ```text
//!   DIR/broker/       what the broker is started with: its configuration, accounts.conf, broker.env, tls/; with --journal
//!                     jetstream.conf, with --routes cluster.conf
//!   DIR/master/       who the master is: nats.env, and the files that it names
//!   DIR/<secondary>/  the same for each secondary
//!   DIR/observer/     the same for who looks on, and for who looks after the broker
//!   DIR/system/
//!   DIR/authority/    the key that signs further certificates; nothing that runs needs it
//! ```
//! Each machine gets one of these directories, and no other.

mod certificates;
mod files;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use nkeys::KeyPair;
use replog_nats::broker_files::{COMMON_CONF, JETSTREAM_CONF, PUBLIC_CONF, TLS_CONF};
use replog_nats::{Accounts, BrokerUser, SecondaryName, Secret, Services};
use replog_protocol::ids::NodeId;
use replog_service::settings::WrongSetting;
use replog_service::settings::values::subject_token;

use crate::journal::default_stream;
use certificates::{Authority, BrokerName, Certified};
use files::Files;

/// The flags of `nats-config`.
#[derive(Args, Clone, Debug)]
pub struct NatsConfigArgs {
    /// The secondaries, comma separated: a user for each.
    #[arg(
        long = "secondaries",
        id = "configured_secondaries",
        env = "REPLOG_SECONDARIES",
        value_name = "NAME,...",
        value_delimiter = ',',
        required = true
    )]
    secondaries: Vec<NodeId>,
    /// The cluster that they are of.
    #[arg(
        long = "cluster",
        id = "configured_cluster",
        env = "REPLOG_CLUSTER",
        value_name = "NAME",
        value_parser = subject_token,
        default_value = "default"
    )]
    cluster: String,
    /// How the broker knows its users: by a password, or by an nkey of which it has the public half only.
    #[arg(long, value_name = "HOW", value_enum, default_value = "password")]
    auth: Auth,
    /// TLS both ways, with certificates for the broker and for each user: the names and IP addresses by which nodes reach the
    /// broker, comma separated.
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    tls: Vec<BrokerName>,
    /// Without the permissions that NATS services need: the nodes are started with --no-nats-service.
    #[arg(long = "no-nats-service", id = "configured_without_services")]
    without_services: bool,
    /// For masters with --store jetstream: the permissions for the stream of their journal, and a broker with a store [stream:
    /// replog-CLUSTER].
    #[arg(
        long,
        value_name = "STREAM",
        num_args = 0..=1,
        require_equals = true,
        value_parser = subject_token
    )]
    journal: Option<Option<String>>,
    /// The names by which brokers of a cluster reach each other, comma separated, with a port where it is not 6222: each gets the
    /// same directory.
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', value_parser = route)]
    routes: Vec<String>,
    /// The directory to make; it must not be there, or be empty.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// How a broker knows its users.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Auth {
    Password,
    Nkey,
}

/// Why nothing was written. Each is one line.
#[derive(Debug, thiserror::Error)]
pub enum NatsConfigError {
    /// There is something in the directory.
    #[error("{0} is there already: name a directory that is not there, or is empty")]
    NotEmpty(PathBuf),
    /// A path that means something else in an env file.
    #[error(
        "{0:?}: expected a path of letters, digits and / . _ - only, which an env file takes as it is"
    )]
    Path(PathBuf),
    /// No random numbers.
    #[error("the system gives no random numbers: {0}")]
    Random(getrandom::Error),
    /// No key pair.
    #[error("no key can be made: {0}")]
    Key(#[from] nkeys::error::Error),
    /// No certificate.
    #[error("no certificate can be made: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The disk refused.
    #[error(transparent)]
    Io(#[from] io::Error),
}

const OBSERVER: &str = "observer";
const SYSTEM: &str = "system";
/// Directories that are no secondary's, beside the master's.
const TAKEN: [&str; 4] = ["broker", OBSERVER, SYSTEM, "authority"];
/// The variable with the system user's password is called after this, as in the broker's configuration from the beginning.
const SYSTEM_VARIABLE: &str = "sys";

impl NatsConfigArgs {
    /// Whether each secondary can have a user and a directory of its own.
    ///
    /// # Errors
    /// The name that cannot.
    pub fn check(&self) -> Result<(), WrongSetting> {
        let wrong = |name: &NodeId, expected: String| {
            WrongSetting::new("--secondaries", name.to_string(), expected)
        };
        let others = ["master", OBSERVER, SYSTEM_VARIABLE]
            .map(|name| (name.to_owned(), Secret::password_of(name)));
        let mut variables: Vec<(String, Secret)> = others.into();
        for name in &self.secondaries {
            if TAKEN.contains(&name.as_str()) {
                return Err(wrong(
                    name,
                    "expected a name that is not taken by the broker's side".to_owned(),
                ));
            }
            let variable = Secret::password_of(name.as_str());
            if let Some((other, _)) = variables.iter().find(|(_, taken)| *taken == variable) {
                let expected = format!(
                    "expected names that differ by more than case and - or _ from each other, and from {other}"
                );
                return Err(wrong(name, expected));
            }
            variables.push((name.to_string(), variable));
        }
        Ok(())
    }

    /// Writes everything, or nothing. What was written, and how a broker and a node are started with it, for people: no secret.
    ///
    /// # Errors
    /// Nothing was written, and why.
    pub fn write(&self) -> Result<String, NatsConfigError> {
        let home = std::path::absolute(&self.out)?;
        let files = self.files(&home)?;
        files.write(&home)?;
        Ok(self.said(&home, &files))
    }

    fn files(&self, home: &Path) -> Result<Files, NatsConfigError> {
        let as_it_is = |b: u8| b.is_ascii_alphanumeric() || b"/._-".contains(&b);
        let home = match home.to_str() {
            Some(text) if text.bytes().all(as_it_is) => text,
            _ => return Err(NatsConfigError::Path(home.to_owned())),
        };
        let authority = match self.tls.is_empty() {
            true => None,
            false => Some(Authority::new(&self.cluster)?),
        };
        let mut users = Users {
            home,
            auth: self.auth,
            authority: authority.as_ref(),
            broker_env: String::new(),
            files: Files::default(),
        };
        let services = match self.without_services {
            true => Services::Unwanted,
            false => Services::Wanted,
        };
        let cluster = self.cluster.as_str();
        let master = users.add("master", "master")?;
        let mut accounts = vec![BrokerUser::master("master", master, cluster, services)];
        for node in &self.secondaries {
            let (name, secret) = (node.as_str(), users.add(node.as_str(), node.as_str())?);
            let node = SecondaryName::One(node.clone());
            accounts.push(BrokerUser::secondary(
                name, secret, cluster, &node, services,
            ));
        }
        accounts.push(BrokerUser::observer(
            users.add(OBSERVER, OBSERVER)?,
            services,
        ));
        let accounts = Accounts {
            users: accounts,
            system: users.add(SYSTEM, SYSTEM_VARIABLE)?,
            has_streams: false,
        };
        let accounts = match self.stream() {
            Some(stream) => accounts.with_journal("master", cluster, &stream),
            None => accounts,
        };
        let Users {
            mut files,
            broker_env,
            ..
        } = users;
        files.add("broker/accounts.conf", accounts.to_string());
        files.add("broker/common.conf", monitored_here(COMMON_CONF));
        if !broker_env.is_empty() {
            files.add_secret("broker/broker.env", broker_env);
        }
        match &authority {
            None => files.add("broker/nats-public.conf", self.with_parts(PUBLIC_CONF)),
            Some(authority) => {
                files.add("broker/nats-tls.conf", self.with_parts(TLS_CONF));
                files.add("broker/tls/ca.pem", authority.certificate());
                let Certified { certificate, key } = authority.broker(&self.tls)?;
                files.add("broker/tls/broker.pem", certificate);
                files.add_secret("broker/tls/broker-key.pem", key);
                files.add("authority/ca.pem", authority.certificate());
                files.add_secret("authority/ca-key.pem", authority.key());
            }
        }
        if self.journal.is_some() {
            files.add("broker/jetstream.conf", JETSTREAM_CONF);
        }
        if !self.routes.is_empty() {
            let password = random_password()?;
            let has_tls = authority.is_some();
            files.add_secret(
                "broker/cluster.conf",
                cluster_conf(&self.routes, &password, has_tls),
            );
        }
        Ok(files)
    }

    /// The stream of the journal, if there is to be one.
    fn stream(&self) -> Option<String> {
        let named = self.journal.as_ref()?;
        Some(
            named
                .clone()
                .unwrap_or_else(|| default_stream(&self.cluster)),
        )
    }

    /// A broker's configuration that includes the other files which were asked for.
    fn with_parts(&self, conf: &str) -> String {
        let mut conf = conf.to_owned();
        if self.journal.is_some() {
            conf.push_str("\ninclude jetstream.conf\n");
        }
        if !self.routes.is_empty() {
            conf.push_str("\ninclude cluster.conf\n");
        }
        conf
    }

    fn said(&self, home: &Path, files: &Files) -> String {
        let mut directories: BTreeMap<&Path, Vec<String>> = BTreeMap::new();
        for path in files.paths() {
            let mut parts = path.components();
            if let Some(directory) = parts.next() {
                let name = parts.as_path().display().to_string();
                let directory = Path::new(directory.as_os_str());
                directories.entry(directory).or_default().push(name);
            }
        }
        let mut said = String::new();
        for (directory, names) in directories {
            let directory = home.join(directory);
            writeln!(said, "{}: {}", directory.display(), names.join(", ")).ok();
        }
        let home = home.display();
        let env = match self.auth {
            Auth::Password => "set -a && . ./broker.env && ",
            Auth::Nkey => "",
        };
        let (conf, scheme, host) = match self.tls.first() {
            None => ("nats-public.conf", "nats", "HOST".to_owned()),
            Some(name) => ("nats-tls.conf", "tls", name.in_url()),
        };
        let cluster = match self.cluster.as_str() {
            "default" => String::new(),
            other => format!(" --cluster {other}"),
        };
        let service = match self.without_services {
            true => " --no-nats-service",
            false => "",
        };
        let (store, options) = (
            match self.journal {
                Some(_) => "NATS_STORE_DIR=STORE ",
                None => "",
            },
            match self.routes.is_empty() {
                true => "",
                false => " --name NAME",
            },
        );
        let journal = match &self.journal {
            None => String::new(),
            Some(None) => " --store jetstream".to_owned(),
            Some(Some(stream)) => format!(" --store jetstream --journal-stream {stream}"),
        };
        let node = self.secondaries.first().map_or("NAME", NodeId::as_str);
        let names: Vec<&str> = self.secondaries.iter().map(NodeId::as_str).collect();
        let (names, flags) = (
            names.join(","),
            format!("--nats-url {scheme}://{host}:4222{cluster}{service}"),
        );
        write!(
            said,
            "Each machine gets its own directory, and no other. The broker, the master, a secondary:\n\
             (cd {home}/broker && {env}{store}exec nats-server -c {conf}{options})\n\
             (set -a && . {home}/master/nats.env && exec replog-master {flags}{journal} --secondaries {names})\n\
             (set -a && . {home}/{node}/nats.env && exec replog-secondary {flags} --node-id {node})"
        )
        .ok();
        said
    }
}

/// Users, as they are made one by one.
struct Users<'a> {
    /// Where the directory will be.
    home: &'a str,
    auth: Auth,
    authority: Option<&'a Authority>,
    /// The passwords, for the broker.
    broker_env: String,
    files: Files,
}

impl Users<'_> {
    /// Makes what that user has to prove who it is: its directory. `variable` is what the password's variable is called after.
    fn add(&mut self, user: &str, variable: &str) -> Result<Secret, NatsConfigError> {
        let home = self.home;
        let mut env = String::new();
        let secret = match self.auth {
            Auth::Password => {
                let (password, secret) = (random_password()?, Secret::password_of(variable));
                if let Secret::PasswordIn(variable) = &secret {
                    writeln!(self.broker_env, "{variable}={password}").ok();
                }
                writeln!(env, "NATS_USER={user}\nNATS_PASSWORD={password}").ok();
                secret
            }
            Auth::Nkey => {
                let pair = KeyPair::new_user();
                self.files
                    .add_secret(format!("{user}/user.nk"), format!("{}\n", pair.seed()?));
                writeln!(env, "NATS_NKEY={home}/{user}/user.nk").ok();
                Secret::PublicKey(pair.public_key())
            }
        };
        if let Some(authority) = self.authority {
            let Certified { certificate, key } = authority.client(user)?;
            self.files
                .add(format!("{user}/ca.pem"), authority.certificate());
            self.files.add(format!("{user}/cert.pem"), certificate);
            self.files.add_secret(format!("{user}/key.pem"), key);
            for (variable, file) in [
                ("NATS_CA", "ca"),
                ("NATS_CERT", "cert"),
                ("NATS_KEY", "key"),
            ] {
                writeln!(env, "{variable}={home}/{user}/{file}.pem").ok();
            }
        }
        self.files.add_secret(format!("{user}/nats.env"), env);
        Ok(secret)
    }
}

/// 160 random bits as letters: to nats-server, which reads the variable as a value of its configuration, and to everything that
/// reads env files, letters are a text without any quotes.
fn random_password() -> Result<String, NatsConfigError> {
    let mut bytes = [0; 20];
    getrandom::fill(&mut bytes).map_err(NatsConfigError::Random)?;
    let halves = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    Ok(halves.map(|half| char::from(b'a' + half)).collect())
}

/// How brokers find each other: the password that each of them shows is in the list of routes, too, since there is no other place
/// for it. With TLS each shows the others its certificate.
fn cluster_conf(routes: &[String], password: &str, has_tls: bool) -> String {
    let mut conf = format!(
        "# How brokers find each other, and who may say that he is one of them. The same for each of them, which is started with a\n\
         # name of its own (--name).\n\
         cluster {{\n  name: replog\n  listen: \"0.0.0.0:6222\"\n  no_advertise: true\n  \
         authorization {{\n    user: route\n    password: \"{password}\"\n  }}\n  routes: [\n"
    );
    for route in routes {
        writeln!(conf, "    \"nats://route:{password}@{route}\"").ok();
    }
    conf.push_str("  ]\n");
    if has_tls {
        conf.push_str(
            "  tls {\n    cert_file: \"tls/broker.pem\"\n    key_file: \"tls/broker-key.pem\"\n    ca_file: \"tls/ca.pem\"\n    \
             verify: true\n    timeout: 5\n  }\n",
        );
    }
    conf.push_str("}\n");
    conf
}

/// A name or an address, with the port of routes.
fn route(text: &str) -> Result<String, String> {
    let wrong = || "expected names or IP addresses of brokers, with or without a port".to_owned();
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') || name.ends_with(']') => (name, port),
        _ => (text, "6222"),
    };
    let is_port = port.parse::<u16>().is_ok_and(|port| port > 0);
    let bare = name.strip_prefix('[').and_then(|n| n.strip_suffix(']'));
    let name: BrokerName = bare.unwrap_or(name).parse().map_err(|_| wrong())?;
    match is_port && !name.to_string().starts_with('*') {
        true => Ok(format!("{}:{port}", name.in_url())),
        false => Err(wrong()),
    }
}

/// The same broker, whose monitoring only its own machine reaches: it has no access control, and tells who is connected.
fn monitored_here(common: &str) -> String {
    common.replace(r#"http: "0.0.0.0:8222""#, r#"http: "127.0.0.1:8222""#)
}

#[cfg(test)]
mod tests;
