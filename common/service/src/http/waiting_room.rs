//! Requests that wait (a POST for its write concern, a long poll, a stream) leave connections to those that do not.
//!
//! Each of them holds a connection for as long as it waits. `--max-waiting` and `--max-streams` say how many of a kind there may
//! be; this is the bound on all of them together, which follows from the connections that there may be.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::problem::Problem;
use crate::metrics::HttpLimit;

/// One connection in so many is left to requests that do not wait.
const LEFT_ONE_IN: usize = 64;

/// The places for requests that wait. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct WaitingRoom(Arc<Semaphore>);

/// The place of one request, as long as this value lives.
#[derive(Debug)]
pub struct WaitingPlace {
    _permit: OwnedSemaphorePermit,
}

impl WaitingRoom {
    /// Places for those who wait on so many connections: nearly all of them, and at least one.
    pub(super) fn within(max_connections: usize) -> Self {
        let left = (max_connections / LEFT_ONE_IN).max(1);
        let places = max_connections.saturating_sub(left).max(1);
        Self(Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS))))
    }

    /// A place.
    ///
    /// # Errors
    /// 503 where all are taken.
    pub(super) fn take(&self) -> Result<WaitingPlace, Problem> {
        match Arc::clone(&self.0).try_acquire_owned() {
            Ok(permit) => Ok(WaitingPlace { _permit: permit }),
            Err(_) => Err(Problem::unavailable(
                "too_many_waiting",
                "nothing was changed: so many requests wait that hardly a connection is left to those that do not",
            )
            .at_limit(HttpLimit::WaitingConnections)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_wait_leave_connections_to_others() {
        for (connections, places) in [
            (0, 1),
            (1, 1),
            (2, 1),
            (20, 19),
            (960, 945),
            (10_240, 10_080),
        ] {
            let room = WaitingRoom::within(connections);
            let mut waiting: Vec<_> = (0..places).map(|_| room.take().unwrap()).collect();
            let refused = room.take().unwrap_err();
            assert_eq!(
                (refused.status().as_u16(), refused.reason()),
                (503, "too_many_waiting")
            );
            waiting.pop();
            assert!(
                room.take().is_ok(),
                "the place of {connections} is given back"
            );
        }
    }
}
