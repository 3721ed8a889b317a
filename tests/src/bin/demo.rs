//! The whole cluster on one machine, without Docker: `cargo run --release --bin demo`. See `--help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    replog_tests::harness::hidden::run_if_child()
        .or_else(replog_tests::bench::child::run_if_child)
        .unwrap_or_else(replog_tests::demo::main)
}
