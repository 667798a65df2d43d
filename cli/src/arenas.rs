//! How much freed memory the C library keeps of a server.

/// From now on threads share as few arenas as there are cores, and what is freed in large pieces
/// is given back. glibc makes eight arenas a core, and what a thread freed in one of them serves no
/// other: a node that may use 64 MiB held 100 MiB, of which 20 to 30 were nobody's
/// (docs/operations.md, "Memory").
pub fn bound() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    glibc::bound();
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod glibc {
    use libc::{M_ARENA_MAX, M_MMAP_THRESHOLD, M_TRIM_THRESHOLD};
    use std::thread::available_parallelism;

    /// More arenas than this serve no server: its threads wait for disks and peers.
    const MOST: usize = 8;
    /// What is larger than this, in bytes, is mapped for itself and given back once freed. glibc
    /// would raise it to up to 32 MiB by what it sees freed, and then such buffers leave holes.
    const MAPPED: i32 = 256 << 10;
    /// How many free bytes are kept at the end of an arena.
    const KEPT: i32 = 1 << 20;

    pub fn bound() {
        let cores = available_parallelism().map_or(2, usize::from).clamp(2, MOST);
        let cores = i32::try_from(cores).unwrap_or(2);
        for (option, value) in
            [(M_ARENA_MAX, cores), (M_MMAP_THRESHOLD, MAPPED), (M_TRIM_THRESHOLD, KEPT)]
        {
            #[allow(unsafe_code, reason = "a call of the C library that takes two integers")]
            // SAFETY: mallopt may be called at any time; it takes the allocator's own locks.
            let done = unsafe { libc::mallopt(option, value) };
            debug_assert_eq!(done, 1, "the C library knows option {option}");
        }
    }
}
