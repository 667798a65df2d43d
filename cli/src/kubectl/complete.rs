//! What may follow on a command line of the plugin: kubectl asks a program of its own for it, and
//! prints a line for each, then a directive.

use clap::Command;
use std::fmt::Write as _;

/// The shell is not to offer files (cobra's `ShellCompDirectiveNoFileComp`).
const NO_FILES: &str = ":4";

/// The answer to kubectl: `words` are those after `kubectl doug`, the last one being typed.
/// `program` is `doug` itself.
pub fn complete(program: &Command, words: &[String]) -> String {
    let plugin = program.find_subcommand("kubectl").expect("it is one of its commands");
    let (typed, before) =
        words.split_last().map_or(("", words), |(last, before)| (last.as_str(), before));
    let mut command = plugin;
    for word in before {
        command = command.find_subcommand(word).unwrap_or(command);
    }
    let mut answer = String::new();
    let mut offer = |word: String, about: Option<String>| {
        if word.starts_with(typed) {
            let about = about.map(|about| format!("\t{about}")).unwrap_or_default();
            let _ = writeln!(answer, "{word}{about}");
        }
    };
    if typed.starts_with('-') {
        for arg in command.get_arguments().filter(|arg| !arg.is_hide_set()) {
            if let Some(long) = arg.get_long() {
                offer(format!("--{long}"), arg.get_help().map(ToString::to_string));
            }
        }
    } else {
        for below in command.get_subcommands() {
            let about = below.get_about().map(ToString::to_string);
            offer(below.get_name().to_owned(), about);
        }
    }
    answer.push_str(NO_FILES);
    answer.push('\n');
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn offered(words: &[&str]) -> Vec<String> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let answer = complete(&crate::Cli::command(), &words);
        let lines: Vec<&str> = answer.lines().collect();
        assert_eq!(lines.last(), Some(&":4"));
        let word = |line: &&str| line.split('\t').next().unwrap_or_default().to_owned();
        lines[..lines.len() - 1].iter().map(word).collect()
    }

    #[test]
    fn commands_are_offered_by_what_is_typed_of_them() {
        assert_eq!(offered(&["re"]), ["restart", "recover", "replace"]);
        assert!(offered(&[""]).contains(&"tunnel".to_owned()));
    }

    #[test]
    fn options_are_those_of_the_command() {
        assert_eq!(offered(&["recover", "--dry"]), ["--dry-run"]);
        assert!(offered(&["logs", "--f"]).contains(&"--follow".to_owned()));
        assert!(offered(&["logs", "--dry"]).is_empty());
    }
}
