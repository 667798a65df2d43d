//! What replicas of one group say to each other.

use std::fmt;

use crate::batch::Batch;
use crate::ids::{Index, Term};
use crate::quiesce::LivenessEpoch;

/// A message between two replicas of a group. The envelope (partition, both replica ids) is the
/// host's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Message {
    /// "Could I win?" Changes nothing at the receiver (thesis, 9.6).
    PreVote {
        /// The term the sender would campaign in: its own plus one.
        term: Term,
        /// End of the sender's log.
        last_index: Index,
        /// Term of that entry.
        last_term: Term,
    },
    /// Answer to [`Message::PreVote`].
    PreVoteResponse {
        /// The sender's current term.
        term: Term,
        /// The term that was asked about.
        asked: Term,
        /// Whether the sender would vote so.
        granted: bool,
        /// The sender may have lost entries that it acknowledged; only with a grant.
        ambiguous: bool,
    },
    /// RequestVote of the paper. Leaves the candidate after its own vote is durable.
    Vote {
        /// The candidate's term.
        term: Term,
        /// End of the candidate's log.
        last_index: Index,
        /// Term of that entry.
        last_term: Term,
        /// The leader itself asked for this election, so having heard it lately is no reason to
        /// refuse.
        transfer: bool,
    },
    /// Answer to [`Message::Vote`]. A grant leaves after it is durable.
    VoteResponse {
        /// The sender's current term.
        term: Term,
        /// Whether the vote was given.
        granted: bool,
        /// The sender may have lost entries that it acknowledged; only with a grant.
        ambiguous: bool,
    },
    /// AppendEntries of the paper, in whole batches.
    Append {
        /// The leader's term.
        term: Term,
        /// Index just before the batches: the end of a batch in the leader's log.
        prev_index: Index,
        /// Term of that entry.
        prev_term: Term,
        /// The leader's commit index.
        commit: Index,
        /// Adjacent batches; may be empty.
        batches: Vec<Batch>,
    },
    /// Answer to [`Message::Append`].
    AppendResponse {
        /// The sender's current term.
        term: Term,
        /// What became of it.
        verdict: Verdict,
    },
    /// The leader lives.
    Heartbeat {
        /// The leader's term.
        term: Term,
        /// What the receiver may take as committed: the lesser of the leader's commit index and
        /// what the receiver has acknowledged.
        commit: Index,
        /// Numbers the leader's heartbeats within the term; an answer proves leadership at the time
        /// this round began.
        round: u64,
    },
    /// Answer to [`Message::Heartbeat`].
    HeartbeatResponse {
        /// The sender's current term.
        term: Term,
        /// The round answered.
        round: u64,
        /// Everything up to here equals the leader's log, as far as received in this term. 0:
        /// nothing verified yet.
        verified: Index,
        /// The part of it that is durable: as good as an acknowledgement.
        matched: Index,
    },
    /// "Let us be silent": the leader has nothing left to do, and knows that every voter holds all
    /// it has.
    Quiesce {
        /// The leader's term.
        term: Term,
        /// The commit index, and the log's end.
        commit: Index,
        /// Numbered with the heartbeats.
        round: u64,
        /// The liveness that stands for the leader's heartbeats from then on.
        liveness: LivenessEpoch,
    },
    /// Answer to [`Message::Quiesce`]; or, later and not agreed, news that the sender has
    /// unquiesced.
    QuiesceResponse {
        /// The sender's current term.
        term: Term,
        /// The round answered.
        round: u64,
        /// Whether the sender is quiesced now.
        agreed: bool,
    },
    /// "Campaign now": the leader hands over (thesis, 3.10).
    TimeoutNow {
        /// The leader's term.
        term: Term,
    },
    /// A follower asks for a read index.
    ReadIndexRequest {
        /// The follower's term.
        term: Term,
        /// The follower's name for the request, never reused by it.
        request: u64,
    },
    /// Answer to [`Message::ReadIndexRequest`].
    ReadIndexResponse {
        /// The sender's term.
        term: Term,
        /// The request answered.
        request: u64,
        /// The index to wait for, or `None` if the sender cannot say.
        index: Option<Index>,
    },
    /// A follower that may have lost entries that it acknowledged asks where the leader's log ends.
    LogEndRequest {
        /// The follower's term.
        term: Term,
        /// The follower's name for the request, never reused by it.
        request: u64,
        /// Where the follower's log ends: what it acknowledged beyond is lost.
        last_index: Index,
    },
    /// Answer to [`Message::LogEndRequest`].
    LogEndResponse {
        /// The leader's term.
        term: Term,
        /// The request answered.
        request: u64,
        /// Where the leader's log ends.
        last_index: Index,
    },
}

/// What became of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The log equals the leader's up to `matched`, durably.
    Accepted {
        /// The last index that matches.
        matched: Index,
    },
    /// The log holds no such entry at `prev_index` (or the sender's term is newer: then only the
    /// term says anything).
    Rejected {
        /// The `prev_index` that was refused.
        prev_index: Index,
        /// Term of the entry that stands there instead; 0 if the log ends before it.
        conflict_term: Term,
        /// First index of that term here; one past the end if the log is too short.
        first_index: Index,
    },
}

impl Message {
    /// The sender's term. For a pre-vote, the term it would like to have.
    #[must_use]
    pub fn term(&self) -> Term {
        match *self {
            Message::PreVote { term, .. }
            | Message::PreVoteResponse { term, .. }
            | Message::Vote { term, .. }
            | Message::VoteResponse { term, .. }
            | Message::Append { term, .. }
            | Message::AppendResponse { term, .. }
            | Message::Heartbeat { term, .. }
            | Message::Quiesce { term, .. }
            | Message::QuiesceResponse { term, .. }
            | Message::HeartbeatResponse { term, .. }
            | Message::TimeoutNow { term }
            | Message::ReadIndexRequest { term, .. }
            | Message::ReadIndexResponse { term, .. }
            | Message::LogEndRequest { term, .. }
            | Message::LogEndResponse { term, .. } => term,
        }
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Message::PreVote { term, last_index, last_term } => {
                write!(f, "PreVote{{term {term}, log ends at {last_index} (term {last_term})}}")
            }
            Message::PreVoteResponse { term, asked, granted, ambiguous } => {
                write!(
                    f,
                    "PreVoteResponse{{term {term}, {}{} for term {asked}}}",
                    yes_or_no(*granted),
                    in_doubt(*ambiguous)
                )
            }
            Message::Vote { term, last_index, last_term, transfer } => {
                let reason = if *transfer { ", as the leader asked" } else { "" };
                write!(
                    f,
                    "Vote{{term {term}, log ends at {last_index} (term {last_term}){reason}}}"
                )
            }
            Message::VoteResponse { term, granted, ambiguous } => {
                let (answer, doubt) = (yes_or_no(*granted), in_doubt(*ambiguous));
                write!(f, "VoteResponse{{term {term}, {answer}{doubt}}}")
            }
            Message::Append { term, prev_index, prev_term, commit, batches } => {
                write!(
                    f,
                    "Append{{term {term}, after {prev_index} (term {prev_term}), commit {commit}: "
                )?;
                if batches.is_empty() {
                    f.write_str("nothing")?;
                }
                for (i, batch) in batches.iter().enumerate() {
                    write!(f, "{}{batch}", if i == 0 { "" } else { ", " })?;
                }
                f.write_str("}")
            }
            Message::AppendResponse { term, verdict } => match verdict {
                Verdict::Accepted { matched } => {
                    write!(f, "AppendResponse{{term {term}, accepted, matches up to {matched}}}")
                }
                Verdict::Rejected { prev_index, conflict_term: 0, first_index } => {
                    write!(
                        f,
                        "AppendResponse{{term {term}, rejected after {prev_index}, log lacks \
                         {first_index}}}"
                    )
                }
                Verdict::Rejected { prev_index, conflict_term, first_index } => write!(
                    f,
                    "AppendResponse{{term {term}, rejected after {prev_index}, holds term \
                     {conflict_term} from {first_index}}}"
                ),
            },
            Message::Heartbeat { term, commit, round } => {
                write!(f, "Heartbeat{{term {term}, commit {commit}, round {round}}}")
            }
            Message::HeartbeatResponse { term, round, verified, matched } => {
                write!(
                    f,
                    "HeartbeatResponse{{term {term}, round {round}, verified {verified}, durable \
                     {matched}}}"
                )
            }
            Message::Quiesce { term, commit, round, .. } => {
                write!(f, "Quiesce{{term {term}, commit {commit}, round {round}}}")
            }
            Message::QuiesceResponse { term, round, agreed } => {
                let answer = if *agreed { "is quiesced" } else { "is not quiesced" };
                write!(f, "QuiesceResponse{{term {term}, round {round}, {answer}}}")
            }
            Message::TimeoutNow { term } => write!(f, "TimeoutNow{{term {term}}}"),
            Message::ReadIndexRequest { term, .. } => write!(f, "ReadIndexRequest{{term {term}}}"),
            Message::ReadIndexResponse { term, index: Some(index), .. } => {
                write!(f, "ReadIndexResponse{{term {term}, index {index}}}")
            }
            Message::ReadIndexResponse { term, index: None, .. } => {
                write!(f, "ReadIndexResponse{{term {term}, cannot say}}")
            }
            Message::LogEndRequest { term, last_index, .. } => {
                write!(f, "LogEndRequest{{term {term}, log ends at {last_index}}}")
            }
            Message::LogEndResponse { term, last_index, .. } => {
                write!(f, "LogEndResponse{{term {term}, log ends at {last_index}}}")
            }
        }
    }
}

fn yes_or_no(granted: bool) -> &'static str {
    if granted { "yes" } else { "no" }
}

fn in_doubt(ambiguous: bool) -> &'static str {
    if ambiguous { ", though its tail is ambiguous," } else { "" }
}
