//! What work has to queue for: a processor, and a line between two places.

use std::time::Duration;

/// One that does one thing at a time, in the order in which they came.
#[derive(Clone, Debug, Default)]
pub(super) struct Server {
    /// When it has done all that has come so far.
    pub(super) free_at: Duration,
    /// How long it has worked.
    pub(super) busy: Duration,
    /// How many things it has done.
    pub(super) served: u64,
    /// The longest time that something has waited for its turn.
    pub(super) longest_wait: Duration,
}

impl Server {
    /// Something comes that takes so long: when it is done.
    pub(super) fn serve(&mut self, now: Duration, takes: Duration) -> Duration {
        let begins = self.free_at.max(now);
        self.longest_wait = self.longest_wait.max(begins - now);
        self.free_at = begins + takes;
        self.busy += takes;
        self.served += 1;
        self.free_at
    }

    /// From here on [`Server::busy`], [`Server::served`] and [`Server::longest_wait`] count anew.
    pub(super) fn forget(&mut self) {
        *self = Self {
            free_at: self.free_at,
            ..Self::default()
        };
    }
}

/// One direction of a line: what is sent waits until what was sent before has left, and is on its way for the latency.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// What is being sent.
    pub(super) sender: Server,
    /// From one end to the other.
    latency: Duration,
    bytes_per_second: f64,
}

impl Line {
    /// One that takes that long, one way, and so many megabits a second.
    #[must_use]
    pub(super) fn new(latency: Duration, megabits: f64) -> Self {
        Self {
            sender: Server::default(),
            latency,
            bytes_per_second: megabits * 1e6 / 8.0,
        }
    }

    /// So many bytes are sent: when they are at the other end.
    pub(super) fn send(&mut self, now: Duration, bytes: usize) -> Duration {
        let takes = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second);
        self.sender.serve(now, takes) + self.latency
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_while_another_is_served_waits_for_it() {
        let ms = Duration::from_millis;
        let mut server = Server::default();
        assert_eq!(server.serve(ms(1), ms(10)), ms(11));
        assert_eq!(server.serve(ms(5), ms(10)), ms(21));
        assert_eq!(server.serve(ms(30), ms(10)), ms(40));
        assert_eq!((server.busy, server.longest_wait), (ms(30), ms(6)));
    }

    #[test]
    fn a_line_is_bound_by_its_bandwidth_and_late_by_its_latency() {
        let mut line = Line::new(Duration::from_millis(40), 8.0);
        assert_eq!(
            line.send(Duration::ZERO, 1_000_000),
            Duration::from_millis(1040)
        );
        assert_eq!(
            line.send(Duration::ZERO, 500_000),
            Duration::from_millis(1540)
        );
    }
}
