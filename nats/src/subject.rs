//! The subjects, `replog.<cluster>.…`: made and read in one place.

use std::fmt;

use replog_common::message::Announce;
use replog_common::types::{NodeId, Seq};

/// What an ACK answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AckOf {
    /// The append or heartbeat that ended at this seq.
    Seq(Seq),
    /// Nothing: it was sent at start, after a reconnect, or to one who asked for the name.
    Hello,
}

/// What a message is about, without the cluster's name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// Entries for a secondary.
    Append(NodeId),
    /// The same without entries.
    Heartbeat(NodeId),
    /// The position of a secondary.
    Ack(NodeId, AckOf),
    /// A question of a master that recovers, to a secondary.
    Fetch(NodeId),
    /// The answer.
    Fetched(NodeId),
    /// What operators look for; the kind is one token.
    Event(&'static str),
}

/// The subjects of one cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subjects {
    prefix: String,
}

impl Subjects {
    /// For a cluster whose name is one token (the settings see to that).
    #[must_use]
    pub fn of(cluster: &str) -> Self {
        Self {
            prefix: format!("replog.{cluster}"),
        }
    }

    /// The full subject.
    #[must_use]
    pub fn name(&self, subject: &Subject) -> String {
        let prefix = &self.prefix;
        match subject {
            Subject::Append(node) => format!("{prefix}.append.{node}"),
            Subject::Heartbeat(node) => format!("{prefix}.heartbeat.{node}"),
            Subject::Ack(node, of) => format!("{prefix}.ack.{node}.{of}"),
            Subject::Fetch(node) => format!("{prefix}.fetch.{node}"),
            Subject::Fetched(node) => format!("{prefix}.fetched.{node}"),
            Subject::Event(kind) => format!("{prefix}.event.{kind}"),
        }
    }

    /// Reads a full subject; `None` for any that is not of this cluster and protocol.
    #[must_use]
    pub fn parse(&self, name: &str) -> Option<Subject> {
        let mut tokens = name
            .strip_prefix(&self.prefix)?
            .strip_prefix('.')?
            .split('.');
        let (kind, about) = (tokens.next()?, tokens.next()?);
        if kind == "event" {
            let listened_to = [Announce::RECOVERING, Announce::SERVING];
            let kind = listened_to.into_iter().find(|k| *k == about)?;
            return tokens.next().is_none().then_some(Subject::Event(kind));
        }
        let node = about.parse().ok()?;
        let subject = match kind {
            "fetch" => Subject::Fetch(node),
            "fetched" => Subject::Fetched(node),
            "append" => Subject::Append(node),
            "heartbeat" => Subject::Heartbeat(node),
            "ack" => match tokens.next()? {
                "hello" => Subject::Ack(node, AckOf::Hello),
                seq => Subject::Ack(node, AckOf::Seq(Seq(seq.parse().ok()?))),
            },
            _ => return None,
        };
        tokens.next().is_none().then_some(subject)
    }

    /// What a master listens to: the secondaries, and other masters.
    #[must_use]
    pub fn of_master(&self) -> Vec<String> {
        vec![
            format!("{}.ack.*.*", self.prefix),
            format!("{}.fetched.*", self.prefix),
            self.name(&Subject::Event(Announce::RECOVERING)),
            self.name(&Subject::Event(Announce::SERVING)),
        ]
    }

    /// What a secondary listens to: its master, the answer to its question whether its name is taken, and a master that
    /// asks what everybody holds.
    #[must_use]
    pub fn of_secondary(&self, node: &NodeId) -> Vec<String> {
        let hello = Subject::Ack(node.clone(), AckOf::Hello);
        [
            Subject::Append(node.clone()),
            Subject::Heartbeat(node.clone()),
            hello,
            Subject::Fetch(node.clone()),
            Subject::Event(Announce::RECOVERING),
        ]
        .map(|s| self.name(&s))
        .into()
    }
}

impl fmt::Display for AckOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Seq(seq) => seq.fmt(f),
            Self::Hello => f.write_str("hello"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_subject_is_read_back() {
        let subjects = Subjects::of("default");
        let node: NodeId = "secondary-1".parse().expect("a name");
        for subject in [
            Subject::Append(node.clone()),
            Subject::Heartbeat(node.clone()),
            Subject::Ack(node.clone(), AckOf::Hello),
            Subject::Fetch(node.clone()),
            Subject::Fetched(node.clone()),
            Subject::Event(Announce::SERVING),
            Subject::Ack(node, AckOf::Seq(Seq(u64::MAX))),
        ] {
            assert_eq!(subjects.parse(&subjects.name(&subject)), Some(subject));
        }
    }

    #[test]
    fn foreign_subjects_are_not_read() {
        let subjects = Subjects::of("a");
        for name in [
            "replog.b.append.n",
            "replog.a",
            "replog.a.append",
            "replog.a.append.",
            "replog.a.append.n.m",
            "replog.a.append.n*",
            "replog.a.ack.n",
            "replog.a.ack.n.-1",
            "replog.a.ack.n.99999999999999999999",
            "replog.ab.append.n",
            "replog.a.other.n",
            "replog.a.event.joined",
            "replog.a.event.serving.n",
        ] {
            assert_eq!(subjects.parse(name), None, "{name}");
        }
    }
}
