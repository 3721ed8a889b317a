//! The `token` subcommand: makes a token, and the line of the tokens file that lets it in.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Args;

use crate::http::tls;
use crate::http::tokens::{Role, TokenDigest, is_name};

/// Random bytes of a token: far more than anybody can try.
const TOKEN_BYTES: usize = 32;
/// What a token begins with, so that it is known for one wherever it turns up.
const PREFIX: &str = "replog_";

/// The flags of the subcommand.
#[derive(Args, Clone, Debug)]
pub struct TokenArgs {
    /// What its holder may do: read (GETs), append (read, and append), admin (everything).
    #[arg(long, value_name = "ROLE", value_parser = role)]
    role: Role,
    /// Whose it is, for the log: 1 to 64 of A-Z a-z 0-9 _ . @ -.
    #[arg(long, value_name = "NAME", value_parser = name)]
    name: String,
}

fn role(text: &str) -> Result<Role, String> {
    Role::of(text).ok_or_else(|| "expected read, append or admin".to_owned())
}

fn name(text: &str) -> Result<String, String> {
    match is_name(text) {
        true => Ok(text.to_owned()),
        false => Err("expected 1 to 64 characters of A-Z a-z 0-9 _ . @ -".to_owned()),
    }
}

impl TokenArgs {
    /// A new token, and below it the line for the tokens file: nothing else, for scripts.
    ///
    /// # Errors
    /// The system has no random bytes.
    pub fn make(&self) -> Result<String, String> {
        let mut random = [0; TOKEN_BYTES];
        let filled = tls::provider().secure_random.fill(&mut random);
        filled.map_err(|_| "the system has no random bytes".to_owned())?;
        let token = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random));
        let digest = TokenDigest::of(token.as_bytes());
        let (role, name) = (self.role.as_str(), &self.name);
        Ok(format!("{token}\n{role} {name} {digest}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::tokens::Tokens;

    #[test]
    fn what_it_makes_is_taken_and_never_made_again() {
        let args = TokenArgs {
            role: Role::Append,
            name: "ci".to_owned(),
        };
        let (one, other) = (args.make().unwrap(), args.make().unwrap());
        assert_ne!(one, other);
        let (token, line) = one.split_once('\n').unwrap();
        assert!(
            token.starts_with(PREFIX) && token.len() == PREFIX.len() + 43,
            "{token}"
        );
        let digest = TokenDigest::of(token.as_bytes());
        assert_eq!(line, format!("append ci {digest}"));
        assert_eq!(Tokens::default().with_file(line).unwrap().count(), 1);
    }
}
