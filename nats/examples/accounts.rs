//! Prints the file `nats/accounts.conf`, as it comes with the project.

use replog_nats::Accounts;

fn main() {
    print!("{}", Accounts::shipped());
}
