//! `doug txn`.

mod json;
mod script;
mod words;

use super::answer;
use crate::encoding::Encoding;
use crate::exit::{Exit, usage};
use crate::globals::Globals;
use anyhow::Context;
use doug_client::v1::{ScanEntry, TransactResponse, operation_answer::Answer};
use doug_proto::limits;
use doug_streams::{errln, outln};
use std::ffi::{OsStr, OsString};
use std::io::Read;

/// Options of `doug txn`.
#[derive(clap::Args)]
#[command(after_help = "\
Carries out one of two lists of operations: atomically, at one revision of one
partition. A script is lines; what begins with { is JSON (docs/cli.md):

  if value account/1 > 10            also: exists, missing, revision; = != < >
  if missing prefix lock/            of ranges: prefix P, from A to B, all
  then                               if all hold, or there are none
    incr account/1 -10
    put account/note \"moved ten\"
    scan prefix account/ limit 5     also: reverse, keys
  else
    get account/1                    also: count RANGE, del KEY, del RANGE

Prints an answer for each operation. Exit status 4 if a condition did not hold
(`else` was carried out), or if nothing was, for instance because a value that is
to be incremented is no number; 6 if it may have been applied.

Examples:
  doug txn transfer.txt
  printf 'incr hits\\nget hits\\n' | doug txn
  doug txn -o json - <<< '{\"then\":[{\"get\":{\"key\":\"a\"}}]}'")]
pub struct Args {
    /// The script or JSON; - is standard input
    #[arg(default_value = "-", value_name = "FILE")]
    file: OsString,
    /// Keyspace
    #[arg(long, default_value = "default", value_name = "NAME")]
    keyspace: String,
    /// Show revision, session token and who served, on standard error
    #[arg(short, long)]
    verbose: bool,
}

/// Runs the command.
pub async fn run(args: Args, globals: &Globals) -> anyhow::Result<Exit> {
    let text = text(&args.file)?;
    let read = if text.trim_ascii_start().starts_with(b"{") {
        json::read(&text)
    } else {
        script::read(&text, globals.encoding)
    };
    let named = args.file.to_string_lossy();
    let name = if named == "-" { "standard input" } else { &named };
    let transaction = read.map_err(|what| usage(format!("{name}: {what}")))?;
    let client = globals.one_shot().await?.in_keyspace(&args.keyspace);
    let response =
        client.transact(transaction).await.context("cannot carry out the transaction")?;
    if globals.json() {
        outln!("{}", json::answered(&response));
    } else {
        lines(&response, globals.encoding).iter().for_each(|line| outln!("{line}"));
        said(&response).iter().for_each(|line| errln!("doug: {line}"));
    }
    if args.verbose {
        answer::explain(response.header.as_ref(), &[]);
    }
    Ok(exit(&response))
}

/// How a command ends whose transaction was answered so.
pub fn exit(response: &TransactResponse) -> Exit {
    let as_asked = response.conditions_met && response.obstacle.is_none();
    if as_asked { Exit::Done } else { Exit::ConditionFailed }
}

/// The script, no longer than a request may be: what stands in it is all that is sent.
fn text(file: &OsStr) -> anyhow::Result<Vec<u8>> {
    let most = 2 * limits::REQUEST_BYTES as u64;
    let mut text = Vec::new();
    if file == "-" {
        std::io::stdin().lock().take(most + 1).read_to_end(&mut text).context("standard input")?;
    } else {
        let named = file.to_string_lossy();
        let opened = std::fs::File::open(file).with_context(|| format!("cannot open {named}"))?;
        let read = opened.take(most + 1).read_to_end(&mut text);
        read.with_context(|| format!("cannot read {named}"))?;
    }
    if text.len() as u64 > most {
        return Err(usage(format!("the transaction is longer than {most} bytes")));
    }
    Ok(text)
}

/// A line for each answer; the entries of a scan follow it, indented.
fn lines(response: &TransactResponse, encoding: Encoding) -> Vec<String> {
    let mut lines = Vec::new();
    for answer in response.answers.iter().filter_map(|one| one.answer.as_ref()) {
        match answer {
            Answer::Get(get) if get.found => {
                lines.push(format!("get: {}", encoding.show(&get.value)))
            }
            Answer::Get(_) => lines.push("get: not found".to_owned()),
            Answer::Put(_) => lines.push("put: done".to_owned()),
            Answer::Increment(sum) => lines.push(format!("incr: {}", sum.value)),
            Answer::Delete(delete) => {
                let existed = if delete.existed { "deleted" } else { "not found" };
                lines.push(format!("del: {existed}"));
            }
            Answer::DeleteRange(delete) => lines.push(format!("del: {} deleted", delete.deleted)),
            Answer::Count(count) => lines.push(format!("count: {}", count.count)),
            Answer::Scan(scan) => {
                let more = if scan.more { ", and there are more" } else { "" };
                lines.push(format!("scan: {}{more}", scan.entries.len()));
                let entry = |entry: &ScanEntry| {
                    format!("  {}\t{}", encoding.show(&entry.key), encoding.show(&entry.value))
                };
                lines.extend(scan.entries.iter().map(entry));
            }
        }
    }
    lines
}

/// What a person is told beside the answers.
fn said(response: &TransactResponse) -> Vec<String> {
    let mut said = Vec::new();
    if let Some(obstacle) = &response.obstacle {
        said.push(doug_proto::transaction::told(obstacle));
    } else if !response.conditions_met {
        let number = response.failed_condition + 1;
        let stands = match response.current_revision {
            0 => "there is no such key".to_owned(),
            revision => format!("the key is of revision {revision}"),
        };
        said.push(format!("condition {number} did not hold: {stands}"));
    }
    if response.answers_dropped {
        said.push("it was carried out, but its answers were too long to be kept".to_owned());
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;
    use doug_client::v1::{self, Obstacle};

    fn answering(answers: Vec<Answer>) -> TransactResponse {
        let answers = answers.into_iter().map(|a| v1::OperationAnswer { answer: Some(a) });
        let answers = answers.collect();
        TransactResponse { conditions_met: true, answers, ..Default::default() }
    }

    #[test]
    fn each_answer_has_a_line_and_so_has_each_entry_of_a_scan() {
        let entry =
            |key: &'static str| ScanEntry { key: key.into(), value: "a\tb".into(), revision: 1 };
        let entries = vec![entry("k"), entry("l")];
        let response = answering(vec![
            Answer::Get(v1::GetAnswer {
                found: true,
                value: "v".into(),
                value_revision: 1,
                ..Default::default()
            }),
            Answer::Get(v1::GetAnswer::default()),
            Answer::Increment(v1::IncrementAnswer { value: -5 }),
            Answer::Delete(v1::DeleteAnswer { existed: false }),
            Answer::Scan(v1::ScanAnswer { entries, more: true }),
        ]);
        let expected = [
            "get: v",
            "get: not found",
            "incr: -5",
            "del: not found",
            "scan: 2, and there are more",
            "  k\ta\\tb",
            "  l\ta\\tb",
        ];
        assert_eq!(lines(&response, Encoding::Text), expected);
        assert_eq!((said(&response), exit(&response)), (Vec::new(), Exit::Done));
    }

    #[test]
    fn a_condition_that_did_not_hold_and_an_obstacle_are_told_and_end_with_status_4() {
        let response = TransactResponse { failed_condition: 1, ..answering(Vec::new()) };
        let unmet = TransactResponse { conditions_met: false, ..response.clone() };
        assert_eq!(said(&unmet), ["condition 2 did not hold: there is no such key"]);
        assert_eq!(exit(&unmet), Exit::ConditionFailed);
        let reason = v1::obstacle::Reason::NotANumber.into();
        let obstacle = Some(Obstacle { reason, ..Default::default() });
        let stopped = TransactResponse { obstacle, ..response };
        assert!(said(&stopped)[0].contains("decimal text"), "{:?}", said(&stopped));
        assert_eq!(exit(&stopped), Exit::ConditionFailed);
    }
}
