//! What a transaction does, once committed, and what one that only reads answers.

mod support;

use bytes::Bytes;
use doug_node::apply::execute;
use doug_node::work::encode_command;
use doug_proto::limits;
use doug_proto::v1::obstacle::Reason;
use doug_proto::v1::operation_answer::Answer;
use doug_proto::v1::transact_operation::Operation;
use doug_proto::v1::{self, KeyRange, Relation, TransactOperation, condition::Test};
use doug_raft::Clock;
use prost::Message;
use support::{Bench, descriptor, put, register, when, write};

fn operation(operation: Operation) -> TransactOperation {
    TransactOperation { operation: Some(operation) }
}

fn get(key: &'static str) -> TransactOperation {
    operation(Operation::Get(v1::GetOperation { key: key.into() }))
}

fn set(key: &'static str, value: &'static str) -> TransactOperation {
    let (key, value) = (key.into(), value.into());
    operation(Operation::Put(v1::PutOperation { key, value, ..Default::default() }))
}

fn delete(key: &'static str) -> TransactOperation {
    operation(Operation::Delete(v1::DeleteOperation { key: key.into() }))
}

fn increment(key: &'static str, by: i64) -> TransactOperation {
    operation(Operation::Increment(v1::IncrementOperation { key: key.into(), by }))
}

fn range(start: &'static str, end: &'static str) -> Option<KeyRange> {
    Some(KeyRange { start: start.into(), end: end.into() })
}

fn scan(start: &'static str, end: &'static str, limit: u32, reverse: bool) -> TransactOperation {
    let (range, keys_only) = (range(start, end), false);
    operation(Operation::Scan(v1::ScanOperation { range, reverse, limit, keys_only }))
}

fn count(start: &'static str, end: &'static str) -> TransactOperation {
    operation(Operation::Count(v1::CountOperation { range: range(start, end) }))
}

fn delete_range(start: &'static str, end: &'static str) -> TransactOperation {
    operation(Operation::DeleteRange(v1::DeleteRangeOperation { range: range(start, end) }))
}

fn transaction(
    session: Option<(u64, u64)>,
    conditions: Vec<v1::Condition>,
    then: Vec<TransactOperation>,
    otherwise: Vec<TransactOperation>,
) -> v1::Command {
    let session = session.map(|(id, sequence)| v1::Session { id, sequence, lowest_unanswered: 1 });
    let write = v1::WriteCommand { session, conditions, then, otherwise, answers: true };
    v1::Command { command: Some(v1::command::Command::Write(write)) }
}

fn then(operations: Vec<TransactOperation>) -> v1::Command {
    transaction(None, vec![], operations, vec![])
}

/// Answers in short: found values, entries, counts, whether something existed, sums.
fn answers(outcome: &v1::Outcome) -> Vec<String> {
    let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    let one = |answer: &v1::OperationAnswer| match answer.answer.as_ref().expect("an answer") {
        Answer::Get(get) if get.found => format!("{}@{}", text(&get.value), get.value_revision),
        Answer::Get(_) => "-".to_owned(),
        Answer::Scan(scan) => {
            let entries =
                scan.entries.iter().map(|e| format!("{}={}", text(&e.key), text(&e.value)));
            let more = if scan.more { " more" } else { "" };
            entries.collect::<Vec<_>>().join(" ") + more
        }
        Answer::Count(count) => count.count.to_string(),
        Answer::Put(_) => "put".to_owned(),
        Answer::Delete(delete) => delete.existed.to_string(),
        Answer::DeleteRange(delete) => delete.deleted.to_string(),
        Answer::Increment(sum) => sum.value.to_string(),
    };
    outcome.answers.iter().map(one).collect()
}

/// A partition of a=1, b=2, c=3 at revision 1.
fn bench() -> Bench {
    let mut bench = Bench::new();
    bench.apply_one(write(None, vec![], vec![put("a", "1"), put("b", "2"), put("c", "3")]));
    bench
}

#[test]
fn conditions_choose_one_of_two_lists_and_the_other_leaves_no_trace() {
    let mut bench = bench();
    let choose = |value: &'static str| {
        let conditions = vec![when("a", Test::Value(value.into()))];
        transaction(
            None,
            conditions,
            vec![set("yes", "1"), get("a")],
            vec![set("no", "1"), get("b")],
        )
    };
    let outcome = bench.apply_one(choose("1"));
    assert!(outcome.conditions_met);
    assert_eq!(answers(&outcome), ["put", "1@1"]);
    assert_eq!((bench.get(b"yes"), bench.get(b"no")), (Some("1".into()), None));
    let outcome = bench.apply_one(choose("9"));
    assert_eq!((outcome.conditions_met, outcome.current_revision), (false, 1));
    assert_eq!(answers(&outcome), ["put", "2@1"]);
    assert_eq!(bench.get(b"no"), Some("1".into()));
}

#[test]
fn each_operation_sees_those_before_it_at_the_revision_of_all() {
    let mut bench = bench();
    let outcome = bench.apply_one(then(vec![
        set("ab", "new"),
        get("ab"),
        delete("b"),
        get("b"),
        scan("a", "d", 0, false),
        scan("a", "d", 2, true),
        increment("a", 41),
        increment("a", -2),
        get("a"),
        count("", ""),
        delete("nothing"),
        delete("ab"),
    ]));
    assert_eq!(outcome.revision, 2);
    let expected = [
        "put",
        "new@2",
        "true",
        "-",
        "a=1 ab=new c=3",
        "c=3 ab=new more",
        "42",
        "40",
        "40@2",
        "3",
        "false",
        "true",
    ];
    assert_eq!(answers(&outcome), expected);
    let keys: Vec<_> = bench.contents().0;
    let expected = [("a", 2, "40"), ("c", 1, "3")];
    let expected: Vec<_> =
        expected.iter().map(|(k, r, v)| ((*k).into(), *r, (*v).into())).collect();
    assert_eq!(keys, expected);
}

#[test]
fn a_range_is_deleted_with_what_was_put_into_it_before() {
    let mut bench = bench();
    let outcome =
        bench.apply_one(then(vec![set("bb", "x"), delete_range("b", "c"), count("", "")]));
    assert_eq!(answers(&outcome), ["put", "2", "2"]);
    assert_eq!(bench.get(b"bb"), None);
}

#[test]
fn a_key_that_is_put_and_deleted_at_once_leaves_no_tombstone() {
    let mut bench = Bench::new();
    bench.apply_one(then(vec![set("k", "1"), delete("k")]));
    bench.flush();
    assert_eq!(bench.tables().len(), 0, "a table was written for nothing");
}

#[test]
fn relations_compare_revisions_and_values_and_hold_of_no_missing_key() {
    let mut bench = bench();
    let mut met = |key: &'static str, relation: Relation, test: Test| {
        let condition = v1::Condition { relation: relation.into(), ..when(key, test) };
        bench.apply_one(transaction(None, vec![condition], vec![], vec![])).conditions_met
    };
    use Relation::{Equal, Greater, Less, NotEqual};
    let value = |value: &'static str| Test::Value(value.into());
    for (relation, of_less, of_equal, of_greater) in [
        (Equal, false, true, false),
        (NotEqual, true, false, true),
        (Less, true, false, false),
        (Greater, false, false, true),
    ] {
        for (named, expected) in [("3", of_less), ("2", of_equal), ("1", of_greater)] {
            assert_eq!(met("b", relation, value(named)), expected, "2 {relation:?} {named}");
        }
        for (named, expected) in [(2, of_less), (1, of_equal), (0, of_greater)] {
            let revision = Test::Revision(named);
            assert_eq!(met("b", relation, revision), expected, "1 {relation:?} {named}");
        }
        assert!(!met("none", relation, value("")) && !met("none", relation, Test::Revision(0)));
    }
}

#[test]
fn a_condition_on_a_range_holds_if_it_does_of_every_key_there() {
    let mut bench = bench();
    let mut failed = |range: Option<KeyRange>, relation: Relation, test: Test| {
        let (relation, test) = (relation.into(), Some(test));
        let condition = v1::Condition { key: Bytes::new(), range, relation, test };
        let outcome = bench.apply_one(transaction(None, vec![condition], vec![], vec![]));
        (!outcome.conditions_met).then_some(outcome.current_revision)
    };
    let below = |value: &'static str| Test::Value(value.into());
    assert_eq!(failed(range("a", "c"), Relation::Less, below("3")), None);
    assert_eq!(failed(range("a", ""), Relation::Less, below("3")), Some(1));
    assert_eq!(failed(range("x", "z"), Relation::Less, below("3")), None);
    assert_eq!(failed(range("a", "c"), Relation::Unspecified, Test::Exists(true)), None);
    assert_eq!(failed(range("a", "c"), Relation::Unspecified, Test::Exists(false)), Some(1));
    assert_eq!(failed(range("x", "z"), Relation::Unspecified, Test::Exists(true)), Some(0));
}

#[test]
fn an_increment_of_no_number_and_one_beyond_64_bits_undo_all_and_say_why() {
    let mut bench = bench();
    bench.apply_one(then(vec![set("text", "one"), set("most", "9223372036854775807")]));
    for (key, reason) in [("text", Reason::NotANumber), ("most", Reason::Overflow)] {
        let outcome = bench.apply_one(then(vec![set("a", "changed"), increment(key, 1)]));
        let obstacle = outcome.obstacle.expect("it cannot be carried out");
        assert_eq!((obstacle.reason(), obstacle.index), (reason, 1));
        assert!(outcome.answers.is_empty() && outcome.conditions_met);
        assert_eq!(bench.get(b"a"), Some("1".into()));
    }
}

#[test]
fn a_transaction_visits_only_so_many_keys_and_answers_only_so_much() {
    let mut bench = Bench::new();
    let keys = (0..=limits::RANGE_KEYS).map(|number| format!("k{number:05}"));
    let puts: Vec<_> = keys.map(|key| put(&key, "v")).collect();
    bench.apply_one(write(None, vec![], puts));
    let obstacle = |outcome: v1::Outcome| outcome.obstacle.map(|obstacle| obstacle.reason());
    let all_but_one = then(vec![delete_range("k", "k10000"), set("done", "")]);
    assert_eq!(
        obstacle(bench.apply_one(then(vec![delete_range("", "")]))),
        Some(Reason::RangesTooLarge)
    );
    assert_eq!(bench.get(b"k00000"), Some("v".into()));
    assert_eq!(obstacle(bench.apply_one(all_but_one)), None);
    assert_eq!(bench.contents().0.len(), 2);

    let large = vec![b'v'; limits::VALUE_BYTES];
    let value = v1::PutOperation { key: "large".into(), value: large.into(), ..Default::default() };
    bench.apply_one(then(vec![operation(Operation::Put(value))]));
    assert_eq!(obstacle(bench.apply_one(then(vec![get("large"); 2]))), None);
    let outcome = bench.apply_one(then(vec![get("large"); 3]));
    assert_eq!(obstacle(outcome), Some(Reason::AnswersTooLong));
}

#[test]
fn what_ranges_hold_is_bounded_in_bytes_too_whatever_is_asked_of_it() {
    let mut bench = Bench::new();
    let fit = limits::RANGE_BYTES / limits::VALUE_BYTES;
    for number in 0..fit {
        let (key, value) = (format!("k{number}").into(), vec![b'v'; limits::VALUE_BYTES].into());
        let large =
            operation(Operation::Put(v1::PutOperation { key, value, ..Default::default() }));
        bench.apply_one(then(vec![large]));
        bench.flush();
    }
    // Their values fill the bound, their keys go beyond it.
    let obstacle = bench.apply_one(then(vec![count("k", "")])).obstacle.expect("it is too much");
    assert_eq!(obstacle.reason(), Reason::RangesTooLarge);
    assert_eq!(answers(&bench.apply_one(then(vec![count("k1", "")]))), [(fit - 1).to_string()]);
}

#[test]
fn a_range_beyond_the_partition_is_refused_and_changes_nothing() {
    let mut bench = Bench::owning(descriptor(b"", b"m"));
    bench.apply_one(write(None, vec![], vec![put("a", "1")]));
    let outcome = bench.apply_one(then(vec![set("a", "2"), delete_range("b", "z")]));
    assert!(outcome.wrong_partition);
    assert_eq!(bench.get(b"a"), Some("1".into()));
}

#[test]
fn a_retried_transaction_is_answered_as_the_first_time_and_increments_once() {
    let mut bench = bench();
    let session = bench.apply_one(register()).revision;
    let add = transaction(Some((session, 1)), vec![], vec![increment("a", 10)], vec![]);
    let first = bench.apply_one(add.clone());
    assert_eq!(answers(&first), ["11"]);
    bench.flush();
    assert_eq!(bench.apply_one(add), first);
    assert_eq!(bench.get(b"a"), Some("11".into()));
}

#[test]
fn a_retried_transaction_with_long_answers_says_that_they_were_dropped() {
    let mut bench = bench();
    let session = bench.apply_one(register()).revision;
    let long: &'static str = "long value ".repeat(100).leak();
    let all = transaction(Some((session, 1)), vec![], vec![set("l", long), get("l")], vec![]);
    let first = bench.apply_one(all.clone());
    assert!(!first.answers_dropped && first.answers.len() == 2);
    let again = bench.apply_one(all);
    assert!(again.answers_dropped && again.answers.is_empty());
    assert_eq!((again.revision, again.conditions_met), (first.revision, true));
}

#[test]
fn put_delete_and_batch_are_short_forms_with_no_answers() {
    let mut bench = bench();
    let outcome = bench.apply_one(write(None, vec![], vec![support::delete("a")]));
    assert!(outcome.existed && outcome.answers.is_empty());
}

#[test]
fn a_transaction_that_only_reads_is_answered_from_a_view() {
    let bench = bench();
    let request = v1::TransactRequest {
        conditions: vec![when("a", Test::Value("1".into()))],
        then: vec![get("b"), count("", "")],
        ..Default::default()
    };
    let view = bench.partition.reader().view();
    let (outcome, changes) =
        execute(&view, (view.revision(), Clock(0)), (&request).into()).unwrap();
    assert_eq!(answers(&outcome), ["2@1", "3"]);
    assert!(changes.is_empty());
}

#[test]
fn a_transaction_in_the_log_reads_back_as_it_was() {
    let command = transaction(
        Some((3, 4)),
        vec![v1::Condition { relation: Relation::Less.into(), ..when("a", Test::Revision(9)) }],
        vec![increment("n", i64::MIN), scan("a", "b", 7, true)],
        vec![delete_range("", "x"), count("", "")],
    );
    assert_eq!(v1::Command::decode(encode_command(&command)).unwrap(), command);
}
