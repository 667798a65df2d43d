//! What a node serves: `Doug` to clients, `Admin` to operators, probes and metrics.

mod admin;
mod compaction;
mod creation;
mod doug;
pub mod http;
mod members;
mod operations;
mod recovery;
mod status;
mod stream;

pub use admin::AdminService;
pub use doug::DougService;
