//! File descriptors: how many this process may have, and how many of them
//! connections get. Every table, log segment and connection is one; a process
//! without any left can neither accept, nor flush, nor start again.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// More than this is never asked for: some systems say "a thousand million", and
/// sizes derived from that mean nothing.
const MOST: u64 = 1 << 20;
/// Fewer than this are worth a warning at the start.
const FEW: u64 = 4_096;

/// Raises this process's soft limit to its hard one, and returns the limit in
/// force. Where it cannot be raised the process goes on with what it has: every
/// budget of descriptors is derived from the limit in force.
pub fn raise() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.unwrap_or(MOST).min(MOST);
    if current.is_some_and(|current| current < wanted)
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum })
    {
        tracing::warn!("the limit of open files cannot be raised to {wanted}: {error}");
    }
    let limit = limit();
    if limit < FEW {
        tracing::warn!(
            "this process may have only {limit} files and connections open at a time; they are \
             shared by tables and clients. Raise the hard limit to {FEW} or more: LimitNOFILE= of \
             systemd, --ulimit nofile= of containers, /etc/security/limits.conf"
        );
    }
    limit
}

/// How many descriptors this process may have open now; at most about a million.
pub fn limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(MOST).min(MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_is_raised_to_the_hard_one() {
        let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
        let hard = maximum.unwrap_or(MOST).min(MOST);
        let lower = Rlimit { current: Some(hard.min(512)), maximum };
        setrlimit(Resource::Nofile, lower).unwrap();
        assert_eq!(limit(), hard.min(512));
        assert_eq!(raise(), hard);
        assert_eq!(limit(), hard);
    }
}
