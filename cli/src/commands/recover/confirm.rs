//! The database has to be named before anything of it is given up.

use crate::exit::usage;
use anyhow::Context;
use std::io::{BufRead, IsTerminal};

/// Asks for the id of the database, unless it was given on the command line.
///
/// # Errors
/// Another id, or nobody to ask.
pub fn ask(given: Option<&str>, database: &str) -> anyhow::Result<()> {
    if let Some(given) = given {
        return check(given, database);
    }
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(usage(format!(
            "there is no terminal to ask on: give the id of the database, --confirm {database}"
        )));
    }
    doug_streams::errln!("To go on, type the id of the database ({database}):");
    let mut typed = String::new();
    stdin.lock().read_line(&mut typed).context("reading what was typed")?;
    check(typed.trim(), database)
}

fn check(given: &str, database: &str) -> anyhow::Result<()> {
    if given == database {
        return Ok(());
    }
    Err(usage(format!("{given:?} is not this database, {database}: nothing was changed")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_very_database_is_confirmed() {
        assert!(ask(Some("6fd1a0b2c3d4"), "6fd1a0b2c3d4").is_ok());
        for other in ["6fd1a0b2c3d5", "", "yes"] {
            let refused = ask(Some(other), "6fd1a0b2c3d4").unwrap_err().to_string();
            assert!(refused.contains("nothing was changed"), "{refused}");
        }
    }
}
