//! `x-request-id`: the name by which one request is found again in the logs of client and nodes. One that the client sends is
//! taken, else one is made.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;
use replog_protocol::request_id::RequestId;

/// The header.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The bytes of a made id: twelve digits of the process, a hyphen, twelve digits that count.
const ID_BYTES: usize = 25;
/// So many are made at one time, in one piece of memory: a request costs no allocation for its id.
const IDS_AT_ONCE: u64 = 16;

/// The id that a client has given to its request; `None` where it sent none, several, or one that is longer than
/// [`RequestId::MAX_BYTES`] or not made of visible ASCII characters.
#[must_use]
pub fn of_client(headers: &HeaderMap) -> Option<RequestId> {
    RequestId::new(text_of_client(headers)?)
}

fn text_of_client(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(X_REQUEST_ID).iter();
    let value = values.next().filter(|_| values.next().is_none());
    value?
        .to_str()
        .ok()
        .filter(|text| RequestId::is_valid(text))
}

/// What makes the ids of a whole process. No two of them are the same, and hardly those of two processes.
#[derive(Clone, Debug)]
pub(super) struct RequestIdMaker {
    /// Random, 48 bits of it are used.
    process: u64,
    taken: Arc<AtomicU64>,
    /// Made, and not handed out yet.
    made: Bytes,
}

impl RequestIdMaker {
    pub(super) fn new() -> Self {
        Self {
            process: uuid::Uuid::new_v4().as_u64_pair().1 & 0xffff_ffff_ffff,
            taken: Arc::new(AtomicU64::new(0)),
            made: Bytes::new(),
        }
    }

    /// The id of a request: the client's, with bytes of its own, or the next one.
    pub(super) fn of(&mut self, headers: &HeaderMap) -> HeaderValue {
        let sent = text_of_client(headers).and_then(|text| HeaderValue::from_str(text).ok());
        sent.unwrap_or_else(|| self.next())
    }

    fn next(&mut self) -> HeaderValue {
        if self.made.is_empty() {
            self.made = self.make();
        }
        let id = self.made.split_to(ID_BYTES);
        HeaderValue::from_maybe_shared(id).expect("digits and a hyphen")
    }

    fn make(&self) -> Bytes {
        let first = self.taken.fetch_add(IDS_AT_ONCE, Ordering::Relaxed);
        let mut ids = String::with_capacity(ID_BYTES * IDS_AT_ONCE as usize);
        for n in first..first + IDS_AT_ONCE {
            let n = n & 0xffff_ffff_ffff;
            let _ = write!(ids, "{:012x}-{n:012x}", self.process);
        }
        ids.into()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn made_ids_are_never_the_same() {
        let mut one = RequestIdMaker::new();
        let mut other = one.clone();
        let mut all = BTreeSet::new();
        for _ in 0..100 {
            for ids in [&mut one, &mut other] {
                let id = ids.of(&HeaderMap::new());
                assert_eq!(id.len(), ID_BYTES);
                assert!(RequestId::is_valid(id.to_str().unwrap()));
                assert!(all.insert(id.to_str().unwrap().to_owned()), "{id:?} twice");
            }
        }
    }

    #[test]
    fn the_client_s_id_is_taken_if_it_is_one() {
        let longest = "x".repeat(RequestId::MAX_BYTES);
        let too_long = "x".repeat(RequestId::MAX_BYTES + 1);
        for (sent, is_taken) in [
            (&["order-66/retry=1"][..], true),
            (&["\"quoted\""], true),
            (&[&longest], true),
            (&[], false),
            (&[""], false),
            (&["a b"], false),
            (&["a\tb"], false),
            (&["\u{e9}"], false),
            (&[&too_long], false),
            (&["a", "a"], false),
        ] {
            let mut headers = HeaderMap::new();
            for id in sent {
                headers.append(
                    X_REQUEST_ID,
                    HeaderValue::from_bytes(id.as_bytes()).unwrap(),
                );
            }
            let taken = RequestIdMaker::new().of(&headers);
            assert_eq!(
                sent.contains(&taken.to_str().unwrap()),
                is_taken,
                "{sent:?}"
            );
            let of_client = of_client(&headers);
            assert_eq!(
                of_client.as_ref().map(RequestId::as_str),
                is_taken.then(|| sent[0])
            );
        }
    }
}
