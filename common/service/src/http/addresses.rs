//! How many connections each client address has.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Counts the connections of each address, as far as that is limited.
#[derive(Clone, Debug, Default)]
pub(super) struct Addresses {
    /// Connections of one address, at most; `None` counts nothing.
    most: Option<usize>,
    /// As many keys as there are connections, at most.
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// One of the connections that an address may have, as long as this value lives.
#[derive(Debug)]
pub(super) struct Place(Option<(IpAddr, Addresses)>);

impl Addresses {
    /// So many connections for each address, at least 1.
    pub(super) fn new(most: Option<usize>) -> Self {
        Self {
            most: most.map(|most| most.max(1)),
            open: Arc::default(),
        }
    }

    /// Room for one more connection of that address, if there is any.
    pub(super) fn take(&self, address: IpAddr) -> Option<Place> {
        let Some(most) = self.most else {
            return Some(Place(None));
        };
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = open.entry(address).or_default();
        if *taken >= most {
            return None;
        }
        *taken += 1;
        Some(Place(Some((address, self.clone()))))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some((address, addresses)) = self.0.take() else {
            return;
        };
        let open = addresses.open.lock();
        let mut open = open.unwrap_or_else(PoisonError::into_inner);
        if let Some(taken) = open.get_mut(&address) {
            *taken -= 1;
            if *taken == 0 {
                open.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_its_own_places_and_gets_them_back() {
        let addresses = Addresses::new(Some(2));
        let (one, other): (IpAddr, IpAddr) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        let first = addresses.take(one).unwrap();
        let second = addresses.take(one);
        assert!(second.is_some() && addresses.take(one).is_none());
        assert!(addresses.take(other).is_some());
        drop(first);
        assert!(addresses.take(one).is_some(), "and given back at once");
        drop(second);
        assert!(addresses.open.lock().unwrap().is_empty());
        let uncounted = Addresses::new(None);
        let places: Vec<Place> = (0..1000).filter_map(|_| uncounted.take(one)).collect();
        assert_eq!(places.len(), 1000);
        assert!(uncounted.open.lock().unwrap().is_empty());
    }
}
