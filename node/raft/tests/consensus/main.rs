//! The rules of consensus, each a test named by it.
#![allow(clippy::disallowed_macros, reason = "libtest captures these alone")]

#[path = "../support/mod.rs"]
mod support;

mod batches;
mod chaos;
mod clock;
mod compaction;
mod elections;
mod figure_2;
mod flow_control;
mod lease;
mod membership;
mod quiesce;
mod reads;
mod recovery;
mod tail;
mod transcripts;
mod transfer;
