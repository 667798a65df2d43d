//! How a command says on standard error that it failed: a sentence, or with `-o json` an object.

use crate::exit::{self, Exit};
use crate::globals::Globals;
use doug_proto::error::Fault;
use doug_streams::out::Lost;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::ffi::OsString;

/// Says why a command failed; gives its exit status.
pub fn say(error: &anyhow::Error, globals: &Globals) -> Exit {
    let exit = exit::of_error(error);
    let message = format!("{error:#}");
    let message = globals.given.repeated_in(&message);
    if globals.json() {
        let remedy = exit.remedy().map(|remedy| globals.given.repeated_in(remedy));
        let grpc_code = error.chain().find_map(grpc_code);
        doug_streams::errln!("{}", document(exit, &message, remedy, grpc_code));
    } else {
        doug_streams::errln!("doug: {message}");
    }
    exit
}

/// Says what is wrong with a command line that is none, in the form that it asks for as far as
/// that can be read.
pub fn say_usage(message: &str, rendered: &str, arguments: &[OsString]) {
    if asks_for_json(arguments) {
        doug_streams::errln!(
            "{}",
            document(Exit::Usage, message, Exit::Usage.remedy().map(Cow::from), None)
        );
    } else {
        doug_streams::err::print(format_args!("{rendered}"));
    }
}

/// Says that standard output is lost.
pub fn say_lost(lost: Lost, exit: Exit, json: bool) {
    if json {
        // Whatever else the status says, this is about the output.
        let remedy = Exit::OutputLost.remedy().map(Cow::from);
        doug_streams::errln!("{}", document(exit, &lost.to_string(), remedy, None));
    } else {
        doug_streams::errln!("doug: {lost}");
    }
}

/// One line. The message says what to do about this very failure, where that is known; the remedy
/// what to do about any of its kind.
fn document(
    exit: Exit,
    message: &str,
    remedy: Option<Cow<str>>,
    grpc_code: Option<String>,
) -> Value {
    json!({
        "code": exit.name(),
        "exitStatus": exit as u8,
        "grpcCode": grpc_code,
        "message": message,
        "remedy": remedy,
    })
}

fn grpc_code(link: &(dyn std::error::Error + 'static)) -> Option<String> {
    link.downcast_ref::<Fault>().map(|fault| format!("{:?}", fault.code))
}

/// Whether `-o json` stands there, in any of the ways it can be written.
fn asks_for_json(arguments: &[OsString]) -> bool {
    let words: Vec<_> = arguments.iter().map_while(|word| word.to_str()).collect();
    let words: Vec<_> = words.into_iter().take_while(|word| *word != "--").collect();
    let joined = ["-ojson", "-o=json", "--output=json"];
    words.iter().any(|word| joined.contains(word))
        || words.windows(2).any(|pair| matches!(pair, ["-o" | "--output", "json"]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn an_object_says_what_a_script_needs_to_tell_failures_apart() {
        let fault: anyhow::Error = Fault::unavailable("no leader").into();
        let error = Err::<(), _>(fault).context("cannot get k").unwrap_err();
        let code = error.chain().find_map(grpc_code);
        let exit = exit::of_error(&error);
        let remedy = exit.remedy().map(Cow::from);
        let document = document(exit, &format!("{error:#}"), remedy, code);
        assert_eq!(
            document.to_string(),
            r#"{"code":"unavailable","exitStatus":5,"grpcCode":"Unavailable","#.to_owned()
                + r#""message":"cannot get k: no leader","remedy":"it was not carried out: try "#
                + r#"again, and if that does not help, see `doug doctor`"}"#
        );
    }

    #[test]
    fn the_form_that_is_asked_for_is_known_even_where_the_rest_is_wrong() {
        let asks =
            |line: &str| asks_for_json(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        for line in ["get -o json", "get --output json", "-ojson x", "--output=json"] {
            assert!(asks(line), "{line}");
        }
        for line in ["get", "get -o text", "get -- -o json", "put json", "get -o"] {
            assert!(!asks(line), "{line}");
        }
    }
}
