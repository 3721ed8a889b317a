//! Whatever is written comes back the same, and whatever arrives is read or refused, never a panic.

use proptest::collection::vec;
use proptest::prelude::*;
use replog_common::entry::{Chunk, Content, Entry, Position};
use replog_common::message::{
    Ack, Announce, Append, Claim, ENVELOPE_BYTES, Fetch, Fetched, Life, MAX_REPLACED,
};
use replog_common::types::{Epoch, Incarnation, Instance, LogId, MessageId, Seq};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::made::{incarnation, instance, life, log, node};

fn epoch() -> impl Strategy<Value = Epoch> {
    (0..=Epoch::MAX.0).prop_map(Epoch)
}

fn any_life() -> impl Strategy<Value = Life> {
    (any::<u128>(), epoch(), any::<u128>()).prop_map(|(log, epoch, instance)| Life {
        log_id: LogId(Uuid::from_u128(log)),
        epoch,
        instance: Instance(Uuid::from_u128(instance)),
    })
}

fn append() -> impl Strategy<Value = Append<Vec<Entry>>> {
    let texts = vec((any::<String>(), any::<u128>()), 0..5);
    (
        any_life(),
        0..u64::MAX - 9,
        (epoch(), any::<u64>(), any::<u64>()),
        vec(any_life(), 0..3),
        texts,
    )
        .prop_map(|(life, prev, (epoch, tail, commit), replaces, texts)| {
            let entry = |(at, (text, id)): (u64, (String, u128))| {
                let at = Position {
                    seq: Seq(at),
                    epoch,
                    by: None,
                };
                Entry::with_content(
                    at,
                    MessageId(Uuid::from_u128(id)),
                    &Content::from_text(&text),
                )
            };
            Append {
                life,
                prev: Position {
                    seq: Seq(prev),
                    epoch,
                    by: (prev % 2 == 0).then_some(Instance(Uuid::from_u128(prev.into()))),
                },
                by: (!texts.is_empty()).then_some(match tail % 2 {
                    0 => life.instance,
                    _ => Instance(Uuid::from_u128(tail.into())),
                }),
                tail: Seq(tail),
                commit: Seq(commit),
                replaces,
                entries: (prev + 1..).zip(texts).map(entry).collect(),
            }
        })
}

fn encoded(append: &Append<Vec<Entry>>) -> Vec<u8> {
    let entries = Chunk::of(&append.entries);
    let Append {
        life,
        prev,
        tail,
        commit,
        replaces,
        by,
        ..
    } = append.clone();
    Append {
        life,
        prev,
        tail,
        commit,
        replaces,
        by,
        entries,
    }
    .encode(7)
    .to_vec()
}

fn ack() -> impl Strategy<Value = Ack> {
    let ids = (
        any::<u128>(),
        proptest::option::of(any::<u128>()),
        proptest::option::of(any::<u128>()),
    );
    let rest = (
        proptest::option::of(any::<u64>()),
        proptest::option::of(any::<String>()),
        vec(any_life(), 0..3),
    );
    let places = (epoch(), any::<u64>(), any::<u64>(), epoch());
    ("[A-Za-z0-9_-]{1,32}", ids, places, rest).prop_map(
        |(
            node,
            (incarnation, log, instance),
            (epoch, upto, last, last_epoch),
            (held, error, replaced),
        )| {
            Ack {
                node: node.parse().expect("a name"),
                incarnation: Incarnation(Uuid::from_u128(incarnation)),
                log_id: log.map(|id| LogId(Uuid::from_u128(id))),
                epoch,
                instance: instance.map(|id| Instance(Uuid::from_u128(id))),
                upto: Seq(upto),
                last: Position {
                    seq: Seq(last),
                    epoch: last_epoch,
                    by: instance.map(|id| Instance(Uuid::from_u128(id / 2))),
                },
                held_from: held.map(Seq),
                damaged: held.map(|seq| Seq(seq / 3)),
                replaced,
                error,
            }
        },
    )
}

/// Reads bytes as everything they could be.
fn read(bytes: &[u8]) {
    let _ = Append::decode(bytes);
    let _ = Ack::decode(bytes);
    let _ = Claim::decode(bytes);
    let _ = Fetch::decode(bytes);
    let _ = Fetched::decode(bytes);
    let _ = Announce::decode(bytes);
    let _ = std::str::from_utf8(bytes).map(Entry::parse);
    let _ = serde_json::from_slice::<Box<RawValue>>(bytes).map(|raw| Content::from_json(&raw));
}

proptest! {
    #[test]
    fn messages_come_back_the_same(append in append(), ack in ack()) {
        let line = encoded(&append);
        prop_assert!(!line.contains(&b'\n'), "one line");
        prop_assert_eq!(&Append::decode(&line).expect("readable"), &append);
        prop_assert_eq!(Ack::decode(&ack.encode(7)).expect("readable"), ack.clone());
        let (life, replaces) = (append.life, append.replaces.clone());
        let fetch = Fetch { life, replaces, from: append.tail, max_bytes: 7 };
        prop_assert_eq!(Fetch::decode(&fetch.encode(7)).expect("readable"), fetch.clone());
        let Append { prev, entries, .. } = append.clone();
        let (position, chunk) = (ack.clone(), Chunk::of(&entries));
        let line = Fetched { position, prev, by: append.by, entries: chunk }.encode(7);
        let replaced = if entries.is_empty() { ack.replaced.clone() } else { Vec::new() };
        let position = Ack { replaced, ..ack.clone() };
        let fetched = Fetched { position, prev, by: append.by, entries };
        prop_assert_eq!(Fetched::decode(&line).expect("readable"), fetched);
        let claim = Claim { node: ack.node, incarnation: ack.incarnation, log_id: ack.log_id, epoch: ack.epoch };
        prop_assert_eq!(Claim::decode(&claim.encode()).expect("readable"), claim);
    }

    #[test]
    fn an_epoch_that_not_every_reader_can_take_is_refused(append in append(), more in 1..=u64::MAX - Epoch::MAX.0) {
        let life = Life { epoch: Epoch(Epoch::MAX.0 + more), ..append.life };
        let line = encoded(&Append { life, ..append });
        prop_assert!(Append::decode(&line).is_err());
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..200)) {
        read(&bytes);
    }

    #[test]
    fn broken_messages_are_read_or_refused(
        append in append(), ack in ack(), breaks in vec((any::<usize>(), any::<u8>(), any::<bool>()), 1..6),
    ) {
        for mut line in [encoded(&append), ack.encode(7).to_vec()] {
            for (at, byte, cut) in &breaks {
                let at = at % line.len().max(1);
                if *cut { line.truncate(at) } else if let Some(b) = line.get_mut(at) { *b = *byte }
            }
            read(&line);
        }
    }

    #[test]
    fn entries_with_a_hole_are_refused(append in append(), skip in 1..5u64) {
        prop_assume!(!append.entries.is_empty());
        let moved = Position { seq: Seq(append.prev.seq.0.saturating_sub(skip)), ..append.prev };
        prop_assume!(moved != append.prev);
        let line = encoded(&Append { prev: moved, ..append });
        prop_assert!(Append::decode(&line).is_err());
    }

}

/// Else an entry that just fits an append could not be fetched by the master that comes next.
#[test]
fn no_envelope_is_longer_than_what_is_kept_free_for_it() {
    let life = Life {
        epoch: Epoch::MAX,
        ..life(1, 1, u128::MAX)
    };
    let far = Position {
        seq: Seq(u64::MAX - 8),
        epoch: Epoch(Epoch::MAX.0 - 1),
        by: Some(instance(2)),
    };
    let at = Position {
        seq: far.seq.next(),
        ..far
    };
    let entry = Entry::with_content(at, MessageId(Uuid::nil()), &Content::from_text("x"));
    let chunk = Chunk::of(std::slice::from_ref(&entry));
    let append = Append {
        life,
        prev: far,
        tail: at.seq,
        commit: at.seq,
        replaces: Vec::new(),
        by: Some(instance(3)),
        entries: chunk.clone(),
    };
    let position = Ack {
        node: node(&"n".repeat(32)),
        incarnation: incarnation(4),
        log_id: Some(log(1)),
        epoch: life.epoch,
        instance: Some(life.instance),
        upto: at.seq,
        last: far,
        held_from: Some(at.seq),
        damaged: Some(at.seq),
        replaced: vec![life; MAX_REPLACED],
        error: None,
    };
    let (prev, by) = (far, Some(instance(3)));
    let fetched = Fetched {
        position,
        prev,
        by,
        entries: chunk.clone(),
    };
    for line in [append.encode(u64::MAX), fetched.encode(u64::MAX)] {
        let envelope = line.len() - chunk.text.len();
        assert!(envelope <= ENVELOPE_BYTES, "{envelope}");
    }
}
