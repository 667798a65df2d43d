//! Clients that read nothing: whoever takes none of its answers for
//! [`PATIENCE`] loses its streams, with an error that says so; if it takes
//! nothing for as long again, it loses the connection and all that is held for it.

use crate::answers::{Account, Answers, Watched};
use crate::received::Received;
use doug_proto::error::Fault;
use std::time::Duration;

/// How long a connection may take nothing while answers are held for it.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// The same while three quarters of the budget of answers are taken.
pub const PATIENCE_SHORT: Duration = Duration::from_secs(5);
/// How often is looked.
const LOOK: Duration = Duration::from_secs(1);

/// Looks after all connections of a server for as long as it is polled.
pub async fn watch(answers: Answers, received: Received) {
    let mut ticks = tokio::time::interval(LOOK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        look(&answers, LOOK);
        received.look();
    }
}

/// One look, `after` the one before.
fn look(answers: &Answers, after: Duration) {
    let patience = if answers.is_short() { PATIENCE_SHORT } else { PATIENCE };
    for account in answers.accounts() {
        look_at(&account, after, patience);
    }
}

fn look_at(account: &Account, after: Duration, patience: Duration) {
    let mut watched = account.watched.lock();
    let taken = account.taken();
    if account.held() == 0 || taken != watched.taken {
        *watched = Watched { taken, idle: Duration::ZERO };
        return;
    }
    watched.idle += after;
    if watched.idle < patience {
        return;
    }
    watched.idle = Duration::ZERO;
    if account.is_stalled() {
        tracing::warn!("a connection that took no answers was closed");
        account.closed.cancel();
    } else {
        account.stalled.cancel();
    }
}

/// What a stream ends with whose client does not read.
pub fn fault() -> Fault {
    Fault::new(
        tonic::Code::ResourceExhausted,
        format!(
            "no answer of this connection was read for {} s, so its streams were ended: what was \
             asked and not answered may or may not have been applied",
            PATIENCE.as_secs()
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use doug_proto::v1::{GetRequest, GetResponse, stream_answer, stream_operation};
    use std::sync::Arc;

    fn unread(account: &Arc<Account>) -> crate::answers::Held {
        let get = stream_operation::Operation::Get(GetRequest::default());
        let answer = stream_answer::Answer::Get(GetResponse::default());
        account.expect(Some(&get)).settle(answer).1
    }

    fn seconds(answers: &Answers, seconds: u64) {
        (0..seconds).for_each(|_| look(answers, Duration::from_secs(1)));
    }

    #[test]
    fn who_takes_nothing_loses_its_streams_and_then_its_connection() {
        let answers = Answers::new(1 << 20);
        let account = answers.account();
        let _held = unread(&account);
        seconds(&answers, PATIENCE.as_secs() - 1);
        assert!(!account.is_stalled());
        seconds(&answers, 2);
        assert!(account.is_stalled() && !account.closed.is_cancelled());
        seconds(&answers, PATIENCE.as_secs());
        assert!(account.closed.is_cancelled());
    }

    #[test]
    fn who_takes_a_little_or_owes_nothing_stays() {
        let answers = Answers::new(1 << 20);
        let (slow, idle) = (answers.account(), answers.account());
        let _held = unread(&slow);
        for _ in 0..10 {
            seconds(&answers, PATIENCE.as_secs() - 1);
            drop(slow.send(100));
        }
        assert!(!slow.is_stalled() && !idle.is_stalled());
    }

    #[test]
    fn while_memory_is_short_there_is_less_time() {
        let answers = Answers::new(1_000);
        let account = answers.account();
        let _sending = account.send(900);
        seconds(&answers, PATIENCE_SHORT.as_secs() + 1);
        assert!(account.is_stalled());
    }
}
