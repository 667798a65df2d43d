//! The servers that can serve one thing: the replicas of a partition, or the
//! endpoints. Remembers who led last, and whom to ask next.

use crate::connection::Connection;
use crate::simulation::{Bug, has_bug};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Notify;

/// One server of a group.
#[derive(Clone)]
pub(crate) struct Replica {
    pub(crate) connection: Connection,
    /// Whether it may lead.
    pub(crate) voter: bool,
}

/// Which of them will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    /// The leader.
    Leader,
    /// Any; rather not the leader, which has enough to do.
    Any,
}

/// Who led last. Survives a new map, since leaders change without one.
#[derive(Default)]
pub(crate) struct LeaderCell {
    known: Mutex<Option<Leader>>,
    changed: Notify,
}

struct Leader {
    connection: Connection,
    /// Whether it has answered as the leader, and not merely been named.
    proven: bool,
}

impl LeaderCell {
    pub(crate) fn get(&self) -> Option<Connection> {
        self.known.lock().as_ref().map(|leader| leader.connection.clone())
    }

    /// Remembers one that has answered as the leader, and lets everyone know
    /// who waits for one.
    pub(crate) fn set(&self, leader: &Connection) {
        let mut known = self.known.lock();
        if known.as_ref().is_some_and(|known| known.proven && known.connection.same(leader)) {
            return;
        }
        *known = Some(Leader { connection: leader.clone(), proven: true });
        drop(known);
        self.changed.notify_waiters();
    }

    /// Remembers one that was named, for whoever comes next. Nobody is woken: a
    /// dead leader is still named by its followers, until they elect another.
    pub(crate) fn suggest(&self, leader: &Connection) {
        let mut known = self.known.lock();
        if !known.as_ref().is_some_and(|known| known.connection.same(leader)) {
            *known = Some(Leader { connection: leader.clone(), proven: false });
        }
    }

    /// Forgets `former`, if it is the one remembered.
    pub(crate) fn forget(&self, former: &Connection) {
        let mut known = self.known.lock();
        let is_known = known.as_ref().is_some_and(|known| known.connection.same(former));
        if is_known && !has_bug(Bug::LeaderForEver) {
            *known = None;
        }
    }

    /// Completes when another leader becomes known.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }
}

/// Servers in order of preference.
pub(crate) struct Group {
    replicas: Vec<Replica>,
    pub(crate) leader: std::sync::Arc<LeaderCell>,
    turn: AtomicUsize,
}

impl Group {
    pub(crate) fn new(replicas: Vec<Replica>, leader: std::sync::Arc<LeaderCell>) -> Self {
        Self { replicas, leader, turn: AtomicUsize::new(0) }
    }

    pub(crate) fn replicas(&self) -> &[Replica] {
        &self.replicas
    }

    /// Whom to ask next, none of `tried`. One that is silent only when nobody
    /// else is left: it would cost another wait.
    pub(crate) fn choose(&self, want: Want, tried: &[Connection]) -> Option<Connection> {
        let leader = self.leader.get();
        let fresh = |c: &Connection| !tried.iter().any(|tried| tried.same(c));
        if want == Want::Leader && leader.is_some() && has_bug(Bug::LeaderForEver) {
            return leader.filter(fresh);
        }
        let start = match want {
            Want::Leader => {
                if let Some(leader) = leader.as_ref().filter(|c| fresh(c) && !c.is_silent()) {
                    return Some(leader.clone());
                }
                0
            }
            Want::Any => self.turn.fetch_add(1, Ordering::Relaxed),
        };
        let count = self.replicas.len();
        let in_turn = (0..count).map(|i| &self.replicas[start.wrapping_add(i) % count]);
        let able = in_turn.filter(|r| want == Want::Any || r.voter).map(|r| &r.connection);
        let (mut spare, mut silent) = (None, None);
        for connection in able.filter(|c| fresh(c)) {
            if connection.is_silent() {
                silent = silent.or(Some(connection));
            } else if want == Want::Any && leader.as_ref().is_some_and(|l| l.same(connection)) {
                spare = Some(connection);
            } else {
                return Some(connection.clone());
            }
        }
        spare.or(silent).cloned()
    }
}
