//! Scans: pages of one partition merged in key order, and a stream of pages.

mod stream;

pub use stream::ScanStream;
