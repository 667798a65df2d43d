//! What stood on the command line itself, and not only in the environment.

use clap::ArgMatches;
use clap::parser::ValueSource;
use std::borrow::Cow;
use std::collections::BTreeSet;

/// The options given on the command line, by their ids.
#[derive(Clone, Debug, Default)]
pub struct Given {
    ids: BTreeSet<String>,
    /// As they are to be repeated by commands that reach the database, by those of them that
    /// steer it too, and by those of a demo.
    reach: String,
    steer: String,
    demo: String,
}

/// Commands that reach no database with `--endpoint`: what starts or declares one, and what needs
/// none. All others do.
const NO_ENDPOINT: [&str; 8] =
    ["demo", "node", "facade", "operator", "create", "crds", "kubectl", "completions"];
/// Commands that steer a database.
pub const STEERING: [&str; 5] = ["partition", "member", "leader", "compact", "recover"];

/// Whether the command of this name reaches a database with `--endpoint`.
pub fn reaches(name: &str) -> bool {
    !NO_ENDPOINT.contains(&name)
}

impl Given {
    /// Those of a command and the ones below it.
    pub fn of(matches: &ArgMatches) -> Self {
        let mut given = Self::default();
        let mut level = Some(matches);
        let mut path = Vec::new();
        while let Some(matches) = level {
            // Groups have ids, too, and no source.
            let ids = matches.ids().map(clap::Id::as_str);
            let here =
                ids.filter(|id| matches!(source(matches, id), Some(ValueSource::CommandLine)));
            let new: Vec<&str> = here.filter(|id| given.ids.insert((*id).to_owned())).collect();
            given.remember(matches, &path, &new);
            level = matches.subcommand().map(|(name, below)| {
                path.push(name);
                below
            });
        }
        given
    }

    /// Whether this one is.
    pub fn has(&self, id: &str) -> bool {
        self.ids.contains(id)
    }

    /// A message whose commands, in backquotes, reach what this command line did: they repeat
    /// the options that say where that is. Whoever types them as they stand would else ask
    /// another database.
    pub fn repeated_in<'a>(&self, message: &'a str) -> Cow<'a, str> {
        if !message.contains("`doug ") {
            return message.into();
        }
        let parts = message.split('`').enumerate();
        let parts = parts.map(|(number, part)| match part.strip_prefix("doug ") {
            Some(command) if number % 2 == 1 => format!("{part}{}", self.options_of(command)),
            _ => part.to_owned(),
        });
        parts.collect::<Vec<_>>().join("`").into()
    }

    fn options_of(&self, command: &str) -> String {
        let name = command.split_whitespace().next().unwrap_or_default();
        let mut options = String::new();
        if reaches(name) && !command.contains("--endpoint") {
            options += &self.reach;
        }
        if STEERING.contains(&name) {
            options += &self.steer;
        }
        if command.starts_with("demo ") && !command.contains("--data") {
            options += &self.demo;
        }
        options
    }

    fn remember(&mut self, matches: &ArgMatches, path: &[&str], new: &[&str]) {
        for id in new {
            let (option, to) = match *id {
                "endpoint" => ("--endpoint", &mut self.reach),
                "admin_endpoint" => ("--admin-endpoint", &mut self.steer),
                // A node's own file has the same name, and is no way to a database.
                "token_file" if path.first().is_some_and(|name| STEERING.contains(name)) => {
                    ("--token-file", &mut self.steer)
                }
                "data" if path.len() == 2 && path[0] == "demo" => ("--data", &mut self.demo),
                _ => continue,
            };
            for value in matches.get_raw(id).into_iter().flatten() {
                *to += &format!(" {option} {}", quoted(&value.to_string_lossy()));
            }
        }
    }
}

/// A word as a shell reads it back.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./:,@%+=[]".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

fn source(matches: &ArgMatches, id: &str) -> Option<ValueSource> {
    // Asking for one that this level does not have would panic.
    matches.try_contains_id(id).ok()?;
    matches.value_source(id)
}
