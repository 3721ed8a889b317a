//! Appends that came while the master recovers: they wait for it, but not for long.

use std::collections::VecDeque;

use replog_common::service::reading::PATIENCE;
use replog_common::types::Time;

use crate::command::AppendCommand;

/// In the order they came, each with the time until which it waits.
#[derive(Debug, Default)]
pub(super) struct Parked(VecDeque<(Time, AppendCommand)>);

impl Parked {
    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Lets one wait.
    pub(super) fn push(&mut self, command: AppendCommand, now: Time) {
        let patience = command.timeout.map_or(PATIENCE, |t| t.min(PATIENCE));
        self.0.push_back((now + patience, command));
    }

    /// Takes out the next one whose time is up, or whose client has hung up.
    pub(super) fn pop_late(&mut self, now: Time) -> Option<AppendCommand> {
        let is_late = |(until, c): &(Time, AppendCommand)| *until <= now || c.waiter.is_closed();
        let at = self.0.iter().position(is_late)?;
        self.0.remove(at).map(|(_, command)| command)
    }

    /// Takes out all.
    pub(super) fn take(&mut self) -> VecDeque<(Time, AppendCommand)> {
        std::mem::take(&mut self.0)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// When the next one's time is up.
    pub(super) fn deadline(&self) -> Option<Time> {
        self.0.iter().map(|(until, _)| *until).min()
    }
}
