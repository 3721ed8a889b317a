use axum::http::Request;

use super::*;

fn head(method: &str, path: &str, authorization: &[&str]) -> Parts {
    let mut request = Request::builder().method(method).uri(path);
    for value in authorization {
        request = request.header(AUTHORIZATION, *value);
    }
    request.body(()).unwrap().into_parts().0
}

/// A token for each role, which is its own name with a number behind it.
fn tokens() -> Tokens {
    let line = |role: Role| {
        let token = format!("{}-1", role.as_str());
        format!(
            "{} its-{} {}\n",
            role.as_str(),
            role.as_str(),
            TokenDigest::of(token.as_bytes())
        )
    };
    let text: String = Role::ALL.map(line).concat();
    Tokens::default().with_file(&text).unwrap()
}

fn status(method: &str, path: &str, authorization: &[&str]) -> (u16, &'static str) {
    match tokens().check(&head(method, path, authorization)) {
        Ok(_) => (200, ""),
        Err(problem) => (problem.status().as_u16(), problem.reason()),
    }
}

#[test]
fn each_role_may_do_what_it_is_there_for_and_no_more() {
    for (method, path, needed) in [
        ("GET", "/messages", Role::Read),
        ("HEAD", "/messages", Role::Read),
        ("OPTIONS", "/messages", Role::Read),
        ("GET", "/messages/stream", Role::Read),
        ("GET", "/health", Role::Read),
        ("GET", "/metrics", Role::Read),
        ("GET", "/openapi.json", Role::Read),
        ("GET", "/backup", Role::Read),
        ("GET", "/no/such/path", Role::Read),
        ("POST", "/messages", Role::Append),
        ("POST", "/messages?w=2", Role::Append),
        ("POST", "/append", Role::Append),
        ("POST", "/messages/", Role::Admin),
        ("POST", "//messages", Role::Admin),
        ("POST", "/%6dessages", Role::Admin),
        ("POST", "/clear", Role::Admin),
        ("POST", "/rejoin", Role::Admin),
        ("POST", "/", Role::Admin),
        ("POST", "/livez", Role::Admin),
        ("PUT", "/messages", Role::Admin),
        ("PUT", "/faults", Role::Admin),
        ("DELETE", "/members/a", Role::Admin),
        ("ANYTHING", "/messages", Role::Admin),
    ] {
        assert_eq!(
            status(method, path, &[]),
            (401, "missing_token"),
            "{method} {path}"
        );
        for role in Role::ALL {
            let bearer = format!("Bearer {}-1", role.as_str());
            let expected = match role >= needed {
                true => (200, ""),
                false => (403, "insufficient_role"),
            };
            assert_eq!(
                status(method, path, &[&bearer]),
                expected,
                "{method} {path} {bearer}"
            );
        }
    }
}

#[test]
fn whether_it_lives_and_the_page_are_open_to_read_and_a_wrong_token_does_no_harm_there() {
    for path in ["/", "/livez", "/readyz", "/readyz?verbose"] {
        for method in ["GET", "HEAD", "OPTIONS"] {
            assert_eq!(status(method, path, &[]).0, 200, "{method} {path}");
            assert_eq!(
                status(method, path, &["Bearer x"]).0,
                200,
                "{method} {path}"
            );
        }
    }
}

#[test]
fn only_one_token_in_the_right_header_counts() {
    for (authorization, expected) in [
        (&["Bearer read-1"][..], (200, "")),
        (&["bearer   read-1 "], (200, "")),
        (&["Bearer read-2"], (401, "wrong_token")),
        (&["Bearer read-11"], (401, "wrong_token")),
        (&["Bearer read"], (401, "wrong_token")),
        (&["Bearer "], (401, "missing_token")),
        (&["Bearer"], (401, "missing_token")),
        (&["read-1"], (401, "missing_token")),
        (&["Basic cmVhZC0x"], (401, "missing_token")),
        (&["Bearer read-1", "Bearer admin-1"], (401, "missing_token")),
        (&[""], (401, "missing_token")),
    ] {
        assert_eq!(
            status("GET", "/messages", authorization),
            expected,
            "{authorization:?}"
        );
    }
    // The digest is no token: whoever reads the file cannot make calls with it.
    let digest = format!("Bearer {}", TokenDigest::of(b"admin-1"));
    assert_eq!(status("GET", "/messages", &[&digest]), (401, "wrong_token"));
}

#[test]
fn the_name_of_the_holder_is_told_and_what_is_missing_in_the_words_of_the_rfc() {
    let tokens = tokens();
    let name = tokens
        .check(&head("GET", "/health", &["Bearer admin-1"]))
        .unwrap();
    assert_eq!(name.as_deref(), Some("its-admin"));
    let problem = tokens
        .check(&head("PUT", "/faults", &["Bearer append-1"]))
        .unwrap_err();
    let expected = "the token its-append may append, and this call needs the role admin";
    assert_eq!(problem.detail(), expected);
    assert_eq!(
        problem.challenge().unwrap(),
        r#"Bearer realm="replog", error="insufficient_scope", scope="admin""#
    );
    let problem = tokens
        .check(&head("GET", "/health", &["Bearer secret"]))
        .unwrap_err();
    assert!(!format!("{problem:?}").contains("secret"), "{problem:?}");
    assert!(!format!("{tokens:?}").contains(&TokenDigest::of(b"admin-1").to_string()));
}

#[test]
fn a_file_that_is_wrong_is_refused_by_its_line_and_nothing_of_it_is_told() {
    let (one, two) = (TokenDigest::of(b"1"), TokenDigest::of(b"2"));
    let upper = one.to_string().to_uppercase();
    let right = format!("# who may what\n\n  \nread a {one}\r\n\tadmin b.c@d-e_1   {two}  \n");
    assert_eq!(Tokens::default().with_file(&right).unwrap().count(), 2);
    assert_eq!(
        Tokens::default()
            .with_file(&format!("read a {upper}"))
            .unwrap()
            .count(),
        1
    );
    assert_eq!(Tokens::default().with_file("").unwrap().count(), 0);
    for (text, expected) in [
        (
            format!("reed a {one}"),
            "expected in line 1 read, append or admin first".to_owned(),
        ),
        (
            "a-secret-in-the-wrong-place".to_owned(),
            "expected in line 1 read, append or admin first".to_owned(),
        ),
        (
            format!("read a {one}\n\nadmin a {two}"),
            "expected in line 3 another name than in line 1: each name once".to_owned(),
        ),
        (
            format!("read a {one}\nadmin b {upper}"),
            "expected in line 2 another token than in line 1: each token once".to_owned(),
        ),
        (
            format!("read a {one} {two}"),
            "expected in line 1 three words: a role, a name and a SHA-256".to_owned(),
        ),
        (
            "#\nread a a-secret-in-the-wrong-place".to_owned(),
            "expected in line 2 the SHA-256 of the token after the name: 64 hexadecimal digits"
                .to_owned(),
        ),
        (
            format!("read a {}", &one.to_string()[1..]),
            "expected in line 1 the SHA-256 of the token after the name: 64 hexadecimal digits"
                .to_owned(),
        ),
        (
            "read".to_owned(),
            "expected in line 1 a name after the role: 1 to 64 characters of A-Z a-z 0-9 _ . @ -"
                .to_owned(),
        ),
        (
            format!("read a/b {one}"),
            "expected in line 1 a name after the role: 1 to 64 characters of A-Z a-z 0-9 _ . @ -"
                .to_owned(),
        ),
    ] {
        let wrong = Tokens::default().with_file(&text).unwrap_err();
        assert_eq!(wrong.to_string(), expected, "{text}");
    }
}

#[test]
fn a_variable_and_a_file_have_no_token_in_common() {
    let tokens = Tokens::default().with_variable(Role::Read, "REPLOG_TOKEN_READ", "x");
    let tokens = tokens.unwrap();
    let same = tokens
        .clone()
        .with_variable(Role::Admin, "REPLOG_TOKEN_ADMIN", "x");
    assert_eq!(
        same.unwrap_err().to_string(),
        "expected another token than that of REPLOG_TOKEN_READ: each token once"
    );
    let same = tokens
        .clone()
        .with_file(&format!("admin a {}", TokenDigest::of(b"x")));
    assert_eq!(
        same.unwrap_err().to_string(),
        "expected in line 1 another token than that of REPLOG_TOKEN_READ: each token once"
    );
    let named = tokens.clone().with_file(&format!(
        "admin REPLOG_TOKEN_READ {}",
        TokenDigest::of(b"y")
    ));
    assert_eq!(
        named.unwrap_err().to_string(),
        "expected in line 1 another name than REPLOG_TOKEN_READ: each name once"
    );
    for wrong in ["", "a b", "a\n", "\u{e9}"] {
        let wrong = tokens
            .clone()
            .with_variable(Role::Admin, "REPLOG_TOKEN_ADMIN", wrong);
        assert_eq!(
            wrong.unwrap_err().to_string(),
            "expected visible ASCII characters without blanks"
        );
    }
}
