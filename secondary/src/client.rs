//! A client that waits for the follower's answer.

use tokio::sync::oneshot;

use crate::faulty::Answer;

/// Through whom a client is answered.
#[derive(Debug)]
pub struct Client(oneshot::Sender<Answer>);

impl Client {
    /// A client, and where its answer comes. Dropped unanswered, it was never taken by the follower, or the follower did not
    /// stop in time.
    #[must_use]
    pub fn new() -> (Self, oneshot::Receiver<Answer>) {
        let (sender, answer) = oneshot::channel();
        (Self(sender), answer)
    }

    /// Tells the client, if it is still there.
    pub fn answer(self, answer: Answer) {
        let _ = self.0.send(answer);
    }
}
