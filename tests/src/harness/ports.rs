//! Port numbers for children that are told where to listen.
//!
//! A number is taken *below* the range the kernel hands out by itself, so that while a killed child is away no outgoing
//! connection (not even one of its own clients, trying to reconnect) sits on its port. Parallel test processes keep
//! out of each other's way by a UDP socket bound to the same number: a lock that ends with the process that holds it.
//! A stranger can still be faster in the moment between the check and the child's own bind; whoever starts a child
//! looks at [`PortLease::is_free`] when it ends at once, and takes another lease.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Result, anyhow};

const FIRST: u16 = 20_000;
const COUNT: u16 = 8_000;

/// A port on 127.0.0.1 that no other lease has.
#[derive(Debug)]
pub struct PortLease {
    port: u16,
    _lock: UdpSocket,
}

impl PortLease {
    /// Leases a port that is free now.
    ///
    /// # Errors
    /// When thousands in a row are taken.
    pub fn take() -> Result<Self> {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let start = (std::process::id() % u32::from(COUNT)) as u16;
        (0..COUNT)
            .find_map(|_| {
                let step = NEXT.fetch_add(1, Ordering::Relaxed) % COUNT;
                // 61 apart for two neighbouring process ids, so that they rarely meet.
                let offset = (u32::from(start) * 61 + u32::from(step)) % u32::from(COUNT);
                Self::exactly(FIRST + offset as u16)
            })
            .ok_or_else(|| {
                anyhow!(
                    "no free port on 127.0.0.1 from {FIRST} to {}",
                    FIRST + COUNT - 1
                )
            })
    }

    /// Leases this very port, if it is free.
    #[must_use]
    pub fn exactly(port: u16) -> Option<Self> {
        let lock = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).ok()?;
        let lease = Self { port, _lock: lock };
        lease.is_free().then_some(lease)
    }

    /// Leases this port if it is free, else any.
    ///
    /// # Errors
    /// As [`PortLease::take`].
    pub fn prefer(port: u16) -> Result<Self> {
        Self::exactly(port).map_or_else(Self::take, Ok)
    }

    /// True when nobody listens on it now.
    #[must_use]
    pub fn is_free(&self) -> bool {
        TcpListener::bind(self.addr()).is_ok()
    }

    /// The number.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The number with the host.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }
}
