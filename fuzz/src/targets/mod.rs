//! One file for each thing that is decoded.

mod batch;
mod commands;
mod creation;
pub(crate) mod log;
pub(crate) mod manifest;
mod map;
mod peers;
mod requests;
pub(crate) mod snapshots;
mod state;
pub(crate) mod tables;
mod tokens;

/// A target: its name, which is also the folder of its corpus, and its body.
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// Decodes any bytes; panics if that breaks a promise.
    pub run: fn(&[u8]),
}

/// Every target.
pub const TARGETS: &[Target] = &[
    Target { name: "log", run: log::log },
    Target { name: "table", run: tables::table },
    Target { name: "manifest", run: manifest::manifest },
    Target { name: "state_block", run: state::state_block },
    Target { name: "snapshot_stream", run: snapshots::snapshot_stream },
    Target { name: "snapshot_files", run: snapshots::snapshot_files },
    Target { name: "batch", run: batch::batch },
    Target { name: "membership", run: batch::membership },
    Target { name: "commands", run: commands::commands },
    Target { name: "peer_turn", run: peers::peer_turn },
    Target { name: "client_request", run: requests::client_request },
    Target { name: "map_wire", run: map::map_wire },
    Target { name: "map_document", run: map::map_document },
    Target { name: "tokens", run: tokens::tokens },
    Target { name: "creation_spec", run: creation::creation_spec },
];

/// The target of that name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
