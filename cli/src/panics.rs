//! A server ends at the first panic of any of its threads.
//!
//! A panic ends one thread only. A node whose log thread is gone would still send
//! heartbeats and answer probes, so that nobody takes its leaderships over: worse than a
//! node that is not there, which its supervisor starts again.

use doug_streams::err;
use std::backtrace::Backtrace;
use std::panic::PanicHookInfo;
use std::thread;
use std::time::Duration;

/// How long the last words may take: whoever reads our standard error may have stopped.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// From now on a panic on any thread ends this process, by `SIGABRT`. For servers: a
/// command that a person has typed reports its bug in the usual way.
pub fn end_the_process() {
    std::panic::set_hook(Box::new(|panic| end(&last_words(panic))));
}

fn last_words(panic: &PanicHookInfo<'_>) -> String {
    let thread = thread::current();
    let name = thread.name().unwrap_or("without a name");
    format!(
        "doug: thread {name}: {panic}\n\
         doug: that is a bug; this process ends, to be started again\n{}\n",
        Backtrace::capture()
    )
}

/// A server's standard error is written by a thread of its own, so a pipe that nobody reads
/// costs the words and no more than that time.
#[allow(clippy::disallowed_methods, reason = "the words were flushed")]
fn end(words: &str) -> ! {
    err::print(format_args!("{words}"));
    err::flush(LAST_WORDS);
    // Neither destructors nor exit handlers run: what the bug has left may stop them.
    std::process::abort();
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Command, Output, Stdio};

    /// Set in the process that is to end.
    const CHILD: &str = "DOUG_TEST_OF_PANICS";
    const SIGABRT: i32 = 6;

    /// Runs this very test again, in a process of its own.
    fn child(test: &str, stderr: Stdio) -> Output {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", test, "--nocapture"]).env(CHILD, "1");
        command.stdout(Stdio::null()).stderr(stderr).output().unwrap()
    }

    /// A thread panics, and nobody waits for it.
    fn panic_on_a_thread() {
        end_the_process();
        let work = || panic!("a bug on purpose");
        let _ = thread::Builder::new().name("apply".to_owned()).spawn(work).unwrap();
        thread::sleep(Duration::from_secs(20));
    }

    #[test]
    fn a_panic_on_any_thread_ends_the_process_with_its_reason() {
        if std::env::var_os(CHILD).is_some() {
            return panic_on_a_thread();
        }
        let test = "panics::tests::a_panic_on_any_thread_ends_the_process_with_its_reason";
        let output = child(test, Stdio::piped());
        assert_eq!(output.status.signal(), Some(SIGABRT), "{output:?}");
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(words.contains("thread apply") && words.contains("a bug on purpose"), "{words}");
    }

    #[test]
    fn it_ends_although_standard_error_is_full() {
        if std::env::var_os(CHILD).is_some() {
            return panic_on_a_thread();
        }
        let test = "panics::tests::it_ends_although_standard_error_is_full";
        let full = File::options().write(true).open("/dev/full").unwrap();
        let output = child(test, full.into());
        assert_eq!(output.status.signal(), Some(SIGABRT), "{output:?}");
    }

    #[test]
    fn a_panic_of_a_task_ends_the_process_too() {
        if std::env::var_os(CHILD).is_some() {
            end_the_process();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let task = async { tokio::spawn(async { panic!("a bug on purpose") }).await };
            return assert!(runtime.block_on(task).is_err(), "the runtime caught it");
        }
        let test = "panics::tests::a_panic_of_a_task_ends_the_process_too";
        let output = child(test, Stdio::piped());
        assert_eq!(output.status.signal(), Some(SIGABRT), "{output:?}");
    }
}
