use super::*;
use doug_proto::map::testing::sample_with_catalog;
use doug_proto::token::Place;

/// A node that holds the catalog and two partitions of `default`.
struct Holder(Arc<PartitionMap>);

impl Site for Holder {
    fn map(&self) -> Result<Arc<PartitionMap>, Fault> {
        Ok(self.0.clone())
    }

    fn holds(&self, _: u64) -> bool {
        true
    }

    fn closed(&self, _: u64) -> Stamp {
        Stamp(100)
    }

    fn admit(&self, _: u64, _: &v1::WriteCommand) -> Result<(), Fault> {
        Ok(())
    }

    fn admit_session(&self, _: u64) -> Result<(), Fault> {
        Ok(())
    }
}

fn holder() -> Holder {
    Holder(Arc::new(sample_with_catalog(2)))
}

fn get(keyspace: &str, partition: u64) -> Result<u64, Fault> {
    let target = v1::Target { partition, ..Default::default() };
    let get = v1::GetRequest {
        key: "k".into(),
        keyspace: keyspace.into(),
        target: Some(target),
        ..Default::default()
    };
    plan(&holder(), Operation::Get(get)).map(|plan| plan.partition)
}

#[test]
fn a_key_is_looked_for_in_the_keyspace_that_the_request_names() {
    assert_eq!(get("system", 0).unwrap(), 1);
    let of_default = get("default", 0).unwrap();
    assert!(of_default == 2 || of_default == 3);
    assert_eq!(get("", 0).unwrap(), of_default, "who names none means default");
    assert_eq!(get("", 1).unwrap(), 1, "who names a partition has named its keyspace");
}

fn transact(keyspace: &str, then: Vec<transact_operation::Operation>) -> Result<Plan, Fault> {
    let then = then.into_iter().map(|one| v1::TransactOperation { operation: Some(one) });
    let (then, keyspace) = (then.collect(), keyspace.into());
    let request = v1::TransactRequest { then, keyspace, ..Default::default() };
    plan(&holder(), Operation::Transact(request))
}

#[test]
fn a_transaction_that_changes_nothing_is_a_read_and_any_other_a_command() {
    use transact_operation::Operation as Step;
    let read = || Step::Get(v1::GetOperation { key: "k".into() });
    let planned = transact("", vec![read()]).unwrap();
    assert!(matches!(planned.work, Work::Read(ReadKind::Linearizable)), "{planned:?}");
    let write = || Step::Increment(v1::IncrementOperation { key: "k".into(), by: 1 });
    let planned = transact("", vec![read(), write()]).unwrap();
    assert!(matches!(planned.work, Work::Write { .. }), "{planned:?}");
    let all = || Step::Count(v1::CountOperation { range: Some(v1::KeyRange::default()) });
    assert_eq!(transact("system", vec![all()]).unwrap().partition, 1);
    let fault = transact("", vec![all()]).unwrap_err();
    assert!(fault.message.contains("several partitions"), "{fault}");
    assert_eq!(transact("system", vec![write()]).unwrap_err().code, Code::PermissionDenied);
}

#[test]
fn a_time_that_is_closed_here_is_read_here_and_any_other_at_the_leader() {
    let work = |at: At| {
        let at = Some(v1::At { at: Some(at) });
        let get = v1::GetRequest { key: "k".into(), at, ..Default::default() };
        plan(&holder(), Operation::Get(get)).map(|plan| plan.work)
    };
    assert!(matches!(work(At::Stamp(100)), Ok(Work::ReadNow)));
    let stamp = Stamp(101);
    let closed = work(At::Stamp(101)).expect("it is planned");
    assert!(matches!(closed, Work::Read(kind) if kind == ReadKind::Closed { stamp }));
    assert!(matches!(work(At::Revision(7)), Ok(Work::Read(ReadKind::Linearizable))));
}

#[test]
fn an_unknown_keyspace_is_not_found_and_nothing_is_executed() {
    let fault = get("orders", 0).unwrap_err();
    assert!(fault.code == Code::NotFound && fault.is_not_executed(), "{fault}");
    assert!(fault.message.contains("\"orders\""), "{fault}");
}

#[test]
fn a_keyspace_that_the_named_partition_is_not_of_is_refused() {
    let fault = get("default", 1).unwrap_err();
    assert!(fault.message.contains("partition 1 is of keyspace \"system\""), "{fault}");
}

#[test]
fn clients_can_scan_the_catalog_and_not_write_it() {
    let scan = v1::ScanRequest { keyspace: "system".into(), ..Default::default() };
    assert_eq!(plan(&holder(), Operation::Scan(scan)).unwrap().partition, 1);
    let put = v1::PutRequest { key: "k".into(), keyspace: "system".into(), ..Default::default() };
    let target = Some(v1::Target { partition: 1, ..Default::default() });
    let register = v1::RegisterRequest { target };
    for write in [Operation::Put(put), Operation::Register(register)] {
        let fault = plan(&holder(), write).unwrap_err();
        assert!(fault.code == Code::PermissionDenied && fault.is_not_executed(), "{fault}");
        assert!(fault.message.contains("\"system\""), "{fault}");
    }
}

#[test]
fn a_session_token_of_another_database_is_refused() {
    let read = |database: u64| {
        let place = Place { partition: 2, generation: 1, revision: 7, keyspace: 1 };
        let token = SessionToken::of(DatabaseId::from_bits(database), place, 0);
        let read = v1::ReadOptions {
            consistency: v1::Consistency::Session.into(),
            session_token: token.to_bytes(),
            ..Default::default()
        };
        let key = Bytes::from_static(b"k");
        let get = v1::GetRequest { key, read: Some(read), ..Default::default() };
        plan(&holder(), Operation::Get(get))
    };
    assert!(read(0xdb).is_ok());
    let fault = read(7).unwrap_err();
    assert!(fault.message.contains("000000000007"), "{fault}");
}
