//! Which secondaries have to be looked at: those to whom something has happened, and all of them when something is due.
//!
//! A master of a thousand secondaries receives thousands of messages a second. Looking at each secondary for each of them would
//! take most of its time; what this remembers saves that and decides nothing.

use std::time::Duration;

use crate::ids::{NodeId, Seq, Time};

/// Of more than these all are looked at: finding each by its name takes as long.
const MAX_NAMED: usize = 64;

/// Some secondaries, or all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Few {
    /// All of them.
    All,
    /// These, maybe more than once.
    Named(Vec<NodeId>),
}

impl Few {
    /// That one too.
    fn add(&mut self, node: &NodeId) {
        match self {
            Self::Named(names) if names.len() < MAX_NAMED => names.push(node.clone()),
            _ => *self = Self::All,
        }
    }

    /// Those too.
    fn add_few(&mut self, others: &Self) {
        match others {
            Self::All => *self = Self::All,
            Self::Named(names) => names.iter().for_each(|node| self.add(node)),
        }
    }

    /// None are left.
    fn take(&mut self) -> Self {
        let mut few = std::mem::replace(self, Self::Named(Vec::new()));
        if let Self::Named(names) = &mut few {
            names.sort_unstable();
            names.dedup();
        }
        few
    }
}

/// Whom to look at, for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Attention {
    /// Something has happened to them since what is due was last looked for.
    touched: Few,
    /// Their statuses may have changed.
    changed: Few,
    /// There may be something to send to them.
    unsent: Few,
    /// The log that is sent had its end there when all were looked at.
    tail: Seq,
    /// Nothing is due for anybody before, those who are touched left aside.
    due: Time,
}

impl Default for Attention {
    fn default() -> Self {
        Self {
            touched: Few::All,
            changed: Few::All,
            unsent: Few::All,
            tail: Seq::ZERO,
            due: Time::ZERO,
        }
    }
}

impl Attention {
    /// Something happens to that one.
    pub(super) fn touch(&mut self, node: &NodeId) {
        self.touched.add(node);
    }

    /// Something happens to each.
    pub(super) fn touch_all(&mut self) {
        self.touched = Few::All;
    }

    /// Whose time is to be looked at now.
    pub(super) fn take_touched(&mut self, now: Time) -> Few {
        if self.due <= now {
            self.touched = Few::All;
        }
        let touched = self.touched.take();
        self.changed.add_few(&touched);
        self.unsent.add_few(&touched);
        if touched == Few::All {
            self.due = Time(Duration::MAX);
        }
        touched
    }

    /// Something is due for one of those that were touched.
    pub(super) fn is_due_at(&mut self, at: Option<Time>) {
        self.due = at.map_or(self.due, |at| at.min(self.due));
    }

    /// Whose status may have changed since this was asked last.
    pub(super) fn take_changed(&mut self) -> Few {
        self.changed.add_few(&self.touched);
        self.changed.take()
    }

    /// To whom there may be something to send of a log that ends at `tail`: to all once that has moved.
    pub(super) fn take_unsent(&mut self, tail: Seq) -> Few {
        if std::mem::replace(&mut self.tail, tail) != tail {
            self.unsent = Few::All;
        }
        self.unsent.add_few(&self.touched);
        self.unsent.take()
    }

    /// To that one there may be more to send later, whatever happens to it.
    pub(super) fn send_later(&mut self, node: &NodeId) {
        self.unsent.add(node);
    }

    /// Until when nothing is due, and for whom that is not known.
    pub(super) fn due(&self) -> (Time, &Few) {
        (self.due, &self.touched)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time(Duration::from_secs(seconds))
    }

    fn named(names: &[&str]) -> Few {
        Few::Named(
            names
                .iter()
                .map(|name| name.parse().expect("a name"))
                .collect(),
        )
    }

    fn node(name: &str) -> NodeId {
        name.parse().expect("a name")
    }

    /// Everybody was looked at; nothing is due before 10 s.
    fn quiet() -> Attention {
        let mut attention = Attention::default();
        assert_eq!(attention.take_touched(at(1)), Few::All);
        attention.is_due_at(Some(at(10)));
        assert_eq!(attention.take_changed(), Few::All);
        assert_eq!(attention.take_unsent(Seq(5)), Few::All);
        attention
    }

    #[test]
    fn only_those_are_looked_at_to_whom_something_has_happened() {
        let mut attention = quiet();
        assert_eq!(attention.take_touched(at(2)), named(&[]));
        for name in ["b", "a", "b"] {
            attention.touch(&node(name));
        }
        assert_eq!(attention.due().1, &named(&["b", "a", "b"]));
        assert_eq!(attention.take_touched(at(3)), named(&["a", "b"]));
        assert_eq!(attention.take_changed(), named(&["a", "b"]));
        assert_eq!(attention.take_changed(), named(&[]));
        assert_eq!(attention.take_unsent(Seq(5)), named(&["a", "b"]));
        assert_eq!(attention.take_unsent(Seq(5)), named(&[]));
    }

    #[test]
    fn all_are_looked_at_when_something_is_due_and_sent_to_when_the_log_is_longer() {
        let mut attention = quiet();
        attention.is_due_at(Some(at(7)));
        attention.is_due_at(Some(at(8)));
        assert_eq!(
            attention.take_touched(Time(at(7).0 - Duration::from_nanos(1))),
            named(&[])
        );
        assert_eq!(attention.take_touched(at(7)), Few::All);
        assert_eq!(attention.take_unsent(Seq(5)), Few::All);
        assert_eq!(attention.take_unsent(Seq(6)), Few::All);
        attention.send_later(&node("c"));
        assert_eq!(attention.take_unsent(Seq(6)), named(&["c"]));
    }

    #[test]
    fn too_many_to_name_are_all() {
        let mut attention = quiet();
        for n in 0..=MAX_NAMED {
            attention.touch(&node(&format!("n{n}")));
        }
        assert_eq!(attention.take_touched(at(2)), Few::All);
    }
}
