//! What stood on the command line itself, and not only in the environment.

use clap::ArgMatches;
use clap::parser::ValueSource;
use std::collections::BTreeSet;

/// The options given on the command line, by their ids.
#[derive(Clone, Debug, Default)]
pub struct Given(BTreeSet<String>);

impl Given {
    /// Those of a command and the ones below it.
    pub fn of(matches: &ArgMatches) -> Self {
        let mut given = BTreeSet::new();
        let mut level = Some(matches);
        while let Some(matches) = level {
            // Groups have ids, too, and no source.
            let ids = matches.ids().map(clap::Id::as_str);
            let here =
                ids.filter(|id| matches!(source(matches, id), Some(ValueSource::CommandLine)));
            given.extend(here.map(str::to_owned));
            level = matches.subcommand().map(|(_, below)| below);
        }
        Self(given)
    }

    /// Whether this one is.
    pub fn has(&self, id: &str) -> bool {
        self.0.contains(id)
    }
}

fn source(matches: &ArgMatches, id: &str) -> Option<ValueSource> {
    // Asking for one that this level does not have would panic.
    matches.try_contains_id(id).ok()?;
    matches.value_source(id)
}
