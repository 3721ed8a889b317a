//! What comes from outside, as bytes: for each kind a function that hands the bytes to the code that has to stand them, and
//! panics where one of these does not hold.
//!
//! * Nothing panics, nothing goes on for ever, nothing grows beyond a small multiple of what came.
//! * What is encoded is decoded to the same.
//! * What is refused changes nothing; what was acknowledged stays.
//! * What is said of what came, to a client or in the log, is short.
//!
//! The fuzz targets in `tests/fuzz` call these functions, and so does a plain test: with every file of `tests/fuzz/corpus`, and
//! with what proptest makes of those. The inputs are text where they can be, so that a case is a file that a person can write.

use std::path::PathBuf;

pub mod frames;
pub mod http;
pub mod restored;
pub mod segments;
pub mod settings;
pub mod tokens;
pub mod values;

/// One kind of input.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// What the fuzz target and the folder of its corpus are called.
    pub name: &'static str,
    /// Takes an input; panics where something is wrong.
    pub run: fn(&[u8]),
}

/// All of them.
pub const TARGETS: [Target; 7] = [
    Target {
        name: "frames",
        run: frames::run,
    },
    Target {
        name: "http",
        run: http::run,
    },
    Target {
        name: "restored",
        run: restored::run,
    },
    Target {
        name: "segments",
        run: segments::run,
    },
    Target {
        name: "settings",
        run: settings::run,
    },
    Target {
        name: "tokens",
        run: tokens::run,
    },
    Target {
        name: "values",
        run: values::run,
    },
];

/// The longest input of which all is looked at: what comes after that would only cost time.
const MAX_BYTES: usize = 256 << 10;

/// Where files of an input are put: in memory, where the machine has such a place.
fn scratch() -> PathBuf {
    let shared = PathBuf::from("/dev/shm");
    if shared.is_dir() {
        shared
    } else {
        std::env::temp_dir()
    }
}

/// The parts of an input, which a line that is `separator` stands between.
fn parts<'a>(bytes: &'a [u8], separator: &'a str) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = Some(&bytes[..bytes.len().min(MAX_BYTES)]);
    let mark = [b"\n", separator.as_bytes(), b"\n"].concat();
    std::iter::from_fn(move || {
        let all = rest?;
        let at = memchr::memmem::find(all, &mark);
        rest = at.map(|at| &all[at + mark.len()..]);
        Some(at.map_or(all, |at| &all[..at]))
    })
}

/// The lines of an input, without the `\n` between them.
fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> + Clone {
    bytes[..bytes.len().min(MAX_BYTES)].split(|b| *b == b'\n')
}
