//! One file a command, and what several of them share.

pub mod bench;
pub mod compact;
pub mod completions;
pub mod crds;
pub mod create;
pub mod del;
pub mod doctor;
pub mod dump;
pub mod facade;
pub mod get;
pub mod history;
pub mod incr;
pub mod leader;
pub mod load;
pub mod member;
pub mod node;
pub mod operator;
pub mod partition;
pub mod put;
pub mod recover;
pub mod scan;
pub mod status;
pub mod top;
pub mod ttl;
pub mod txn;
pub mod version;
pub mod watch;

mod answer;
mod conditions;
mod consistency;
mod entries;
mod interval;
mod layers;
mod moment;
pub mod steering;
mod stop;
mod whole_file;

/// What a program says that was built without the feature `kubernetes`, when `what` is asked of it.
#[cfg(not(feature = "kubernetes"))]
fn built_without_kubernetes(what: &str) -> anyhow::Error {
    anyhow::anyhow!(
        "this program was built without {what}. The image dougdb/doug:{} has them; to build them \
         here: cargo build --release -p doug --features kubernetes",
        env!("CARGO_PKG_VERSION")
    )
}
