//! The adapters around the hosts: threads, clock, queues.

pub mod apply_thread;
pub mod clock;
pub mod fatal;
pub mod founding;
pub mod host_thread;
pub mod identity;
pub mod log_thread;
pub mod mailbox;
pub mod maintenance;
pub mod maps;
mod measured;
pub mod memory;
pub mod parts;
pub mod peers;
mod queue;
pub mod read_pool;
pub mod removal;
pub mod requests;
pub mod threads;
pub mod volume_watch;
