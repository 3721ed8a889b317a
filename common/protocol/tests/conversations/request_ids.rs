//! The ids of requests travel beside the entries until every secondary has them, as far as there is room.

use replog_protocol::entry::Content;
use replog_protocol::leader::command::{Append, AppendRequest, Command};
use replog_protocol::request_id::RequestId;
use replog_protocol::wire::{ENVELOPE_BYTES, Message, REQUEST_IDS_BYTES};

use crate::support::hand::{Master, serving};
use crate::support::{Client, MAX_PAYLOAD, at, message, message_id, request};

fn post(master: &mut Master, ids: &[u32], w: u64, request_id: &str) {
    let append = request_of(ids, w, request_id);
    master.command(Command::Append(append), at(2));
}

fn request_of(ids: &[u32], w: u64, request_id: &str) -> Append<Client> {
    Append {
        requests: ids.iter().map(|id| message((*id).into())).collect(),
        request_id: RequestId::new(request_id),
        ..request(ids[0].into(), w, ids[0])
    }
}

/// What travels beside the entries of the appends to that secondary: positions and ids.
fn beside(master: &Master, name: &str) -> Vec<(u64, u64, String)> {
    let appends = master.appends(name);
    let requests = appends.iter().flat_map(|append| &append.request_ids);
    let shown = requests.map(|r| (r.first.0, r.last.0, r.request_id.to_string()));
    shown.collect()
}

#[test]
fn an_id_travels_until_every_secondary_has_the_entries() {
    let mut master = serving(Some(&["a", "b"]));
    master.join("a", 1, 0, at(1));
    post(&mut master, &[1], 1, "");
    post(&mut master, &[2, 3], 1, "batch");
    post(&mut master, &[4], 2, "one");
    let expected = [(2, 3, "batch".to_owned()), (4, 4, "one".to_owned())];
    assert_eq!(beside(&master, "a"), expected);
    master.hear(master.answer_of("a", 1, 4, 0), at(3));

    // A retry appends nothing, and has no entries.
    post(&mut master, &[4], 1, "retry");
    // One that was away is told as well.
    master.join("b", 2, 0, at(4));
    assert_eq!(beside(&master, "b"), expected);
    master.hear(master.answer_of("b", 2, 4, 0), at(5));

    // Now nobody needs them any more; who comes back with less gets the entries alone.
    master.join("b", 3, 0, at(6));
    assert_eq!(master.appends("b").pop().map(|a| a.last().0), Some(4));
    assert_eq!(beside(&master, "b"), []);
}

/// The first message may be there before the first secondary has spoken.
#[test]
fn an_id_waits_for_the_first_secondary() {
    let mut master = serving(None);
    post(&mut master, &[1], 1, "early");
    master.join("a", 1, 0, at(3));
    assert_eq!(beside(&master, "a"), [(1, 1, "early".to_owned())]);
}

#[test]
fn ids_take_no_more_room_than_entries_leave() {
    let id = "\"".repeat(RequestId::MAX_BYTES);
    let mut master = serving(Some(&["a"]));
    master.join("a", 1, 0, at(1));
    for n in 1..=200 {
        post(&mut master, &[n], 1, &id);
    }
    post(&mut master, &[201], 2, &id);
    let appends = master.appends("a").into_iter();
    let append = appends.max_by_key(|append| append.request_ids.len());
    let append = append.expect("an append");
    let entries = append.entries.clone().expect("entries");
    let count = append.request_ids.len() as u64;
    assert!(
        1 < count && count < entries.count() as u64,
        "{count} of {}",
        entries.count()
    );
    let bytes = Message::Append(append).encode(u64::MAX).len();
    assert!(
        bytes <= ENVELOPE_BYTES + REQUEST_IDS_BYTES + entries.bytes(),
        "{bytes}"
    );
    master.hear(master.answer_of("a", 1, 201, 0), at(3));

    // An entry that just passes the broker leaves no room.
    let room = MAX_PAYLOAD - ENVELOPE_BYTES - 128;
    let largest = AppendRequest {
        content: Content::from_text(&"x".repeat(room - 2)),
        message_id: message_id(300),
        is_new_id: false,
    };
    let append = Append {
        requests: vec![largest],
        ..request_of(&[300], 2, &id)
    };
    master.command(Command::Append(append), at(4));
    let append = master.appends("a").pop().expect("an append");
    assert_eq!((append.last().0, append.request_ids.len()), (202, 0));
    assert!(Message::Append(append).encode(u64::MAX).len() <= MAX_PAYLOAD);
}
