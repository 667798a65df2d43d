//! Feature levels, seen from outside: programs of two versions side by side, on six nodes of
//! which the first three hold a partition.

#[path = "support/moving.rs"]
mod moving;

use doug_node::host::Event;
use moving::{Database, SECOND, goal};
use std::collections::BTreeSet;
use tonic::Code;

/// The founders have said which levels their programs support; 1 is the older.
fn founded_by(levels: [u32; 3]) -> Database {
    let mut database = Database::new();
    (0..3).for_each(|number| database.says(number, levels[number]));
    database.pass(2 * SECOND);
    database
}

#[test]
fn the_level_rises_once_the_programs_of_all_members_support_it() {
    let mut database = founded_by([2, 2, 1]);
    assert_eq!(database.level(), 1);
    // It holds nothing, so nobody asks what its program can read.
    database.says(4, 1);
    database.says(2, 2);
    database.pass(2 * SECOND);
    assert_eq!(database.level(), 2);
}

#[test]
fn the_level_does_not_rise_while_a_member_is_not_heard_that_may_come_back_older() {
    let mut database = founded_by([2, 1, 2]);
    database.cut = BTreeSet::from([2]);
    database.pass(SECOND);
    database.says(1, 2);
    database.pass(30 * SECOND);
    assert_eq!(database.level(), 1);
    database.cut.clear();
    database.pass(2 * SECOND);
    assert_eq!(database.level(), 2);
}

/// What a peer said of its program it may have said of a process that ended under another leader:
/// that a new leader takes it for alive, until it has had time to speak, is no word of it.
#[test]
fn a_new_leader_raises_no_level_on_the_word_of_a_member_that_it_has_not_heard() {
    let mut database = Database::new();
    database.pass(2 * SECOND);
    let old = database.leader().expect("a leader");
    let [new, dead] = [(old + 1) % 3, (old + 2) % 3];
    // All but the leader know enough.
    [old, dead].into_iter().for_each(|number| database.says(number, 2));
    database.cut = BTreeSet::from([dead]);
    database.pass(10 * SECOND);
    database.hosts[old].step(database.now, Event::HandOver);
    database.pass(10 * SECOND);
    assert_eq!((database.leader(), database.level()), (Some(new), 1));
    database.cut.clear();
    database.pass(2 * SECOND);
    assert_eq!(database.level(), 2, "it is back, and its program is new enough");
}

#[test]
fn a_member_that_died_before_the_level_rose_is_replaced_and_then_it_rises() {
    let mut database = Database::new();
    [0, 1, 3].into_iter().for_each(|number| database.says(number, 2));
    database.cut = BTreeSet::from([2]);
    database.pass(SECOND);
    assert_eq!(database.level(), 1);
    let request = database.ask_for(goal(&[0, 1, 3]));
    database.pass(5 * SECOND);
    assert!(matches!(database.answer(request), Some(Ok(()))));
    assert!(database.is_at_rest(), "{:?}", database.map);
    assert_eq!((database.nodes(), database.level()), (vec![0, 1, 3], 2));
}

#[test]
fn members_change_while_some_programs_are_older() {
    let mut database = founded_by([2, 1, 2]);
    database.says(3, 1);
    let request = database.ask_for(goal(&[0, 1, 3]));
    database.pass(5 * SECOND);
    assert!(matches!(database.answer(request), Some(Ok(()))));
    assert_eq!((database.nodes(), database.level()), (vec![0, 1, 3], 1));
}

#[test]
fn a_goal_waits_until_it_is_known_what_the_programs_of_its_nodes_support() {
    let mut database = founded_by([2, 2, 2]);
    let displaced = database.ask_for(goal(&[0, 1, 5]));
    database.pass(SECOND);
    let late = database.now.after(2 * SECOND);
    let in_vain = database.ask_until(goal(&[0, 1, 4]), late);
    let answer = database.answer(displaced);
    assert!(matches!(answer, Some(Err(fault)) if fault.code == Code::Unavailable), "{answer:?}");
    database.pass(3 * SECOND);
    let answer = database.answer(in_vain);
    assert!(matches!(answer, Some(Err(fault)) if fault.code == Code::Unavailable), "{answer:?}");
    let request = database.ask_for(goal(&[0, 1, 4]));
    database.pass(SECOND);
    assert!(database.answer(request).is_none());
    database.says(4, 2);
    database.pass(5 * SECOND);
    assert_eq!(database.nodes(), [0, 1, 4]);
}

#[test]
fn a_node_whose_program_is_too_old_is_not_taken_in() {
    let mut database = founded_by([2, 2, 2]);
    database.says(4, 1);
    let request = database.ask_for(goal(&[0, 1, 4]));
    let answer = database.answer(request);
    assert!(
        matches!(answer, Some(Err(fault)) if fault.code == Code::FailedPrecondition),
        "{answer:?}"
    );
}

#[test]
fn a_node_that_goes_back_to_an_older_program_is_not_taken_in_though_the_goal_names_it() {
    let mut database = Database::ready();
    let request = database.ask_for(goal(&[0, 1, 4]));
    assert!(matches!(database.answer(request), Some(Ok(()))));
    database.says(4, 1);
    database.pass(5 * SECOND);
    assert!(database.map.learners.is_empty(), "{:?}", database.map);
    database.says(4, 2);
    database.pass(5 * SECOND);
    assert_eq!(database.nodes(), [0, 1, 4]);
}
