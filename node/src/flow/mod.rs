//! Queues and back-pressure between a node's parts: pure code, without threads or
//! clocks, that the engine's threads and the simulator both run.

mod admission;
mod apply_queue;
mod background;
mod inbox;
mod log_queue;
mod memtable_memory;

pub use admission::{Bounds, Class, Limiter, OperationAdmission, overloaded};
pub use apply_queue::{ApplyQueue, Next};
pub use background::{Background, Step};
pub use inbox::{Inbox, Lane};
pub use log_queue::{Appended, LogQueue};
pub use memtable_memory::MemtableMemory;
