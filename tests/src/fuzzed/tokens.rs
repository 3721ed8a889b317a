//! A tokens file, and a header that shows a token: after a line `###`.

use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderValue, Request};
use replog_service::http::tokens::{Role, TokenDigest, Tokens};

/// The longest text of why a file or a header is refused.
const MAX_REASON_BYTES: usize = 256;
/// Words of a file from that length on may be secrets in the wrong place, and are never told.
const SECRET_BYTES: usize = 24;
/// The token of the one who may do everything, beside those of the file.
const KNOWN: &str = "a-token-that-is-known";

/// Reads the file, and makes a call with the header.
///
/// # Panics
/// Where what is refused is told, or a header lets in whom neither the file nor the variable names.
pub fn run(bytes: &[u8]) {
    let mut parts = super::parts(bytes, "###");
    let file = parts.next().unwrap_or_default();
    let header = parts.next().unwrap_or_default();
    let Ok(text) = std::str::from_utf8(file) else {
        return;
    };
    let known = Tokens::default()
        .with_variable(Role::Admin, "REPLOG_TOKEN_ADMIN", KNOWN)
        .expect("one token");
    let tokens = match known.with_file(text) {
        Ok(tokens) => tokens,
        Err(wrong) => {
            let said = wrong.to_string();
            assert!(said.len() <= MAX_REASON_BYTES && !said.contains('\n'));
            let mut words = text.split_ascii_whitespace();
            let told = words.find(|word| word.len() >= SECRET_BYTES && said.contains(word));
            assert_eq!(told, None, "{said}");
            return;
        }
    };
    let lines = text.lines().count();
    assert!((1..=lines + 1).contains(&tokens.count()));
    let Ok(header) = HeaderValue::from_bytes(header) else {
        return;
    };
    let request = Request::get("/messages").header(AUTHORIZATION, &header);
    let (head, ()) = request.body(()).expect("a request").into_parts();
    let shown = header.as_bytes().get(7..).unwrap_or_default().trim_ascii();
    let digest = TokenDigest::of(shown).to_string();
    match tokens.check(&head) {
        Ok(_) => assert!(shown == KNOWN.as_bytes() || text.to_lowercase().contains(&digest)),
        Err(problem) => {
            assert!(problem.detail().len() <= MAX_REASON_BYTES);
            assert_eq!(problem.status(), 401, "whoever is known may read");
        }
    }
}
