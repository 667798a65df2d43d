//! A disk in memory that loses power, tears writes and fails on demand.
