//! The ids of requests whose entries are on their way to the secondaries.

use std::collections::VecDeque;

use crate::ids::Seq;
use crate::request_id::{RequestEntries, RequestId};

/// So many requests are kept in mind; of more, the oldest are forgotten.
const MAX_KEPT: usize = 1024;
/// What an id needs in a message beside itself, at most, in bytes: names, two positions and punctuation.
const BESIDE_BYTES: usize = 72;

/// The ids that clients gave to their requests, by the entries that were appended for them, in order. Only what some secondary
/// does not hold yet is kept, and of that the newest; what is forgotten travels without its id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct RequestIds {
    kept: VecDeque<RequestEntries>,
}

impl RequestIds {
    /// A request has appended the entries from `first` to `last`, which follow those of the request before.
    pub(super) fn note(&mut self, first: Seq, last: Seq, request_id: RequestId) {
        if self.kept.len() >= MAX_KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(RequestEntries {
            first,
            last,
            request_id,
        });
    }

    /// Whether no request is kept.
    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Every secondary holds what lies up to here.
    pub(super) fn forget_upto(&mut self, held: Seq) {
        while self.kept.front().is_some_and(|kept| kept.last <= held) {
            self.kept.pop_front();
        }
    }

    /// What follows `keep` is not in the log any more.
    pub(super) fn truncate_after(&mut self, keep: Seq) {
        while self.kept.back().is_some_and(|kept| kept.last > keep) {
            self.kept.pop_back();
        }
    }

    /// What travels beside the entries from `first` to `last`, within so many bytes; what has no room is left out.
    pub(super) fn beside(
        &self,
        first: Seq,
        last: Seq,
        mut room_bytes: usize,
    ) -> Vec<RequestEntries> {
        let mut beside = Vec::new();
        let at = self.kept.partition_point(|kept| kept.last < first);
        for part in self
            .kept
            .range(at..)
            .map_while(|kept| kept.within(first, last))
        {
            let id = part.request_id.as_str();
            let is_escaped = |b: &u8| matches!(b, b'"' | b'\\');
            let escapes = id.bytes().filter(is_escaped).count();
            match room_bytes.checked_sub(BESIDE_BYTES + id.len() + escapes) {
                Some(left) => room_bytes = left,
                None => break,
            }
            beside.push(part);
        }
        beside
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> RequestId {
        RequestId::new(text).unwrap()
    }

    fn seqs(parts: &[RequestEntries]) -> Vec<(u64, u64, &str)> {
        let seqs = |part: &RequestEntries| (part.first.0, part.last.0);
        let parts = parts
            .iter()
            .map(|part| (seqs(part), part.request_id.as_str()));
        parts.map(|((first, last), id)| (first, last, id)).collect()
    }

    #[test]
    fn ids_travel_with_the_part_of_their_entries() {
        let mut ids = RequestIds::default();
        ids.note(Seq(2), Seq(2), id("a"));
        ids.note(Seq(4), Seq(9), id("b"));
        ids.note(Seq(10), Seq(10), id("c"));
        let beside = |ids: &RequestIds, first, last| {
            seqs(&ids.beside(Seq(first), Seq(last), 10_000))
                .into_iter()
                .map(|(f, l, id)| (f, l, id.to_owned()))
                .collect::<Vec<_>>()
        };
        let part = |first, last, id: &str| (first, last, id.to_owned());
        assert_eq!(beside(&ids, 1, 1), []);
        assert_eq!(beside(&ids, 1, 5), [part(2, 2, "a"), part(4, 5, "b")]);
        assert_eq!(beside(&ids, 6, 8), [part(6, 8, "b")]);
        assert_eq!(beside(&ids, 9, 20), [part(9, 9, "b"), part(10, 10, "c")]);
        ids.forget_upto(Seq(8));
        assert_eq!(beside(&ids, 1, 20), [part(4, 9, "b"), part(10, 10, "c")]);
        ids.truncate_after(Seq(9));
        assert_eq!(beside(&ids, 1, 20), [part(4, 9, "b")]);
        ids.forget_upto(Seq(9));
        assert!(ids.is_empty());
    }

    #[test]
    fn what_is_kept_and_what_travels_is_bounded() {
        let mut ids = RequestIds::default();
        let long = "\"".repeat(RequestId::MAX_BYTES);
        for seq in 1..=2 * MAX_KEPT as u64 {
            ids.note(Seq(seq), Seq(seq), id(&long));
        }
        assert_eq!(ids.kept.len(), MAX_KEPT);
        let all = ids.beside(Seq(1), Seq::MAX, usize::MAX);
        assert_eq!(all[0].first, Seq(MAX_KEPT as u64 + 1));
        let room = 3 * (BESIDE_BYTES + 2 * RequestId::MAX_BYTES);
        assert_eq!(ids.beside(Seq(1), Seq::MAX, room).len(), 3);
        assert_eq!(ids.beside(Seq(1), Seq::MAX, room - 1).len(), 2);
        assert_eq!(ids.beside(Seq(1), Seq::MAX, 0), []);
    }
}
