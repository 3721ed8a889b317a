//! What a whole cluster does, as processes around a real nats-server: one module a behaviour.
//!
//! One binary, so that the harness is linked once; the tests share nothing and run side by side.

mod acceptance;
mod away;
mod batch;
mod broker;
mod brokers;
mod bulk;
mod clear;
mod committed;
mod connections;
mod copies;
mod curl;
mod directories;
mod disk;
mod duplicates;
mod hostile;
mod killed;
mod late;
mod lies;
mod masters;
mod names;
mod nodes;
mod order;
mod pages;
mod pause;
mod permissions;
mod reading;
mod reborn;
mod recovery;
mod refusals;
mod replay;
mod restored;
mod rolled_back;
mod rot;
mod settings;
mod stopping;
mod streams;
mod support;
mod timeouts;
mod traffic;
mod unknown;
mod versions;
mod waiting;
mod watch;
mod write_concern;
