//! Feature levels: what a partition's log may hold, given the programs that are to read it.
//!
//! A program stops at what it does not know, for to skip it would make its replica
//! differ. So a level comes into force only once the programs of all members are known
//! to support it, and it never falls. What a leader knows of a program it has from the
//! hello of that very process, and only as long as it hears it: one that is down may
//! come back in another version.

use doug_proto::ids::NodeId;

/// A member that was not heard for this long, in microseconds, no longer keeps the level
/// too low for a change of members: otherwise nobody could replace one that is dead.
pub const GONE: u64 = 10_000_000;

/// How a leader stands with another member's node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contact {
    /// It hears it.
    Heard,
    /// It has not heard it for a moment.
    Silent,
    /// It has not heard it for [`GONE`].
    Gone,
}

/// Another member's program as far as the leader knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Program {
    /// The member's node.
    pub node: NodeId,
    /// The greatest level it supports, if it has said so.
    pub supports: Option<u32>,
    /// Whether it is heard.
    pub contact: Contact,
}

impl Program {
    /// Whether what it supports is known to be less than `level`.
    #[must_use]
    pub fn is_older_than(&self, level: u32) -> bool {
        self.contact == Contact::Heard && self.supports.is_some_and(|supports| supports < level)
    }

    fn known(&self) -> u32 {
        match self.contact {
            Contact::Heard => self.supports.unwrap_or(1),
            Contact::Silent | Contact::Gone => 1,
        }
    }
}

/// The greatest level that this program and those of all other members are known to
/// support.
#[must_use]
pub fn common_level(own: u32, others: &[Program]) -> u32 {
    others.iter().map(Program::known).fold(own, u32::min)
}

/// Which member keeps the partition from `level`, which its members need in order to
/// change at all.
#[must_use]
pub fn obstacle(level: u32, others: &[Program]) -> Option<Program> {
    let counts = others.iter().filter(|program| program.contact != Contact::Gone);
    counts.copied().find(|program| program.known() < level)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(node: u64, supports: Option<u32>, contact: Contact) -> Program {
        Program { node: NodeId::from_bits(node), supports, contact }
    }

    #[test]
    fn the_level_is_what_all_members_are_known_to_support() {
        let others = |second| [program(1, Some(3), Contact::Heard), second];
        let level = |second| common_level(3, &others(second));
        assert_eq!(level(program(2, Some(3), Contact::Heard)), 3);
        assert_eq!(level(program(2, Some(2), Contact::Heard)), 2);
        assert_eq!(level(program(2, None, Contact::Heard)), 1);
    }

    #[test]
    fn a_member_that_is_not_heard_may_come_back_in_any_version() {
        for contact in [Contact::Silent, Contact::Gone] {
            assert_eq!(common_level(2, &[program(1, Some(2), contact)]), 1);
        }
    }

    #[test]
    fn only_one_that_is_gone_does_not_stand_in_the_way_of_a_change_of_members() {
        let hinders = |supports, contact| obstacle(2, &[program(1, supports, contact)]).is_some();
        assert!(!hinders(Some(2), Contact::Heard));
        assert!(hinders(Some(1), Contact::Heard));
        assert!(hinders(None, Contact::Heard));
        assert!(hinders(Some(2), Contact::Silent));
        assert!(!hinders(Some(1), Contact::Gone));
        assert!(!hinders(None, Contact::Gone));
    }
}
