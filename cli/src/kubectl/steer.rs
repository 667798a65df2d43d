//! `kubectl doug doctor | move | transfer | recover`: what `doug` does, done inside a pod.

use super::inside::{REACH, Which, text};
use crate::exit::{Exit, usage};
use std::io::{BufRead, IsTerminal};

/// Options of `kubectl doug doctor`.
#[derive(clap::Args)]
#[command(after_help = "\
What `doug doctor` finds, looked at from inside: partitions without a quorum, nodes
that are full, clocks that are off. Exit status 1 if anything is found.

Examples:
  kubectl doug doctor
  kubectl doug doctor --database orders -n shop -o json")]
pub struct DoctorArgs {
    #[command(flatten)]
    which: Which,
}

/// Options of `kubectl doug move`.
#[derive(clap::Args)]
#[command(after_help = "\
The operator moves a partition back if the clusters differ by more than one then.

Example:
  kubectl doug move 3,5-7 --to b")]
pub struct MoveArgs {
    /// Partitions: 3, or several: 1,2,5-7
    partitions: String,
    /// Cluster to move them to
    #[arg(long, value_name = "CLUSTER")]
    to: String,
    #[command(flatten)]
    which: Which,
}

/// Options of `kubectl doug transfer`.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  kubectl doug transfer 3 --to a-2")]
pub struct TransferArgs {
    /// Partitions: 3, or several: 1,2,5-7
    partitions: String,
    /// Node that is to lead [default: the most caught-up other voter]
    #[arg(long, value_name = "NODE")]
    to: Option<String>,
    #[command(flatten)]
    which: Which,
}

/// Options of `kubectl doug recover`.
#[derive(clap::Args)]
#[command(after_help = "\
For partitions most of whose volumes are gone for good: `doug recover --unsafe`. What
only the lost replicas held is LOST. It says what that may be, and asks for the name
of the DougCluster. New volumes get their partitions by themselves afterwards.

Examples:
  kubectl doug recover --dry-run
  kubectl doug recover --database orders -n shop")]
pub struct RecoverArgs {
    /// Say what may be lost, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Name of the DougCluster, instead of typing it when asked
    #[arg(long, value_name = "NAME", conflicts_with = "dry_run")]
    confirm: Option<String>,
    /// Who asks, for the record that stays in each partition
    #[arg(long, value_name = "NAME", env = "USER", default_value = "unknown")]
    by: String,
    #[command(flatten)]
    which: Which,
}

/// Runs `doctor`.
pub fn doctor(args: &DoctorArgs, json: bool) -> anyhow::Result<Exit> {
    args.which.run_inside(&args.which.one()?, &["doctor".to_owned()], json)
}

/// Runs `move`.
pub fn move_partitions(args: &MoveArgs, json: bool) -> anyhow::Result<Exit> {
    args.which.run_inside(&args.which.one()?, &moving(&args.partitions, &args.to), json)
}

/// Runs `transfer`.
pub fn transfer(args: &TransferArgs, json: bool) -> anyhow::Result<Exit> {
    let words = transferring(&args.partitions, args.to.as_deref());
    args.which.run_inside(&args.which.one()?, &words, json)
}

/// Runs `recover`: first what may be lost, then, once the name was typed, the thing itself.
pub fn recover(args: &RecoverArgs, json: bool) -> anyhow::Result<Exit> {
    let database = args.which.one()?;
    if args.dry_run || args.confirm.is_none() {
        let exit = args.which.run_inside(&database, &recovering(&["--dry-run"]), json)?;
        if args.dry_run || exit == Exit::Done {
            return Ok(exit);
        }
    }
    let name = text(&database, "name");
    match &args.confirm {
        Some(given) => confirm(given, name)?,
        None => confirm(&ask(name)?, name)?,
    }
    let id = database["status"]["databaseId"].as_str().unwrap_or_default();
    let words = recovering(&["--confirm", id, "--by", &args.by]);
    args.which.run_inside(&database, &words, json)
}

fn moving(partitions: &str, to: &str) -> Vec<String> {
    steering(&["partition", "move", partitions, "--to", to])
}

fn transferring(partitions: &str, to: Option<&str>) -> Vec<String> {
    let to = to.map(|to| ["--to", to]);
    let all = ["leader", "transfer", partitions].into_iter().chain(to.into_iter().flatten());
    steering(&all.collect::<Vec<_>>())
}

fn recovering(how: &[&str]) -> Vec<String> {
    steering(&[&["recover", "--all", "--unsafe"], how].concat())
}

fn steering(words: &[&str]) -> Vec<String> {
    words.iter().chain(&REACH).map(|word| (*word).to_owned()).collect()
}

fn ask(name: &str) -> anyhow::Result<String> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(usage(format!(
            "there is no terminal to ask on: give the name of the DougCluster, --confirm {name}"
        )));
    }
    doug_streams::errln!("To go on, type the name of the DougCluster ({name}):");
    let mut typed = String::new();
    stdin.lock().read_line(&mut typed)?;
    Ok(typed.trim().to_owned())
}

fn confirm(given: &str, name: &str) -> anyhow::Result<()> {
    if given == name {
        return Ok(());
    }
    Err(usage(format!("{given:?} is not this DougCluster, {name}: nothing was changed")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[test]
    fn doug_understands_what_it_is_to_do_inside() {
        let id = "6fd1a0b2c3d4";
        for words in [
            vec!["doctor".to_owned()],
            moving("3,5-7", "b"),
            transferring("3", Some("a-2")),
            transferring("3", None),
            recovering(&["--dry-run"]),
            recovering(&["--confirm", id, "--by", "ann"]),
        ] {
            let program = ["doug".to_owned()].into_iter();
            let line = program.chain(words.clone()).chain(["-o".to_owned(), "json".to_owned()]);
            let parsed = crate::Cli::try_parse_from(line);
            assert!(parsed.is_ok(), "{words:?}: {}", parsed.err().unwrap());
        }
    }

    #[test]
    fn only_the_name_of_the_very_database_confirms() {
        assert!(confirm("orders", "orders").is_ok());
        assert!(confirm("order", "orders").unwrap_err().to_string().contains("nothing was"));
    }
}
