//! How fast it is, on this machine and beside a bare HTTP server: `cargo run --release --bin bench`. See `--help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    replog_tests::harness::hidden::run_if_child()
        .or_else(replog_tests::bench::bare::run_if_child)
        .unwrap_or_else(replog_tests::bench::main)
}
