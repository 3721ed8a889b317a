//! What a broker has to let each program do, and nothing else: the lists that a NATS user is given.

use std::fmt;

use replog_protocol::ids::NodeId;

use crate::subjects::Subjects;

/// Where requests are answered: the inbox of whoever asked a NATS service.
const INBOXES: &str = "_INBOX.>";
/// Where the broker answers a master about the stream of its journal. Whoever could read along there knows where an answer is
/// expected, and whoever could publish there could give it: both are denied to everybody else.
pub(crate) const JOURNAL_INBOXES: &str = "_INBOX.replog-journal";
/// Where NATS services are asked.
const SERVICES: &str = "$SRV.>";

/// The subjects that a user may publish to, and those it may subscribe to. Both are patterns: `*` is one token, `>` all that
/// follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permissions {
    /// Where it may publish; empty: nowhere.
    pub publish: Vec<String>,
    /// What it may subscribe to.
    pub subscribe: Vec<String>,
    /// Where it may neither publish nor subscribe, whatever else says so.
    pub denied: Vec<String>,
}

/// Whether the programs are to show up among the NATS services (`nats service ls`), which takes permissions of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Services {
    /// They are.
    Wanted,
    /// They are started with `--no-nats-service`.
    Unwanted,
}

/// Which secondary a user may speak for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecondaryName {
    /// The one of that name, and nobody else.
    One(NodeId),
    /// Any: for a cluster whose secondaries are not known beforehand. Each of them could speak for every other one, and in events
    /// (which no node reads) for the master.
    Any,
}

impl Permissions {
    /// Those of a master.
    #[must_use]
    pub fn of_master(subjects: &Subjects, services: Services) -> Self {
        let publish = [
            "append.*",
            "heartbeat.*",
            "prepare.*",
            "fetch.*",
            "announce",
            "event.master.*",
        ];
        Self {
            publish: publish.map(|pattern| subjects.pattern(pattern)).into(),
            subscribe: subjects.of_master(),
            denied: Vec::new(),
        }
        .of_service(services)
    }

    /// Those of a master besides, for a journal in that JetStream stream.
    #[must_use]
    pub fn of_journal(subjects: &Subjects, stream: &str) -> Self {
        let api = |call: &str| format!("$JS.API.{call}.{stream}");
        Self {
            publish: vec![
                subjects.journal(),
                api("STREAM.INFO"),
                api("STREAM.CREATE"),
                api("DIRECT.GET"),
            ],
            subscribe: vec![INBOXES.to_owned()],
            denied: Vec::new(),
        }
    }

    /// The same beside the user of a journal: its answers are denied.
    #[must_use]
    pub fn beside_a_journal(mut self) -> Self {
        self.denied.push(format!("{JOURNAL_INBOXES}.>"));
        self
    }

    /// Those of a secondary.
    #[must_use]
    pub fn of_secondary(subjects: &Subjects, name: &SecondaryName, services: Services) -> Self {
        let publish = ["ack.X.*", "promise.X", "fetched.X", "claim.X", "event.X.*"];
        let subscribe = [
            "append.X",
            "heartbeat.X",
            "prepare.X",
            "fetch.X",
            "claim.X",
            "ack.X.hello",
            "announce",
        ];
        let named = |pattern: &str| subjects.pattern(&pattern.replace('X', &name.to_string()));
        Self {
            publish: publish.map(named).into(),
            subscribe: subscribe.map(named).into(),
            denied: Vec::new(),
        }
        .of_service(services)
    }

    /// Those of a person who looks on: at every cluster of the broker, and nothing else in it.
    #[must_use]
    pub fn of_observer(services: Services) -> Self {
        let publish = match services {
            Services::Wanted => vec![SERVICES.to_owned()],
            Services::Unwanted => Vec::new(),
        };
        Self {
            publish,
            subscribe: vec!["replog.>".to_owned(), INBOXES.to_owned()],
            denied: Vec::new(),
        }
    }

    /// These and those others, each once.
    #[must_use]
    pub fn and(mut self, more: Self) -> Self {
        for (all, more) in [
            (&mut self.publish, more.publish),
            (&mut self.subscribe, more.subscribe),
            (&mut self.denied, more.denied),
        ] {
            for pattern in more {
                if !all.contains(&pattern) {
                    all.push(pattern);
                }
            }
        }
        self
    }

    /// With what a NATS service needs besides.
    fn of_service(mut self, services: Services) -> Self {
        if services == Services::Wanted {
            self.publish.push(INBOXES.to_owned());
            self.subscribe.push(SERVICES.to_owned());
        }
        self
    }
}

impl fmt::Display for SecondaryName {
    /// The token of its subjects.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(name) => f.write_str(name.as_str()),
            Self::Any => f.write_str("*"),
        }
    }
}

/// Whether a broker with that pattern lets a subject pass, or a subscription to a subject that is a pattern itself.
pub(crate) fn covers(pattern: &str, subject: &str) -> bool {
    let (mut pattern, mut subject) = (pattern.split('.'), subject.split('.'));
    loop {
        match (pattern.next(), subject.next()) {
            (Some(">"), Some(_)) | (None, None) => return true,
            (Some("*"), Some(token)) if token != ">" => {}
            (Some(wanted), Some(token)) if wanted == token => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use replog_protocol::event::Speaker;
    use replog_protocol::ids::Seq;
    use replog_protocol::wire::{AckOf, Address};

    use super::*;

    fn node(name: &str) -> NodeId {
        name.parse().unwrap()
    }

    fn secondary(name: &str) -> SecondaryName {
        SecondaryName::One(node(name))
    }

    fn any_covers(patterns: &[String], subject: &str) -> bool {
        patterns.iter().any(|pattern| covers(pattern, subject))
    }

    #[test]
    fn patterns_cover_as_those_of_nats_do() {
        for (pattern, subject) in [
            ("a.b", "a.b"),
            ("a.*", "a.b"),
            ("a.*", "a.*"),
            ("a.>", "a.b.c"),
            ("a.>", "a.*.c"),
            ("a.>", "a.>"),
            (">", "a"),
        ] {
            assert!(covers(pattern, subject), "{pattern} {subject}");
        }
        for (pattern, subject) in [
            ("a.b", "a.c"),
            ("a.b", "a.b.c"),
            ("a.b.c", "a.b"),
            ("a.*", "a.b.c"),
            ("a.*", "a"),
            ("a.*", "a.>"),
            ("a.b", "a.*"),
            ("a.>", "a"),
        ] {
            assert!(!covers(pattern, subject), "{pattern} {subject}");
        }
    }

    /// The table of the interface, word by word; a list without its commas. `.x` is below `replog.C`.
    #[test]
    fn the_lists_are_those_of_the_interface() {
        let subjects = Subjects::of("C");
        let list = |text: &str| -> Vec<String> {
            let full = |name: &str| match name.strip_prefix("replog.C") {
                None if name.starts_with('.') => format!("replog.C{name}"),
                _ => name.to_owned(),
            };
            text.split_whitespace().map(full).collect()
        };
        let master = (
            "replog.C.append.* .heartbeat.* .prepare.* .fetch.* .announce .event.master.*",
            "replog.C.ack.*.* .promise.* .fetched.* .announce",
        );
        let secondary_x = (
            "replog.C.ack.X.* .promise.X .fetched.X .claim.X .event.X.*",
            "replog.C.append.X .heartbeat.X .prepare.X .fetch.X .claim.X .ack.X.hello .announce",
        );
        for (services, publish, subscribe) in [
            (Services::Unwanted, "", ""),
            (Services::Wanted, " _INBOX.>", " $SRV.>"),
        ] {
            let besides = |(p, s): (&str, &str)| Permissions {
                publish: list(&format!("{p}{publish}")),
                subscribe: list(&format!("{s}{subscribe}")),
                denied: Vec::new(),
            };
            assert_eq!(Permissions::of_master(&subjects, services), besides(master));
            assert_eq!(
                Permissions::of_secondary(&subjects, &secondary("X"), services),
                besides(secondary_x)
            );
        }
        for (services, publish) in [(Services::Unwanted, ""), (Services::Wanted, "$SRV.>")] {
            let observer = Permissions {
                publish: list(publish),
                subscribe: list("replog.> _INBOX.>"),
                denied: Vec::new(),
            };
            assert_eq!(Permissions::of_observer(services), observer);
        }
    }

    /// Every address, and the one program that publishes there: `None` for a master.
    fn addresses(x: &str) -> Vec<(Address, Option<&str>)> {
        let n = || node(x);
        vec![
            (Address::Append(n()), None),
            (Address::Heartbeat(n()), None),
            (Address::Prepare(n()), None),
            (Address::Fetch(n()), None),
            (Address::Announce, None),
            (Address::Event(Speaker::Master, "serving"), None),
            (Address::Ack(n(), AckOf::Seq(Seq(7))), Some(x)),
            (Address::Ack(n(), AckOf::Hello), Some(x)),
            (Address::Ack(n(), AckOf::Goodbye), Some(x)),
            (Address::Promise(n()), Some(x)),
            (Address::Fetched(n()), Some(x)),
            (Address::Claim(n()), Some(x)),
            (
                Address::Event(Speaker::Secondary(n()), "rolled_back"),
                Some(x),
            ),
        ]
    }

    #[test]
    fn each_may_publish_what_it_says_and_nothing_of_others() {
        let subjects = Subjects::of("C");
        let services = Services::Wanted;
        let master = Permissions::of_master(&subjects, services);
        let x = Permissions::of_secondary(&subjects, &secondary("X"), services);
        let any = Permissions::of_secondary(&subjects, &SecondaryName::Any, services);
        for (address, speaker) in [addresses("X"), addresses("Y")].concat() {
            let subject = subjects.name(&address);
            let may = |permissions: &Permissions| any_covers(&permissions.publish, &subject);
            assert_eq!(may(&master), speaker.is_none(), "{subject}");
            assert_eq!(may(&x), speaker == Some("X"), "{subject}");
            // A pattern for any node's events has those of the master in it, too.
            let is_event = matches!(address, Address::Event(..));
            assert_eq!(may(&any), speaker.is_some() || is_event, "{subject}");
            assert!(!may(&Permissions::of_observer(services)), "{subject}");
            let elsewhere = Subjects::of("D").name(&address);
            for permissions in [&master, &x, &any] {
                assert!(!any_covers(&permissions.publish, &elsewhere), "{elsewhere}");
            }
        }
    }

    #[test]
    fn each_may_subscribe_to_what_it_listens_to_and_nothing_of_others() {
        let subjects = Subjects::of("C");
        for services in [Services::Wanted, Services::Unwanted] {
            let master = Permissions::of_master(&subjects, services).subscribe;
            let x = Permissions::of_secondary(&subjects, &secondary("X"), services).subscribe;
            let any = Permissions::of_secondary(&subjects, &SecondaryName::Any, services).subscribe;
            let master_needs = subjects.of_master();
            assert!(
                master_needs
                    .iter()
                    .all(|subject| any_covers(&master, subject))
            );
            for subject in subjects.of_secondary(&node("X")) {
                assert!(
                    any_covers(&x, &subject) && any_covers(&any, &subject),
                    "{subject}"
                );
            }
            // What a secondary has to listen to is its own, but for what is to everybody.
            for subject in subjects.of_secondary(&node("Y")) {
                let is_common = subject == subjects.name(&Address::Announce);
                assert_eq!(any_covers(&x, &subject), is_common, "{subject}");
            }
            for subject in [
                "replog.>",
                "replog.C.>",
                "replog.C.append.*",
                "_INBOX.>",
                ">",
            ] {
                for list in [&master, &x, &any] {
                    let is_of_all = std::ptr::eq(list, &any) && subject == "replog.C.append.*";
                    assert_eq!(any_covers(list, subject), is_of_all, "{subject}");
                }
            }
            for list in [&master, &x, &any] {
                let is_asked = any_covers(list, "$SRV.PING");
                assert_eq!(is_asked, services == Services::Wanted);
            }
        }
    }
}
