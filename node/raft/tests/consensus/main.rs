//! The rules of consensus, each a test named by it.

#[path = "../support/mod.rs"]
mod support;

mod chaos;
mod figure_2;
mod transcripts;
