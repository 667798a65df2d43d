//! Asking everyone there is to ask.

use super::checks::Finding;
use crate::commands::status::{View, ask};
use crate::globals::Globals;
use doug_client::Fault;
use tonic::Code;

/// What was learnt.
pub struct Reached {
    /// What the nodes said.
    pub view: View,
    /// Version of this program.
    pub own_version: String,
}

/// Asks each endpoint by itself, so that one that works does not hide another.
pub async fn reach_all(globals: &Globals, findings: &mut Vec<Finding>) -> Option<Reached> {
    let mut reached = None;
    for endpoint in &globals.endpoint {
        match ask(|| globals.builder_for(std::slice::from_ref(endpoint))).await {
            Ok(view) => reached = reached.or(Some(view)),
            Err(fault) => findings.push(Finding {
                subject: format!("endpoint {endpoint}"),
                problem: fault.to_string(),
                remedy: remedy(&fault).to_owned(),
            }),
        }
    }
    let own_version = doug_proto::VERSION.to_owned();
    reached.map(|view| Reached { view, own_version })
}

/// What helps with an endpoint that does not answer. What serves something else runs already.
fn remedy(fault: &Fault) -> &'static str {
    match fault.code {
        Code::Unimplemented | Code::InvalidArgument => {
            "give the address where a facade or a node serves clients with --endpoint or \
             DOUG_ENDPOINT"
        }
        _ => {
            "start it (`doug demo`, or `doug facade`), or give the right one with --endpoint or \
             DOUG_ENDPOINT"
        }
    }
}
