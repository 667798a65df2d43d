//! What the figures were measured on.

use anyhow::Context;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;

/// One line about the machine, and how many fdatasyncs of 4 KiB its disk does.
pub fn describe(folder: &Path) -> anyhow::Result<String> {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = read("/proc/sys/kernel/osrelease");
    let memory = read("/proc/meminfo");
    let memory = memory.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok());
    let load = read("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or("?").to_owned();
    Ok(format!(
        "{cores} cores, {} GiB of memory, Linux {}, fdatasync of 4 KiB: {:.0}/s, \
         load average before the run: {load}",
        memory.unwrap_or(0) >> 20,
        kernel.trim(),
        syncs_per_second(folder)?,
    ))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn syncs_per_second(folder: &Path) -> anyhow::Result<f64> {
    let path = folder.join("fdatasync");
    let file = File::create(&path).with_context(|| format!("creating {}", path.display()))?;
    let block = [7; 4096];
    // Written once before: a log's segments are allocated in advance too.
    for number in 0..256 {
        file.write_all_at(&block, number * 4096)?;
    }
    file.sync_all()?;
    let (started, mut count) = (Instant::now(), 0_u64);
    while started.elapsed() < Duration::from_secs(1) {
        file.write_all_at(&block, count % 256 * 4096)?;
        file.sync_data()?;
        count += 1;
    }
    let rate = count as f64 / started.elapsed().as_secs_f64();
    std::fs::remove_file(&path)?;
    Ok(rate)
}
