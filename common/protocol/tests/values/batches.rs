//! Batches of entries against lists of their JSON objects.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use replog_protocol::entry::{BatchBuilder, Content, EntryBatch, InvalidEntry};
use replog_protocol::ids::{Epoch, Seq};

use crate::support::{epoch, message_id};

/// The text of a message and its id.
type Draft = (String, u128);

fn drafts(most: usize) -> impl Strategy<Value = Vec<Draft>> {
    vec((any::<String>(), any::<u128>()), 1..most)
}

fn built(first: u64, epoch: Epoch, drafts: &[Draft]) -> EntryBatch {
    let mut builder = BatchBuilder::new(Seq(first), epoch);
    for (text, id) in drafts {
        builder.push(message_id(*id), &Content::from_text(text));
    }
    builder.finish().expect("one draft at least")
}

/// The objects as they should be, rendered by serde from scratch.
fn objects(first: u64, epoch: Epoch, drafts: &[Draft]) -> Vec<String> {
    (first..)
        .zip(drafts)
        .map(|(seq, draft)| object(seq, epoch, draft))
        .collect()
}

fn object(seq: u64, epoch: Epoch, (text, id): &Draft) -> String {
    let content = serde_json::to_string(text).expect("JSON");
    let (n, id) = (epoch.n, message_id(*id));
    format!(r#"{{"seq":{seq},"epoch":{n},"message_id":"{id}","content":{content}}}"#)
}

/// Whether a batch is those objects, whichever way it is looked at.
fn check(batch: &EntryBatch, first: u64, objects: &[String]) -> Result<(), TestCaseError> {
    prop_assert_eq!(batch.first(), Seq(first));
    prop_assert_eq!(batch.count(), objects.len() as u64);
    prop_assert_eq!(batch.last(), Seq(first + objects.len() as u64 - 1));
    let joined = objects.join(",");
    prop_assert_eq!(&batch.text()[..], joined.as_bytes());
    prop_assert_eq!(batch.bytes(), joined.len());
    let read: Vec<&str> = batch.iter().map(|entry| entry.json).collect();
    prop_assert_eq!(read, objects.iter().map(String::as_str).collect::<Vec<_>>());
    for (seq, object) in (first..).zip(objects) {
        let entry = batch.get(Seq(seq)).expect("an entry of the batch");
        prop_assert_eq!((entry.seq, entry.json), (Seq(seq), object.as_str()));
    }
    prop_assert_eq!(batch.get(batch.last().next()), None);
    prop_assert_eq!(batch.get(Seq(first - 1)), None);
    Ok(())
}

proptest! {
    #[test]
    fn entries_are_rendered_once_and_read_as_they_are(
        first in 1..Seq::MAX.0 - 9, n in 0..Epoch::MAX_N, start in any::<u128>(), drafts in drafts(8),
    ) {
        let epoch = epoch(n, start);
        let objects = objects(first, epoch, &drafts);
        let batch = built(first, epoch, &drafts);
        check(&batch, first, &objects)?;
        let read = EntryBatch::parse(batch.text().clone(), epoch).expect("entries");
        prop_assert_eq!(&read, &batch);
        prop_assert_eq!(read.text().as_ptr(), batch.text().as_ptr(), "the bytes are shared");
        for ((text, id), entry) in drafts.iter().zip(read.iter()) {
            prop_assert_eq!(entry.text(), text.as_str());
            prop_assert_eq!(entry.message_id, message_id(*id));
            prop_assert!(entry.says(&Content::from_text(text)));
        }
    }

    /// Twin: slices of a list.
    #[test]
    fn cut_and_joined_they_stay_the_same(
        first in 1..50u64, drafts in drafts(9), cuts in vec((0..60u64, 0..60u64), 0..4), parts in vec(1..5usize, 0..8),
        bytes in 0..2000usize,
    ) {
        let epoch = epoch(3, 4);
        let (mut list, mut batch) = (objects(first, epoch, &drafts), built(first, epoch, &drafts));
        let (mut begin, whole) = (first, batch.clone());
        // One piece after the other, and joined again.
        let (mut pieces, mut from) = (Vec::new(), first);
        for count in parts.into_iter().chain([usize::MAX]) {
            let last = from.saturating_add(count as u64 - 1);
            if let Some(piece) = whole.range(Seq(from), Seq(last)) {
                from = piece.last().next().0;
                pieces.push(piece);
            }
        }
        let joined = EntryBatch::concat(&pieces).expect("one piece at least");
        prop_assert_eq!(&joined, &whole);
        check(&joined, first, &list)?;
        // Ever smaller.
        for (a, b) in cuts {
            let end = begin + list.len() as u64 - 1;
            let (low, high) = (a.max(begin), b.min(end));
            let cut = batch.range(Seq(a), Seq(b));
            prop_assert_eq!(cut.is_some(), low <= high);
            let Some(cut) = cut else { continue };
            list = list[(low - begin) as usize..=(high - begin) as usize].to_vec();
            (batch, begin) = (cut, low);
            check(&batch, begin, &list)?;
        }
        let fits = |n: &usize| *n == 1 || list[..*n].join(",").len() <= bytes;
        let most = (1..=list.len()).rev().find(fits).expect("one at least");
        check(&batch.fitting(bytes), begin, &list[..most])?;
        let again = EntryBatch::parse(batch.text().clone(), epoch).expect("entries");
        prop_assert_eq!(&again, &batch, "equal is what has the same entries");
    }

    /// What is an entry all the same gets the one form in which entries are kept.
    #[test]
    fn other_ways_to_write_an_entry_are_rendered_anew(
        first in 1..1000u64, drafts in drafts(5), ways in vec(0..6u8, 1..5),
    ) {
        let epoch = epoch(7, 8);
        let expected = objects(first, epoch, &drafts);
        let other: Vec<String> = (expected.iter().enumerate()).map(|(i, object)| {
            let id = message_id(drafts[i].1).to_string();
            match ways[i % ways.len()] {
                0 => object.replacen(r#","epoch""#, r#" , "epoch""#, 1),
                1 => object.replacen('{', "{\"of_later\":{\"a\":[1,\"}\"]},", 1),
                2 => object.replacen(&id, &id.to_uppercase(), 1),
                3 => object.replacen(&id, &id.replace('-', ""), 1),
                4 => format!("\n\t{object} "),
                _ => {
                    let body = object.strip_prefix('{').expect("an object");
                    let (seq, rest) = body.split_once(',').expect("several fields");
                    format!("{{{},{seq}}}", rest.strip_suffix('}').expect("an object"))
                }
            }
        }).collect();
        let read = EntryBatch::parse(Bytes::from(other.join(",")), epoch).expect("entries");
        check(&read, first, &expected)?;
    }

    #[test]
    fn what_is_no_entry_is_refused(first in 2..1000u64, drafts in drafts(4), way in 0..13u8) {
        let epoch = epoch(7, 8);
        let good = objects(first, epoch, &drafts);
        let last = good.last().expect("one").clone();
        let content = serde_json::to_string(&drafts.last().expect("one").0).expect("JSON");
        let seq = first + good.len() as u64 - 1;
        let bad = match way {
            0 => last.replacen(&format!(r#""seq":{seq}"#), &format!(r#""seq":0{seq}"#), 1),
            1 => last.replacen(&format!(r#""seq":{seq}"#), r#""seq":0"#, 1),
            2 => last.replacen(r#""epoch":7"#, r#""epoch":8"#, 1),
            3 => last.replacen(r#""epoch":7"#, r#""epoch":07"#, 1),
            4 => last.replacen(r#""epoch":7"#, r#""epoch":"7""#, 1),
            5 => last.replacen(&content, "7", 1),
            6 => last.replacen(&content, r#"{"a":"b"}"#, 1),
            7 => last.replacen(&content, r#""\ud800""#, 1),
            8 => last.replacen(&content, "\"\u{7}\"", 1),
            9 => last.replacen(r#""message_id":""#, r#""message_id":"x"#, 1),
            10 => last[..last.len() - 1].to_owned(),
            11 => format!("{last},"),
            _ => last.replacen(&format!(r#""seq":{seq}"#), &format!(r#""seq":{}"#, seq + 1), 1),
        };
        prop_assume!(bad != last);
        let mut all = good.clone();
        *all.last_mut().expect("one") = bad.clone();
        if way == 12 && good.len() == 1 {
            return Ok(()); // a batch may begin anywhere
        }
        let read = EntryBatch::parse(Bytes::from(all.join(",")), epoch);
        prop_assert!(read.is_err(), "{bad}: {read:?}");
    }
}

/// Nobody's log gets that long; and to count on from there would not end.
#[test]
fn no_entry_lies_after_the_last_position_there_is() {
    let epoch = epoch(1, 1);
    let object = |seq: u64| object(seq, epoch, &(String::new(), 1));
    let last = EntryBatch::parse(Bytes::from(object(Seq::MAX.0)), epoch).expect("an entry");
    assert_eq!(last.last(), Seq::MAX);
    for seqs in [
        vec![Seq::MAX.0 + 1],
        vec![Seq::MAX.0, Seq::MAX.0],
        vec![u64::MAX],
    ] {
        let text = seqs.iter().map(|seq| object(*seq)).collect::<Vec<_>>();
        let read = EntryBatch::parse(Bytes::from(text.join(",")), epoch);
        assert!(
            matches!(
                read,
                Err(InvalidEntry::Order { .. } | InvalidEntry::SeqTooLarge)
            ),
            "{seqs:?}: {read:?}"
        );
    }
}

/// What a checksum has proved is taken as it is, but nothing is that would not be a batch.
#[test]
fn proved_bytes_are_the_batch_that_they_were() {
    let content = Content::from_text("a {\"},{\" b");
    let mut builder = BatchBuilder::new(Seq(7), epoch(3, 1));
    for n in 0..3 {
        builder.push(message_id(n), &content);
    }
    let batch = builder.finish().expect("entries");
    let mut end = 0;
    let ends: Vec<u32> = (batch.iter())
        .map(|entry| {
            end += u32::try_from(entry.json.len()).expect("small") + 1;
            end - 1
        })
        .collect();
    let proved = |first, n, text: &[u8], ends: &[u32]| {
        EntryBatch::proved(
            Seq(first),
            epoch(n, 1),
            Bytes::copy_from_slice(text),
            ends.to_vec(),
        )
    };
    let text = batch.text();
    let again = proved(7, 3, text, &ends).expect("the same");
    assert_eq!(again, batch);
    assert!(again.iter().eq(batch.iter()));
    assert_eq!(proved(8, 3, text, &ends), None, "of other positions");
    assert_eq!(proved(7, 4, text, &ends), None, "of another epoch");
    assert_eq!(proved(7, 3, text, &ends[..2]), None, "one too few");
    assert_eq!(proved(7, 3, b"", &[]), None);
    assert_eq!(proved(7, 3, text, &[ends[0], ends[0], ends[2]]), None);
    assert_eq!(proved(7, 3, text, &[ends[1], ends[0], ends[2]]), None);
    assert_eq!(proved(7, 3, text, &[ends[0] - 1, ends[1], ends[2]]), None);
    let mut no_text = text.to_vec();
    no_text[90] = 0xff;
    assert_eq!(proved(7, 3, &no_text, &ends), None);
}
