//! Two operators run, and the one at work dies while a database is being made. Then another release
//! of the chart is installed, to look after the same database.

use doug_kubernetes_tests::database::Database;
use doug_kubernetes_tests::manifest::{Manifest, SIZED};
use doug_kubernetes_tests::namespace::Namespace;
use doug_kubernetes_tests::operator::{self, Release};
use doug_kubernetes_tests::wait::{always, seconds};
use doug_kubernetes_tests::witness::Witness;

#[test]
fn two_operators_make_one_database() {
    operator::scale(2);
    let namespace = Namespace::new("two");
    // Volumes of a size of their own: else their machine's disk may be what Degraded is about.
    let manifest = Manifest::new("orders").storage(SIZED, "320Mi");
    let database = Database::apply(&namespace, &manifest);
    operator::kill();
    operator::await_rollout();
    database.await_ready();

    let identity = database.status()["databaseId"].clone();
    assert!(identity.is_string(), "the database has an id");
    let witness = Witness::start(&database, "two");
    operator::kill();
    operator::await_rollout();
    always("it is one database", seconds(10), || database.status()["databaseId"] == identity);
    operator::scale(1);
    a_second_release_stands_back(&database);
    witness.stop().no_failed_request();
}

/// What the chart's README says of it, word for word where helm says it.
fn a_second_release_stands_back(database: &Database<'_>) {
    let refused = Release::install("dougdb-refused", &[]).expect_err("the definition is taken");
    assert!(refused.contains("invalid ownership metadata"), "{refused}");

    let other = Release::install("dougdb-other", &["--set=crds.create=false"]);
    let other = other.unwrap_or_else(|error| panic!("the second release is refused: {error}"));
    let contested = database
        .await_condition("Degraded", seconds(60), |condition| condition.reason == "TwoOperators");
    let both = "dougdb-system/dougdb does, and dougdb-other/dougdb stands back";
    assert!(contested.message.contains(both), "{}", contested.message);
    database.await_ready();
    drop(other);
}
