//! `doug status --watch`: the same again and again.

use super::{ask, json, text};
use crate::exit::Exit;
use crate::failure;
use crate::globals::Globals;
use crate::live;
use doug_streams::out;
use std::time::Duration;

/// Shows the state until nobody reads it any more. One that is not known for a while is said, and
/// asked for again: whoever watches waits for just that to end.
pub async fn run(interval: Duration, globals: &Globals) -> anyhow::Result<Exit> {
    loop {
        let view = ask(|| globals.builder()).await;
        match (view, globals.json()) {
            (Ok(view), true) => doug_streams::outln!("{}", json::document(&view)),
            (Err(fault), true) => {
                failure::say(&fault.into(), globals);
            }
            (Ok(view), false) => live::show(&text::render(&view, out::columns())),
            (Err(fault), false) => {
                let said = format!("the state is not known: {fault}");
                live::show(&globals.given.repeated_in(&said));
            }
        }
        if out::lost().is_some() {
            return Ok(Exit::Done);
        }
        live::pause(interval).await;
    }
}
