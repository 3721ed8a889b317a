//! How a program ends, as a number scripts and supervisors can tell apart.

use std::process::ExitCode;

/// The exit codes of both programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: stopped because it was asked to.
    Stopped,
    /// 2: a setting is wrong; nothing was bound.
    Settings,
    /// 3: cannot start: the broker refuses the user or a permission, the address is in use, the data
    /// directory is locked or unusable, another master lives.
    CannotStart,
    /// 4: the disk failed while running.
    DiskFailed,
}

impl Exit {
    /// The number the operating system sees.
    pub const fn code(self) -> u8 {
        match self {
            Self::Stopped => 0,
            Self::Settings => 2,
            Self::CannotStart => 3,
            Self::DiskFailed => 4,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
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
        ];
        assert_eq!(all.map(Exit::code), [0, 2, 3, 4]);
    }
}
