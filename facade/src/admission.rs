//! A bound on the bytes of requests under way: beyond it the answer is
//! `RESOURCE_EXHAUSTED`, not a process out of memory. Answers have a bound of their
//! own: see `doug_edge::answers`.

use doug_proto::error::Fault;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What an operation costs beside its own bytes: futures, buffers, headers.
const OVERHEAD_BYTES: usize = 512;

/// The bound, shared by all front doors.
#[derive(Clone, Debug)]
pub struct RequestAdmission {
    used: Arc<AtomicUsize>,
    limit: usize,
}

impl RequestAdmission {
    /// Admits up to `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { used: Arc::default(), limit }
    }

    /// Admits an operation of `bytes`, until the permit is dropped.
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED` if the bound would be exceeded; not executed.
    pub fn admit(&self, bytes: usize) -> Result<Permit, Fault> {
        let cost = bytes + OVERHEAD_BYTES;
        let before = self.used.fetch_add(cost, Ordering::Relaxed);
        let permit = Permit { used: self.used.clone(), cost };
        if before + cost > self.limit {
            let limit = self.limit;
            return Err(Fault::exhausted(format!(
                "this facade already has {before} of at most {limit} bytes of requests under way: \
                 try again later, send less at once, or raise its memory budget"
            )));
        }
        Ok(permit)
    }

    /// Bytes under way now.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

/// Leave to hold so many bytes.
#[derive(Debug)]
pub struct Permit {
    used: Arc<AtomicUsize>,
    cost: usize,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.used.fetch_sub(self.cost, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_the_bound_an_operation_is_refused_and_not_executed() {
        let admission = RequestAdmission::new(10_000);
        let held = admission.admit(9_000).unwrap();
        let fault = admission.admit(9_000).unwrap_err();
        assert_eq!(fault.code, tonic::Code::ResourceExhausted);
        assert!(fault.is_not_executed());
        drop(held);
        assert!(admission.admit(9_000).is_ok());
    }

    #[test]
    fn nothing_stays_counted_once_all_permits_are_gone() {
        let admission = RequestAdmission::new(10_000);
        let permit = admission.admit(100).unwrap();
        assert_eq!(admission.used(), 100 + OVERHEAD_BYTES);
        assert!(admission.admit(9_900).is_err());
        drop(permit);
        assert_eq!(admission.used(), 0);
    }
}
