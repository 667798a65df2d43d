//! Client sessions of all replicas together stay within their share of the memory.
//!
//! Each replica bounds its own; a node of many replicas may hold too much before any of them does.
//! Then no leader here registers another session.

use doug_proto::error::Fault;
use std::sync::atomic::{AtomicU64, Ordering};

/// What the client sessions of all replicas count for.
#[derive(Debug)]
pub struct SessionMemory {
    share: u64,
    used: AtomicU64,
}

impl SessionMemory {
    /// Sessions may take `share` bytes.
    pub fn new(share: u64) -> Self {
        Self { share, used: AtomicU64::new(0) }
    }

    /// Whether another session may be registered. Those that are there go on: their partitions
    /// forget the least recently used ones by themselves.
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED`, not executed.
    pub fn admit(&self) -> Result<(), Fault> {
        let used = self.used.load(Ordering::Relaxed);
        if used <= self.share {
            return Ok(());
        }
        Err(Fault::exhausted(format!(
            "the client sessions on this node take {used} bytes, and {} are meant for them: write \
             without sessions, keep clients instead of making new ones, or give the node a larger \
             memory budget",
            self.share
        )))
    }

    /// They take so many bytes now.
    pub fn measured(&self, used: u64) {
        self.used.store(used, Ordering::Relaxed);
    }

    /// Bytes, as last measured.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_their_share_no_session_is_registered_until_others_have_gone() {
        let memory = SessionMemory::new(100);
        memory.measured(100);
        assert!(memory.admit().is_ok());
        memory.measured(101);
        let refused = memory.admit().unwrap_err();
        assert!(refused.is_not_executed() && refused.message.contains("101"), "{refused}");
        memory.measured(90);
        assert!(memory.admit().is_ok());
    }
}
