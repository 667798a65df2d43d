//! `doug demo`: a whole database on this machine, every node its own process.
//!
//! `session` is the demo's life; `prepare` and `start` bring it up over
//! `processes`; `control` lets `commands` in other terminals act on it.

mod args;
pub mod child;
mod commands;
mod control;
mod database;
mod layout;
mod lock;
mod membership;
mod ports;
mod prepare;
mod processes;
mod screen;
mod session;
mod spawner;
mod start;
mod state;
mod table;
mod tour;
mod writers;

use crate::exit::Exit;
use crate::globals::Globals;
pub use args::Args;
pub use commands::process_names;

/// Starts a demo, or acts on the running one.
pub async fn run(args: Args, globals: &Globals) -> anyhow::Result<Exit> {
    // Only where a test started it: then it ends with that.
    child::die_with_parent()?;
    match args.command {
        Some(command) => commands::run(command, globals).await,
        None => session::run(args.start).await,
    }
}
