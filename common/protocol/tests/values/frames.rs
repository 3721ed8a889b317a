//! Whatever is sent comes back the same.

use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use replog_protocol::cleared_logs::{ClearedLog, ClearedLogs};
use replog_protocol::committed::Committed;
use replog_protocol::digest::{Digest, DigestAt};
use replog_protocol::entry::{BatchBuilder, Content, EntryBatch};
use replog_protocol::epochs::LogPosition;
use replog_protocol::event::{Event, Speaker};
use replog_protocol::ids::{Epoch, Leadership, LogId, MasterId, MessageId, Seq, StorageId};
use replog_protocol::leader::health::Status;
use replog_protocol::node_url::NodeUrl;
use replog_protocol::request_id::{RequestEntries, RequestId};
use replog_protocol::wire::{
    Ack, AckOf, Address, AppendEntries, Claim, ENVELOPE_BYTES, Fetch, FetchResponse,
    HeartbeatNumber, MasterAnnouncement, MasterState, Message, Prepare, Promise, event,
};
use uuid::Uuid;

use crate::support::{cleared, entry, heartbeat, hello, leadership, log, master, node};

fn any_epoch() -> impl Strategy<Value = Epoch> {
    (0..=Epoch::MAX_N, any::<u128>())
        .prop_map(|(n, start)| Epoch::new(n, MasterId(Uuid::from_u128(start))).expect("an epoch"))
}

fn any_log_id() -> impl Strategy<Value = LogId> {
    any::<u128>().prop_map(|id| LogId(Uuid::from_u128(id)))
}

fn any_leadership() -> impl Strategy<Value = Leadership> {
    (any_log_id(), any_epoch()).prop_map(|(log_id, epoch)| Leadership { log_id, epoch })
}

fn any_seq() -> impl Strategy<Value = Seq> {
    (0..Seq::MAX.0 - 9).prop_map(Seq)
}

fn any_position() -> impl Strategy<Value = LogPosition> {
    (any_seq(), any_epoch()).prop_map(|(seq, epoch)| LogPosition { seq, epoch })
}

fn any_cleared() -> impl Strategy<Value = ClearedLogs> {
    let one = any_leadership().prop_map(|l| ClearedLog {
        log_id: l.log_id,
        epoch: l.epoch,
    });
    vec(one, 0..=ClearedLogs::MAX).prop_map(|logs| ClearedLogs::new(logs).expect("few enough"))
}

fn any_storage() -> impl Strategy<Value = StorageId> {
    any::<u128>().prop_map(|id| StorageId(Uuid::from_u128(id)))
}

/// Entries after that position.
fn any_batch(prev: Seq) -> impl Strategy<Value = Option<EntryBatch>> {
    (any_epoch(), vec((any::<String>(), any::<u128>()), 0..4)).prop_map(move |(epoch, texts)| {
        let mut builder = BatchBuilder::new(prev.next(), epoch);
        for (text, id) in texts {
            builder.push(MessageId(Uuid::from_u128(id)), &Content::from_text(&text));
        }
        builder.finish()
    })
}

/// An append; or a heartbeat, which alone has the last three fields.
fn any_committed() -> impl Strategy<Value = Committed> {
    let held = prop::collection::vec(any_seq(), 0..16);
    (held, any_seq(), any_seq())
        .prop_map(|(held, majority, all)| Committed::new(held, majority, all))
}

fn any_request() -> impl Strategy<Value = RequestEntries> {
    let request = |(first, last, id): (Seq, Seq, String)| RequestEntries {
        first,
        last,
        request_id: RequestId::new(&id).expect("visible characters"),
    };
    (any_seq(), any_seq(), "[!-~]{1,128}").prop_map(request)
}

fn any_append() -> impl Strategy<Value = AppendEntries> {
    let asks = (
        option::of((any_storage(), any::<u64>())),
        0..100_000u64,
        any_cleared(),
    );
    (
        any_leadership(),
        any_position(),
        any_seq(),
        any_committed(),
        asks,
        (any::<bool>(), any_url(), option::of(any_digest())),
        vec(any_request(), 0..4),
    )
        .prop_flat_map(
            |(leader, prev, tail, committed, asks, (is_own, url, digest), requests)| {
                any_batch(prev.seq).prop_map(move |entries| {
                    // Most entries are placed by the master that sends them.
                    let entries = entries.map(|batch| match is_own {
                        true => renewed(&batch, leader.epoch),
                        false => batch,
                    });
                    let frame = AppendEntries {
                        prev,
                        tail,
                        committed: committed.clone(),
                        ..heartbeat(leader)
                    };
                    match entries {
                        Some(_) => AppendEntries {
                            entries,
                            request_ids: requests.clone(),
                            ..frame
                        },
                        None => AppendEntries {
                            storage: asks.0.map(|(storage, _)| storage),
                            round: asks.0.map_or(0, |(_, round)| round),
                            interval: Duration::from_millis(asks.1),
                            cleared: asks.2.clone(),
                            url: url.clone(),
                            digest,
                            ..frame
                        },
                    }
                })
            },
        )
}

fn renewed(batch: &EntryBatch, epoch: Epoch) -> EntryBatch {
    let mut builder = BatchBuilder::new(batch.first(), epoch);
    for entry in batch.iter() {
        builder.push(entry.message_id, &entry.content());
    }
    builder.finish().expect("entries")
}

fn any_digest() -> impl Strategy<Value = DigestAt> {
    (any_seq(), any::<[u8; 3]>()).prop_map(|(seq, entry)| DigestAt {
        seq,
        hash: Digest::EMPTY.then(&entry),
    })
}

fn any_url() -> impl Strategy<Value = Option<NodeUrl>> {
    let url = "https?://[A-Za-z0-9.-]{1,40}(:[0-9]{1,5})?";
    option::of(url).prop_map(|url| url.and_then(|url| NodeUrl::new(&url)))
}

fn any_ack() -> impl Strategy<Value = Ack> {
    let who = ("[A-Za-z0-9_-]{1,32}", any_storage());
    let places = (
        option::of(any_log_id()),
        any_epoch(),
        any_seq(),
        any_position(),
    );
    let asked = (
        any::<u128>(),
        any::<u64>(),
        option::of(any_seq()),
        option::of(any_seq()),
    );
    let rest = (
        any_cleared(),
        option::of(any::<String>()),
        any::<bool>(),
        any_url(),
        option::of(any_digest()),
    );
    (who, places, asked, rest)
        .prop_filter("a name", |((name, _), ..)| name != "master")
        .prop_map(
            |((name, storage), (log_id, epoch, upto, last), asked, rest)| Ack {
                node: node(&name),
                storage,
                log_id,
                epoch,
                upto,
                last,
                held_from: asked.2,
                answers: HeartbeatNumber {
                    master: MasterId(Uuid::from_u128(asked.0)),
                    round: asked.1,
                },
                cleared: rest.0,
                damaged: asked.3,
                error: rest.1,
                is_goodbye: rest.2,
                url: rest.3,
                digest: rest.4,
            },
        )
}

/// Any message, with an address to which it may go.
pub(super) fn any_message() -> impl Strategy<Value = (Address, Message)> {
    let of_master = prop_oneof![
        any_append().prop_map(|m| match m.entries {
            Some(_) => (Address::Append(node("s")), Message::Append(m)),
            None => (Address::Heartbeat(node("s")), Message::Append(m)),
        }),
        (any_leadership(), any_cleared()).prop_map(|(leader, cleared)| {
            let prepare = Prepare { leader, cleared };
            (Address::Prepare(node("s")), Message::Prepare(prepare))
        }),
        (
            any_leadership(),
            any_storage(),
            any_position(),
            any::<usize>()
        )
            .prop_map(|(leader, storage, prev, max_bytes)| {
                let fetch = Fetch {
                    leader,
                    storage,
                    prev,
                    max_bytes,
                };
                (Address::Fetch(node("s")), Message::Fetch(fetch))
            }),
        (
            any_leadership(),
            select(vec![
                MasterState::Recovering,
                MasterState::Serving,
                MasterState::Stopping,
            ]),
            option::of(any::<u128>()),
            any_url()
        )
            .prop_map(|(leader, state, overtakes, url)| {
                let announcement = MasterAnnouncement {
                    leader,
                    state,
                    overtakes: overtakes.map(|id| MasterId(Uuid::from_u128(id))),
                    url,
                };
                (Address::Announce, Message::Announcement(announcement))
            }),
    ];
    let of_secondary = prop_oneof![
        (any_ack(), 0..3u8).prop_map(|(ack, of)| {
            let of = match of {
                0 => AckOf::Hello,
                1 => AckOf::Goodbye,
                _ => AckOf::Seq(ack.upto),
            };
            (Address::Ack(ack.node.clone(), of), Message::Ack(ack))
        }),
        any_ack().prop_map(|position| {
            let to = Address::Promise(position.node.clone());
            (to, Message::Promise(Promise { position }))
        }),
        (any_ack(), any_position()).prop_flat_map(|(position, prev)| {
            any_batch(prev.seq).prop_map(move |entries| {
                let position = position.clone();
                let to = Address::Fetched(position.node.clone());
                let response = FetchResponse {
                    position,
                    prev,
                    entries,
                };
                (to, Message::FetchResponse(response))
            })
        }),
        any_ack().prop_map(|Ack { node, storage, .. }| {
            let to = Address::Claim(node.clone());
            (to, Message::Claim(Claim { node, storage }))
        }),
    ];
    prop_oneof![of_master, of_secondary]
}

proptest! {
    #[test]
    fn every_message_comes_back_the_same((to, message) in any_message(), at_ms in any::<u64>()) {
        let line = message.encode(at_ms);
        prop_assert!(line.starts_with(br#"{"kind":""#), "the kind comes first");
        prop_assert!(!line.contains(&b'\n'), "one line");
        prop_assert!(serde_json::from_slice::<serde_json::Value>(&line).is_ok());
        prop_assert_eq!(Message::decode(&to, &line).expect("readable"), message);
    }

    /// Unknown fields are those of a later edition that speaks the same version.
    #[test]
    fn unknown_fields_are_ignored((to, message) in any_message()) {
        let line = message.encode(7);
        let line = String::from_utf8(line.to_vec()).expect("text");
        let more = format!(r#"{{"of_later":{{"a":[1,"}}"]}},{}"#, line.strip_prefix('{').expect("an object"));
        prop_assert_eq!(Message::decode(&to, &more.into()).expect("readable"), message);
    }
}

/// Else an entry that just fits into an append could not be fetched by the master that comes next.
#[test]
fn no_envelope_is_longer_than_what_is_kept_free_for_it() {
    let last = |start| Epoch {
        n: Epoch::MAX_N,
        master: master(start),
    };
    let leader = Leadership {
        log_id: log(u128::MAX),
        epoch: last(1),
    };
    let far = LogPosition {
        seq: Seq(Seq::MAX.0 - 1),
        epoch: last(2),
    };
    let entries = Some(entry(Seq::MAX.0, last(3), 1));
    let append = AppendEntries {
        prev: far,
        entries: entries.clone(),
        tail: Seq::MAX,
        committed: Committed::new(vec![Seq::MAX; 16], Seq::MAX, Seq::MAX),
        ..heartbeat(leader)
    };
    let position = Ack {
        log_id: Some(leader.log_id),
        epoch: leader.epoch,
        upto: Seq::MAX,
        last: far,
        held_from: Some(Seq::MAX),
        damaged: Some(Seq::MAX),
        answers: HeartbeatNumber {
            master: master(4),
            round: u64::MAX,
        },
        cleared: cleared(&[leader; ClearedLogs::MAX]),
        ..hello(&"n".repeat(32), u128::MAX)
    };
    let response = FetchResponse {
        position,
        prev: far,
        entries,
    };
    for message in [Message::Append(append), Message::FetchResponse(response)] {
        let bytes = message.encode(u64::MAX).len();
        assert!(
            bytes - entry(Seq::MAX.0, last(3), 1).bytes() <= ENVELOPE_BYTES,
            "{bytes}"
        );
    }
}

#[test]
fn every_event_comes_back_the_same_under_its_kind() {
    let a = node("a");
    let from = Status::Suspected;
    let events = [
        Event::Joined {
            node: a.clone(),
            member: true,
        },
        Event::Healthy {
            node: a.clone(),
            from,
        },
        Event::Suspected {
            node: a.clone(),
            from,
        },
        Event::Unhealthy {
            node: a.clone(),
            from,
        },
        Event::Diverged {
            node: a.clone(),
            other_log_id: Some(log(3)),
        },
        Event::RolledBack {
            rolled_back_log_id: log(3),
            first_seq: Seq(4),
            last_seq: Seq(6),
            committed: true,
        },
        Event::Clash { node: a.clone() },
        Event::ReadOnlyOn {},
        Event::ReadOnlyOff {},
        Event::Recovering {},
        Event::Serving {
            entries: 3,
            new: false,
            heard: vec![a.clone()],
            not_heard: vec![node("b")],
            overtakes: Some(master(1)),
        },
        Event::Fenced {
            by_epoch: 4,
            heard_from: Some(a.clone()),
        },
        Event::Removed { node: a.clone() },
        Event::JournalLostEnd {
            after_seq: Seq(3),
            last_seq: Seq(4),
        },
        Event::Damaged { seq: Seq(4) },
        Event::Repaired { seq: Seq(4) },
    ];
    for one in events {
        for speaker in [Speaker::Master, Speaker::Secondary(a.clone())] {
            let (to, line) = event(speaker.clone(), &one, &leadership(1, 2, 3), 7);
            assert_eq!(to, Address::Event(speaker.clone(), one.kind()));
            let kind = format!(r#"{{"kind":"{}""#, one.kind());
            assert!(line.starts_with(kind.as_bytes()), "{line:?}");
            assert_eq!(Event::decode(&line).expect("readable"), one);
            let fields: serde_json::Value = serde_json::from_slice(&line).expect("JSON");
            assert_eq!(fields["by"], speaker.as_str());
            assert_eq!(fields["log_id"], log(1).to_string());
            assert!(Message::decode(&to, &line).is_err(), "nobody acts on it");
        }
    }
}
