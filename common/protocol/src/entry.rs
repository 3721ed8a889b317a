//! Entries over the bytes as they travel: rendered once, when they get their place, and never again.
//!
//! An entry is one JSON object, `{"seq":1,"epoch":1,"message_id":"…","content":"…"}`, with its fields in this order and no
//! blank between them. The same bytes go to NATS, to the journal and into every list; who receives them checks them and
//! remembers where each entry begins.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::epochs::LogPosition;
use crate::ids::{Epoch, MessageId, Seq};

/// The text of a message: a JSON string exactly as the client wrote it, quotes and escapes included, known to be valid.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Content(Bytes);

impl Content {
    /// Takes a JSON string literal.
    ///
    /// # Errors
    /// JSON that is no string, or a string with half of a surrogate pair.
    pub fn from_json(raw: &RawValue) -> Result<Self, serde_json::Error> {
        check_string(raw.get())?;
        Ok(Self(Bytes::copy_from_slice(raw.get().as_bytes())))
    }

    /// Takes a JSON string literal that lies in `bytes`, and shares them.
    ///
    /// # Errors
    /// As [`Content::from_json`].
    ///
    /// # Panics
    /// If it lies elsewhere.
    pub fn within(bytes: &Bytes, raw: &RawValue) -> Result<Self, serde_json::Error> {
        check_string(raw.get())?;
        Ok(Self(bytes.slice_ref(raw.get().as_bytes())))
    }

    /// The content for a plain string.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        Self(
            serde_json::to_vec(text)
                .expect("a string is always JSON")
                .into(),
        )
    }

    /// The JSON string literal.
    #[must_use]
    pub fn json(&self) -> &str {
        std::str::from_utf8(&self.0).expect("made from text")
    }

    /// How many bytes the JSON string literal has.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.len()
    }

    /// The string that the literal stands for.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        unescaped(self.json())
    }
}

/// Whether a JSON value that is otherwise known to be valid is a string, and one that stands for text.
fn check_string(json: &str) -> Result<(), serde_json::Error> {
    // Without a `\u` escape the scan that made the raw value has checked everything.
    if !json.starts_with('"') || json.contains("\\u") {
        serde_json::from_str::<Cow<'_, str>>(json)?;
    }
    Ok(())
}

/// The string that a valid JSON literal stands for.
fn unescaped(json: &str) -> Cow<'_, str> {
    if json.contains('\\') {
        Cow::Owned(serde_json::from_str(json).expect("checked when it was made"))
    } else {
        Cow::Borrowed(&json[1..json.len() - 1])
    }
}

/// One entry, borrowed from the batch that holds its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The position.
    pub seq: Seq,
    /// The client's key or the master's own.
    pub message_id: MessageId,
    /// The whole JSON object, without a newline.
    pub json: &'a str,
    content_at: usize,
}

impl<'a> Entry<'a> {
    /// The content: a JSON string literal as the client wrote it.
    #[must_use]
    pub fn content_json(&self) -> &'a str {
        &self.json[self.content_at..self.json.len() - 1]
    }

    /// The content, with bytes of its own.
    #[must_use]
    pub fn content(&self) -> Content {
        Content(Bytes::copy_from_slice(self.content_json().as_bytes()))
    }

    /// The string that the content stands for.
    #[must_use]
    pub fn text(&self) -> Cow<'a, str> {
        unescaped(self.content_json())
    }

    /// Whether the entry says the same as `content`, however either is escaped.
    #[must_use]
    pub fn says(&self, content: &Content) -> bool {
        self.content_json() == content.json() || self.text() == content.text()
    }

    /// Reads the entry of the epoch with the number `epoch_n` that `text` begins with, in the only form in which entries are
    /// kept; and what follows it. One pass over its bytes.
    ///
    /// # Errors
    /// Anything else.
    fn read(text: &'a str, epoch_n: u64) -> Result<(Self, &'a str), InvalidEntry> {
        let (seq, rest) = number(after(text, r#"{"seq":"#)?)?;
        let (epoch, rest) = number(after(rest, r#","epoch":"#)?)?;
        let rest = after(rest, r#","message_id":""#)?;
        let (id, rest) = rest.split_at_checked(36).ok_or(InvalidEntry::Form)?;
        if id.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(InvalidEntry::Form);
        }
        let id = Uuid::try_parse(id).map_err(|_| InvalidEntry::Form)?;
        let rest = after(rest, r#"","content":"#)?;
        let content = string(rest)?;
        let after_it = after(&rest[content.len()..], "}")?;
        check_seq(Seq(seq))?;
        if epoch != epoch_n {
            let expected = epoch_n;
            return Err(InvalidEntry::Epoch {
                expected,
                found: epoch,
            });
        }
        let entry = Self {
            seq: Seq(seq),
            message_id: MessageId(id),
            json: &text[..text.len() - after_it.len()],
            content_at: text.len() - rest.len(),
        };
        Ok((entry, after_it))
    }
}

/// What follows `prefix`, which is due.
fn after<'a>(text: &'a str, prefix: &str) -> Result<&'a str, InvalidEntry> {
    text.strip_prefix(prefix).ok_or(InvalidEntry::Form)
}

/// The JSON string literal that `text` begins with, quotes included; one that stands for text.
fn string(text: &str) -> Result<&str, InvalidEntry> {
    let inside = after(text, "\"")?.as_bytes();
    let (mut at, mut has_escapes) = (0, false);
    let end = loop {
        let found = memchr::memchr2(b'"', b'\\', inside.get(at..).unwrap_or_default());
        at += found.ok_or(InvalidEntry::Form)?;
        if inside[at] == b'"' {
            break at;
        }
        has_escapes = true;
        at += 2;
    };
    // All of them, without a way out: the compiler looks at many bytes at once.
    let is_control = inside[..end].iter().fold(false, |any, b| any | (*b < 0x20));
    if is_control {
        return Err(InvalidEntry::Form);
    }
    let literal = &text[..end + 2];
    if has_escapes {
        serde_json::from_str::<Cow<'_, str>>(literal)
            .map_err(|e| InvalidEntry::Content(e.to_string()))?;
    }
    Ok(literal)
}

/// Whether an entry can have that position. To count on from the last numbers of a machine would not end.
fn check_seq(seq: Seq) -> Result<(), InvalidEntry> {
    match seq {
        Seq::ZERO => Err(InvalidEntry::SeqZero),
        seq if seq > Seq::MAX => Err(InvalidEntry::SeqTooLarge),
        _ => Ok(()),
    }
}

/// Decimal digits as a master writes them, and what follows.
fn number(text: &str) -> Result<(u64, &str), InvalidEntry> {
    let end = text
        .bytes()
        .position(|b| !b.is_ascii_digit())
        .unwrap_or(text.len());
    if end > 1 && text.starts_with('0') {
        return Err(InvalidEntry::Form);
    }
    let n = text[..end].parse().map_err(|_| InvalidEntry::Form)?;
    Ok((n, &text[end..]))
}

/// Why bytes are not the entries that they should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEntry {
    /// Not the JSON object of an entry.
    #[error("not the JSON object of an entry")]
    Form,
    /// Positions begin at 1.
    #[error("seq must be at least 1")]
    SeqZero,
    /// Positions end at [`Seq::MAX`].
    #[error("seq must be at most {}", Seq::MAX)]
    SeqTooLarge,
    /// The content is no string, or stands for no text.
    #[error("the content is not a JSON string: {0}")]
    Content(String),
    /// Entries of one batch are of one epoch.
    #[error("an entry of epoch {found} in a batch of epoch {expected}")]
    Epoch {
        /// The epoch of the batch.
        expected: u64,
        /// The epoch of the entry.
        found: u64,
    },
    /// Entries of one batch follow one another.
    #[error("entry {found} where {expected} was due")]
    Order {
        /// The seq that was due.
        expected: Seq,
        /// The seq that came.
        found: Seq,
    },
    /// A batch of more than 4 GiB.
    #[error("a batch of more than 4 GiB")]
    TooLong,
}

/// Consecutive entries of one epoch, at least one: their JSON objects with commas between, ready to be put in brackets.
///
/// A batch is cheap to clone and to cut: its parts share the bytes.
#[derive(Clone, Debug)]
pub struct EntryBatch {
    first: Seq,
    epoch: Epoch,
    text: Bytes,
    /// Where each object ends, counted like `base`.
    ends: Arc<[u32]>,
    /// The entries of this batch among those of `ends`.
    from: u32,
    upto: u32,
    /// Where `text` begins, counted like `ends`.
    base: u32,
}

impl EntryBatch {
    /// Checks entries as they came, `text` being their objects with commas between. What is not in the form in which entries
    /// are kept, but is an entry all the same (other blanks, unknown fields), is rendered anew.
    ///
    /// # Errors
    /// Bytes that are not entries of that epoch, one after another.
    pub fn parse(text: Bytes, epoch: Epoch) -> Result<Self, InvalidEntry> {
        match Self::parse_exact(&text, epoch) {
            Ok((first, ends)) => Ok(Self::whole(first, epoch, text, ends)),
            Err(_) => Self::parse_loose(&text, epoch),
        }
    }

    /// Entries of a batch whose bytes a checksum has proved to be what they were: they are not parsed again. `ends` says where
    /// each object ends in `text`. `None` if that cannot be: the first and the last object are looked at, and where the others
    /// begin and end.
    #[must_use]
    pub fn proved(first: Seq, epoch: Epoch, text: Bytes, ends: Vec<u32>) -> Option<Self> {
        std::str::from_utf8(&text).ok()?;
        let mut begin = 0;
        for end in &ends {
            let end = *end as usize;
            if !text.get(begin..end)?.ends_with(b"}") || *text.get(end).unwrap_or(&b',') != b',' {
                return None;
            }
            begin = end + 1;
        }
        let is_all = !ends.is_empty() && begin == text.len() + 1;
        let batch = is_all.then(|| Self::whole(first, epoch, text, ends))?;
        let is_there = |seq: Seq| {
            let json = std::str::from_utf8(&batch.text[batch.object(batch.index(seq)?)]).ok()?;
            let (entry, after_it) = Entry::read(json, epoch.n).ok()?;
            (entry.seq == seq && after_it.is_empty()).then_some(())
        };
        is_there(first).and(is_there(batch.last()))?;
        Some(batch)
    }

    fn whole(first: Seq, epoch: Epoch, text: Bytes, ends: Vec<u32>) -> Self {
        let upto = u32::try_from(ends.len()).expect("fewer entries than bytes");
        Self {
            first,
            epoch,
            text,
            ends: ends.into(),
            from: 0,
            upto,
            base: 0,
        }
    }

    /// One pass over entries in the exact form: the first position, and where each object ends.
    fn parse_exact(text: &Bytes, epoch: Epoch) -> Result<(Seq, Vec<u32>), InvalidEntry> {
        let text = std::str::from_utf8(text).map_err(|_| InvalidEntry::Form)?;
        let mut ends = Vec::with_capacity(text.len() / 128 + 1);
        let (mut rest, mut first, mut expected) = (text, None, Seq::ZERO);
        loop {
            let (entry, after_it) = Entry::read(rest, epoch.n)?;
            expected = match first {
                None => entry.seq,
                Some(_) => expected.next(),
            };
            if entry.seq != expected {
                let found = entry.seq;
                return Err(InvalidEntry::Order { expected, found });
            }
            first.get_or_insert(entry.seq);
            let end = text.len() - after_it.len();
            ends.push(u32::try_from(end).map_err(|_| InvalidEntry::TooLong)?);
            match after_it {
                "" => break,
                more => rest = after(more, ",")?,
            }
        }
        Ok((first.unwrap_or_default(), ends))
    }

    fn parse_loose(text: &[u8], epoch: Epoch) -> Result<Self, InvalidEntry> {
        #[derive(Deserialize)]
        struct Fields<'a> {
            seq: Seq,
            epoch: u64,
            message_id: MessageId,
            #[serde(borrow)]
            content: &'a RawValue,
        }
        let list = [b"[", text, b"]"].concat();
        let entries: Vec<Fields<'_>> =
            serde_json::from_slice(&list).map_err(|_| InvalidEntry::Form)?;
        let first = entries.first().ok_or(InvalidEntry::Form)?.seq;
        let mut builder = BatchBuilder::new(first, epoch);
        for entry in entries {
            check_seq(entry.seq)?;
            if entry.seq != builder.next() {
                return Err(InvalidEntry::Order {
                    expected: builder.next(),
                    found: entry.seq,
                });
            }
            if entry.epoch != epoch.n {
                return Err(InvalidEntry::Epoch {
                    expected: epoch.n,
                    found: entry.epoch,
                });
            }
            let content = Content::from_json(entry.content)
                .map_err(|e| InvalidEntry::Content(e.to_string()))?;
            builder.push(entry.message_id, &content);
        }
        builder.finish().ok_or(InvalidEntry::Form)
    }

    /// The position of the first entry.
    #[must_use]
    pub fn first(&self) -> Seq {
        self.first
    }

    /// The position of the last entry.
    #[must_use]
    pub fn last(&self) -> Seq {
        Seq(self.first.0 + self.count() - 1)
    }

    /// How many entries; at least 1.
    #[must_use]
    pub fn count(&self) -> u64 {
        u64::from(self.upto - self.from)
    }

    /// The epoch that placed them all.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The position of the first entry, with its epoch.
    #[must_use]
    pub fn first_position(&self) -> LogPosition {
        LogPosition {
            seq: self.first,
            epoch: self.epoch,
        }
    }

    /// The position of the last entry, with its epoch.
    #[must_use]
    pub fn last_position(&self) -> LogPosition {
        LogPosition {
            seq: self.last(),
            epoch: self.epoch,
        }
    }

    /// The objects, comma separated.
    #[must_use]
    pub fn text(&self) -> &Bytes {
        &self.text
    }

    /// Bytes of the text.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.text.len()
    }

    /// What a batch says: by this it is compared. How its bytes are shared with others makes no difference.
    fn key(&self) -> (Seq, Epoch, &Bytes) {
        (self.first, self.epoch, &self.text)
    }

    /// Where the object of the `i`-th entry lies in the text.
    fn object(&self, i: u32) -> std::ops::Range<usize> {
        let end = |i: u32| (self.ends[(self.from + i) as usize] - self.base) as usize;
        let begin = if i == 0 { 0 } else { end(i - 1) + 1 };
        begin..end(i)
    }

    fn index(&self, seq: Seq) -> Option<u32> {
        let i = seq.0.checked_sub(self.first.0)?;
        (i < self.count()).then(|| u32::try_from(i).expect("fewer entries than bytes"))
    }

    /// The entry at `seq`, if it is in the batch.
    ///
    /// # Panics
    /// Never: the bytes were checked when the batch was made.
    #[must_use]
    pub fn get(&self, seq: Seq) -> Option<Entry<'_>> {
        let range = self.object(self.index(seq)?);
        let json = std::str::from_utf8(&self.text[range]).expect("checked when it was made");
        let (entry, _) = Entry::read(json, self.epoch.n).expect("checked when it was made");
        Some(entry)
    }

    /// Every entry, in order.
    pub fn iter(&self) -> impl Iterator<Item = Entry<'_>> {
        (self.first.0..=self.last().0).filter_map(|seq| self.get(Seq(seq)))
    }

    /// The JSON object of every entry, in order.
    ///
    /// # Panics
    /// Never: the bytes were checked when the batch was made.
    pub fn objects(&self) -> impl Iterator<Item = &str> {
        let text = std::str::from_utf8(&self.text).expect("checked when it was made");
        (0..self.upto - self.from).map(move |i| &text[self.object(i)])
    }

    /// The same as bytes.
    pub(crate) fn object_bytes(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.upto - self.from).map(|i| &self.text[self.object(i)])
    }

    /// The entries from `first` to `last` that are in the batch; `None` if there are none. The bytes are shared.
    #[must_use]
    pub fn range(&self, first: Seq, last: Seq) -> Option<Self> {
        let (first, last) = (first.max(self.first), last.min(self.last()));
        if first > last {
            return None;
        }
        let (i, j) = (self.index(first)?, self.index(last)?);
        let (begin, end) = (self.object(i).start, self.object(j).end);
        Some(Self {
            first,
            epoch: self.epoch,
            text: self.text.slice(begin..end),
            ends: Arc::clone(&self.ends),
            from: self.from + i,
            upto: self.from + j + 1,
            base: self.base + u32::try_from(begin).expect("checked when it was made"),
        })
    }

    /// As many entries from the beginning as fit into so many bytes; one at least. The bytes are shared.
    #[must_use]
    pub fn fitting(&self, max_bytes: usize) -> Self {
        let limit = (self.base as usize).saturating_add(max_bytes);
        let ends = &self.ends[self.from as usize..self.upto as usize];
        let fit = ends.partition_point(|end| *end as usize <= limit).max(1);
        let last = Seq(self.first.0 + fit as u64 - 1);
        self.range(self.first, last).unwrap_or_else(|| self.clone())
    }

    /// Joins batches that follow one another within one epoch; `None` for none. One copy, unless there is only one.
    ///
    /// # Panics
    /// If they do not follow one another, or are of several epochs.
    #[must_use]
    pub fn concat(batches: &[EntryBatch]) -> Option<Self> {
        let head = batches.first()?;
        if batches.len() == 1 {
            return Some(head.clone());
        }
        let bytes = batches.iter().map(|b| b.bytes() + 1).sum();
        let (mut text, mut ends, mut next) = (Vec::with_capacity(bytes), Vec::new(), head.first);
        for batch in batches {
            assert!(
                batch.first == next && batch.epoch == head.epoch,
                "batches that follow one another"
            );
            if !text.is_empty() {
                text.push(b',');
            }
            let base = text.len();
            text.extend_from_slice(&batch.text);
            for i in 0..batch.upto - batch.from {
                let end = base + batch.object(i).end;
                ends.push(u32::try_from(end).expect("a batch of less than 4 GiB"));
            }
            next = batch.last().next();
        }
        Some(Self::whole(head.first, head.epoch, text.into(), ends))
    }
}

impl PartialEq for EntryBatch {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for EntryBatch {}

impl PartialOrd for EntryBatch {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for EntryBatch {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

impl std::hash::Hash for EntryBatch {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

/// Gives entries their form, one after the other, straight into the bytes of their batch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BatchBuilder {
    first: Seq,
    epoch: Epoch,
    text: Vec<u8>,
    ends: Vec<u32>,
}

impl BatchBuilder {
    /// An empty batch whose first entry will be `first`.
    #[must_use]
    pub fn new(first: Seq, epoch: Epoch) -> Self {
        Self {
            first,
            epoch,
            text: Vec::new(),
            ends: Vec::new(),
        }
    }

    /// The position of the next entry.
    #[must_use]
    pub fn next(&self) -> Seq {
        Seq(self.first.0 + self.ends.len() as u64)
    }

    /// Bytes so far.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.text.len()
    }

    /// One more entry.
    ///
    /// # Panics
    /// If the batch grows beyond 4 GiB; who fills it has bounds far below.
    pub fn push(&mut self, message_id: MessageId, content: &Content) {
        let seq = self.next();
        let (mut digits, mut id) = (itoa::Buffer::new(), Uuid::encode_buffer());
        self.text.reserve(128 + content.bytes());
        if !self.ends.is_empty() {
            self.text.push(b',');
        }
        for part in [
            br#"{"seq":"#,
            digits.format(seq.0).as_bytes(),
            br#","epoch":"#,
            itoa::Buffer::new().format(self.epoch.n).as_bytes(),
            br#","message_id":""#,
            message_id.0.hyphenated().encode_lower(&mut id).as_bytes(),
            br#"","content":"#,
            &content.0,
            b"}",
        ] {
            self.text.extend_from_slice(part);
        }
        let end = u32::try_from(self.text.len()).expect("a batch of less than 4 GiB");
        self.ends.push(end);
    }

    /// The batch; `None` if it is empty.
    #[must_use]
    pub fn finish(self) -> Option<EntryBatch> {
        let has_entries = !self.ends.is_empty();
        has_entries.then(|| EntryBatch::whole(self.first, self.epoch, self.text.into(), self.ends))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The literal that `text` begins with, as serde reads it.
    fn by_serde(text: &str) -> Option<&str> {
        let mut values = serde_json::Deserializer::from_str(text).into_iter::<Cow<'_, str>>();
        let is_string = text.starts_with('"') && values.next()?.is_ok();
        is_string.then(|| &text[..values.byte_offset()])
    }

    proptest! {
        #[test]
        fn a_literal_ends_where_json_says(
            inside in r#"(\\["\\u/nd8]|[a-z0-9é"\\\u{7}\u{7f}]|\\u00e9|\\ud83d\\ude00|\\ud800){0,40}"#,
            after_it in r#"("}|",|[a"]{0,3})"#,
        ) {
            let text = format!("\"{inside}{after_it}");
            prop_assert_eq!(string(&text).ok(), by_serde(&text));
        }
    }
}
