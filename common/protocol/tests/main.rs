//! Each value of the protocol against a naive twin, and conversations of whole nodes over journals in memory.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails where it unwraps, and the helpers of tests do too"
)]

mod conversations;
mod support;
mod values;
