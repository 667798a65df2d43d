//! `doug top`: who has how much to do.

mod json;
mod rates;
mod text;
mod view;

use crate::commands::status::{Look, look};
use crate::exit::Exit;
use crate::failure;
use crate::globals::Globals;
use crate::live;
use crate::units;
use anyhow::Context;
use doug_streams::out;
use std::time::Duration;
use view::{Order, Top};

/// Options of `doug top`.
#[derive(clap::Args)]
#[command(after_help = "\
Operations and bytes a second of each node and each partition, the busiest
first, until Ctrl-C. Reads are counted where they are served, writes where they
are answered: by the leader. `size` is what data take in tables and memtables,
`keys` an estimate, which counts keys that were written again more than once.
`lag` is how many entries the member that has the fewest lacks.

Examples:
  doug top
  doug top --once --sort size
  doug top --once -o json")]
pub struct Args {
    /// Print it once and end
    #[arg(long)]
    once: bool,
    /// Time between two looks, over which operations are counted
    #[arg(long, value_name = "TIME", value_parser = units::parse_duration, default_value = "1s")]
    interval: Duration,
    /// What comes first: the most operations (load), data (size) or missing entries (lag)
    #[arg(long, value_name = "ORDER", default_value = "load")]
    sort: Order,
}

/// Runs the command.
pub async fn run(args: Args, globals: &Globals) -> anyhow::Result<Exit> {
    let mut before = if args.once {
        let first = ask(globals).await.context("the load is not known")?;
        live::pause(args.interval).await;
        Some(first)
    } else {
        None
    };
    loop {
        match ask(globals).await {
            Ok(now) => {
                // One look says nothing about load: programs are told of two.
                if before.is_some() || !globals.json() {
                    show(&Top::new(before.as_ref(), &now, args.sort), &args, globals);
                }
                before = Some(now);
            }
            Err(fault) if args.once => {
                return Err(anyhow::Error::from(fault).context("the load is not known"));
            }
            // Whoever watches waits for just that to end.
            Err(fault) if globals.json() => {
                failure::say(&fault.into(), globals);
            }
            Err(fault) => {
                let said = format!("the load is not known: {fault}");
                live::show(&globals.given.repeated_in(&said));
            }
        }
        if args.once || out::lost().is_some() {
            return Ok(Exit::Done);
        }
        live::pause(args.interval).await;
    }
}

async fn ask(globals: &Globals) -> Result<Look, doug_client::Fault> {
    look(|| globals.builder()).await
}

fn show(top: &Top, args: &Args, globals: &Globals) {
    if globals.json() {
        doug_streams::outln!("{}", json::document(top));
    } else if args.once {
        doug_streams::outln!("{}", text::render(top, out::size()));
    } else {
        live::show(&text::render(top, out::size()));
    }
}
