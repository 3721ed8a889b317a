//! The subjects, `replog.<cluster>.…`: made and read in one place.

use replog_protocol::ids::{NodeId, Seq};
use replog_protocol::wire::{AckOf, Address};

/// The subjects of one cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subjects {
    /// With the dot that ends it.
    prefix: String,
}

impl Subjects {
    /// The subjects of the cluster with that name, which has to be one token: no dot, no blank, no wildcard.
    #[must_use]
    pub fn of(cluster: &str) -> Self {
        Self {
            prefix: format!("replog.{cluster}."),
        }
    }

    /// The full subject of an address.
    #[must_use]
    pub fn name(&self, address: &Address) -> String {
        format!("{}{address}", self.prefix)
    }

    /// The full pattern of one that is below the cluster: `ack.*.*`.
    pub(crate) fn pattern(&self, pattern: &str) -> String {
        format!("{}{pattern}", self.prefix)
    }

    /// Where the chunks of a journal in JetStream are published.
    #[must_use]
    pub fn journal(&self) -> String {
        self.pattern("journal")
    }

    /// Reads the full subject of a message. `None` for a subject of another cluster or of none, and for events, which are for
    /// operators: no node reads one.
    #[must_use]
    pub fn parse(&self, subject: &str) -> Option<Address> {
        let rest = subject.strip_prefix(self.prefix.as_str())?;
        if rest == "announce" {
            return Some(Address::Announce);
        }
        let (kind, about) = rest.split_once('.')?;
        if kind == "ack" {
            let (node, of) = about.split_once('.')?;
            return Some(Address::Ack(node.parse().ok()?, parse_ack_of(of)?));
        }
        // A node's name has no dot: a subject with more tokens ends here.
        let node: NodeId = about.parse().ok()?;
        match kind {
            "append" => Some(Address::Append(node)),
            "heartbeat" => Some(Address::Heartbeat(node)),
            "prepare" => Some(Address::Prepare(node)),
            "promise" => Some(Address::Promise(node)),
            "fetch" => Some(Address::Fetch(node)),
            "fetched" => Some(Address::Fetched(node)),
            "claim" => Some(Address::Claim(node)),
            _ => None,
        }
    }

    /// What a master subscribes to: what secondaries answer, and what other masters announce. Just what its least permissions
    /// allow.
    #[must_use]
    pub fn of_master(&self) -> Vec<String> {
        ["ack.*.*", "promise.*", "fetched.*", "announce"]
            .map(|pattern| self.pattern(pattern))
            .into()
    }

    /// What a secondary subscribes to: its master, another start of its own name (`claim`, and on `ack.<node>.hello` the
    /// answer to its own claim), and what masters announce. Just what its least permissions allow.
    #[must_use]
    pub fn of_secondary(&self, node: &NodeId) -> Vec<String> {
        [
            Address::Append(node.clone()),
            Address::Heartbeat(node.clone()),
            Address::Prepare(node.clone()),
            Address::Fetch(node.clone()),
            Address::Claim(node.clone()),
            Address::Ack(node.clone(), AckOf::Hello),
            Address::Announce,
        ]
        .map(|address| self.name(&address))
        .into()
    }
}

fn parse_ack_of(token: &str) -> Option<AckOf> {
    match token {
        "hello" => Some(AckOf::Hello),
        "goodbye" => Some(AckOf::Goodbye),
        // `parse` alone would take a sign, too.
        seq if seq.bytes().all(|b| b.is_ascii_digit()) => {
            Some(AckOf::Seq(Seq(seq.parse().ok()?)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use replog_protocol::event::Speaker;

    use super::*;

    fn node() -> NodeId {
        "secondary-1".parse().unwrap()
    }

    #[test]
    fn every_address_that_nodes_read_is_read_back_from_its_subject() {
        let subjects = Subjects::of("default");
        for (address, subject) in [
            (Address::Append(node()), "append.secondary-1"),
            (Address::Heartbeat(node()), "heartbeat.secondary-1"),
            (Address::Ack(node(), AckOf::Hello), "ack.secondary-1.hello"),
            (
                Address::Ack(node(), AckOf::Goodbye),
                "ack.secondary-1.goodbye",
            ),
            (
                Address::Ack(node(), AckOf::Seq(Seq(u64::MAX))),
                "ack.secondary-1.18446744073709551615",
            ),
            (Address::Prepare(node()), "prepare.secondary-1"),
            (Address::Promise(node()), "promise.secondary-1"),
            (Address::Fetch(node()), "fetch.secondary-1"),
            (Address::Fetched(node()), "fetched.secondary-1"),
            (Address::Claim(node()), "claim.secondary-1"),
            (Address::Announce, "announce"),
        ] {
            let name = subjects.name(&address);
            assert_eq!(name, format!("replog.default.{subject}"));
            assert_eq!(subjects.parse(&name), Some(address));
        }
    }

    #[test]
    fn events_are_named_and_never_read() {
        let subjects = Subjects::of("a");
        let by_master = subjects.name(&Address::Event(Speaker::Master, "serving"));
        let by_node = subjects.name(&Address::Event(Speaker::Secondary(node()), "joined"));
        assert_eq!(by_master, "replog.a.event.master.serving");
        assert_eq!(by_node, "replog.a.event.secondary-1.joined");
        assert_eq!(
            (subjects.parse(&by_master), subjects.parse(&by_node)),
            (None, None)
        );
    }

    #[test]
    fn foreign_subjects_are_not_read() {
        let subjects = Subjects::of("a");
        for name in [
            "",
            "a",
            "replog.b.append.n",
            "replog.ab.append.n",
            "replog.aannounce",
            "replog.a",
            "replog.a.",
            "replog.a.append",
            "replog.a.append.",
            "replog.a.append.n.m",
            "replog.a.append.n*",
            "replog.a.append.master",
            "replog.a.announce.n",
            "replog.a.ack.n",
            "replog.a.ack.n.",
            "replog.a.ack.n.-1",
            "replog.a.ack.n.+1",
            "replog.a.ack.n.hello.m",
            "replog.a.ack.n.99999999999999999999",
            "replog.a.other.n",
        ] {
            assert_eq!(subjects.parse(name), None, "{name}");
        }
    }

    #[test]
    fn subscriptions_are_those_of_the_least_permissions() {
        let subjects = Subjects::of("C");
        assert_eq!(
            subjects.of_master(),
            [
                "replog.C.ack.*.*",
                "replog.C.promise.*",
                "replog.C.fetched.*",
                "replog.C.announce"
            ]
        );
        assert_eq!(
            subjects.of_secondary(&"X".parse().unwrap()),
            [
                "replog.C.append.X",
                "replog.C.heartbeat.X",
                "replog.C.prepare.X",
                "replog.C.fetch.X",
                "replog.C.claim.X",
                "replog.C.ack.X.hello",
                "replog.C.announce"
            ]
        );
    }
}
