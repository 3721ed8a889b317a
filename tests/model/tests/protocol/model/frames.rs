//! The messages of a model, each of them once, with a number.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::sync::Arc;

use replog_protocol::wire::{Address, Message};

use super::network::Network;
use replog_model::cluster::{Fingerprinter, fingerprint};

/// A message under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Frame {
    /// Where to; which append an ACK answers makes no difference.
    pub(crate) to: Address,
    pub(crate) message: Message,
}

/// All messages that were ever sent in any state.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    frames: Vec<Arc<Frame>>,
    numbers: HashMap<u64, u32, BuildHasherDefault<Fingerprinter>>,
}

impl Frames {
    /// The number of that message.
    pub(crate) fn number(&mut self, frame: Frame) -> u32 {
        let next = u32::try_from(self.frames.len()).expect("fewer messages than that");
        let number = self.numbers.entry(fingerprint(&frame)).or_insert(next);
        if *number == next {
            self.frames.push(Arc::new(frame));
        }
        *number
    }

    /// The message with that number.
    pub(crate) fn get(&self, number: u32) -> &Arc<Frame> {
        &self.frames[number as usize]
    }

    /// Those messages.
    pub(crate) fn all<'a>(&'a self, network: &'a Network) -> impl Iterator<Item = &'a Frame> {
        network.iter().map(|number| &**self.get(number))
    }
}
