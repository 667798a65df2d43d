//! `doug`, the one shipped program: every role and every command.

mod aligned;
mod arenas;
mod commands;
mod completion;
mod demo;
mod encoding;
mod exit;
mod failure;
mod given;
mod globals;
mod grid;
mod help;
mod kubectl;
mod live;
mod panics;
mod units;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use doug_streams::{err, errln, out};
use exit::Exit;
use given::Given;
use globals::Globals;
use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

/// DougDB: a strongly consistent, partitioned key-value database.
#[derive(Parser)]
#[command(name = "doug", version, propagate_version = true, after_help = EXAMPLES)]
struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  doug demo                          a whole database on this machine
  doug put greeting hello            write a key
  doug get greeting                  read it back
  doug status                        who leads, who lags

Exit status: 0 done, 1 error, 2 usage, 3 not found, 4 condition failed,
5 unavailable (not applied), 6 outcome unknown (perhaps applied), 7 done, but
standard output could not be written. A server (node, facade, operator) that
meets a bug of its own aborts: 134 in a shell.
DOUG_LOG sets the log level on standard error, for instance DOUG_LOG=debug.";

#[derive(Subcommand)]
enum Command {
    /// Run a whole database on this machine, every node its own process
    Demo(demo::Args),
    /// Run a node: one process with one volume
    Node(Box<commands::node::Args>),
    /// Run a facade: the stateless entrypoint
    Facade(commands::facade::Args),
    /// Run an operator: brings up what DougCluster resources declare
    Operator(commands::operator::Args),
    /// Print the definitions of the Kubernetes resources as YAML
    Crds(commands::crds::Args),
    /// Make bare nodes a database
    Create(commands::create::Args),
    /// Write a key
    Put(commands::put::Args),
    /// Read a key
    Get(commands::get::Args),
    /// Show the versions that a key had
    History(commands::history::Args),
    /// Say when a key expires
    Ttl(commands::ttl::Args),
    /// Delete a key
    Del(commands::del::Args),
    /// Add to the number that a key holds
    Incr(commands::incr::Args),
    /// Carry out one of two lists of operations, as conditions decide
    Txn(commands::txn::Args),
    /// Read keys in order
    Scan(commands::scan::Args),
    /// Show what changes, as it does
    Watch(commands::watch::Args),
    /// Write every record of a file, or verify that each is there
    Load(Box<commands::load::Args>),
    /// Write every key and value to a file
    Dump(commands::dump::Args),
    /// Show who leads, who lags, and since when
    Status(commands::status::Args),
    /// Show who has how much to do, the busiest first
    Top(commands::top::Args),
    /// Say what is wrong, with a remedy
    Doctor(commands::doctor::Args),
    /// Move partitions to other clusters, and see how far that is
    Partition(commands::partition::Args),
    /// Replace nodes, or take them out
    Member(commands::member::Args),
    /// Hand leaderships over
    Leader(commands::leader::Args),
    /// Let partitions begin anew that lost their quorum for good
    Recover(commands::recover::Args),
    /// Give up a partition's history, up to a revision
    Compact(commands::compact::Args),
    /// Measure throughput and latency
    Bench(commands::bench::Args),
    /// Show the version of this program, and of the database
    Version(commands::version::Args),
    /// What `kubectl doug` does
    Kubectl(kubectl::Args),
    /// Print a completion script for a shell
    Completions(commands::completions::Args),
}

impl Command {
    /// Whether it is a role: a process that serves connections until it is told to stop.
    fn serves(&self) -> bool {
        matches!(self, Command::Node(_) | Command::Facade(_) | Command::Operator(_))
    }

    /// Whether it asks and prints the answer, so that no connection is needed any more while the
    /// output is written.
    fn asks_once(&self) -> bool {
        matches!(
            self,
            Command::Get(_)
                | Command::History(_)
                | Command::Put(_)
                | Command::Ttl(_)
                | Command::Del(_)
                | Command::Incr(_)
                | Command::Txn(_)
                | Command::Version(_)
                | Command::Completions(_)
        )
    }

    /// Whether it goes on beside a terminal or log that takes nothing: roles, and a demo,
    /// which watches over processes and is watched by nobody.
    fn never_waits(&self) -> bool {
        self.serves() || matches!(self, Command::Demo(args) if args.command.is_none())
    }
}

/// How long the end of a server waits for its last log lines, where nobody reads them.
const LAST_LINES: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let exit = answer();
    err::flush(LAST_LINES);
    exit.into()
}

fn answer() -> Exit {
    let given: Vec<_> = std::env::args_os().collect();
    if kubectl::is_completing(&given) {
        let words = given.iter().skip(1).map(|word| word.to_string_lossy().into_owned());
        let words: Vec<_> = words.collect();
        out::print(format_args!("{}", kubectl::complete(&Cli::command(), &words)));
        return with_output(Exit::Done, false);
    }
    match completion::answered(given.clone(), program) {
        Ok(false) => {}
        Ok(true) => return Exit::Done,
        Err(_) => return Exit::Error,
    }
    let arguments = kubectl::arguments(given);
    let Cli { globals, command } = match parse(arguments) {
        Ok(cli) => cli,
        Err(told) => return tell(&told),
    };
    // Before any thread: each takes an arena of its own with its first allocation.
    if command.serves() {
        arenas::bound();
    }
    if command.never_waits()
        && let Err(error) = err::never_wait()
    {
        errln!("doug: no thread for the log can be started: {error}");
        return Exit::Error;
    }
    start_log();
    let runtime = match runtime_for(&command) {
        Ok(runtime) => runtime,
        Err(error) => {
            errln!("doug: no threads can be started: {error}");
            return Exit::Error;
        }
    };
    match runtime.block_on(run(command, &globals)) {
        Ok(exit) => with_output(exit, globals.json()),
        Err(error) if error.chain().any(out::is_lost) => with_output(Exit::Done, globals.json()),
        Err(error) => failure::say(&error, &globals),
    }
}

/// What runs the command. One that asks once is over before threads of its own would be of use;
/// any other may wait for its output (`doug scan | less`) while its connections go on.
fn runtime_for(command: &Command) -> std::io::Result<Runtime> {
    let mut builder = if command.asks_once() {
        Builder::new_current_thread()
    } else {
        Builder::new_multi_thread()
    };
    builder.enable_all().build()
}

/// The command line that is understood.
fn program() -> clap::Command {
    help::arrange(Cli::command())
}

/// What the words say. The program's name alone asks for help: whoever types it wants to see what
/// there is, whatever the environment says.
fn parse(mut arguments: Vec<OsString>) -> Result<Cli, clap::Error> {
    if arguments.len() <= 1 {
        arguments = vec!["doug".into(), "--help".into()];
    }
    let matches = program().try_get_matches_from(arguments)?;
    let mut cli = Cli::from_arg_matches(&matches)?;
    cli.globals.given = Given::of(&matches);
    Ok(cli)
}

/// Prints help and the version, or what is wrong with the command line.
fn tell(told: &clap::Error) -> Exit {
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let is_error = told.use_stderr();
    let on_terminal = if is_error { err::is_terminal() } else { out::is_terminal() };
    let text = if on_terminal && !plain {
        told.render().ansi().to_string()
    } else {
        told.render().to_string()
    };
    if is_error {
        let plain = told.render().to_string();
        let message = plain.strip_prefix("error: ").unwrap_or(&plain).trim_end();
        let arguments: Vec<_> = std::env::args_os().collect();
        failure::say_usage(message, &text, &arguments);
        return Exit::Usage;
    }
    out::print(format_args!("{text}"));
    with_output(Exit::Done, false)
}

/// How a command ends that got as far as `exit`, given what became of its output. Its own
/// status stays what it means: only *done* becomes *done, but the output is lost*.
fn with_output(exit: Exit, json: bool) -> Exit {
    match out::lost() {
        // Whoever reads our output (`head`, `less`) may stop; that is no error.
        None | Some(out::Lost::ReaderGone) => exit,
        Some(lost @ out::Lost::Failed(..)) => {
            let exit = if exit == Exit::Done { Exit::OutputLost } else { exit };
            failure::say_lost(lost, exit, json);
            exit
        }
    }
}

async fn run(command: Command, globals: &Globals) -> anyhow::Result<Exit> {
    if command.serves() {
        doug_edge::descriptors::raise();
        panics::end_the_process();
    }
    match command {
        Command::Demo(args) => demo::run(args, globals).await,
        Command::Node(args) => commands::node::run(*args).await,
        Command::Facade(args) => commands::facade::run(args, globals).await,
        Command::Operator(args) => commands::operator::run(args).await,
        Command::Crds(args) => commands::crds::run(&args),
        Command::Create(args) => commands::create::run(args, globals).await,
        Command::Put(args) => commands::put::run(args, globals).await,
        Command::Get(args) => commands::get::run(args, globals).await,
        Command::History(args) => commands::history::run(args, globals).await,
        Command::Ttl(args) => commands::ttl::run(args, globals).await,
        Command::Del(args) => commands::del::run(args, globals).await,
        Command::Incr(args) => commands::incr::run(args, globals).await,
        Command::Txn(args) => commands::txn::run(args, globals).await,
        Command::Scan(args) => commands::scan::run(args, globals).await,
        Command::Watch(args) => commands::watch::run(args, globals).await,
        Command::Load(args) => commands::load::run(*args, globals).await,
        Command::Dump(args) => commands::dump::run(args, globals).await,
        Command::Status(args) => commands::status::run(args, globals).await,
        Command::Top(args) => commands::top::run(args, globals).await,
        Command::Doctor(args) => commands::doctor::run(args, globals).await,
        Command::Partition(args) => commands::partition::run(args, globals).await,
        Command::Member(args) => commands::member::run(args, globals).await,
        Command::Leader(args) => commands::leader::run(args, globals).await,
        Command::Recover(args) => commands::recover::run(args, globals).await,
        Command::Compact(args) => commands::compact::run(args, globals).await,
        Command::Bench(args) => commands::bench::run(args, globals).await,
        Command::Version(args) => commands::version::run(args, globals).await,
        Command::Kubectl(args) => kubectl::run(&args, globals),
        Command::Completions(args) => commands::completions::run(&args),
    }
}

fn start_log() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("DOUG_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn,doug=info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| err::Lines)
        .with_ansi(err::is_terminal())
        // They would go to standard error past `err`.
        .log_internal_errors(false)
        .init();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Cli {
        let arguments = std::iter::once("doug").chain(arguments.iter().copied());
        parse(arguments.map(OsString::from).collect()).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn what_stands_on_the_command_line_is_known_at_every_level() {
        let cli = parsed(&["--endpoint", "http://a:1", "get", "k", "--consistency", "eventual"]);
        let given = |id| cli.globals.given.has(id);
        assert_eq!(["endpoint", "consistency", "timeout"].map(given), [true, true, false]);
        let cli = parsed(&["facade", "--nodes", "a:1"]);
        assert!(cli.globals.given.has("nodes") && !cli.globals.given.has("map_file"));
    }

    #[test]
    fn commands_that_a_message_gives_repeat_where_the_database_is() {
        let said = "see `doug demo`, then `doug partition list 3` or `doug get k`; `foo`";
        let repeated = |arguments: &[&str], said: &str| {
            parsed(arguments).globals.given.repeated_in(said).into_owned()
        };
        assert_eq!(repeated(&["get", "k", "--timeout", "1s"], said), said);
        assert_eq!(
            repeated(&["--endpoint", "a:1,b:2", "get", "k"], said),
            "see `doug demo`, then `doug partition list 3 --endpoint a:1 --endpoint b:2` or \
             `doug get k --endpoint a:1 --endpoint b:2`; `foo`"
        );
        let steering =
            ["member", "remove", "a-0", "--admin-endpoint", "c:3", "--token-file", "my file"];
        assert_eq!(
            repeated(&steering, said),
            "see `doug demo`, then `doug partition list 3 --admin-endpoint c:3 --token-file 'my \
             file'` or `doug get k`; `foo`"
        );
        let demo = ["demo", "kill", "a-0", "--data", "d"];
        assert_eq!(
            repeated(&demo, "`doug demo restart a-0`; `doug demo --data x`"),
            "`doug demo restart a-0 --data d`; `doug demo --data x`"
        );
    }

    #[test]
    fn keys_and_values_may_begin_with_a_hyphen_and_options_stay_options() {
        for (arguments, key, value) in [
            (&["put", "temp", "-5"][..], "temp", "-5"),
            (&["put", "-k", "--x", "--if-absent"], "-k", "--x"),
            (&["put", "--if-absent", "k", "-o", "json", "v"], "k", "v"),
        ] {
            let Command::Put(put) = parsed(arguments).command else { panic!("{arguments:?}") };
            assert_eq!((put.key(), put.value()), (key.as_ref(), Some(value.as_ref())));
        }
        for option in ["--prefix", "--from", "--to"] {
            assert!(matches!(parsed(&["scan", option, "-5"]).command, Command::Scan(_)));
        }
        assert!(parse(["doug", "put", "k", "v", "--nonsense"].map(OsString::from).into()).is_err());
    }

    #[test]
    fn the_command_line_is_consistent() {
        program().debug_assert();
    }
}
