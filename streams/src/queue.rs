//! A bounded queue of lines before a sink that may be slow, full or gone.

use crate::write;
use parking_lot::{Condvar, Mutex};
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

/// Lines on their way to a sink. Pushing never waits for the sink.
pub struct Queue(Arc<Buffer>);

struct Buffer {
    most: usize,
    state: Mutex<State>,
    /// Something waits, or the queue was dropped.
    work: Condvar,
    /// Nothing waits and nothing is being written.
    idle: Condvar,
}

#[derive(Default)]
struct State {
    waiting: Vec<u8>,
    writing: bool,
    closed: bool,
    dropped: u64,
    /// Dropped lines of which the log itself does not tell yet.
    untold: u64,
}

impl State {
    fn drop_lines(&mut self, lines: &[u8]) {
        let lines = lines.iter().filter(|byte| **byte == b'\n').count() as u64;
        self.dropped += lines;
        self.untold += lines;
    }
}

impl Queue {
    /// Starts the thread that writes to `sink`. At most `most` bytes wait for it, and as
    /// many again are being written.
    pub fn start(sink: impl AsFd + Send + 'static, most: usize) -> io::Result<Self> {
        let (state, work, idle) = Default::default();
        let buffer = Arc::new(Buffer { most, state, work, idle });
        let theirs = buffer.clone();
        let work = move || Drain { sink, torn: false }.run(&theirs);
        std::thread::Builder::new().name("doug-log-lines".into()).spawn(work)?;
        Ok(Self(buffer))
    }

    /// Takes whole lines, or drops them all if there is no room.
    pub fn push(&self, lines: &[u8]) {
        let mut state = self.0.state.lock();
        let gap = match state.untold {
            0 => String::new(),
            missing => {
                format!("doug: {missing} lines are missing here: they could not be written\n")
            }
        };
        if state.waiting.len() + gap.len() + lines.len() > self.0.most {
            state.drop_lines(lines);
            return;
        }
        state.untold = 0;
        state.waiting.extend_from_slice(gap.as_bytes());
        state.waiting.extend_from_slice(lines);
        self.0.work.notify_one();
    }

    /// Lines that were not written: for want of room, or because the sink failed.
    pub fn dropped_lines(&self) -> u64 {
        self.0.state.lock().dropped
    }

    /// Waits until all lines are written or dropped, at most for `limit`.
    pub fn flush(&self, limit: Duration) {
        let mut state = self.0.state.lock();
        let busy = |state: &mut State| state.writing || !state.waiting.is_empty();
        self.0.idle.wait_while_for(&mut state, busy, limit);
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.0.state.lock().closed = true;
        self.0.work.notify_one();
    }
}

struct Drain<S> {
    sink: S,
    /// The sink failed in the middle of a line: the next one begins anew.
    torn: bool,
}

impl<S: AsFd> Drain<S> {
    fn run(mut self, buffer: &Buffer) {
        loop {
            let lines = {
                let mut state = buffer.state.lock();
                while state.waiting.is_empty() {
                    if state.closed {
                        return;
                    }
                    buffer.work.wait(&mut state);
                }
                state.writing = true;
                std::mem::take(&mut state.waiting)
            };
            let written = self.write(&lines);
            let mut state = buffer.state.lock();
            state.drop_lines(&lines[written..]);
            state.writing = false;
            if state.waiting.is_empty() {
                buffer.idle.notify_all();
            }
        }
    }

    /// How many bytes of `lines` the sink took. It is tried again with the next ones: a
    /// disk may have room again.
    fn write(&mut self, lines: &[u8]) -> usize {
        if self.torn && write::all(&self.sink, b"\n").is_err() {
            return 0;
        }
        self.torn = false;
        let Err((written, _)) = write::all(&self.sink, lines) else { return lines.len() };
        self.torn = written > 0 && lines[written - 1] != b'\n';
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{File, OpenOptions};
    use std::io::{PipeReader, Read};

    const SECOND: Duration = Duration::from_secs(1);
    const LONG: Duration = Duration::from_secs(60);

    /// A pipe that takes nothing more until somebody reads, and what is in it.
    fn full_pipe() -> (PipeReader, std::io::PipeWriter, usize) {
        let (reader, writer) = std::io::pipe().unwrap();
        let flags = rustix::fs::fcntl_getfl(&writer).unwrap();
        rustix::fs::fcntl_setfl(&writer, flags | rustix::fs::OFlags::NONBLOCK).unwrap();
        let mut filled = 0;
        while let Ok(count) = rustix::io::write(&writer, &[b'x'; 4096]) {
            filled += count;
        }
        rustix::fs::fcntl_setfl(&writer, flags).unwrap();
        (reader, writer, filled)
    }

    #[test]
    fn lines_arrive_in_order() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let queue = Queue::start(file.reopen().unwrap(), 1 << 20).unwrap();
        let lines: Vec<String> = (0..1_000).map(|number| format!("line {number}\n")).collect();
        for line in &lines {
            queue.push(line.as_bytes());
        }
        queue.flush(LONG);
        assert_eq!(std::fs::read_to_string(file.path()).unwrap(), lines.concat());
        assert_eq!(queue.dropped_lines(), 0);
    }

    #[test]
    fn a_pipe_that_nobody_reads_costs_lines_and_no_time() {
        let (_reader, writer, _) = full_pipe();
        let queue = Queue::start(writer, 1_000).unwrap();
        // This ends, although no byte can be written.
        for _ in 0..10_000 {
            queue.push(b"0123456789\n");
        }
        queue.flush(SECOND / 10);
        let taken = 2 * 1_000 / 11;
        assert!(queue.dropped_lines() >= 10_000 - taken, "{}", queue.dropped_lines());
    }

    #[test]
    fn a_reader_that_comes_back_is_told_what_it_missed() {
        let (mut reader, writer, filled) = full_pipe();
        let queue = Queue::start(writer, 1_000).unwrap();
        for _ in 0..1_000 {
            queue.push(b"0123456789\n");
        }
        reader.read_exact(&mut vec![0; filled]).unwrap();
        queue.flush(LONG);
        let missing = queue.dropped_lines();
        queue.push(b"after\n");
        queue.flush(LONG);
        drop(queue);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        // A pipe may have taken some of them in between: then it is told in parts.
        let told = text.lines().filter_map(|line| {
            let said = line.strip_suffix(" lines are missing here: they could not be written")?;
            said.strip_prefix("doug: ")?.parse::<u64>().ok()
        });
        assert_eq!(told.sum::<u64>(), missing, "{text}");
        assert!(missing > 0 && text.ends_with("after\n"), "{missing}: {text}");
    }

    #[test]
    fn a_full_disk_costs_lines_and_nothing_else() {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let queue = Queue::start(full, 1_000).unwrap();
        for _ in 0..10 {
            queue.push(b"line\n");
        }
        queue.flush(LONG);
        assert_eq!(queue.dropped_lines(), 10);
    }

    #[test]
    fn a_line_longer_than_the_queue_is_dropped() {
        let queue = Queue::start(File::open("/dev/null").unwrap(), 10).unwrap();
        queue.push(b"longer than ten bytes\n");
        assert_eq!(queue.dropped_lines(), 1);
    }
}
