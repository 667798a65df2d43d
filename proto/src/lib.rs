//! DougDB's wire types and what they mean: generated messages and services,
//! the partition map and routing, limits, tokens and typed errors.
#![deny(missing_docs)]

pub mod access;
pub mod address;
pub mod clock_offset;
pub mod deadline;
pub mod error;
pub mod ids;
pub mod instant;
pub mod limits;
pub mod map;
pub mod oversize;
pub mod quote;
pub mod routing;
pub mod status;
pub mod together;
pub mod token;
pub mod transaction;
mod volume;

/// Generated from `proto/dougdb/v1`; the comments there are the documentation.
#[allow(missing_docs, clippy::all, clippy::disallowed_types)]
pub mod v1 {
    tonic::include_proto!("dougdb.v1");

    /// The encoded descriptors of all files, for gRPC reflection.
    pub const FILE_DESCRIPTOR_SET: &[u8] =
        include_bytes!(concat!(env!("OUT_DIR"), "/dougdb.v1.bin"));
}

/// The version of this program, as every answer that names one gives it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
