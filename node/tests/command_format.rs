//! The bytes of a command are a promise: docs/formats.md shows them.

#[path = "../storage/tests/hexdump/mod.rs"]
mod hexdump;

use doug_node::work::encode_command;
use doug_proto::v1::transact_operation::Operation;
use doug_proto::v1::{self, Relation, condition::Test};
use hexdump::hexdump;

#[test]
fn the_documented_example_is_what_is_logged() {
    let step = |operation| vec![v1::TransactOperation { operation: Some(operation) }];
    let condition = v1::Condition {
        key: "k".into(),
        relation: Relation::Less.into(),
        test: Some(Test::Revision(9)),
        range: None,
    };
    let write = v1::WriteCommand {
        session: Some(v1::Session { id: 300, sequence: 5, lowest_unanswered: 4 }),
        conditions: vec![condition],
        then: step(Operation::Increment(v1::IncrementOperation { key: "n".into(), by: 2 })),
        otherwise: step(Operation::Delete(v1::DeleteOperation { key: "k".into() })),
        answers: true,
    };
    let command = v1::Command { command: Some(v1::command::Command::Write(write)) };
    let document = include_str!("../../docs/formats.md");
    let dump = hexdump(&encode_command(&command));
    assert!(document.contains(&dump), "the example in docs/formats.md should be\n{dump}");
}
