//! What a shell offers while a command line is typed: commands, options, their values, and the
//! names of what the database has.
//!
//! The script of `doug completions` runs this program, with [`VARIABLE`] set, whenever the key for
//! completion is pressed.

mod names;

use crate::commands::completions::VARIABLE;
use crate::given::STEERING;
use clap::{Arg, Command};
use clap_complete::{ArgValueCandidates, CompleteEnv};
use names::Names;
use std::ffi::OsString;

/// Answers the shell if it asks; whether it did.
///
/// # Errors
/// The answer does not reach it.
pub fn answered(arguments: Vec<OsString>, program: fn() -> Command) -> clap::error::Result<bool> {
    CompleteEnv::with_factory(|| with_names(program()))
        .var(VARIABLE)
        .try_complete(arguments, std::env::current_dir().ok().as_deref())
}

/// Has names offered for what takes them. What an option is to be is told by the name of its value.
fn with_names(mut program: Command) -> Command {
    let typed = program.clone();
    for command in STEERING {
        let typed = typed.clone();
        program = program.mut_subcommand(command, |command| {
            offering(command, &move |value| Names::of_value(value, typed.clone()))
        });
    }
    program.mut_subcommand("demo", |command| {
        offering(command, &move |value| Names::of_demo(value, typed.clone()))
    })
}

/// A command and those below it, each argument with the names that there are for its value.
fn offering(command: Command, names: &impl Fn(&str) -> Option<Names>) -> Command {
    let with_names = |arg: Arg| {
        let value = arg.get_value_names().and_then(|values| values.first());
        match value.and_then(|value| names(value)) {
            Some(names) => arg.add(ArgValueCandidates::new(move || names.candidates())),
            None => arg,
        }
    };
    command.mut_args(with_names).mut_subcommands(|below| offering(below, names))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offering_names(command: &Command, path: &str) -> Vec<String> {
        let path = format!("{path} {}", command.get_name());
        let here = command.get_arguments().filter(|arg| arg.get::<ArgValueCandidates>().is_some());
        let here: Vec<_> = here.map(|arg| format!("{path} {}", arg.get_id())).collect();
        let below = command.get_subcommands().flat_map(|below| offering_names(below, &path));
        here.into_iter().chain(below).collect()
    }

    #[test]
    fn every_node_cluster_and_partition_that_a_command_wants_is_offered() {
        let found = offering_names(&with_names(crate::program()), "");
        let found: Vec<_> = found.iter().filter_map(|path| path.strip_prefix(" doug ")).collect();
        insta::assert_snapshot!(found.join("\n"), @r"
        get consistency
        ttl consistency
        scan consistency
        load consistency
        dump consistency
        bench consistency
        partition list partitions
        partition move partitions
        partition move to
        partition cancel partitions
        member replace old
        member replace with
        member remove node
        leader transfer partitions
        leader transfer to
        recover partitions
        demo kill nodes
        demo pause nodes
        demo resume nodes
        demo restart nodes
        demo wipe nodes
        ");
    }
}
