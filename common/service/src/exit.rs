//! How a program ends: the number that scripts and supervisors see, and the line that people read.

use std::process::ExitCode;

use replog_protocol::node::End;
use replog_protocol::wire::PROTOCOL_VERSION;

/// The exit codes of both programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: stopped because it was asked to.
    Stopped,
    /// 2: a setting is wrong; nothing was bound.
    Settings,
    /// 3: cannot start: the broker refuses the user, a permission or our certificate, the address is in use, the data
    /// directory is locked or unusable, another master lives.
    CannotStart,
    /// 4: the disk failed while running, or the stream of a shared journal is not what was read of it, or holds what is no chunk.
    DiskFailed,
    /// 101: a bug; the number of a Rust program that panics.
    Panicked,
}

impl Exit {
    /// The number that the operating system sees.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Stopped => 0,
            Self::Settings => 2,
            Self::CannotStart => 3,
            Self::DiskFailed => 4,
            Self::Panicked => 101,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why a program ends before it was asked to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// What went wrong, in one line.
    pub why: String,
}

impl Failure {
    /// A failure with [`Exit::CannotStart`]; `why` is one line.
    pub fn cannot_start(why: impl Into<String>) -> Self {
        Self {
            exit: Exit::CannotStart,
            why: why.into(),
        }
    }

    /// A failure with [`Exit::DiskFailed`]; `why` is what the journal says.
    #[must_use]
    pub fn disk_failed(why: &str) -> Self {
        Self {
            exit: Exit::DiskFailed,
            why: format!("the log can be used no more: {why}"),
        }
    }

    /// What a node's own end means for its program.
    ///
    /// # Errors
    /// Every end but [`End::Stopped`].
    pub fn of(end: End) -> Result<(), Self> {
        Err(match end {
            End::Stopped => return Ok(()),
            End::NameTaken(node) => Self::cannot_start(format!(
                "another secondary named {node} is running: give this one another --node-id"
            )),
            End::OtherMaster(leader) => Self::cannot_start(format!(
                "another master of this cluster lives (instance {}, epoch {}): stop it, or start with --takeover",
                leader.epoch.master, leader.epoch.n
            )),
            End::OtherVersion(version) => Self::cannot_start(format!(
                "another node of this cluster speaks protocol version {version}, this program speaks {PROTOCOL_VERSION}: \
                 stop all nodes, then start all of one version"
            )),
            End::StorageFailed(why) => Self::disk_failed(&why),
            End::ForeignStream(why) => Self::cannot_start(format!(
                "--data-dir and --journal-stream do not belong together: {why}; move the directory away; or, if its log is the one to \
                 keep, stop all masters, delete the stream (nats stream rm) or give it another subject (nats stream edit --subjects), and \
                 start this one without --store jetstream, until it serves, before it is moved in"
            )),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_the_interface() {
        let all = [
            Exit::Stopped,
            Exit::Settings,
            Exit::CannotStart,
            Exit::DiskFailed,
            Exit::Panicked,
        ];
        assert_eq!(all.map(Exit::code), [0, 2, 3, 4, 101]);
    }

    #[test]
    fn a_node_that_ends_by_itself_says_what_helps() {
        assert_eq!(Failure::of(End::Stopped), Ok(()));
        let of = |end| Failure::of(end).unwrap_err();
        let taken = of(End::NameTaken("s1".parse().unwrap()));
        assert_eq!(taken.exit, Exit::CannotStart);
        assert!(taken.why.contains("named s1") && taken.why.contains("--node-id"));
        let other = of(End::OtherMaster(Default::default()));
        assert!(other.exit == Exit::CannotStart && other.why.contains("--takeover"));
        let version = of(End::OtherVersion(7));
        assert!(version.exit == Exit::CannotStart && version.why.contains("version 7"));
        let failed = of(End::StorageFailed("no such device".to_owned()));
        assert!(failed.exit == Exit::DiskFailed && failed.why.contains("no such device"));
        assert!(
            [taken, other, version, failed]
                .iter()
                .all(|f| f.why.lines().count() == 1)
        );
    }
}
