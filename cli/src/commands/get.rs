//! `doug get`.

use super::{answer, consistency, entries, moment};
use crate::aligned::Aligned;
use crate::encoding::{Encoding, insert_json, is_plain_text};
use crate::exit::{Exit, usage};
use crate::globals::Globals;
use anyhow::Context;
use doug_proto::v1::{GetResponse, ScanEntry};
use doug_streams::out;
use serde_json::{Map, Value};
use std::ffi::OsString;
use std::io::Write;

/// Options of `doug get`.
#[derive(clap::Args)]
#[command(after_help = "\
Prints the value's bytes as they are; on a terminal escaped, with a newline.
Exit status 3 if the key does not exist.

Examples:
  doug get greeting
  doug get photo > cat.jpg
  doug get greeting --at 5m
  doug get greeting --consistency eventual -v
  doug get greeting --consistency session:0801120608011001180a
  doug get greeting -o json")]
pub struct Args {
    /// Key
    #[arg(allow_hyphen_values = true)]
    key: OsString,
    #[command(flatten)]
    moment: moment::Args,
    #[command(flatten)]
    consistency: consistency::Args,
    /// Keyspace; `system` is the catalog, which can only be read
    #[arg(long, default_value = "default", value_name = "NAME")]
    keyspace: String,
    /// Show revision, session token, who served and how stale, on standard error
    #[arg(short, long)]
    verbose: bool,
}

/// Runs the command.
pub async fn run(args: Args, globals: &Globals) -> anyhow::Result<Exit> {
    let key = globals.encoding.decode(&args.key).map_err(usage)?;
    let shown = globals.encoding.quote(&key);
    let client = globals.one_shot().await?.in_keyspace(&args.keyspace);
    let read = args.consistency.read();
    let answer = match args.moment.at() {
        Some(at) => client.get_at(key.clone(), at, read).await,
        None => client.get(key.clone(), read).await,
    };
    let answer = answer.with_context(|| format!("cannot get {shown}"))?;
    if globals.json() {
        doug_streams::outln!("{}", json(&key, &answer));
    } else if answer.found && globals.table() {
        let entry = ScanEntry {
            key: key.clone(),
            value: answer.value.clone(),
            revision: answer.value_revision,
        };
        let mut table = Aligned::new(entries::head(false), out::columns());
        let above = table.add(entries::row(globals.encoding, false, &entry));
        for line in above.into_iter().chain(table.rest()) {
            doug_streams::outln!("{line}");
        }
    } else if answer.found {
        let terminal = out::is_terminal();
        out::Writer.write_all(&printed(globals.encoding, terminal, &answer.value))?;
    } else {
        let verb = if args.moment.at().is_some() { "did" } else { "does" };
        doug_streams::errln!("doug: {shown} {verb} not exist");
    }
    if args.verbose {
        let written = ("written at revision", answer.value_revision.to_string());
        answer::explain(answer.header.as_ref(), &[written][..usize::from(answer.found)]);
    }
    Ok(if answer.found { Exit::Done } else { Exit::NotFound })
}

/// Raw bytes into files and pipes. On a terminal a line of its own, and escaped
/// as a whole where any of it would act on the terminal.
fn printed(encoding: Encoding, terminal: bool, value: &[u8]) -> Vec<u8> {
    let mut printed = match encoding {
        Encoding::Text if !terminal || is_plain_text(value) => value.to_vec(),
        _ => encoding.show(value).into_bytes(),
    };
    if terminal || encoding != Encoding::Text {
        printed.push(b'\n');
    }
    printed
}

fn json(key: &[u8], answer: &GetResponse) -> Value {
    let mut object = Map::new();
    insert_json(&mut object, "key", key);
    object.insert("found".into(), answer.found.into());
    if answer.found {
        insert_json(&mut object, "value", &answer.value);
        object.insert("revision".into(), answer.value_revision.into());
    }
    answer::insert_header(&mut object, answer.header.as_ref());
    object.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_gets_the_values_bytes_and_nothing_else() {
        let value = b"a\xff\x00\n";
        assert_eq!(printed(Encoding::Text, false, value), value);
    }

    #[test]
    fn a_terminal_gets_text_as_it_is_and_other_bytes_escaped() {
        assert_eq!(
            printed(Encoding::Text, true, "grüße\\n\tb\n".as_bytes()),
            "grüße\\n\tb\n\n".as_bytes()
        );
        assert_eq!(printed(Encoding::Text, true, b"\x1b[2J\n"), b"\\x1b[2J\\n\n");
    }

    #[test]
    fn an_encoding_that_was_asked_for_is_used_everywhere() {
        for terminal in [false, true] {
            assert_eq!(printed(Encoding::Hex, terminal, b"\x00\xff"), b"00ff\n");
        }
    }
}
