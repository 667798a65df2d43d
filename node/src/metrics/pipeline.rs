//! What an operation costs on its way through a node, in counts: each is a quotient of two rates.
//! Events a turn, commands a batch, batches a sync and messages a frame say how well work gathers;
//! wake-ups by thread, how often it is handed on.

use super::measured::ThreadMeasured;
use doug_proto::v1::{PeerTurn, raft_message::Message};
use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::{Registry, Unit};
use std::collections::BTreeMap;

/// Which kind of message.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

/// Which threads.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ThreadLabel {
    thread: String,
}

/// Counters of the way from a host's mail to the disk and to other nodes.
#[derive(Debug)]
pub struct Pipeline {
    /// Turns of the hosts.
    pub turns: Counter,
    /// Events in them, without ticks.
    pub events: Counter,
    /// `fdatasync` of the log.
    pub syncs: Counter,
    batches: Counter,
    commands: Counter,
    bytes: Counter,
    /// Frames written to the streams to other nodes.
    pub frames: Counter,
    messages: Messages,
    wake_ups: WakeUps,
}

impl Default for Pipeline {
    fn default() -> Self {
        Self {
            turns: Counter::default(),
            events: Counter::default(),
            syncs: Counter::default(),
            batches: Counter::default(),
            commands: Counter::default(),
            bytes: Counter::default(),
            frames: Counter::default(),
            messages: Messages::new(),
            wake_ups: WakeUps::default(),
        }
    }
}

impl Pipeline {
    /// Makes them known.
    pub fn register(&self, registry: &mut Registry) {
        for (name, help, counter) in [
            ("host_turns", "Turns of the hosts", &self.turns),
            ("host_events", "What the hosts were told, ticks left out", &self.events),
            ("log_syncs", "Syncs of the log to the disk", &self.syncs),
            ("log_batches", "Batches appended to the log, led here or not", &self.batches),
            ("log_commands", "Commands in them", &self.commands),
            ("peer_frames", "Frames written to the streams to other nodes", &self.frames),
        ] {
            registry.register(name, help, counter.clone());
        }
        let help = "Batches appended to the log";
        registry.register_with_unit("log_batch", help, Unit::Bytes, self.bytes.clone());
        let help = "What replicas said to those on other nodes";
        registry.register("peer_messages", help, self.messages.family.clone());
        let help = "How often threads waited and were woken: voluntary context switches";
        registry.register("wake_ups", help, self.wake_ups.family.clone());
    }

    /// A batch of so many commands and bytes went to the log.
    pub fn appended(&self, commands: u32, bytes: usize) {
        self.batches.inc();
        self.commands.inc_by(u64::from(commands));
        self.bytes.inc_by(bytes as u64);
    }

    /// A host says this to another node.
    pub fn said(&self, turn: &PeerTurn) {
        self.messages.count(turn);
    }

    /// The threads as they are now.
    pub fn measured(&self, threads: &[ThreadMeasured]) {
        self.wake_ups.tell(threads);
    }
}

/// Messages by kind: each counter looked up once.
#[derive(Debug)]
struct Messages {
    family: Family<KindLabel, Counter>,
    heartbeats: Counter,
    heartbeat_answers: Counter,
    appends: Counter,
    append_answers: Counter,
    others: Counter,
}

impl Messages {
    fn new() -> Self {
        let family = Family::<KindLabel, Counter>::default();
        let of = |kind| family.get_or_create(&KindLabel { kind }).clone();
        Self {
            heartbeats: of("heartbeat"),
            heartbeat_answers: of("heartbeat_answer"),
            appends: of("append"),
            append_answers: of("append_answer"),
            others: of("other"),
            family,
        }
    }

    fn count(&self, turn: &PeerTurn) {
        self.heartbeats.inc_by(turn.heartbeats.len() as u64);
        self.heartbeat_answers.inc_by(turn.heartbeat_answers.len() as u64);
        self.others.inc_by(turn.node_heartbeats.len() as u64);
        for message in &turn.messages {
            match message.message {
                Some(Message::Append(_)) => self.appends.inc(),
                Some(Message::AppendAnswer(_)) => self.append_answers.inc(),
                _ => self.others.inc(),
            };
        }
    }
}

/// Wake-ups of threads by name. Threads of one name count together, and what one that has ended
/// was counted for stays.
#[derive(Debug, Default)]
struct WakeUps {
    family: Family<ThreadLabel, Counter>,
    /// Of each thread, what was counted so far.
    told: Mutex<BTreeMap<u64, u64>>,
}

impl WakeUps {
    fn tell(&self, threads: &[ThreadMeasured]) {
        let mut told = self.told.lock();
        let mut now = BTreeMap::new();
        for thread in threads {
            // The kernel gives the ids of ended threads to new ones, which begin at nothing.
            let before = told.get(&thread.id).copied().filter(|told| *told <= thread.wake_ups);
            let label = ThreadLabel { thread: thread.name.clone() };
            let more = thread.wake_ups - before.unwrap_or(0);
            self.family.get_or_create(&label).inc_by(more);
            now.insert(thread.id, thread.wake_ups);
        }
        *told = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use doug_proto::v1::{Append, Heartbeat, RaftMessage};
    use prometheus_client::encoding::text::encode;

    fn text(pipeline: &Pipeline) -> String {
        let mut registry = Registry::default();
        pipeline.register(&mut registry);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        text
    }

    fn thread(id: u64, name: &str, wake_ups: u64) -> ThreadMeasured {
        ThreadMeasured { id, name: name.to_owned(), wake_ups }
    }

    #[test]
    fn messages_are_counted_by_kind() {
        let pipeline = Pipeline::default();
        let append = RaftMessage {
            message: Some(Message::Append(Append::default())),
            ..RaftMessage::default()
        };
        pipeline.said(&PeerTurn {
            messages: vec![append, RaftMessage::default()],
            heartbeats: vec![Heartbeat::default(); 3],
            ..PeerTurn::default()
        });
        let text = text(&pipeline);
        for line in [
            r#"peer_messages_total{kind="append"} 1"#,
            r#"peer_messages_total{kind="heartbeat"} 3"#,
            r#"peer_messages_total{kind="other"} 1"#,
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn wake_ups_of_a_name_only_grow_whatever_threads_begin_and_end() {
        let pipeline = Pipeline::default();
        pipeline.measured(&[thread(1, "log", 10), thread(2, "peers", 5), thread(3, "peers", 7)]);
        // The first of the peers' threads has ended, and its id went to a younger one.
        pipeline.measured(&[thread(1, "log", 12), thread(2, "peers", 1), thread(3, "peers", 7)]);
        let text = text(&pipeline);
        for line in [r#"wake_ups_total{thread="log"} 12"#, r#"wake_ups_total{thread="peers"} 13"#] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
