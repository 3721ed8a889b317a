//! Prints the file `nats/accounts.conf`, as it comes with the project; with `--journal`, `nats/accounts-jetstream.conf`.

use replog_nats::Accounts;

fn main() {
    let accounts = match std::env::args().nth(1).as_deref() {
        Some("--journal") => Accounts::shipped_with_journal(),
        _ => Accounts::shipped(),
    };
    print!("{accounts}");
}
