//! The DougDB client: routing, leader cache, retries, sessions.
