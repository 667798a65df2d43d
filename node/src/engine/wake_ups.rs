//! How often the threads of this process waited, as the kernel counts it.

use crate::metrics::ThreadMeasured;
use std::fs;

/// All threads of this process; none where the kernel does not say (not Linux).
pub fn of_all_threads() -> Vec<ThreadMeasured> {
    let Ok(tasks) = fs::read_dir("/proc/self/task") else { return Vec::new() };
    // A thread may end while it is looked at.
    tasks
        .filter_map(|task| parse(&fs::read_to_string(task.ok()?.path().join("status")).ok()?))
        .collect()
}

fn parse(status: &str) -> Option<ThreadMeasured> {
    let field = |name: &str| {
        let mut lines = status.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(field, _)| *field == name).map(|(_, value)| value.trim())
    };
    Some(ThreadMeasured {
        id: field("Pid")?.parse().ok()?,
        name: field("Name")?.to_owned(),
        wake_ups: field("voluntary_ctxt_switches")?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_and_count_are_read_from_what_the_kernel_says() {
        let status = "Name:\thost-0\nUmask:\t0022\nTgid:\t7\nPid:\t9\n\
                      voluntary_ctxt_switches:\t41\nnonvoluntary_ctxt_switches:\t3\n";
        let read = parse(status).unwrap();
        assert_eq!((read.id, read.name.as_str(), read.wake_ups), (9, "host-0", 41));
        assert!(parse("Name:\thost-0\n").is_none());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_thread_that_waits_is_counted() {
        let before: u64 = of_all_threads().iter().map(|thread| thread.wake_ups).sum();
        std::thread::sleep(std::time::Duration::from_millis(1));
        let after: u64 = of_all_threads().iter().map(|thread| thread.wake_ups).sum();
        assert!(after > before, "{before} before, {after} after");
    }
}
