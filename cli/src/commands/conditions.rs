//! Conditions of writes, as flags, and what is said when they do not hold.

use doug_client::If;

/// What must hold for a put.
#[derive(clap::Args, Clone, Copy)]
#[group(multiple = false)]
pub struct PutCondition {
    /// Only if the key does not exist
    #[arg(long)]
    if_absent: bool,
    /// Only if the key was last written at this revision
    #[arg(long, value_name = "N")]
    if_revision: Option<u64>,
}

impl PutCondition {
    /// The condition on the key written.
    pub fn condition(self) -> If {
        match (self.if_absent, self.if_revision) {
            (true, _) => If::Absent,
            (false, Some(revision)) => If::Revision(revision),
            (false, None) => If::Always,
        }
    }
}

/// Says on standard error why nothing was written.
pub fn unmet(key: &str, current_revision: u64) {
    match current_revision {
        0 => doug_streams::errln!(
            "doug: condition not met: {key} does not exist; nothing was written"
        ),
        revision => doug_streams::errln!(
            "doug: condition not met: {key} was last written at revision {revision}; \
             nothing was written"
        ),
    }
}
