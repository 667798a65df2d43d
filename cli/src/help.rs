//! What `--help` looks like.
//!
//! `-h` and `--help` print the same, so that nobody has to know which of them says all. Two rules
//! of clap would tell them apart: a value of an option that has help of its own is listed under
//! it in the long form only, and so are paragraphs after the first. So values are named in the
//! sentence of their option, and what needs paragraphs stands behind the options.

use crate::given::{STEERING, reaches};
use clap::{Arg, Command};
use std::fmt::Write as _;

/// The commands, as `doug --help` shows them.
const GROUPS: [(&str, &[&str]); 6] = [
    ("Running a database", &["demo", "node", "facade", "create"]),
    (
        "Keys and values",
        &[
            "put", "get", "history", "ttl", "del", "incr", "txn", "scan", "watch", "load", "dump",
            "bench",
        ],
    ),
    ("Looking", &["status", "top", "doctor"]),
    ("Steering", &STEERING),
    ("Kubernetes", &["operator", "crds", "kubectl"]),
    ("This program", &["version", "completions"]),
];

/// Those that reach no database as a client does: its options mean nothing to them.
const NO_CLIENT: [&str; 5] = ["node", "facade", "operator", "crds", "completions"];

/// Options that mean nothing to a command that reaches no database through an endpoint.
const OF_ENDPOINTS: [&str; 3] = ["endpoint", "direct", "encoding"];

/// Arranges the help of the program and of all its commands.
pub fn arrange(program: Command) -> Command {
    let globals: Vec<_> =
        program.get_arguments().filter(|arg| arg.is_global_set()).cloned().collect();
    let names: Vec<_> = program.get_subcommands().map(|c| c.get_name().to_owned()).collect();
    let program = names.iter().fold(program, |program, name| {
        let none = NO_CLIENT.contains(&&**name);
        let meaningless =
            |arg: &&Arg| none || !reaches(name) && OF_ENDPOINTS.contains(&arg.get_id().as_str());
        let hidden = globals.iter().filter(meaningless).map(|arg| arg.clone().hide(true));
        program.mut_subcommand(name, |command| command.args(hidden))
    });
    let program = plain(program);
    let template = template(&program);
    program.help_template(template)
}

/// One form of help, which does not depend on the environment either.
fn plain(command: Command) -> Command {
    let plain_arg = |arg: Arg| {
        let takes_values = arg.get_action().takes_values();
        arg.hide_possible_values(takes_values).hide_env_values(true)
    };
    command.mut_args(plain_arg).mut_subcommands(plain)
}

/// Commands in groups, which clap does not have.
fn template(program: &Command) -> String {
    let header = program.get_styles().get_header();
    let name_style = program.get_styles().get_literal();
    let mut text = String::from("{about-with-newline}\n{usage-heading} {usage}\n\n");
    for (heading, names) in GROUPS {
        let _ = writeln!(text, "{header}{heading}:{header:#}");
        for command in names.iter().filter_map(|name| program.find_subcommand(name)) {
            let (name, about) = (command.get_name(), command.get_about());
            let about = about.map(ToString::to_string).unwrap_or_default();
            let _ = writeln!(text, "  {name_style}{name:<11}{name_style:#}  {about}");
        }
        text.push('\n');
    }
    let _ = write!(text, "{header}Options of every command:{header:#}\n{{options}}{{after-help}}");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use std::collections::BTreeSet;

    /// Columns of the narrowest terminal that anything is arranged for.
    const COLUMNS: usize = 80;

    fn program() -> Command {
        arrange(crate::Cli::command()).term_width(COLUMNS)
    }

    /// Every command below `command` and itself, each with its path.
    fn all(command: Command, path: &str) -> Vec<(String, Command)> {
        let path = format!("{path} {}", command.get_name()).trim().to_owned();
        let below = command.get_subcommands().filter(|below| below.get_name() != "help");
        let below: Vec<_> = below.cloned().flat_map(|below| all(below, &path)).collect();
        std::iter::once((path, command)).chain(below).collect()
    }

    fn built() -> Vec<(String, Command)> {
        let mut program = program();
        program.build();
        all(program, "")
    }

    /// What the command prints that `path` names, given one of the flags.
    fn help(path: &str, flag: &str) -> String {
        let words = path.split(' ').chain([flag]);
        program().try_get_matches_from(words).unwrap_err().to_string()
    }

    #[test]
    fn both_forms_of_help_are_equal() {
        for (path, _) in built() {
            assert_eq!(help(&path, "-h"), help(&path, "--help"), "{path}");
        }
    }

    #[test]
    fn no_help_is_longer_than_a_screen_or_two_nor_wider_than_the_terminal() {
        for (path, _) in built() {
            let help = help(&path, "--help");
            let most = match path.as_str() {
                // Everything that the configuration file of a node can say.
                "doug node" => 90,
                // A line for each command.
                "doug" => 72,
                "doug facade" | "doug load" | "doug demo" => 66,
                _ => 56,
            };
            let lines = help.lines().count();
            assert!(lines <= most, "{path} has {lines} lines of help:\n{help}");
            for line in help.lines() {
                assert!(line.chars().count() <= COLUMNS, "{path}: {line}");
            }
        }
    }

    #[test]
    fn every_command_is_in_one_group() {
        let mut grouped: Vec<_> =
            GROUPS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        let program = program();
        let mut there: Vec<_> = program.get_subcommands().map(Command::get_name).collect();
        grouped.sort_unstable();
        there.sort_unstable();
        assert_eq!(grouped, there);
    }

    #[test]
    fn the_values_of_an_option_are_named_in_its_sentence() {
        for (path, command) in built() {
            let valued = |arg: &&Arg| arg.get_action().takes_values();
            for arg in command.get_arguments().filter(valued) {
                let mut help = arg.get_help().map(ToString::to_string).unwrap_or_default();
                for name in arg.get_value_names().unwrap_or_default() {
                    help += name;
                }
                for value in arg.get_possible_values() {
                    let name = value.get_name();
                    assert!(help.contains(name), "{path} {}: {name} is not named", arg.get_id());
                }
            }
        }
    }

    #[test]
    fn only_what_reaches_a_database_shows_how_and_repeats_it_in_advice() {
        for (path, _) in built().into_iter().skip(1) {
            let shows = help(&path, "--help").contains("--endpoint <URL>");
            let name = path.split(' ').nth(1).unwrap();
            assert_eq!(shows, reaches(name), "{path}");
        }
    }

    #[test]
    fn the_commands_that_steer_are_those_that_take_an_admin_endpoint() {
        let takes =
            |command: &Command| command.get_arguments().any(|arg| arg.get_id() == "admin_endpoint");
        let named = built().into_iter().filter(|(_, command)| takes(command));
        let named: BTreeSet<_> =
            named.map(|(path, _)| path.split(' ').nth(1).unwrap().to_owned()).collect();
        assert_eq!(named, STEERING.map(str::to_owned).into());
    }
}
