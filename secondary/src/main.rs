//! The program `replog-secondary`.

fn main() -> std::process::ExitCode {
    replog_secondary::main_with_args(std::env::args_os())
}
