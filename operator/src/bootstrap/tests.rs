use super::*;
use crate::testing::{answered, database, empty, id, member, place};

fn fresh() -> DatabaseId {
    DatabaseId::from_bits(0xdb)
}

fn step(status: &DougClusterStatus, observed: &Observed) -> Step {
    next(&database(), status, observed, fresh())
}

fn all_empty() -> Observed {
    answered([empty(0), empty(1), empty(2)])
}

/// The status after the intent was written.
fn intended() -> DougClusterStatus {
    let Step::Intend(creation) = step(&DougClusterStatus::default(), &all_empty()) else {
        panic!("empty nodes lead to an intent")
    };
    DougClusterStatus { creation: Some(creation), ..Default::default() }
}

/// The first map that follows from it.
fn first() -> PartitionMap {
    let Step::Create(map, _) = step(&intended(), &all_empty()) else {
        panic!("an intent leads to a creation")
    };
    *map
}

fn silence(observed: &mut Observed, ordinal: u32) {
    observed.answers.remove(&place(ordinal));
    observed.silent.insert(place(ordinal), "its pod does not run".into());
}

#[test]
fn silence_is_not_emptiness() {
    let mut observed = all_empty();
    silence(&mut observed, 1);
    let Step::Wait(why) = step(&DougClusterStatus::default(), &observed) else {
        panic!("nothing may be intended while a node is silent")
    };
    assert_eq!(why, "2 of 3 nodes have answered; waiting for a-1 (its pod does not run)");
}

#[test]
fn the_intent_is_written_before_any_node_is_told() {
    let Step::Intend(creation) = step(&DougClusterStatus::default(), &all_empty()) else {
        panic!("empty nodes lead to an intent")
    };
    assert_eq!(creation.database_id, fresh().to_string());
    let ids: Vec<&str> = creation.nodes.iter().map(|node| node.id.as_str()).collect();
    assert_eq!(ids, [id(0), id(1), id(2)]);
}

#[test]
fn an_intent_gives_the_same_map_to_whoever_follows_it() {
    let again = next(&database(), &intended(), &all_empty(), DatabaseId::from_bits(7));
    let Step::Create(map, places) = again else { panic!("an intent leads to a creation") };
    assert_eq!(*map, first());
    assert_eq!(map.database, fresh());
    assert_eq!(places.len(), 3);
}

#[test]
fn an_interrupted_creation_goes_on_with_the_nodes_that_are_left() {
    let observed = answered([member(0, &first(), false), empty(1), empty(2)]);
    let Step::Create(map, places) = step(&intended(), &observed) else {
        panic!("two nodes are still empty")
    };
    assert_eq!((*map, places), (first(), vec![place(1), place(2)]));
}

#[test]
fn nodes_declared_during_a_creation_join_later_and_those_declared_no_more_leave_later() {
    let of = |nodes: u32| {
        let mut spec = crate::testing::spec();
        spec["clusters"][0]["nodes"] = serde_json::json!(nodes);
        crate::validate::validate(&crate::testing::resource(spec)).unwrap()
    };
    let all: Vec<Answer> = (0..5).map(empty).collect();
    let of_five = (0..).map(place).zip(all).collect();
    let of_five = Observed { answers: of_five, ..Observed::default() };
    for (intended, declared) in [(3, 5), (5, 3)] {
        let begun = next(&of(intended), &DougClusterStatus::default(), &of_five, fresh());
        let Step::Intend(creation) = begun else { panic!("{begun:?}") };
        let status = DougClusterStatus { creation: Some(creation), ..Default::default() };
        let goes_on = next(&of(declared), &status, &of_five, fresh());
        let Step::Create(map, places) = goes_on else { panic!("{goes_on:?}") };
        assert_eq!((map.nodes.len(), places.len()), (intended as usize, intended as usize));
    }
}

#[test]
fn data_without_an_intent_is_adopted() {
    let map = first();
    let observed = answered([0, 1, 2].map(|ordinal| member(ordinal, &map, ordinal == 0)));
    assert_eq!(step(&DougClusterStatus::default(), &observed), Step::Done);
}

#[test]
fn data_is_adopted_though_a_node_is_silent() {
    let map = first();
    let mut observed = answered([0, 1, 2].map(|ordinal| member(ordinal, &map, ordinal == 0)));
    silence(&mut observed, 2);
    assert_eq!(step(&DougClusterStatus::default(), &observed), Step::Done);
}

#[test]
fn a_creation_that_lost_its_intent_is_finished_from_the_map_of_its_nodes() {
    let observed = answered([member(0, &first(), false), member(1, &first(), false), empty(2)]);
    let Step::Create(map, places) = step(&DougClusterStatus::default(), &observed) else {
        panic!("one node is still empty")
    };
    assert_eq!((*map, places), (first(), vec![place(2)]));
}

#[test]
fn a_node_that_lost_its_volume_is_not_given_the_first_map() {
    let mut stranger = empty(2);
    stranger.status.id = "00000000beef".into();
    let observed = answered([member(0, &first(), true), member(1, &first(), false), stranger]);
    assert_eq!(step(&DougClusterStatus::default(), &observed), Step::Done);
}

#[test]
fn nothing_is_created_over_a_database_whose_volumes_are_all_empty() {
    let known =
        DougClusterStatus { database_id: Some("0000000000db".into()), ..Default::default() };
    let Step::Blocked(reason, _) = step(&known, &all_empty()) else {
        panic!("a known database must not be created again")
    };
    assert_eq!(reason, "VolumesEmpty");
}

#[test]
fn data_of_two_databases_is_left_alone() {
    let mut other = first();
    other.database = DatabaseId::from_bits(0xbad);
    let observed = answered([member(0, &first(), true), member(1, &other, false), empty(2)]);
    let Step::Blocked(reason, why) = step(&DougClusterStatus::default(), &observed) else {
        panic!("two databases must not be mixed")
    };
    assert_eq!(reason, "ForeignData");
    assert!(why.contains("node a-1 holds data of database 000000000bad"), "{why}");
}

#[test]
fn a_volume_replaced_during_the_creation_stops_it() {
    let mut replaced = empty(1);
    replaced.status.id = "00000000beef".into();
    let observed = answered([empty(0), replaced, empty(2)]);
    let Step::Blocked(reason, _) = step(&intended(), &observed) else {
        panic!("another volume is not the one intended")
    };
    assert_eq!(reason, "VolumeReplaced");
}

#[test]
fn one_volume_under_two_nodes_is_refused() {
    let mut twin = empty(1);
    twin.status.id = id(0);
    let observed = answered([empty(0), twin, empty(2)]);
    let step = step(&DougClusterStatus::default(), &observed);
    assert!(matches!(step, Step::Blocked("SameVolume", _)), "{step:?}");
}
