//! Scans: pages of partitions put together in key order, and a stream of pages.
//!
//! A page token is stateless: the last key returned, and of each partition the
//! revision of its snapshot. So any client or facade can go on with it.

mod bounds;
mod merge;
mod page;
mod stream;

pub(crate) use page::merged_page;
pub use stream::ScanStream;
