//! The machine of the operator dies for good: another operator goes on elsewhere within about a
//! minute, and no facade counts on the machine any more. Kubernetes by itself would wait for five.

use doug_kubernetes_tests::database::{Database, Pod};
use doug_kubernetes_tests::lab::{self, Broken};
use doug_kubernetes_tests::manifest::{Manifest, SIZED};
use doug_kubernetes_tests::namespace::Namespace;
use doug_kubernetes_tests::operator;
use doug_kubernetes_tests::wait::{seconds, until};
use serde_json::json;

#[test]
fn operator_and_facades_leave_a_dead_machine() {
    assert!(lab::is_ours(), "machines can be killed only in the suite's own Kubernetes");
    let namespace = Namespace::new("leave");
    // The default class has its provisioner in a pod, which may die with the machine.
    let manifest = Manifest::new("orders").storage(SIZED, "320Mi");
    let database = Database::create(&namespace, &manifest);
    let machine = operator::machines().pop().expect("it runs somewhere");
    let facades = database.pods("facade").len();

    let broken = Broken::node(&machine);
    let elsewhere = |pod: &&Pod| pod.is_ready() && pod.node() != machine;
    until("an operator is ready on another machine", seconds(150), || {
        operator::pods().iter().find(elsewhere).map(|_| ())
    });
    until("as many facades as before are ready on other machines", seconds(150), || {
        (database.pods("facade").iter().filter(elsewhere).count() == facades).then_some(())
    });
    // Its predecessor's Lease has to end first.
    database.patch(&json!({"facade": {"replicas": facades + 1}}));
    until("the operator does what the spec says", seconds(90), || {
        (database.pods("facade").iter().filter(elsewhere).count() > facades).then_some(())
    });
    broken.mend();
    operator::await_rollout();
    database.await_ready_nodes(3);
    database.await_ready();
}
