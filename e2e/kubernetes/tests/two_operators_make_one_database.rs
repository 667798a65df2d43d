//! Two operators run, and the one at work dies while a database is being made.

use doug_kubernetes_tests::database::Database;
use doug_kubernetes_tests::manifest::Manifest;
use doug_kubernetes_tests::namespace::Namespace;
use doug_kubernetes_tests::operator;
use doug_kubernetes_tests::wait::{always, seconds};
use doug_kubernetes_tests::witness::Witness;

#[test]
fn two_operators_make_one_database() {
    operator::scale(2);
    let namespace = Namespace::new("two");
    let database = Database::apply(&namespace, &Manifest::new("orders"));
    operator::kill();
    operator::await_rollout();
    database.await_ready();

    let identity = database.status()["databaseId"].clone();
    assert!(identity.is_string(), "the database has an id");
    let witness = Witness::start(&database, "two");
    operator::kill();
    operator::await_rollout();
    always("it is one database", seconds(10), || database.status()["databaseId"] == identity);
    witness.stop().no_failed_request();
    drop(namespace);
    operator::scale(1);
}
