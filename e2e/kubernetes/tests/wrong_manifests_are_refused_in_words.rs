//! Manifests that are wrong in every way we could think of: each is refused by
//! the API server, or accepted and Degraded, with the words it is annotated with.
//!
//! A manifest begins with `# expect: refused by …: WORDS` or
//! `# expect: degraded with REASON: WORDS`.

use doug_kubernetes_tests::database::Database;
use doug_kubernetes_tests::kubectl;
use doug_kubernetes_tests::manifest::Manifest;
use doug_kubernetes_tests::namespace::Namespace;
use doug_kubernetes_tests::operator;
use doug_kubernetes_tests::wait::{seconds, until};
use std::path::{Path, PathBuf};

fn manifests() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/wrong");
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
}

#[test]
fn wrong_manifests_are_refused_in_words() {
    let namespace = Namespace::new("wrong");
    let restarts = operator::restarts();
    let manifests = manifests();
    assert!(manifests.len() >= 40, "{} manifests", manifests.len());
    let mut wrong = Vec::new();
    for path in &manifests {
        if let Err(what) = judge(&namespace, path) {
            wrong.push(format!("{}: {what}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), manifests.len(), wrong.join("\n"));
    assert_eq!(operator::restarts(), restarts, "the operator did not survive it");
    assert!(!operator::log().contains("panicked"), "the operator panicked");
    // It still works.
    Database::create(&namespace, &Manifest::new("right"));
}

fn judge(namespace: &Namespace, path: &Path) -> Result<(), String> {
    let text = std::fs::read_to_string(path).expect("the manifest can be read");
    let first = text.lines().next().unwrap_or_default();
    let expected = first.strip_prefix("# expect: ").ok_or("it does not say what to expect")?;
    let (how, words) = expected.split_once(": ").ok_or("it expects no words")?;
    let refused = how.starts_with("refused");
    match namespace.apply(&text) {
        Err(refusal) if refused && refusal.contains(words) => Ok(()),
        Err(refusal) if refused => Err(format!("refused in other words: {refusal}")),
        Ok(_) if refused => Err("accepted".to_owned()),
        Ok(created) => degraded(namespace, &created, words),
        Err(refusal) => Err(format!("refused: {refusal}")),
    }
}

/// `created` is what kubectl printed: the object's name is its first word.
fn degraded(namespace: &Namespace, created: &str, words: &str) -> Result<(), String> {
    let name = created.split_whitespace().next().unwrap_or_default();
    until(&format!("{name} is Degraded: {words}"), seconds(60), || {
        let object = kubectl::get(&namespace.arguments(&[name]))?;
        let conditions = object["status"]["conditions"].as_array()?.clone();
        let found = conditions.into_iter().find(|one| one["type"] == "Degraded")?;
        (found["status"] == "True" && found["message"].as_str()?.contains(words)).then_some(())
    });
    kubectl::attempt(&namespace.arguments(&["delete", name, "--timeout=60s"])).map(|_| ())
}
