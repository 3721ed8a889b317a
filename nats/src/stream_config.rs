//! The stream that keeps a journal: how it is made, and what another one has to be like to be used.

use std::time::Duration;

use serde_json::{Value, json};

/// The oldest broker that has all that is needed: batched direct get, NATS ADR-31.
const MIN_VERSION: (u32, u32) = (2, 11);

/// What a stream is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StreamConfig {
    pub(crate) name: String,
    pub(crate) subject: String,
    pub(crate) replicas: usize,
}

/// What the broker's answer to a question about a stream means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StreamAnswer {
    /// The stream, whether or not it is as it should be.
    Found(Box<StreamFound>),
    /// There is none of that name.
    Missing,
    /// It was made by somebody else at the same moment, or with another configuration: look at it.
    Exists,
    /// The broker cannot do it yet; why.
    NotYet(String),
    /// It never will; why, in one line.
    Never(String),
}

/// A stream as the broker describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StreamFound {
    config: Value,
    /// The position before the first message that it can have.
    pub(crate) before: u64,
    /// Its first message.
    pub(crate) first: u64,
    /// Its last message; below the first one where it is empty.
    pub(crate) last: u64,
    /// Replicas that are up to date, the leader among them.
    pub(crate) current: usize,
    pub(crate) leader: Option<String>,
}

impl StreamConfig {
    /// What is asked to make it. Its first position is the time, in microseconds since 1970: positions of a stream that is made
    /// anew never meet those of the former one.
    pub(crate) fn to_create(&self, wall_us: u64) -> Value {
        json!({
            "name": self.name,
            "subjects": [self.subject],
            "retention": "limits",
            "max_consumers": -1,
            "max_msgs": -1,
            "max_bytes": -1,
            "max_age": 0,
            "max_msgs_per_subject": -1,
            "max_msg_size": -1,
            "discard": "new",
            "storage": "file",
            "num_replicas": self.replicas,
            "deny_delete": true,
            "deny_purge": true,
            "allow_direct": true,
            "first_seq": wall_us,
            "metadata": {"replog": "1"},
        })
    }

    /// Whether a stream can keep the journal.
    ///
    /// # Errors
    /// The first field that is otherwise: what it is, what it must be, and why.
    pub(crate) fn check(&self, found: &StreamFound) -> Result<(), String> {
        let config = &found.config;
        let wanted = [
            (
                "subjects",
                json!([self.subject]),
                "it keeps this journal and nothing else",
            ),
            ("retention", json!("limits"), "entries would vanish"),
            ("max_msgs", json!(-1), "entries would vanish"),
            ("max_age", json!(0), "entries would vanish"),
            ("max_msgs_per_subject", json!(-1), "entries would vanish"),
            ("max_msg_size", json!(-1), "chunks would be refused"),
            ("discard", json!("new"), "entries would vanish"),
            ("storage", json!("file"), "it would not outlive the broker"),
            (
                "num_replicas",
                json!(self.replicas),
                "--journal-replicas says so",
            ),
            ("deny_delete", json!(true), "entries could vanish"),
            ("deny_purge", json!(true), "entries could vanish"),
            ("allow_direct", json!(true), "it could not be followed"),
        ];
        for (field, must, why) in wanted {
            let is = config.get(field).cloned().unwrap_or(Value::Null);
            if is != must {
                let (is, must) = (shown(field, &is), shown(field, &must));
                return Err(format!("{field} is {is}, must be {must}: {why}"));
            }
        }
        let absent = [
            ("allow_rollup_hdrs", "entries could vanish"),
            ("allow_msg_ttl", "entries could vanish"),
            ("allow_msg_counter", "it takes numbers alone"),
            ("no_ack", "nobody would be told what is stored"),
            ("sealed", "it could not be written"),
            ("mirror", "it would be another's journal"),
            ("sources", "it would have chunks of others"),
            (
                "subject_transform",
                "its chunks would be on another subject",
            ),
        ];
        for (field, why) in absent {
            let is = config.get(field).unwrap_or(&Value::Null);
            let is_set = !matches!(is, Value::Null | Value::Bool(false))
                && is.as_array().is_none_or(|all| !all.is_empty());
            if is_set {
                return Err(format!("{field} is set, must not be: {why}"));
            }
        }
        if config
            .get("persist_mode")
            .is_some_and(|mode| mode == "async")
        {
            return Err(
                "persist_mode is async, must be default: what is acknowledged has to be stored"
                    .into(),
            );
        }
        if found.before < 1 << 32 {
            return Err(
                "first_seq is not the time at which it was made, in microseconds: a stream that is made anew could not be told from \
                 it; let the master make it"
                    .to_owned(),
            );
        }
        Ok(())
    }

    /// The same of a stream that is in use: how many servers keep it may be changed.
    pub(crate) fn check_while_running(&self, found: &StreamFound) -> Result<(), String> {
        let replicas = found.config.get("num_replicas").and_then(Value::as_u64);
        let now = Self {
            replicas: replicas
                .and_then(|n| usize::try_from(n).ok())
                .unwrap_or(self.replicas),
            ..self.clone()
        };
        now.check(found)
    }
}

/// A value as people read it.
fn shown(field: &str, value: &Value) -> String {
    match (field, value) {
        ("max_age", Value::Number(nanos)) => {
            let age = Duration::from_nanos(nanos.as_u64().unwrap_or(0));
            match age.as_secs() {
                0 => format!("{}", age.as_nanos()),
                secs if secs % 3600 == 0 => format!("{}h", secs / 3600),
                secs => format!("{secs}s"),
            }
        }
        (_, Value::String(text)) => text.clone(),
        (_, Value::Null) => "not set".to_owned(),
        (_, other) => other.to_string(),
    }
}

/// Reads what the broker has answered: the body, or `None` for "nobody answers such requests".
pub(crate) fn read(body: &[u8]) -> StreamAnswer {
    let answer: Value = match serde_json::from_slice(body) {
        Ok(answer) => answer,
        Err(error) => return StreamAnswer::NotYet(format!("an answer that is no JSON: {error}")),
    };
    if let Some(error) = answer.get("error") {
        return of_error(error);
    }
    if !answer["config"].is_object() {
        return StreamAnswer::NotYet("an answer that says nothing of a stream".to_owned());
    }
    let number = |of: &str| answer["state"][of].as_u64().unwrap_or(0);
    let (first, last) = (number("first_seq"), number("last_seq"));
    let made_at = answer["config"]["first_seq"].as_u64().unwrap_or(1);
    let cluster = &answer["cluster"];
    let peers = cluster["replicas"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    let is_current = |peer: &&Value| peer["current"] == true && peer["offline"] != true;
    let leader = cluster["leader"].as_str().map(str::to_owned);
    let current = peers.iter().filter(is_current).count() + usize::from(leader.is_some());
    StreamAnswer::Found(Box::new(StreamFound {
        config: answer["config"].clone(),
        before: made_at.saturating_sub(1),
        first,
        last,
        current,
        leader,
    }))
}

/// JetStream's error codes that matter (nats-server: `errors.json`).
fn of_error(error: &Value) -> StreamAnswer {
    let said = error["description"]
        .as_str()
        .unwrap_or("no reason")
        .to_owned();
    match error["err_code"].as_u64().unwrap_or(0) {
        10059 => StreamAnswer::Missing,
        10058 => StreamAnswer::Exists,
        10039 | 10076 => StreamAnswer::Never(
            "the broker has no JetStream for this user's account: start nats-server with -js, and enable it for the account".into(),
        ),
        10065 => StreamAnswer::Never(format!(
            "another stream has its subject: {said}; stop all masters, and delete that stream (nats stream rm) or give it another \
             subject (nats stream edit --subjects)"
        )),
        // Of the account's or the server's limits, and of a configuration that this version does not know.
        10052 | 10025 | 10003 => StreamAnswer::Never(format!("the broker refuses to make it: {said}")),
        _ => StreamAnswer::NotYet(said),
    }
}

/// Whether a broker of that version can keep a journal.
///
/// # Errors
/// It is too old, in one line.
pub(crate) fn check_version(version: &str) -> Result<(), String> {
    let mut parts = version
        .split(['.', '-'])
        .map_while(|part| part.parse().ok());
    match (parts.next(), parts.next()) {
        (Some(major), Some(minor)) if (major, minor) < MIN_VERSION => Err(format!(
            "the broker is nats-server {version}, but a journal in JetStream needs {}.{} or newer",
            MIN_VERSION.0, MIN_VERSION.1
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> StreamConfig {
        StreamConfig {
            name: "replog-default".into(),
            subject: "replog.default.journal".into(),
            replicas: 3,
        }
    }

    fn found(change: impl FnOnce(&mut Value)) -> StreamFound {
        let mut answer = json!({
            "config": config().to_create(1_796_052_700_637_223),
            "state": {"first_seq": 1_796_052_700_637_223u64, "last_seq": 1_796_052_700_637_230u64},
            "cluster": {"leader": "n1", "replicas": [{"name": "n2", "current": true}, {"name": "n3", "current": false}]},
        });
        change(&mut answer["config"]);
        match read(answer.to_string().as_bytes()) {
            StreamAnswer::Found(found) => *found,
            other => panic!("{other:?}"),
        }
    }

    /// Such as a chunk that comes late: its entry is an object, too.
    #[test]
    fn what_says_nothing_of_a_stream_is_none() {
        for body in [r#"{"seq":1,"content":"x"}"#, "{}", r#"{"config":null}"#] {
            assert!(
                matches!(read(body.as_bytes()), StreamAnswer::NotYet(_)),
                "{body}"
            );
        }
    }

    #[test]
    fn the_stream_that_is_made_can_be_used() {
        let found = found(|_| {});
        assert_eq!(config().check(&found), Ok(()));
        assert_eq!(found.before, 1_796_052_700_637_222);
        assert_eq!((found.current, found.leader.as_deref()), (2, Some("n1")));
    }

    #[test]
    fn each_field_that_could_lose_an_entry_is_named() {
        type Change = fn(&mut Value);
        let changes: [(Change, &str); 11] = [
            (
                |c| c["max_age"] = json!(86_400_000_000_000u64),
                "max_age is 24h, must be 0: entries would vanish",
            ),
            (
                |c| c["discard"] = json!("old"),
                "discard is old, must be new: entries would vanish",
            ),
            (
                |c| c["num_replicas"] = json!(1),
                "num_replicas is 1, must be 3: --journal-replicas says so",
            ),
            (
                |c| c["storage"] = json!("memory"),
                "storage is memory, must be file",
            ),
            (
                |c| c["deny_purge"] = Value::Null,
                "deny_purge is not set, must be true",
            ),
            (
                |c| c["subjects"] = json!(["a", "b"]),
                "subjects is [\"a\",\"b\"]",
            ),
            (
                |c| c["allow_msg_ttl"] = json!(true),
                "allow_msg_ttl is set, must not be",
            ),
            (
                |c| c["no_ack"] = json!(true),
                "no_ack is set, must not be: nobody would be told",
            ),
            (
                |c| c["allow_msg_counter"] = json!(true),
                "allow_msg_counter is set, must not be",
            ),
            (
                |c| c["persist_mode"] = json!("async"),
                "persist_mode is async",
            ),
            (|c| c["first_seq"] = json!(1), "first_seq is not the time"),
        ];
        for (change, named) in changes {
            let refused = config().check(&found(change)).unwrap_err();
            assert!(refused.starts_with(named), "{refused}");
        }
        // An operator may bound it: then it is full one day.
        assert_eq!(
            config().check(&found(|c| c["max_bytes"] = json!(1 << 30))),
            Ok(())
        );
    }

    #[test]
    fn old_brokers_are_refused() {
        for old in ["2.9.25", "2.10.0", "1.4.1"] {
            assert!(check_version(old).unwrap_err().contains(old));
        }
        for new in ["2.11.0", "2.15.1", "3.0.0-dev", "unknown"] {
            assert_eq!(check_version(new), Ok(()));
        }
    }

    #[test]
    fn errors_say_what_helps() {
        let of = |code: u64| of_error(&json!({"err_code": code, "description": "said"}));
        assert_eq!(of(10059), StreamAnswer::Missing);
        assert_eq!(of(10058), StreamAnswer::Exists);
        assert!(matches!(of(10005), StreamAnswer::NotYet(_)));
        assert!(matches!(of(10008), StreamAnswer::NotYet(_)));
        let StreamAnswer::Never(why) = of(10039) else {
            panic!("it never will");
        };
        assert!(why.contains("-js"), "{why}");
    }
}
