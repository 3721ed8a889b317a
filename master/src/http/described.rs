//! Schemas of what appends read and answer, where one derived from a type would say too little.

use std::borrow::Cow;

use replog_protocol::ids::{MessageId, Seq};
use serde::{Deserialize, Serialize};
use utoipa::openapi::schema::{ArrayBuilder, KnownFormat, ObjectBuilder, OneOfBuilder, Type};
use utoipa::openapi::{Ref, RefOr, Schema, SchemaFormat};
use utoipa::{PartialSchema, ToSchema};

use super::append::Replicated;
use super::batch::{BatchReplicated, MAX_MESSAGES};
use super::bulk::Loaded;
use super::parse::{BatchElement, LoadLine, MessageBody};

/// How many nodes, in a body: a number, a string with one, `"majority"`, `"all"`; null is absent.
pub(super) fn nodes() -> Schema {
    let number = ObjectBuilder::new()
        .schema_type(Type::Integer)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::UInt32)))
        .minimum(Some(1))
        .maximum(Some(u32::MAX));
    let word = ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some("^([1-9][0-9]{0,8}|majority|all)$"));
    OneOfBuilder::new()
        .item(ObjectBuilder::new().schema_type(Type::Null))
        .item(number)
        .item(word)
        .description(Some(
            "How many nodes, the master included, are to hold the message before it is answered: a number from 1, `\"majority\"` \
             or `\"all\"`.",
        ))
        .examples([1])
        .build()
        .into()
}

/// What `POST /messages` takes as JSON: one message, or a batch of which all is appended or nothing.
pub(super) struct MessageOrBatch;

impl PartialSchema for MessageOrBatch {
    fn schema() -> RefOr<Schema> {
        let messages = Ref::from_schema_name(BatchElement::name());
        let batch = ArrayBuilder::new()
            .items(messages)
            .min_items(Some(1))
            .max_items(Some(MAX_MESSAGES))
            .description(Some("A batch; what is asked of it is in the parameters."));
        OneOfBuilder::new()
            .item(Ref::from_schema_name(MessageBody::name()))
            .item(batch)
            .into()
    }
}

impl ToSchema for MessageOrBatch {
    fn name() -> Cow<'static, str> {
        "MessageOrBatch".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((MessageBody::name().into(), MessageBody::schema()));
        schemas.push((BatchElement::name().into(), BatchElement::schema()));
    }
}

/// What `POST /messages` takes as lines.
pub(super) struct LoadLines;

impl PartialSchema for LoadLines {
    fn schema() -> RefOr<Schema> {
        ArrayBuilder::new()
            .items(Ref::from_schema_name(LoadLine::name()))
            .min_items(Some(1))
            .description(Some(
                "A bulk load: JSON objects, one a line. The schema is that of all lines as an array.",
            ))
            .into()
    }
}

impl ToSchema for LoadLines {
    fn name() -> Cow<'static, str> {
        "LoadLines".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((LoadLine::name().into(), LoadLine::schema()));
    }
}

/// What `POST /messages` answers with.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[expect(
    dead_code,
    reason = "only described: each is answered by the module that makes it"
)]
pub(super) enum Appending<'a> {
    /// To one message.
    Message(Replicated<'a>),
    /// To a batch.
    Batch(BatchReplicated),
    /// To a bulk load.
    Load(Loaded),
}

/// One entry and who holds it: the bytes of the two are joined.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only described")]
pub(super) struct HeldEntry {
    /// Its position: 1, 2, 3 …
    #[schema(value_type = u64, minimum = 1, example = 1)]
    seq: Seq,
    /// The number of the leadership that placed it.
    #[schema(example = 1)]
    epoch: u64,
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    message_id: MessageId,
    /// What was appended.
    #[schema(example = "hello")]
    content: String,
    /// How many nodes hold it, as far as the master knows.
    #[schema(minimum = 1, example = 2)]
    acks: u32,
    /// Which ones; the master is `master`.
    #[schema(example = json!(["master", "secondary1"]))]
    acked_by: Vec<String>,
}
