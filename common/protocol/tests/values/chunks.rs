//! A chunk is read as it was written; what is none is refused.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use replog_protocol::chunk::{
    CHUNK_HEAD_BYTES, ChunkError, ChunkHead, ChunkId, ChunkKind, ChunkSeq, EncodedChunk,
    MAX_CHUNK_BATCHES,
};
use replog_protocol::cleared_logs::ClearedLogs;
use replog_protocol::committed::Committed;
use replog_protocol::entry::EntryBatch;
use replog_protocol::epochs::LogPosition;
use replog_protocol::hard_state::HardState;
use replog_protocol::ids::{Epoch, Leadership, Seq};
use replog_protocol::leader::settings::MAX_NODES;
use replog_protocol::node::{Truncate, WriteJob};
use replog_protocol::node_url::NodeUrl;

use crate::support::{cleared, entries, entry, epoch, leadership, log, master};

fn any_batches() -> impl Strategy<Value = Vec<EntryBatch>> {
    vec((1u64..4, 1u64..5), 0..4).prop_map(|runs| {
        let (mut next, mut n) = (1, 0);
        let mut batches = Vec::new();
        for (count, step) in runs {
            n += step;
            let all = entries(next..=next + count - 1, epoch(n, 3));
            batches.extend(EntryBatch::concat(&all));
            next += count;
        }
        batches
    })
}

fn any_kind() -> impl Strategy<Value = ChunkKind> {
    prop_oneof![
        Just(ChunkKind::Write),
        (any::<bool>(), option::of((0u64..9, 1u64..9))).prop_map(|(has_url, last)| {
            ChunkKind::Claim {
                url: NodeUrl::new("http://m1:8000").filter(|_| has_url),
                last: last.map(|(seq, n)| LogPosition {
                    seq: Seq(seq),
                    epoch: epoch(n, 3),
                }),
            }
        }),
        Just(ChunkKind::MoveIn {
            entries: None,
            upto: Seq(9),
        }),
    ]
}

fn any_chunk() -> impl Strategy<Value = WriteJob> {
    let head = (any_kind(), 1..u64::MAX, 1u64..1 << 40);
    let cut = option::of((0u64..9, option::of(1u128..9)));
    let state = option::of((1u64..1000, any::<bool>(), any::<bool>()));
    (any_batches(), head, cut, state).prop_map(|(entries, (kind, n, after), cut, state)| WriteJob {
        truncate: cut.map(|(after, of)| Truncate {
            after: Seq(after),
            rollback_of: of.map(log),
        }),
        // What is moved is in the head.
        entries: match kind {
            ChunkKind::MoveIn { .. } => Vec::new(),
            _ => entries,
        },
        hard_state: state.map(|(n, has_cleared, is_partial)| HardState {
            log_id: Some(log(7)),
            epoch: epoch(n, 3),
            cleared: match has_cleared {
                true => cleared(&[leadership(5, 2, 1)]),
                false => Default::default(),
            },
            is_partial,
            ..HardState::default()
        }),
        repairs: Vec::new(),
        chunk: Some(ChunkHead {
            after: ChunkSeq(after),
            id: ChunkId {
                master: master(3),
                n,
            },
            prev: None,
            kind,
        }),
    })
}

proptest! {
    #[test]
    fn it_is_read_as_it_was_written(chunk in any_chunk()) {
        let encoded = EncodedChunk::of(&chunk, "default").expect("a chunk");
        prop_assert!(!encoded.head.contains(['\r', '\n']), "a header is one line");
        let head = chunk.chunk.clone().expect("a chunk");
        prop_assert_eq!(encoded.id(), Some(head.id));
        let read = encoded.decode(head.seq(), "default").expect("the same");
        prop_assert_eq!(read, chunk);
    }

    #[test]
    fn what_was_changed_on_its_way_is_refused_or_another_chunk(
        chunk in any_chunk(),
        cut in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let good = EncodedChunk::of(&chunk, "default").expect("a chunk");
        let seq = chunk.chunk.expect("a chunk").seq();
        let mut head = good.head.clone().into_bytes();
        let at = cut.index(head.len());
        head[at] = byte;
        if let Ok(head) = String::from_utf8(head) {
            let _ = EncodedChunk { head, ..good.clone() }.decode(seq, "default");
        }
        let short = good.head[..at].to_owned();
        let is_refused = EncodedChunk { head: short, ..good.clone() }.decode(seq, "default").is_err();
        prop_assert!(is_refused);
        let mut payload = good.payload.to_vec();
        payload.push(byte);
        let longer = EncodedChunk { payload: Bytes::from(payload), ..good };
        prop_assert!(longer.decode(seq, "default").is_err());
    }
}

#[test]
fn entries_that_are_moved_are_read_too() {
    let moved = EntryBatch::concat(&entries(4..=6, epoch(2, 3)));
    let chunk = WriteJob {
        chunk: Some(ChunkHead {
            after: ChunkSeq(17),
            id: ChunkId {
                master: master(3),
                n: 2,
            },
            prev: None,
            kind: ChunkKind::MoveIn {
                entries: moved,
                upto: Seq(9),
            },
        }),
        ..WriteJob::default()
    };
    let encoded = EncodedChunk::of(&chunk, "a").expect("a chunk");
    assert_eq!(encoded.decode(ChunkSeq(18), "a").expect("the same"), chunk);
}

#[test]
fn another_cluster_and_another_version_are_told_from_what_is_no_chunk() {
    let chunk = WriteJob {
        chunk: Some(ChunkHead {
            after: ChunkSeq(17),
            id: ChunkId {
                master: master(3),
                n: 2,
            },
            prev: None,
            kind: ChunkKind::Write,
        }),
        ..WriteJob::default()
    };
    let encoded = EncodedChunk::of(&chunk, "a").expect("a chunk");
    let read = |encoded: &EncodedChunk, cluster| encoded.decode(ChunkSeq(18), cluster);
    assert!(matches!(read(&encoded, "b"), Err(ChunkError::Cluster(of)) if of == "a"));
    let head = encoded.head.replace("\"v\":1", "\"v\":2");
    let newer = EncodedChunk {
        head,
        ..encoded.clone()
    };
    assert!(matches!(read(&newer, "a"), Err(ChunkError::Version(2))));
    let none = EncodedChunk {
        head: "hello".to_owned(),
        ..encoded
    };
    assert!(matches!(read(&none, "a"), Err(ChunkError::Head(_))));
    assert_eq!(EncodedChunk::of(&WriteJob::default(), "a"), None);
}

/// Else a chunk of a large cluster would not fit into a message of the broker.
#[test]
fn no_head_is_longer_than_what_is_kept_free_for_it() {
    let last = epoch(Epoch::MAX_N, u128::MAX);
    let full = Leadership {
        log_id: log(u128::MAX),
        epoch: last,
    };
    let url = format!("http://{}", "m".repeat(NodeUrl::MAX_BYTES - 7));
    let first = Seq::MAX.0 - MAX_CHUNK_BATCHES as u64;
    let chunk = WriteJob {
        truncate: Some(Truncate {
            after: Seq::MAX,
            rollback_of: Some(log(u128::MAX)),
        }),
        entries: (first..Seq::MAX.0).map(|seq| entry(seq, last, 1)).collect(),
        hard_state: Some(HardState {
            log_id: Some(log(u128::MAX)),
            epoch: last,
            cleared: cleared(&[full; ClearedLogs::MAX]),
            is_partial: true,
            committed: Committed::new(vec![Seq::MAX; MAX_NODES + 1], Seq::MAX, Seq::MAX),
            ..HardState::default()
        }),
        repairs: Vec::new(),
        chunk: Some(ChunkHead {
            after: ChunkSeq(u64::MAX - 1),
            id: ChunkId {
                master: master(u128::MAX),
                n: u64::MAX,
            },
            prev: None,
            kind: ChunkKind::Claim {
                url: NodeUrl::new(&url),
                last: Some(LogPosition {
                    seq: Seq::MAX,
                    epoch: last,
                }),
            },
        }),
    };
    let encoded = EncodedChunk::of(&chunk, &"c".repeat(32)).expect("a chunk");
    let bytes = encoded.head.len();
    assert!(
        bytes + 1024 <= CHUNK_HEAD_BYTES,
        "{bytes} and other headers"
    );
}
