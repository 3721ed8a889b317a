//! The functions of the fuzz targets, without a fuzzer: with every file of their corpus, with random bytes, and with files of
//! the corpus that were changed at random.

use std::fs;
use std::path::PathBuf;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};
use replog_tests::fuzzed::{TARGETS, Target};

/// What tokens a change of an input may put there: numbers and pieces of text on which programs have failed.
const TOKENS: [&[u8]; 20] = [
    b"0",
    b"-1",
    b"1e400",
    b"9007199254740993",
    b"18446744073709551615",
    b"18446744073709551616",
    b"null",
    b"\"\"",
    b"\"\\ud800\"",
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
    b"\0",
    b"\n",
    b"%00",
    b"[",
    b"{",
    b"00000000-0000-0000-0000-000000000001",
    b"\r\n",
    b"..",
    b"\xff",
];

/// The files of a target's corpus, by their names.
fn corpus(target: &Target) -> Vec<(String, Vec<u8>)> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let dir = dir.join("fuzz/corpus").join(target.name);
    let files = fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut files: Vec<(String, Vec<u8>)> = files
        .map(|file| {
            let path = file.expect("a name").path();
            let bytes = fs::read(&path).expect("readable");
            (path.display().to_string(), bytes)
        })
        .collect();
    files.sort();
    files
}

/// One change of an input.
#[derive(Clone, Debug)]
enum Change {
    /// A byte is another one.
    Byte(Index, u8),
    /// Bytes are gone.
    Cut(Index, Index),
    /// Bytes are there twice.
    Twice(Index, Index),
    /// A token lies over what was there, or between.
    Token(Index, usize, bool),
    /// A number of the text is another one.
    Number(Index, u64),
    /// It goes on as another file does.
    Splice(Index, Index, Index),
}

fn any_change() -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    let number = prop_oneof![
        Just(0),
        Just(1),
        Just(u64::MAX),
        Just(1 << 53),
        any::<u64>()
    ];
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, byte)| Change::Byte(at, byte)),
        (at(), at()).prop_map(|(from, to)| Change::Cut(from, to)),
        (at(), at()).prop_map(|(from, to)| Change::Twice(from, to)),
        (at(), 0..TOKENS.len(), any::<bool>()).prop_map(|(at, t, over)| Change::Token(at, t, over)),
        (at(), number).prop_map(|(at, number)| Change::Number(at, number)),
        (at(), at(), at()).prop_map(|(file, from, to)| Change::Splice(file, from, to)),
    ]
}

fn changed(bytes: &[u8], change: &Change, files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let place = |index: &Index, len: usize| index.index(len + 1);
    let range = |from: &Index, to: &Index| {
        let (a, b) = (place(from, bytes.len()), place(to, bytes.len()));
        a.min(b)..a.max(b).min(a.min(b) + 4096)
    };
    match change {
        Change::Byte(at, byte) => {
            let mut bytes = bytes.to_vec();
            let at = place(at, bytes.len());
            if let Some(b) = bytes.get_mut(at) {
                *b = *byte;
            }
            bytes
        }
        Change::Cut(from, to) => {
            let range = range(from, to);
            [&bytes[..range.start], &bytes[range.end..]].concat()
        }
        Change::Twice(from, to) => {
            let range = range(from, to);
            [&bytes[..range.end], &bytes[range.start..]].concat()
        }
        Change::Token(at, token, is_over) => {
            let at = place(at, bytes.len());
            let token = TOKENS[*token];
            let rest = at + if *is_over { token.len() } else { 0 };
            [&bytes[..at], token, &bytes[rest.min(bytes.len())..]].concat()
        }
        Change::Number(at, number) => {
            let is_digit = |i: &usize| bytes[*i].is_ascii_digit();
            let digits: Vec<usize> = (0..bytes.len()).filter(is_digit).collect();
            let Some(from) = digits.get(at.index(digits.len().max(1))) else {
                return bytes.to_vec();
            };
            let end = (*from..bytes.len())
                .find(|i| !is_digit(i))
                .unwrap_or(bytes.len());
            [
                &bytes[..*from],
                number.to_string().as_bytes(),
                &bytes[end..],
            ]
            .concat()
        }
        Change::Splice(file, from, to) => {
            let (_, other) = &files[file.index(files.len())];
            [
                &bytes[..place(from, bytes.len())],
                &other[place(to, other.len())..],
            ]
            .concat()
        }
    }
}

fn runner(cases: u32) -> TestRunner {
    TestRunner::new(Config {
        cases,
        // A failure is a file of the corpus, not of proptest's own.
        failure_persistence: None,
        max_shrink_iters: 500,
        ..Config::default()
    })
}

fn stands_its_corpus(name: &str) {
    let target = by_name(name);
    let files = corpus(&target);
    assert!(files.len() >= 3, "{name} has a corpus");
    let is_stood = |bytes: &[u8]| std::panic::catch_unwind(|| (target.run)(bytes)).is_ok();
    let failed = files.iter().filter(|(_, bytes)| !is_stood(bytes));
    let failed: Vec<&str> = failed.map(|(path, _)| path.as_str()).collect();
    assert_eq!(failed, [""; 0]);
}

fn stands_anything(name: &str, cases: u32) {
    let target = by_name(name);
    let files = corpus(&target);
    let random = runner(cases).run(&vec(any::<u8>(), 0..400), |bytes| {
        (target.run)(&bytes);
        Ok(())
    });
    random.unwrap_or_else(|error| panic!("{name}: {error}"));
    let input = (any::<Index>(), vec(any_change(), 1..6));
    let mutated = runner(cases).run(&input, |(file, changes)| {
        let (_, bytes) = &files[file.index(files.len())];
        let mut bytes = bytes.clone();
        for change in &changes {
            bytes = changed(&bytes, change, &files);
        }
        let run = || (target.run)(&bytes);
        let is_fine = std::panic::catch_unwind(run).is_ok();
        prop_assert!(is_fine, "{:?}", String::from_utf8_lossy(&bytes));
        Ok(())
    });
    mutated.unwrap_or_else(|error| panic!("{name}: {error}"));
}

fn by_name(name: &str) -> Target {
    let target = TARGETS.iter().find(|target| target.name == name);
    *target.expect("a target")
}

macro_rules! targets {
    ($($name:ident: $cases:literal,)*) => {
        $(mod $name {
            #[test]
            fn stands_its_corpus() {
                super::stands_its_corpus(stringify!($name));
            }

            #[test]
            fn stands_anything() {
                super::stands_anything(stringify!($name), $cases);
            }
        })*

        #[test]
        fn every_target_is_here_and_is_a_fuzz_target() {
            let here = [$(stringify!($name)),*];
            let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets");
            let mut files: Vec<String> = fs::read_dir(dir)
                .expect("readable")
                .map(|file| file.expect("a name").path())
                .map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned())
                .collect();
            files.sort();
            assert_eq!(TARGETS.map(|target| target.name), here);
            assert_eq!(files, here);
        }
    };
}

targets! {
    frames: 300,
    http: 150,
    restored: 100,
    segments: 100,
    settings: 150,
    tokens: 500,
    values: 1000,
}
