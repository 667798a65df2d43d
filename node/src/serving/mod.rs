//! What a node makes of a client's operations, and of what became of them:
//! everything between its door and its hosts but threads, queues and clocks. So
//! the simulator's nodes answer clients with the code that ships.

mod answers;
mod moment;
mod page;
mod plan;
mod scan_pins;
mod watch;
mod watches;

pub use answers::{
    Asked, ReadFailure, Served, answer_read, answer_write, gone, just_joined, just_left, replaying,
    serves, with_leader_address, wrong_partition,
};
pub use page::snapshot_revision;
pub use plan::{Plan, Site, Work, plan};
pub use scan_pins::ScanPins;
pub use watch::{WatchRoom, Watching, is_behind, tell};
pub use watches::{Interval, Watches};
