//! The schema of a string that is one of some words, where the code has the words as `&'static str`.

use utoipa::openapi::schema::{Object, ObjectBuilder, Type};

/// One of these words.
#[must_use]
pub fn one_of(words: &'static [&'static str]) -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(words.iter().copied()))
        .build()
}
