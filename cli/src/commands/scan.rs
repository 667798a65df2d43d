//! `doug scan`.

use super::entries::{self, Limit};
use super::{consistency, interval, moment};
use crate::aligned::Aligned;
use crate::exit::Exit;
use crate::globals::Globals;
use doug_client::ScanOptions;
use std::io::{BufWriter, Write};

/// Options of `doug scan`.
#[derive(clap::Args)]
#[command(after_help = "\
Prints KEY<tab>VALUE, one entry a line, escaped so that a line is always one
entry: `--encoding escaped` reads such text back. -o json prints one object a line,
-o table columns with the revision of each, cut to the width of a terminal.
On a terminal it stops after 100 entries and says if there are more, unless --limit
says otherwise; into a file or pipe everything is printed.

Examples:
  doug scan --prefix user7/
  doug scan --from a --to b --limit 10 --reverse
  doug scan --keys-only -o table
  doug scan --prefix user7/ --at 2026-11-30T12:00:00Z
  doug scan --keys-only -o json")]
pub struct Args {
    #[command(flatten)]
    interval: interval::Args,
    /// From the greatest key down
    #[arg(long)]
    reverse: bool,
    /// Stop after so many entries; 0: never [default: 100 on a terminal, else 0]
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Keys without values
    #[arg(long)]
    keys_only: bool,
    #[command(flatten)]
    moment: moment::Args,
    #[command(flatten)]
    consistency: consistency::Args,
    /// Keyspace; `system` is the catalog, which can only be read
    #[arg(long, default_value = "default", value_name = "NAME")]
    keyspace: String,
}

/// Runs the command.
pub async fn run(args: Args, globals: &Globals) -> anyhow::Result<Exit> {
    let range = args.interval.range(globals.encoding)?;
    let limit = limit(args.limit, doug_streams::out::is_terminal());
    let options = ScanOptions {
        reverse: args.reverse,
        page_limit: page_limit(limit),
        keys_only: args.keys_only,
        read: args.consistency.read(),
        at: args.moment.at(),
    };
    let client = globals.one_shot().await?.in_keyspace(&args.keyspace);
    let mut out = BufWriter::new(doug_streams::out::Writer);
    let mut table = Aligned::new(entries::head(args.keys_only), doug_streams::out::columns());
    let lines = |entry: &_| {
        if globals.table() {
            let lines = table.add(entries::row(globals.encoding, args.keys_only, entry));
            return (!lines.is_empty()).then(|| lines.join("\n"));
        }
        Some(if globals.json() {
            entries::json_line(args.keys_only, entry)
        } else {
            entries::text_line(globals.encoding, args.keys_only, entry)
        })
    };
    let written = entries::write_lines(&client, range, options, limit, &mut out, lines).await;
    // Also of a scan that broke off.
    if globals.table() {
        for line in table.rest() {
            writeln!(out, "{line}")?;
        }
        out.flush()?;
    }
    let written = written?;
    if written.more {
        doug_streams::errln!(
            "doug: there is more: --limit 0 shows everything, --limit N the first N entries"
        );
    }
    Ok(Exit::Done)
}

/// Entries that a screen or two hold.
const SCREENFUL: u64 = 100;

/// How many entries, and whether to find out if there are more: whoever gave a number knows.
fn limit(asked: Option<u64>, terminal: bool) -> Limit {
    match asked {
        None if terminal => Limit { entries: SCREENFUL, looks_beyond: true },
        None | Some(0) => Limit::NONE,
        Some(entries) => Limit { entries, looks_beyond: false },
    }
}

/// No larger pages than are wanted; 0 is the server's default.
fn page_limit(limit: Limit) -> u32 {
    let wanted = limit.entries.saturating_add(u64::from(limit.looks_beyond));
    u32::try_from(wanted).ok().filter(|wanted| *wanted <= 1_000).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_terminal_is_spared_what_nobody_asked_to_be_cut() {
        assert_eq!(limit(None, true), Limit { entries: 100, looks_beyond: true });
        assert_eq!(limit(None, false), Limit::NONE);
        for terminal in [true, false] {
            let seven = Limit { entries: 7, looks_beyond: false };
            assert_eq!(limit(Some(7), terminal), seven);
            assert_eq!(limit(Some(0), terminal), Limit::NONE);
        }
    }

    #[test]
    fn no_more_is_asked_for_than_the_limit_and_what_shows_that_there_is_more() {
        assert_eq!(page_limit(limit(Some(7), true)), 7);
        assert_eq!(page_limit(limit(None, true)), 101);
        assert_eq!(page_limit(limit(None, false)), 0);
    }
}
