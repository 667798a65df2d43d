//! How much freed memory the C library keeps of a server.

use std::thread::available_parallelism;

/// More arenas than this serve no server: its threads wait for disks and peers.
const MOST: usize = 8;

/// From now on threads share as few arenas as there are cores. glibc makes eight a core, and
/// what a thread freed in one of them serves no other: a node that may use 64 MiB held 100 MiB,
/// of which 20 to 30 were nobody's (docs/operations.md, "Memory").
pub fn bound() {
    let cores = available_parallelism().map_or(2, usize::from).clamp(2, MOST);
    limit(i32::try_from(cores).unwrap_or(2));
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn limit(arenas: i32) {
    #[allow(unsafe_code, reason = "a call of the C library that takes two integers")]
    // SAFETY: mallopt may be called at any time; it takes the allocator's own locks.
    let done = unsafe { libc::mallopt(libc::M_ARENA_MAX, arenas) };
    debug_assert_eq!(done, 1, "the C library knows M_ARENA_MAX");
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn limit(_: i32) {}
