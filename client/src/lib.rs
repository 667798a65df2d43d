//! The DougDB client: routing, leader cache, retries, sessions.
//!
//! A [`Client`] speaks either to the endpoints it was given (facades) or, in
//! direct mode, straight to the leaders that the partition map names. Either
//! way every operation goes through [`Client::execute`]: over one multiplexed
//! stream per server, retried only where a retry cannot apply twice, and ended
//! at its deadline as success, definite failure or *unknown*.
//!
//! ```no_run
//! # async fn example() -> Result<(), doug_client::Fault> {
//! let client = doug_client::Client::builder().endpoints(["127.0.0.1:7400"]).connect().await?;
//! client.put("planet", "earth", Default::default()).await?;
//! let answer = client.get("planet", Default::default()).await?;
//! assert_eq!(&answer.value[..], b"earth");
//! # Ok(())
//! # }
//! ```
#![deny(missing_docs)]

pub mod admin;
mod builder;
mod client;
mod connection;
pub mod create;
mod dial;
mod engine;
mod jitter;
mod map;
mod options;
mod runtime;
mod scan;
mod sessions;
mod settings;
pub mod simulation;
mod transaction;
mod transport;
mod watch;

pub use builder::Builder;
pub use client::{Client, Write};
pub use dial::{Dial, Io, Tcp};
pub use doug_proto::error::Fault;
pub use doug_proto::map::PartitionMap;
pub use doug_proto::v1;
pub use options::{At, If, Range, Read, ScanOptions};
pub use runtime::{Runtime, Tokio};
pub use scan::ScanStream;
pub use transaction::{Check, Step, Transaction};
pub use transport::{Grpc, Maps, OpenError, Requests, Responses, Transport};
pub use watch::{Changes, Since, Watch, WatchOptions};
