//! How many connections a port takes. A connection costs a descriptor and some
//! memory even if it says nothing, so their number is bounded; those beyond it
//! are told so, and are few and short-lived.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::time::{Duration, Instant};

/// Connections beyond the limit that are being told so at one time; further ones
/// are closed without a word.
const REFUSED: usize = 16;
/// How often at most a log line tells of them.
const TELL: Duration = Duration::from_secs(1);

/// How many connections the ports of a server take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// From clients, and facades.
    pub clients: usize,
    /// From other nodes.
    pub peers: usize,
    /// From operators and commands.
    pub admin: usize,
    /// For probes and metrics.
    pub http: usize,
}

impl ConnectionLimits {
    /// What is derived from the limit of descriptors: a half for clients (4,096 at
    /// most), an eighth for peers, a thirty-second each for the others. The rest is
    /// for files, and for connections that this process opens.
    pub fn of(descriptors: u64) -> Self {
        let part = |of: u64, least: u64, most: u64| (descriptors / of).clamp(least, most) as usize;
        Self {
            clients: part(2, 16, 4_096),
            peers: part(8, 16, 512),
            admin: part(32, 8, 64),
            http: part(32, 8, 64),
        }
    }

    /// The same with another limit for clients, if one is given.
    pub fn with_clients(self, clients: Option<usize>) -> Self {
        Self { clients: clients.unwrap_or(self.clients), ..self }
    }
}

/// The connections of one port.
#[derive(Debug)]
pub(crate) struct Gate {
    /// Whose connections, for people: for instance "client".
    whose: &'static str,
    limit: usize,
    open: Arc<AtomicUsize>,
    refused: Arc<AtomicUsize>,
    told: Option<Instant>,
}

/// What becomes of a new connection.
#[derive(Debug)]
pub(crate) enum ConnectionAdmission {
    /// It is served, until the place is dropped.
    Served(Place),
    /// It is told why not, and closed.
    Refused(Place, String),
    /// It is closed.
    Closed,
}

/// A connection's place among those that are open.
#[derive(Debug)]
pub(crate) struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(count: &Arc<AtomicUsize>, limit: usize) -> Option<Self> {
        let before = count.fetch_add(1, Ordering::Relaxed);
        let place = Self(count.clone());
        (before < limit).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Gate {
    pub(crate) fn new(whose: &'static str, limit: usize) -> Self {
        let (open, refused) = Default::default();
        Self { whose, limit, open, refused, told: None }
    }

    /// Lets one more connection in, or not.
    pub(crate) fn admit(&mut self) -> ConnectionAdmission {
        if let Some(place) = Place::take(&self.open, self.limit) {
            return ConnectionAdmission::Served(place);
        }
        let why = format!(
            "all {} {} connections of this server are taken: close some, or raise its \
             --max-connections (and its limit of open files)",
            self.limit, self.whose
        );
        if self.may_tell() {
            tracing::warn!("a connection was refused: {why}");
        }
        match Place::take(&self.refused, REFUSED) {
            Some(place) => ConnectionAdmission::Refused(place, why),
            None => ConnectionAdmission::Closed,
        }
    }

    /// Whether the last log line is long enough ago for another one.
    pub(crate) fn may_tell(&mut self) -> bool {
        let now = Instant::now();
        let may = self.told.is_none_or(|told| now.duration_since(told) >= TELL);
        if may {
            self.told = Some(now);
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_the_limit_connections_are_refused_until_others_end() {
        let mut gate = Gate::new("client", 2);
        let served: Vec<_> = (0..2).map(|_| gate.admit()).collect();
        assert!(served.iter().all(|admission| matches!(admission, ConnectionAdmission::Served(_))));
        let refused: Vec<_> = (0..REFUSED).map(|_| gate.admit()).collect();
        for admission in &refused {
            let ConnectionAdmission::Refused(_, why) = admission else { panic!("{admission:?}") };
            assert!(why.contains("all 2 client connections"), "{why}");
        }
        assert!(matches!(gate.admit(), ConnectionAdmission::Closed), "those told are few as well");
        drop(served);
        assert!(matches!(gate.admit(), ConnectionAdmission::Served(_)));
    }

    #[test]
    fn connections_get_a_part_of_the_descriptors() {
        let few = ConnectionLimits::of(256);
        assert_eq!(few, ConnectionLimits { clients: 128, peers: 32, admin: 8, http: 8 });
        assert_eq!(ConnectionLimits::of(1 << 20).clients, 4_096);
        assert_eq!(few.with_clients(Some(10)).clients, 10);
    }
}
