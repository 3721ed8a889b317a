//! The part of a broker's configuration that says who there is and what each of them may do, in nats-server's own language.

use std::fmt;

use replog_protocol::ids::NodeId;

use crate::permissions::{Permissions, SecondaryName, Services};
use crate::subjects::Subjects;

/// What a broker is told of its users. Shown ([`fmt::Display`]), it is the file `accounts.conf`.
#[derive(Clone, Debug)]
pub struct Accounts {
    /// Who has to do with the log.
    pub users: Vec<BrokerUser>,
    /// Of the user `system`, to whom the broker speaks of itself.
    pub system: Secret,
    /// Whether there may be streams where the log is: for a journal that masters share.
    pub has_streams: bool,
}

/// One user of a broker.
#[derive(Clone, Debug)]
pub struct BrokerUser {
    /// The name; what it is called in `nats server report connections` where it shows a password.
    pub name: String,
    /// Who that is: one line.
    pub about: String,
    /// How it is known.
    pub secret: Secret,
    /// What it may do.
    pub permissions: Permissions,
}

/// How a broker knows a user. Holds nothing that is secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Secret {
    /// By the password in this variable of the broker's environment.
    PasswordIn(String),
    /// By the public half of its nkey.
    PublicKey(String),
}

impl Secret {
    /// By the password in the variable that belongs to that user: `NATS_MASTER_PASSWORD`.
    #[must_use]
    pub fn password_of(user: &str) -> Self {
        Self::PasswordIn(format!(
            "NATS_{}_PASSWORD",
            user.to_ascii_uppercase().replace('-', "_")
        ))
    }
}

impl BrokerUser {
    /// The user `observer`.
    #[must_use]
    pub fn observer(secret: Secret, services: Services) -> Self {
        Self {
            name: "observer".to_owned(),
            about: "Whoever looks on: `nats sub 'replog.>'`, `nats service ls`.".to_owned(),
            secret,
            permissions: Permissions::of_observer(services),
        }
    }

    /// The master of a cluster, under that user's name.
    #[must_use]
    pub fn master(name: &str, secret: Secret, cluster: &str, services: Services) -> Self {
        Self {
            name: name.to_owned(),
            about: format!("The master of the cluster `{cluster}`."),
            secret,
            permissions: Permissions::of_master(&Subjects::of(cluster), services),
        }
    }

    /// The same user, who may also keep the journal of that cluster in that JetStream stream.
    fn with_journal(mut self, cluster: &str, stream: &str) -> Self {
        let journal = Permissions::of_journal(&Subjects::of(cluster), stream);
        self.about = format!("{} Its journal is the stream `{stream}`.", self.about);
        self.permissions = self.permissions.and(journal);
        self
    }

    /// A secondary of a cluster, under that user's name.
    #[must_use]
    pub fn secondary(
        name: &str,
        secret: Secret,
        cluster: &str,
        node: &SecondaryName,
        services: Services,
    ) -> Self {
        let about = match node {
            SecondaryName::One(node) => {
                format!("`{node}` of the cluster `{cluster}`, and nobody else.")
            }
            SecondaryName::Any => format!(
                "All secondaries of the cluster `{cluster}`, whatever their names: each could speak for every other one, and in events for the master."
            ),
        };
        Self {
            name: name.to_owned(),
            about,
            secret,
            permissions: Permissions::of_secondary(&Subjects::of(cluster), node, services),
        }
    }
}

impl Accounts {
    /// Those of the file that comes with the project: what docker compose starts.
    #[must_use]
    pub fn shipped() -> Self {
        let services = Services::Wanted;
        let password = Secret::password_of;
        let secondary = |name: &str| {
            let node: NodeId = name.parse().expect("the name of a node");
            let node = SecondaryName::One(node);
            BrokerUser::secondary(name, password(name), "default", &node, services)
        };
        let (master, any) = ("scale-master", "scale-secondary");
        Self {
            users: vec![
                BrokerUser::master("master", password("master"), "default", services),
                secondary("secondary1"),
                secondary("secondary2"),
                BrokerUser::master(master, password(master), "scale", services),
                BrokerUser::secondary(any, password(any), "scale", &SecondaryName::Any, services),
                BrokerUser::observer(password("observer"), services),
            ],
            system: password("sys"),
            has_streams: false,
        }
    }

    /// The same with a journal in JetStream for the cluster `default`: what docker compose starts with the profile `ha`.
    #[must_use]
    pub fn shipped_with_journal() -> Self {
        Self::shipped().with_journal("master", "default", "replog-default")
    }

    /// The same, where that user keeps the journal of that cluster in that JetStream stream, and nobody else has to do with it.
    #[must_use]
    pub fn with_journal(self, of: &str, cluster: &str, stream: &str) -> Self {
        let user = |user: BrokerUser| match user.name == of {
            true => user.with_journal(cluster, stream),
            false => BrokerUser {
                permissions: user.permissions.beside_a_journal(),
                ..user
            },
        };
        Self {
            users: self.users.into_iter().map(user).collect(),
            has_streams: true,
            ..self
        }
    }
}

const HEAD: &str = r#"# Who there is at the broker, and what each of them may do: the least that each needs, so that whoever has the secret of one node
# can speak for that node and for no other. The node that a message speaks for is the one in its subject.
#
# Written by a program, which takes the lists from where the nodes take their subjects. Other secondaries, other clusters, nkeys in
# place of passwords, and certificates: `replog-master nats-config --help`.
#
# A password comes from the broker's environment, where it has quotes around it: NATS_MASTER_PASSWORD='"…"'. Without the quotes a
# password of digits would be a number, which is refused. Without the variable the broker does not start, so there is no password
# that somebody forgot to set. It may be a bcrypt hash (`nats server passwd`). The node itself is told NATS_USER and NATS_PASSWORD.
#
# In place of `user` and `password` a user may have an nkey, of which the broker knows the public half only: `nkey: UC…`; the node
# is told the file with the other half, NATS_NKEY. Credentials files (JWT, NATS_CREDS) are an operator's: there the broker has
# `operator` and `resolver` in place of all that is below, and each list goes into a user by `nsc add user --allow-pub … --allow-sub …`.

"#;

const SYSTEM: &str = r#"
        # It may look and not touch: nobody is cut off, nothing is reloaded or stopped with it.
        permissions: {
          publish: [
            "$SYS.REQ.USER.INFO", "$SYS.REQ.SERVER.PING", "$SYS.REQ.SERVER.PING.*",
            "$SYS.REQ.SERVER.*.VARZ", "$SYS.REQ.SERVER.*.CONNZ", "$SYS.REQ.SERVER.*.SUBSZ", "$SYS.REQ.SERVER.*.ROUTEZ",
            "$SYS.REQ.SERVER.*.STATSZ", "$SYS.REQ.SERVER.*.HEALTHZ", "$SYS.REQ.ACCOUNT.*.CONNZ", "$SYS.REQ.ACCOUNT.*.SUBSZ"
          ]
          subscribe: ["_INBOX.>", "$SYS.ACCOUNT.>", "$SYS.SERVER.>"]
        }
"#;

impl fmt::Display for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HEAD)?;
        f.write_str("system_account: SYSTEM\naccounts {\n  # Where the log is: its users see nothing of another account.\n")?;
        f.write_str("  LOG {\n")?;
        if self.has_streams {
            f.write_str("    jetstream: enabled\n")?;
        }
        f.write_str("    users: [\n")?;
        for user in &self.users {
            write!(f, "{user}")?;
        }
        f.write_str("    ]\n  }\n\n  # The broker speaks of itself there: `nats --user system --password … server report connections`.\n")?;
        f.write_str("  SYSTEM {\n    users: [\n      {\n")?;
        known_as(f, "system", &self.system)?;
        f.write_str(SYSTEM.strip_prefix('\n').unwrap_or(SYSTEM))?;
        f.write_str("      }\n    ]\n  }\n}\n")
    }
}

impl fmt::Display for BrokerUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            about,
            secret,
            permissions,
        } = self;
        writeln!(f, "      # {about}\n      {{")?;
        known_as(f, name, secret)?;
        f.write_str("        permissions: {\n          publish: ")?;
        match permissions.publish.as_slice() {
            // Nothing named would be no limit.
            [] => f.write_str("{ deny: \">\" }\n")?,
            subjects => list(f, subjects, &permissions.denied)?,
        }
        f.write_str("          subscribe: ")?;
        list(f, &permissions.subscribe, &permissions.denied)?;
        f.write_str("        }\n      }\n")
    }
}

fn known_as(f: &mut fmt::Formatter<'_>, name: &str, secret: &Secret) -> fmt::Result {
    match secret {
        Secret::PasswordIn(variable) => {
            writeln!(f, "        user: {name:?}\n        password: ${variable}")
        }
        // A user with an nkey has no name of its own there.
        Secret::PublicKey(key) => writeln!(f, "        # {name}\n        nkey: {key}"),
    }
}

fn list(f: &mut fmt::Formatter<'_>, allowed: &[String], denied: &[String]) -> fmt::Result {
    let lines = |f: &mut fmt::Formatter<'_>, subjects: &[String]| {
        f.write_str("[\n")?;
        for subject in subjects {
            writeln!(f, "            {subject:?}")?;
        }
        f.write_str("          ]")
    };
    if denied.is_empty() {
        lines(f, allowed)?;
        return f.write_str("\n");
    }
    f.write_str("{ allow: ")?;
    lines(f, allowed)?;
    f.write_str(", deny: ")?;
    lines(f, denied)?;
    f.write_str(" }\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::permissions::covers;

    #[test]
    fn the_shipped_file_is_what_the_permissions_are() {
        for (shipped, file, flag, accounts) in [
            (
                include_str!("../accounts.conf"),
                "accounts.conf",
                "",
                Accounts::shipped(),
            ),
            (
                include_str!("../accounts-jetstream.conf"),
                "accounts-jetstream.conf",
                " -- --journal",
                Accounts::shipped_with_journal(),
            ),
        ] {
            assert_eq!(
                shipped,
                accounts.to_string(),
                "write it again: cargo run -p replog-nats --example accounts{flag} > accounts.new && mv accounts.new nats/{file}"
            );
        }
    }

    /// Nobody may make, change, empty or delete another stream, or that one, and nobody but the master reads it there.
    #[test]
    fn with_a_journal_the_master_may_make_and_read_its_stream_and_no_other() {
        let may = |patterns: &[String], subject| patterns.iter().any(|p| covers(p, subject));
        let calls = |user: &BrokerUser| -> Vec<String> {
            let publish = user.permissions.publish.iter();
            let calls = publish.filter_map(|subject| subject.strip_prefix("$JS.API."));
            calls.map(str::to_owned).collect()
        };
        for user in Accounts::shipped().users {
            assert!(calls(&user).is_empty(), "{user}");
        }
        for user in Accounts::shipped_with_journal().users {
            let (publish, subscribe) = (&user.permissions.publish, &user.permissions.subscribe);
            let is_master = user.name == "master";
            let expected: &[&str] = match is_master {
                true => &[
                    "STREAM.INFO.replog-default",
                    "STREAM.CREATE.replog-default",
                    "DIRECT.GET.replog-default",
                ],
                false => &[],
            };
            assert_eq!(calls(&user), expected, "{user}");
            let journal = "replog.default.journal";
            assert_eq!(may(publish, journal), is_master, "{user}");
            let is_answered = is_master || user.name == "observer";
            assert_eq!(may(subscribe, "_INBOX.>"), is_answered, "{user}");
            let answers = "_INBOX.replog-journal.x.q1";
            let denied = may(&user.permissions.denied, answers);
            assert_eq!(denied, !is_master, "{user}");
        }
    }

    #[test]
    fn nobody_without_a_subject_may_publish_everywhere() {
        let observer = BrokerUser::observer(Secret::password_of("observer"), Services::Unwanted);
        let text = observer.to_string();
        assert!(text.contains(r#"publish: { deny: ">" }"#), "{text}");
        assert!(text.contains("password: $NATS_OBSERVER_PASSWORD"), "{text}");
    }

    #[test]
    fn a_variable_is_named_after_its_user() {
        let variable = Secret::PasswordIn("NATS_EU_WEST_1_PASSWORD".to_owned());
        assert_eq!(Secret::password_of("eu-west_1"), variable);
    }
}
