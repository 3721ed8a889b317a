//! A client that waits for the answer of a node.

use replog_protocol::leader::command::Waiter;
use tokio::sync::oneshot;

/// Through whom a client is answered.
#[derive(Debug)]
pub struct Client<A>(oneshot::Sender<A>);

impl<A> Client<A> {
    /// A client, and where its answer comes. Dropped unanswered, it was never taken by the node, or the node did not stop in
    /// time.
    #[must_use]
    pub fn new() -> (Self, oneshot::Receiver<A>) {
        let (sender, answer) = oneshot::channel();
        (Self(sender), answer)
    }

    /// Tells the client, if it is still there.
    pub fn answer(self, answer: A) {
        let _ = self.0.send(answer);
    }
}

impl<A> Waiter for Client<A> {
    fn has_left(&self) -> bool {
        self.0.is_closed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_hung_up_has_left() {
        let (client, answer) = Client::<()>::new();
        assert!(!client.has_left());
        drop(answer);
        assert!(client.has_left());
    }
}
