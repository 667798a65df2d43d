//! Queues and back-pressure between a node's parts, and to its peers: pure code, without threads
//! or clocks. All but the queues to peers is what the simulator runs as well.

mod admission;
mod apply_queue;
mod bulk;
mod inbox;
mod log_queue;
mod memtable_memory;
mod outbox;

pub use admission::{Bounds, Class, Limiter, OperationAdmission, overloaded};
pub use apply_queue::{ApplyQueue, Next};
pub use bulk::{bulk_bytes, is_bulk};
pub use inbox::{Inbox, Lane};
pub use log_queue::{Appended, LogQueue};
pub use memtable_memory::MemtableMemory;
pub use outbox::Outbox;
