//! The program `replog-master`.

fn main() -> std::process::ExitCode {
    replog_master::main_with_args(std::env::args_os())
}
