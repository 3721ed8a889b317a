//! The functions that the fuzz targets call. They are those of the tests, which run them with the corpus alone; taken from their
//! files, so that the targets are not built with all that the tests need besides.

#[path = "../../src/fuzzed/mod.rs"]
pub mod fuzzed;
