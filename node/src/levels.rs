//! Feature levels: what a partition's log may hold, given the programs that are to read it.
//!
//! A program stops at what it does not know, for to skip it would make its replica
//! differ. So a level comes into force only once the programs of all members are known
//! to support it, and it never falls. What a leader knows of a program it has from the
//! hello of that very process, and only as long as it hears it: one that is down may
//! come back in another version.

/// The feature level of a new partition: what every program supports.
pub const LEAST_LEVEL: u32 = 1;
/// The greatest feature level this program supports: at 1 the log holds what the first release
/// writes.
pub const FEATURE_LEVEL: u32 = 1;
/// The greatest that the state machine takes: in the simulator one more, which changes nothing, so
/// that it can play upgrades before there was any.
pub const KNOWN_LEVEL: u32 =
    if cfg!(feature = "simulation") { FEATURE_LEVEL + 1 } else { FEATURE_LEVEL };

/// The greatest level that this program and those of all other members are known to
/// support. Of each of `others`: what its program has said, if it has and is heard now.
#[must_use]
pub fn common_level(own: u32, others: impl IntoIterator<Item = Option<u32>>) -> u32 {
    others.into_iter().map(|known| known.unwrap_or(LEAST_LEVEL)).fold(own, u32::min)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_is_what_all_members_are_known_to_support() {
        assert_eq!(common_level(3, [Some(3), Some(3)]), 3);
        assert_eq!(common_level(3, [Some(3), Some(2)]), 2);
        assert_eq!(common_level(2, [Some(3), Some(3)]), 2);
    }

    #[test]
    fn a_member_that_is_not_heard_may_come_back_in_any_version() {
        assert_eq!(common_level(3, [Some(3), None]), LEAST_LEVEL);
    }
}
