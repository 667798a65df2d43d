//! A partition whose quorum is lost for good begins anew, seen from outside: hosts on six nodes,
//! of whose three replicas two are lost, and come back.

#[path = "support/moving.rs"]
mod moving;

use doug_node::host::Reply;
use doug_node::work::RequestId;
use doug_proto::map::{Partition, RECOVERY_STRIDE};
use doug_raft::{RECOVERY_INDEXES, Role};
use moving::{Database, SECOND};
use std::time::Duration;

const GAP: u64 = RECOVERY_INDEXES as u64;

/// Written to, and then without nodes 0 and 1 for so long.
fn lost(waited: Duration) -> Database {
    let mut database = Database::ready();
    (0..5).for_each(|_| database.write());
    database.cut = [0, 1].into();
    database.pass(waited);
    database
}

/// Begun anew from the replica on node 2.
fn recovered() -> Database {
    let mut database = lost(7 * SECOND);
    let request = database.recover(2);
    assert!(matches!(database.replies[&request], Ok(Reply::Recovered(_))), "it begins anew");
    database
}

fn refusal(database: &Database, request: RequestId) -> String {
    let fault = database.replies[&request].as_ref().expect_err("it is refused");
    assert!(fault.is_not_executed(), "{fault}");
    fault.message.clone()
}

fn last_index(database: &Database, host: usize) -> u64 {
    database.hosts[host].raft(1).expect("a replica").last_index()
}

#[test]
fn it_takes_writes_again_and_keeps_what_the_survivor_held() {
    let mut database = lost(7 * SECOND);
    let kept = last_index(&database, 2);
    database.recover(2);
    assert_eq!(last_index(&database, 2), kept + GAP);
    database.write();
    let [record] = &database.map.recoveries[..] else { panic!("{:?}", database.map) };
    assert_eq!((record.kept, record.resumed), (kept, kept + GAP));
    assert_eq!((record.by.as_str(), record.replica), ("a test", 3));
}

#[test]
fn a_partition_that_is_led_or_was_a_moment_ago_is_left_alone() {
    let mut database = lost(2 * SECOND);
    let request = database.recover(2);
    assert!(refusal(&database, request).contains("hears a leader"));
    database.cut.clear();
    database.pass(8 * SECOND);
    database.cut = [0, 1].into();
    let request = database.recover(2);
    assert!(refusal(&database, request).contains("hears a leader"));
    database.cut.clear();
    database.pass(2 * SECOND);
    database.write();
    assert_eq!(database.map.recoveries, []);
}

#[test]
fn one_who_has_given_up_too_few_is_refused() {
    let mut database = lost(7 * SECOND);
    database.cut = [0].into();
    let request = database.recover(2);
    assert!(refusal(&database, request).contains("a majority"));
}

/// They are a majority of the old group, elect a leader, and write to the survivor.
#[test]
fn old_replicas_that_return_are_not_listened_to_and_leave() {
    let mut database = recovered();
    let term = database.hosts[2].raft(1).unwrap().term();
    // They run on their own: nobody has told them anything yet.
    database.remove_nothing = true;
    database.cut.clear();
    database.pass(3 * SECOND);
    let old = [0, 1].map(|host| database.hosts[host].raft(1).unwrap().role());
    assert!(old.contains(&Role::Leader), "the old majority leads itself: {old:?}");
    let survivor = database.hosts[2].raft(1).unwrap();
    assert_eq!((survivor.role(), survivor.term()), (Role::Leader, term));
    // Then they hear of the map.
    database.remove_nothing = false;
    database.pass(3 * SECOND);
    assert!(database.removed.contains(&(0, 1)) && database.removed.contains(&(1, 2)));
    database.write();
}

#[test]
fn it_grows_again_with_replicas_of_new_ids_on_the_very_nodes_that_were_lost() {
    let mut database = recovered();
    database.cut.clear();
    database.pass(3 * SECOND);
    let Partition { cluster, .. } = database.map.clone();
    database.ask_for(doug_proto::map::Goal { cluster, ..moving::goal(&[0, 1, 2]) });
    database.pass(5 * SECOND);
    assert!(database.is_at_rest(), "{:?}", database.map);
    assert_eq!(database.nodes(), [0, 1, 2]);
    let ids: Vec<u64> = database.map.voters.iter().map(|voter| voter.replica).collect();
    assert!(ids[0] > RECOVERY_STRIDE && ids[1] > RECOVERY_STRIDE && ids[2] == 3, "{ids:?}");
    assert_eq!(database.map.recoveries.len(), 1, "the record stays");
    database.write();
}

#[test]
fn a_token_of_what_may_be_lost_is_refused_for_good_and_one_of_what_was_kept_is_served() {
    let mut database = lost(7 * SECOND);
    let (kept, commit) = (last_index(&database, 2), database.hosts[2].raft(1).unwrap().commit());
    let waits = database.read_at(2, kept + 1);
    assert!(!database.replies.contains_key(&waits), "the lost write may come yet");
    database.recover(2);
    assert!(refusal(&database, waits).contains("may be lost"));
    for index in [kept + 1, kept + 1_000, kept + GAP - 1] {
        let request = database.read_at(2, index);
        assert!(refusal(&database, request).contains("may be lost"), "{index}");
    }
    for index in [commit, kept + GAP] {
        let request = database.read_at(2, index);
        assert!(database.ready.contains(&request), "{index}");
    }
}
