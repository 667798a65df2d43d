//! The commands of the README's section on Kubernetes, as they stand there.

use doug_kubernetes_tests::kubectl;
use doug_kubernetes_tests::namespace::Namespace;
use doug_kubernetes_tests::plugin::doug;
use doug_kubernetes_tests::wait::{seconds, until};
use std::path::{Path, PathBuf};
use std::process::Child;

struct Forward(Child);

impl Drop for Forward {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn what_the_readme_says_works_as_pasted() {
    let readme = std::fs::read_to_string(root().join("README.md")).expect("the README");
    for command in [
        "kubectl apply -f charts/dougdb/samples/orders.yaml",
        "kubectl wait --for=condition=Ready --timeout=5m dougcluster/orders",
        "kubectl port-forward svc/orders-facade 7400",
    ] {
        assert!(readme.contains(command), "the README no longer says {command}");
    }
    let namespace = Namespace::new("pasted");
    let sample = root().join("charts/dougdb/samples/orders.yaml");
    let sample = sample.to_str().expect("a path of the test is UTF-8");
    kubectl::run(&namespace.arguments(&["apply", "-f", sample]));
    kubectl::run(&namespace.arguments(&[
        "wait",
        "--for=condition=Ready",
        "--timeout=5m",
        "dougcluster/orders",
    ]));
    let table = kubectl::run(&namespace.arguments(&["get", "dougclusters"]));
    let columns: Vec<_> = table.lines().next().unwrap_or_default().split_whitespace().collect();
    let expected = ["NAME", "READY", "CLUSTERS", "PARTITIONS", "EPOCH", "VERSION", "AGE"];
    assert_eq!(columns, expected);

    let forward = namespace.arguments(&["port-forward", "svc/orders-facade", "7400"]);
    let _forward = Forward(kubectl::start(&forward));
    // Ready means that writes work: what is awaited here is the port-forward.
    until("hello is written", seconds(20), || {
        doug(&["put", "hello", "world"]).status.success().then_some(())
    });
    let got = doug(&["get", "hello"]);
    assert_eq!(String::from_utf8_lossy(&got.stdout).trim(), "world");
}
