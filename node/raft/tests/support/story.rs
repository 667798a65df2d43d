//! What happened, in lines a person can read.

use std::fmt;

use doug_raft::{Effect, LogWrite, Message, Role, Time};

use super::describe;
use super::disk::configuration_of;

#[derive(Default)]
pub struct Story {
    lines: Vec<String>,
    /// Heartbeats and their answers are told only where they are the point.
    pub heartbeats: bool,
    pub silent: bool,
}

impl Story {
    pub fn tell(&mut self, now: Time, line: String) {
        if !self.silent {
            let (milliseconds, rest) = (now.0 / 1_000, now.0 % 1_000 / 100);
            self.lines.push(format!("{milliseconds:>5}.{rest} ms  {line}"));
        }
    }

    pub fn tell_effect(&mut self, now: Time, number: u64, effect: &Effect) {
        if self.silent {
            return;
        }
        if let Some(line) = self.describe(number, effect) {
            self.tell(now, line);
        }
    }

    fn describe(&self, number: u64, effect: &Effect) -> Option<String> {
        Some(match effect {
            Effect::Send {
                message: Message::Heartbeat { .. } | Message::HeartbeatResponse { .. },
                ..
            } if !self.heartbeats => {
                return None;
            }
            Effect::Send { to, message } => format!("{number} → {to}  {message}"),
            Effect::Persist { record: LogWrite::Append(batch), .. } => {
                let members = configuration_of(batch).map(|to| format!(": {}", describe(&to)));
                format!("{number} writes {batch}{}", members.unwrap_or_default())
            }
            Effect::Persist { record: LogWrite::HardState { term, vote }, .. } => match vote {
                Some(vote) => format!("{number} writes: in term {term}, my vote is for {vote}"),
                None => format!("{number} writes: in term {term}, no vote given"),
            },
            Effect::Apply { batches } => {
                let list: Vec<String> = batches.iter().map(ToString::to_string).collect();
                format!("{number} applies {}", list.join(", "))
            }
            Effect::ReadReady { index, .. } => format!("{number} may read at index {index}"),
            Effect::ReadAborted { .. } => format!("{number} gives its reads up"),
            Effect::RoleChanged { role: Role::Follower, term, leader: Some(leader) } => {
                format!("{number} follows {leader} in term {term}")
            }
            Effect::RoleChanged { role: Role::Follower, term, leader: None } => {
                format!("{number} follows nobody in term {term}")
            }
            Effect::RoleChanged { role: Role::PreCandidate, term, .. } => {
                format!("{number} would campaign, in term {term} so far")
            }
            Effect::RoleChanged { role: Role::Candidate, term, .. } => {
                format!("{number} campaigns in term {term}")
            }
            Effect::RoleChanged { role: Role::Leader, term, .. } => {
                format!("{number} leads term {term}")
            }
            Effect::FetchPayloads { from, to } => {
                format!("{number} reads {from}–{to} from its log")
            }
            Effect::TailRepaired => format!("{number} holds again all that it acknowledged"),
            Effect::Quiesced => format!("{number} quiesces"),
            Effect::Unquiesced { cause } => format!("{number} unquiesces: {cause}"),
            Effect::SnapshotNeeded { to } => format!("{number} sends a snapshot to {to}"),
        })
    }

    /// Forgets what was told so far: the scene is set.
    pub fn begin(&mut self) {
        self.lines.clear();
    }
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines.join("\n"))
    }
}
