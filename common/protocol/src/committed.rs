//! How much of a history is committed: held by so many nodes at one time, for each number of nodes.
//!
//! A master measures it when an ACK comes, tells it with every heartbeat and with its appends, and every node keeps what it has
//! been told, as far as its own entries are shown to be the master's. A position only rises within one history; it falls only
//! where entries are rolled back that were committed, which takes a recovery that has not heard their holders (Kafka: an
//! unclean leader election).

use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};

use crate::ids::Seq;
use crate::leader::settings::MAX_NODES;
use crate::write_concern::WriteConcern;

/// The last committed position of one history, by the number of nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "Parts")]
pub struct Committed {
    /// What one node has held, what two have held at one time, and so on; never more than the one before. Ends before the
    /// first zero.
    #[serde(serialize_with = "list")]
    held: Arc<[Seq]>,
    /// What more than half of the nodes that counted at that moment have held.
    majority: Seq,
    /// What all of them have held.
    all: Seq,
}

/// The same as it was written, by whomever.
#[derive(Deserialize)]
struct Parts {
    #[serde(default)]
    held: Vec<Seq>,
    #[serde(default)]
    majority: Seq,
    #[serde(default)]
    all: Seq,
}

fn list<S: Serializer>(held: &Arc<[Seq]>, to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(held.iter())
}

impl From<Parts> for Committed {
    fn from(parts: Parts) -> Self {
        let Parts {
            held,
            majority,
            all,
        } = parts;
        Self::new(held, majority, all)
    }
}

impl Committed {
    /// What so many nodes hold (one, two and so on), a majority, and all.
    #[must_use]
    pub fn new(held: impl IntoIterator<Item = Seq>, majority: Seq, all: Seq) -> Self {
        let mut least = Seq::MAX;
        let held = held.into_iter().take(MAX_NODES + 1).map(|seq| {
            least = least.min(seq);
            least
        });
        Self {
            held: held.take_while(|seq| *seq > Seq::ZERO).collect(),
            majority: majority.min(Seq::MAX),
            all: all.min(Seq::MAX),
        }
    }

    /// The last position that so many nodes have held at one time; [`Seq::ZERO`] if there is none.
    #[must_use]
    pub fn by(&self, nodes: WriteConcern) -> Seq {
        match nodes {
            WriteConcern::Count(n) => {
                let place = usize::try_from(n).ok().and_then(|n| n.checked_sub(1));
                let held = place.and_then(|i| self.held.get(i));
                held.copied().unwrap_or(Seq::ZERO)
            }
            WriteConcern::Majority => self.majority,
            WriteConcern::All => self.all,
        }
    }

    /// What one node has held, two, and so on.
    #[must_use]
    pub fn held(&self) -> &[Seq] {
        &self.held
    }

    /// As far as `last`.
    #[must_use]
    pub fn up_to(&self, last: Seq) -> Self {
        if self.highest() <= last {
            return self.clone();
        }
        let held = self.held.iter().map(|seq| *seq.min(&last));
        Self::new(held, self.majority.min(last), self.all.min(last))
    }

    /// Learns what is committed besides: whether anything of it is news.
    pub fn raise(&mut self, other: &Self) -> bool {
        if self.covers(other) {
            return false;
        }
        let at = |held: &[Seq], i: usize| held.get(i).copied().unwrap_or(Seq::ZERO);
        let longest = self.held.len().max(other.held.len());
        let held = (0..longest).map(|i| at(&self.held, i).max(at(&other.held, i)));
        *self = Self::new(
            held,
            self.majority.max(other.majority),
            self.all.max(other.all),
        );
        true
    }

    /// Whether it has all that `other` has.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let is_held = self.held.iter().zip(&*other.held).all(|(a, b)| a >= b);
        self.held.len() >= other.held.len()
            && is_held
            && self.majority >= other.majority
            && self.all >= other.all
    }

    /// The entries after `keep` are rolled back: whether some of them were committed by more than one node.
    pub fn roll_back_after(&mut self, keep: Seq) -> bool {
        let two = self.by(WriteConcern::Count(2));
        let is_lost = two.max(self.majority).max(self.all) > keep;
        *self = self.up_to(keep);
        is_lost
    }

    fn highest(&self) -> Seq {
        let one = self.by(WriteConcern::Count(1));
        one.max(self.majority).max(self.all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn committed(held: &[u64], majority: u64, all: u64) -> Committed {
        let held = held.iter().map(|n| Seq(*n));
        Committed::new(held, Seq(majority), Seq(all))
    }

    #[test]
    fn each_number_of_nodes_has_its_position() {
        let known = committed(&[9, 7, 4, 0], 7, 4);
        let by = |w: &str| known.by(w.parse().unwrap()).0;
        assert_eq!([by("1"), by("2"), by("3"), by("4")], [9, 7, 4, 0]);
        assert_eq!(
            [by("majority"), by("all"), by("18446744073709551615")],
            [7, 4, 0]
        );
    }

    #[test]
    fn it_only_rises() {
        let mut known = committed(&[9, 7], 7, 7);
        assert!(!known.raise(&committed(&[8, 7], 5, 0)));
        // A third node has come: `all` means more nodes now, and is none the lower.
        assert!(known.raise(&committed(&[9, 8, 2], 8, 2)));
        assert_eq!(known, committed(&[9, 8, 2], 8, 7));
        assert!(known.covers(&committed(&[9, 7], 7, 7)));
        assert!(!known.covers(&committed(&[9, 8, 2], 8, 8)));
    }

    #[test]
    fn a_rollback_of_what_several_held_is_told_from_one_of_what_one_held() {
        let mut known = committed(&[9, 7, 4], 7, 4);
        assert!(!known.roll_back_after(Seq(7)));
        assert_eq!(known, committed(&[7, 7, 4], 7, 4));
        assert!(known.roll_back_after(Seq(5)));
        assert_eq!(known, committed(&[5, 5, 4], 5, 4));
        assert!(known.roll_back_after(Seq::ZERO));
        assert_eq!(known, Committed::default());
    }

    #[test]
    fn what_was_written_wrong_is_put_right() {
        let read: Committed = serde_json::from_str(r#"{"held":[3,5,0,2],"majority":4}"#).unwrap();
        assert_eq!(read, committed(&[3, 3], 4, 0));
        let text = serde_json::to_string(&read).unwrap();
        assert_eq!(text, r#"{"held":[3,3],"majority":4,"all":0}"#);
    }
}
