//! A namespace for one test.

use crate::diagnosis;
use crate::kubectl;

/// A namespace of the test's own, removed at its end with all that is in it.
#[derive(Debug)]
pub struct Namespace(String);

impl Namespace {
    /// Makes one for a case, anew where an earlier run left it.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn new(case: &str) -> Self {
        let name = format!("doug-{case}");
        kubectl::run(&["delete", "namespace", &name, "--ignore-not-found", "--timeout=180s"]);
        kubectl::run(&["create", "namespace", &name]);
        Self(name)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0
    }

    /// The arguments, in this namespace.
    pub fn arguments<'a>(&'a self, arguments: &[&'a str]) -> Vec<&'a str> {
        [&["-n", &self.0], arguments].concat()
    }

    /// Applies a manifest, as a user does.
    ///
    /// # Errors
    /// What kubectl said, when it was refused.
    pub fn apply(&self, manifest: &str) -> Result<String, String> {
        kubectl::attempt_with(&self.arguments(&["apply", "-f", "-"]), manifest)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if std::thread::panicking() {
            diagnosis::print(&self.0);
        }
        // The databases first, or their operator would make anew what goes.
        let databases = ["delete", "dougclusters", "--all", "--timeout=60s"];
        let _ = kubectl::attempt(&self.arguments(&databases));
        // The rest goes while the next test begins: every test has a name of its own.
        let _ = kubectl::attempt(&["delete", "namespace", &self.0, "--wait=false"]);
    }
}
