//! Single values from settings, headers and files: each line of the input is taken for a value of every kind.

use bytes::Bytes;
use replog_nats::{BrokerUrl, Subjects, without_user_info};
use replog_protocol::entry::{Content, EntryBatch};
use replog_protocol::event::Event;
use replog_protocol::hard_state::HardState;
use replog_protocol::ids::{Epoch, MasterId, MessageId, NodeId};
use replog_protocol::node_url::NodeUrl;
use replog_protocol::request_id::RequestId;
use replog_protocol::write_concern::WriteConcern;
use replog_service::http::origin::{Authority, Origin};
use replog_service::http::python::push_repr;
use replog_service::settings::values;
use serde_json::value::RawValue;

/// The longest text of why a value is refused.
const MAX_REASON_BYTES: usize = 512;

/// Takes each line for a value of every kind.
///
/// # Panics
/// Where a value is not what it was made of, or a refusal is long.
pub fn run(bytes: &[u8]) {
    for line in super::lines(bytes) {
        json(line);
        if let Ok(text) = std::str::from_utf8(line) {
            names(text);
            addresses(text);
            numbers(text);
        }
    }
}

fn is_short<T>(result: Result<T, impl std::fmt::Display>) -> Option<T> {
    result
        .map_err(|error| {
            let said = error.to_string();
            assert!(said.len() <= MAX_REASON_BYTES, "{said:.600}");
            assert!(!said.contains('\n'), "one line: {said:?}");
        })
        .ok()
}

fn names(text: &str) {
    if let Some(node) = is_short(text.parse::<NodeId>()) {
        assert_eq!(node.as_str(), text);
        assert!(is_short(values::subject_token(text)).is_some());
    }
    if let Some(token) = is_short(values::subject_token(text)) {
        let subjects = Subjects::of(&token);
        assert_eq!(subjects.parse(text), None, "no token is a subject");
    }
    if let Some(address) = Subjects::of("default").parse(text) {
        let name = Subjects::of("default").name(&address);
        let again = Subjects::of("default").parse(&name);
        assert_eq!(again, Some(address), "{name}");
    }
    if let Some(id) = is_short(MessageId::parse(text)) {
        assert_eq!(MessageId::parse(&id.to_string()), Ok(id));
        assert_eq!(MessageId::from_key(text), id);
    }
    if let Some(id) = RequestId::new(text) {
        assert_eq!(id.as_str(), text);
        assert!(text.len() <= 128 && text.bytes().all(|b| b.is_ascii_graphic()));
    }
    if let Some(w) = is_short(text.parse::<WriteConcern>()) {
        assert_eq!(w == WriteConcern::All, text == "all");
    }
    let mut repr = String::new();
    push_repr(&mut repr, text);
    assert!(repr.len() <= 10 * text.len() + 2);
    assert!(!repr.contains(['\n', '\r']), "one line");
}

fn addresses(text: &str) {
    if let Some(url) = NodeUrl::new(text) {
        assert_eq!(url.as_str(), text);
    }
    if let Some(url) = is_short(values::node_url(text)) {
        let origin = url.as_str().parse::<Origin>();
        assert!(origin.is_ok(), "{url} is an origin");
        assert_eq!(values::node_url(url.as_str()), Ok(url));
    }
    if let Some(addr) = is_short(text.parse::<values::HttpAddr>()) {
        assert_eq!(addr.to_string().parse(), Ok(addr.clone()));
        let _ = (addr.reachable(), addr.url("http", 8000));
    }
    // A name without its last label is none that anybody has, and not worth a refusal.
    let is_named = |authority: &Authority<'_>| !authority.host.to_string().ends_with('.');
    if let Some(authority) = Authority::parse(text).filter(is_named) {
        let host = authority.host.to_string();
        let again = Authority::parse(&host).expect("a host is an authority");
        assert!(again.host.to_owned().is(&authority.host), "{host}");
    }
    let origin = is_short(text.parse::<Origin>());
    if let Some(origin) = origin.filter(|origin| !origin.host().to_string().ends_with('.')) {
        let host = origin.host().to_string();
        assert!(Authority::parse(&host).is_some_and(|a| origin.host().is(&a.host)));
    }
    let hidden = without_user_info(text);
    // What is hidden of a part is shown as one character of three bytes.
    let parts = text.split(',').count();
    assert!(hidden.len() <= text.len() + 2 * parts);
    if let Some(url) = is_short(text.parse::<BrokerUrl>()) {
        let again: BrokerUrl = url.address().parse().expect("an address");
        assert_eq!(again.address(), url.address());
        assert!(
            again.user_info().is_none(),
            "nobody is in {}",
            url.address()
        );
        assert!(!hidden.contains('@'), "{hidden}");
    }
}

fn numbers(text: &str) {
    if let Some(duration) = is_short(values::duration(text)) {
        let millis = format!("{}ms", duration.as_millis());
        assert_eq!(values::duration(&millis), Ok(duration));
    }
    if let Some(interval) = is_short(values::heartbeat_interval(text)) {
        assert_eq!(values::duration(text), Ok(interval));
    }
    if let Some(bytes) = is_short(values::size_bytes(text)) {
        assert_eq!(values::size_bytes(&format!("{bytes}B")), Ok(bytes));
    }
    if let Some(rate) = is_short(values::rate(text)) {
        assert!((0.0..=1.0).contains(&rate));
    }
    if let Some(count) = is_short(values::count(text)) {
        assert!(count > 0);
    }
    if let Some(threads) = is_short(values::threads(text)) {
        assert!((1..=64).contains(&threads));
    }
    let _ = is_short(values::fsync(text));
}

/// Entries, contents, events and what is stored.
fn json(line: &[u8]) {
    let bytes = Bytes::copy_from_slice(line);
    let epoch = Epoch::new(1, MasterId::default()).expect("in range");
    if let Some(batch) = is_short(EntryBatch::parse(bytes.clone(), epoch)) {
        let again = EntryBatch::parse(batch.text().clone(), epoch);
        assert_eq!(again.as_ref(), Ok(&batch), "what is kept is read");
        assert_eq!(batch.iter().count() as u64, batch.count());
        let list: Vec<serde_json::Value> =
            serde_json::from_slice(&[b"[", &batch.text()[..], b"]"].concat()).expect("JSON");
        for (entry, value) in batch.iter().zip(&list) {
            assert_eq!(value["content"], *entry.text());
            assert_eq!(value["seq"], entry.seq.0);
        }
        let ends: Vec<u32> = (batch.objects())
            .scan(0, |end, object| {
                *end += object.len() as u32 + 1;
                Some(*end - 1)
            })
            .collect();
        let proved = EntryBatch::proved(batch.first(), epoch, batch.text().clone(), ends);
        assert_eq!(proved, Some(batch));
    }
    let raw = serde_json::from_slice::<Box<RawValue>>(line);
    if let Ok(content) = raw.and_then(|raw| Content::from_json(&raw)) {
        let text = content.text().into_owned();
        assert_eq!(Content::from_text(&text).text(), text);
        let value: String = serde_json::from_str(content.json()).expect("a string");
        assert_eq!(value, text);
    }
    let _ = Event::decode(line);
    if let Ok(state) = serde_json::from_slice::<HardState>(line) {
        let text = serde_json::to_vec(&state).expect("always JSON");
        let again: HardState = serde_json::from_slice(&text).expect("what is stored is read");
        assert_eq!(again, state);
    }
}
