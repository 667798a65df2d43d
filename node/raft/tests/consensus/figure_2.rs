//! Figure 2 of the paper, rule by rule.

mod append_entries;
mod request_vote;
mod servers;
