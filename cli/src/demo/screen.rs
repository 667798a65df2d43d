//! What a demo shows while it starts: a spinner, or plain lines where no
//! terminal would show one.

use super::state::State;
use indicatif::{ProgressBar, ProgressStyle};
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;

/// Progress of a start, on standard error.
#[derive(Debug)]
pub struct Progress {
    spinner: Option<ProgressBar>,
    began: Instant,
}

impl Progress {
    /// Begins now.
    pub fn start() -> Self {
        let spinner = doug_streams::err::is_terminal().then(|| {
            let style = ProgressStyle::with_template("{spinner:.cyan} {elapsed:>3}  {wide_msg}");
            let spinner = ProgressBar::new_spinner();
            spinner.set_style(style.expect("the template is a constant that a test renders"));
            spinner.enable_steady_tick(Duration::from_millis(100));
            spinner
        });
        Self { spinner, began: Instant::now() }
    }

    /// Says what is being done now.
    pub fn step(&self, what: impl Into<String>) {
        let what = what.into();
        match &self.spinner {
            Some(spinner) => spinner.set_message(what),
            None => doug_streams::errln!("{:>5.1} s  {what}", self.began.elapsed().as_secs_f64()),
        }
    }

    /// How long it has taken so far.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(spinner) = &self.spinner {
            spinner.finish_and_clear();
        }
    }
}

/// Prints what to do with a demo that is ready: lines to copy.
pub fn ready(state: &State, folder: &Path, took: Duration) {
    let shape = state.shape;
    let endpoint = state.endpoint();
    let program = program();
    let folder = folder.display();
    let fate = if state.temporary {
        "removed at the end; keep it with --data DIR".to_owned()
    } else {
        format!("go on with it next time: {program} demo --data {folder}")
    };
    let option = match endpoint.as_str() {
        "http://127.0.0.1:7400" => String::new(),
        other => format!(" --endpoint {other}"),
    };
    let plain = endpoint.trim_start_matches("http://");
    doug_streams::outln!(
        "\
DougDB is ready after {:.1} s: {shape}.

  Endpoint  {endpoint}  (gRPC, with reflection)
  Data      {folder}  ({fate})
  Logs      {folder}/logs

Try in another terminal:
  {program} put{option} greeting hello
  {program} get{option} greeting
  {program} status{option}
  {program} demo status
  {program} demo kill leader:greeting
  grpcurl -plaintext {plain} list

Ctrl-C stops it.
",
        took.as_secs_f64(),
    );
}

/// How this program is called, for lines that people copy.
pub fn program() -> String {
    let Ok(this) = std::env::current_exe() else { return "doug".into() };
    let path = std::env::var_os("PATH").unwrap_or_default();
    if std::env::split_paths(&path).any(|folder| folder.join("doug") == this) {
        return "doug".into();
    }
    let here = std::env::current_dir().unwrap_or_default();
    this.strip_prefix(&here).unwrap_or(&this).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spinner_template_is_valid() {
        ProgressStyle::with_template("{spinner:.cyan} {elapsed:>3}  {wide_msg}").unwrap();
    }
}
