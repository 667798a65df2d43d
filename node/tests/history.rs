//! The past of a partition as clients are shown it: at a revision, at a time, down to the floor.

mod support;

use bytes::Bytes;
use doug_node::serving::{Asked, ReadFailure, ScanPins, Served, answer_read};
use doug_proto::error::Fault;
use doug_proto::ids::NodeId;
use doug_proto::v1::{self, at::At, command, stream_answer::Answer};
use doug_raft::Time;
use support::{Bench, delete, put, write};
use tonic::Code;

/// Written at revisions 1 and 3, deleted at 5; every command is a batch, stamped like its revision.
fn past() -> Bench {
    let mut bench = Bench::new();
    for operation in [
        put("k", "one"),
        put("other", "x"),
        put("k", "three"),
        put("other", "y"),
        delete("k"),
        put("other", "z"),
    ] {
        bench.apply_one(write(None, vec![], vec![operation]));
    }
    bench
}

fn raise(bench: &mut Bench, revision: u64) {
    let floor = Some(v1::HistoryFloor { revision, stamp: revision });
    let raise = command::Command::RaiseFloor(v1::RaiseFloorCommand { floor });
    bench.apply_one(v1::Command { command: Some(raise) });
}

fn ask(bench: &Bench, asked: Asked) -> Result<Answer, Fault> {
    let descriptor = bench.partition.descriptor();
    let served = Served {
        database: bench.partition.database(),
        node: NodeId::from_bits(1),
        descriptor: &descriptor,
        leader: true,
        staleness: None,
    };
    let answer = answer_read(&bench.partition, &asked, served, &ScanPins::default(), Time(1));
    answer.map_err(|failure| match failure {
        ReadFailure::Refused(fault) => fault,
        ReadFailure::Unreadable(error) => panic!("it cannot be read: {error}"),
    })
}

fn get(bench: &Bench, at: At, versions: u32) -> Result<v1::GetResponse, Fault> {
    let at = Some(v1::At { at: Some(at) });
    let get = v1::GetRequest { key: "k".into(), at, versions, ..Default::default() };
    match ask(bench, Asked::Get(get))? {
        Answer::Get(answer) => Ok(answer),
        other => panic!("a get was answered with {other:?}"),
    }
}

fn value(bench: &Bench, at: At) -> Result<Option<Bytes>, Fault> {
    let answer = get(bench, at, 0)?;
    Ok(answer.found.then_some(answer.value))
}

#[test]
fn a_key_is_read_as_it_was_at_a_revision_and_at_a_stamp() {
    let mut bench = past();
    for flushed in [false, true] {
        if flushed {
            bench.flush();
            bench.apply_one(write(None, vec![], vec![put("k", "nine")]));
        }
        let was = ["", "one", "one", "three", "three", "", ""];
        for (at, was) in (0..).zip(was) {
            let was = (!was.is_empty()).then(|| Bytes::from(was));
            assert_eq!(value(&bench, At::Revision(at)), Ok(was.clone()), "revision {at}");
            assert_eq!(value(&bench, At::Stamp(at)), Ok(was), "stamp {at}");
        }
    }
}

#[test]
fn a_revision_of_the_future_is_refused_and_a_time_that_is_not_closed_may_be_asked_for_again() {
    let bench = past();
    let fault = value(&bench, At::Revision(7)).unwrap_err();
    assert!(fault.code == Code::InvalidArgument && fault.message.contains("in the future"));
    let fault = value(&bench, At::Stamp(7)).unwrap_err();
    assert!(fault.code == Code::Unavailable && fault.is_not_executed(), "{fault}");
}

#[test]
fn before_the_floor_the_answer_is_compacted_and_names_it() {
    let mut bench = past();
    raise(&mut bench, 4);
    for at in [At::Revision(3), At::Stamp(3)] {
        let fault = value(&bench, at).unwrap_err();
        let floor = v1::HistoryFloor { revision: 4, stamp: 4 };
        assert_eq!((fault.code, fault.floor()), (Code::OutOfRange, Some((1, floor))));
    }
    for at in [At::Revision(4), At::Stamp(4)] {
        assert_eq!(value(&bench, at), Ok(Some("three".into())));
    }
}

#[test]
fn at_the_floor_a_time_reads_the_same_though_its_batches_are_listed_no_longer() {
    let mut bench = past();
    raise(&mut bench, 5);
    bench.flush();
    assert_eq!(value(&bench, At::Stamp(5)), Ok(None), "the tombstone is gone with what it hid");
    assert!(value(&bench, At::Stamp(4)).is_err());
}

#[test]
fn the_versions_of_a_key_end_with_what_it_held_at_the_floor() {
    let mut bench = past();
    let versions = |bench: &Bench, most| {
        let answer = get(bench, At::Revision(6), most).expect("it is within reach");
        let version = |version: v1::KeyVersion| {
            (version.revision, (!version.deleted).then_some(version.value))
        };
        answer.versions.into_iter().map(version).collect::<Vec<_>>()
    };
    let (three, one) = ((3, Some(Bytes::from("three"))), (1, Some(Bytes::from("one"))));
    assert_eq!(versions(&bench, 100), [(5, None), three.clone(), one]);
    assert_eq!(versions(&bench, 2), [(5, None), three.clone()]);
    raise(&mut bench, 4);
    assert_eq!(versions(&bench, 100), [(5, None), three]);
}

#[test]
fn a_scan_at_a_moment_shows_all_keys_as_they_were() {
    let bench = past();
    let scan = |at: At| {
        let at = Some(v1::At { at: Some(at) });
        let scan = v1::ScanRequest { at, ..Default::default() };
        let Ok(Answer::Scan(page)) = ask(&bench, Asked::Scan(Box::new(scan))) else {
            panic!("it is within reach");
        };
        let entries = page.entries.into_iter().map(|entry| (entry.key, entry.value));
        entries.collect::<Vec<_>>()
    };
    let entry = |key: &'static str, value: &'static str| (key.into(), value.into());
    assert_eq!(scan(At::Stamp(3)), [entry("k", "three"), entry("other", "x")]);
    assert_eq!(scan(At::Revision(5)), [entry("other", "y")]);
}

#[test]
fn a_floor_survives_a_restart_of_its_replica_with_the_state_block() {
    let mut bench = past();
    raise(&mut bench, 4);
    let state = bench.contents().1;
    let machine = doug_node::apply::Machine::decode(&state).expect("it reads");
    assert_eq!(machine.history().floor.revision, 4);
}
