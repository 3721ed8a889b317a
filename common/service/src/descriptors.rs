//! Open files: connections never take the descriptors that the broker's link, the log and the data files need.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that no connection takes: for the broker's link, the log, data files, credentials that are read again.
pub const RESERVE: u64 = 64;

/// Raises the soft limit of open files to the hard limit, and says how many may be open from now on; `None` for no limit.
/// A system that refuses leaves the limit as it was.
#[must_use]
pub fn raise_limit() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    // Some systems take no "unlimited" here: then the soft limit stays.
    let _ = setrlimit(Resource::Nofile, raised);
    getrlimit(Resource::Nofile).current
}

/// As many connections as are `wanted`, if `limit` descriptors leave room for them beside [`RESERVE`]; at least one.
#[must_use]
pub fn connections_within(wanted: usize, limit: Option<u64>) -> usize {
    let left = limit.map_or(u64::MAX, |limit| limit.saturating_sub(RESERVE).max(1));
    wanted.min(usize::try_from(left).unwrap_or(usize::MAX))
}

/// As many streams as are `wanted`, if they leave half of the connections to those who append; at least one.
#[must_use]
pub fn streams_within(wanted: usize, connections: usize) -> usize {
    wanted.min(connections.div_ceil(2)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_the_reserve() {
        assert_eq!(connections_within(10_240, None), 10_240);
        assert_eq!(connections_within(10_240, Some(1 << 20)), 10_240);
        assert_eq!(connections_within(10_240, Some(1_024)), 960);
        assert_eq!(connections_within(20, Some(1_024)), 20);
        assert_eq!(connections_within(20, Some(10)), 1);
    }

    #[test]
    fn streams_leave_half_of_the_connections() {
        assert_eq!(streams_within(1_024, 10_240), 1_024);
        assert_eq!(streams_within(1_024, 960), 480);
        assert_eq!(streams_within(1_024, 1), 1);
    }

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        let raised = raise_limit();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(raised, limit.current);
        assert!(limit.maximum.is_none() || limit.current == limit.maximum);
    }
}
