//! The master as a value.
pub mod backoff;
pub mod command;
pub mod health;
