//! How a node is started.

use std::path::PathBuf;

/// Which of the two programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// `replog-master`
    Master,
    /// `replog-secondary`
    Secondary,
}

/// How a node is started, each time.
#[derive(Debug, Clone)]
pub struct NodeSpec {
    /// Which program.
    pub role: Role,
    /// A secondary's node id; in messages for both.
    pub name: String,
    /// Flags. They win over [`NodeSpec::env`].
    pub args: Vec<String>,
    /// Variables.
    pub env: Vec<(String, String)>,
    /// Let `REPLOG_…` and `NATS_…` of the caller's own environment through.
    pub inherit_settings: bool,
    /// The HTTP port it should have; any other if unset or taken.
    pub port: Option<u16>,
    /// Where `<name>.log` is written.
    pub dir: PathBuf,
}

impl NodeSpec {
    /// What the node finds in its environment under that name, if it is not empty.
    #[must_use]
    pub fn setting(&self, name: &str) -> Option<String> {
        let own = self.env.iter().rev().find(|(known, _)| known == name);
        let value = match own {
            Some((_, value)) => Some(value.clone()),
            None if self.inherit_settings => std::env::var(name).ok(),
            None => None,
        };
        value.filter(|value| !value.is_empty())
    }
}
