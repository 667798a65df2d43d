//! What runs in a node: a thread for each host, the log, applying, reads and maintenance, and
//! tasks that look at something again and again. They take work from the engine's queues, and carry
//! out what the hosts decide.

pub mod apply;
pub mod founding;
pub mod host;
pub mod log;
pub mod maintenance;
mod memory;
mod queue;
pub mod reads;
pub mod removal;
pub mod volume_watch;
mod watch;
mod watched;

pub use watched::{DISK_PATIENCE, HOST_PATIENCE, Pulse, Threads};
