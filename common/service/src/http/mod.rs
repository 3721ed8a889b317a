//! HTTP: a server whose every resource is bounded, requests whose every name is checked, and the reading of a log, which is
//! the same on every node.
//!
//! | file | is |
//! |---|---|
//! | [`server`], `connection`, `addresses`, `activity`, `bounded`, `body_memory`, `waiting_room` | the loop that accepts, one task per connection, and the limits |
//! | [`calls`] | the calls of a program: its router, and the one call that is found before the router looks |
//! | [`guard`], [`origin`] | whether a request is meant for this node, and whether a page of another site makes it |
//! | [`tokens`] | who may make which calls |
//! | [`tls`] | the certificate, and the client that knows it |
//! | [`request_id`], `request_log` | the name of a request, and its line in the log |
//! | [`query`], [`body`], [`lines`], [`path`], [`fields`] | what a request says, as types; what it should not say, by name |
//! | [`accept`], [`compression`], `etag` | in which form it is answered, packed or not, or not at all because the client has it |
//! | [`answer`], `holding`, [`problem`], [`fallbacks`], [`python`], [`health`] | what is answered |
//! | [`health_stream`] | the health of a node, as it changes |
//! | [`page`] | all of that in a browser |
//! | [`openapi`] | what describes all that to programs, made from it |
//! | [`access`], [`committed`], [`reading`], `listing`, [`stream`], `event_id`, [`rollbacks`] | the log, read |

pub mod accept;
pub mod access;
mod activity;
mod addresses;
pub mod answer;
pub mod body;
mod body_memory;
mod bounded;
pub mod calls;
pub mod committed;
pub mod compression;
mod connection;
mod etag;
mod event_id;
pub mod fallbacks;
pub mod fields;
pub mod guard;
pub mod health;
pub mod health_stream;
mod holding;
pub mod lines;
mod listing;
pub mod openapi;
pub mod origin;
pub mod page;
pub mod path;
pub mod problem;
pub mod python;
pub mod query;
pub mod readiness;
pub mod reading;
pub mod request_id;
mod request_log;
pub mod rollbacks;
pub mod server;
pub mod stream;
#[cfg(test)]
mod test_log;
pub mod tls;
pub mod tokens;
mod waiting_room;
