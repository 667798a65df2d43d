//! The engine: what the threads, the transport and the services of a running node share. It owns
//! nothing that runs.

pub mod clock;
pub mod fatal;
pub mod host_handle;
pub mod identity;
pub mod mailbox;
pub mod maps;
mod measured;
mod parts;
pub mod peers;
pub mod random;
pub mod removal;
pub mod requests;
pub mod session_memory;
pub mod tasks;
mod wake_ups;

pub use parts::Engine;
