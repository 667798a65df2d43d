//! The task of one stream, from connect to its end.

use super::outbox::Outbox;
use super::{Link, Multiplexer};
use crate::transport::{OpenError, Requests};
use futures::StreamExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// How a stream ended.
enum End {
    /// No stream came to be, or the server refused it unread.
    Unread(OpenError),
    /// It broke, or the server closed it.
    Broken(String),
}

/// Connects, opens the stream, delivers answers and sweeps until the end.
pub(super) async fn run(multiplexer: Arc<Multiplexer>) {
    let end = tokio::select! {
        biased;
        end = serve(multiplexer.clone()) => end,
        () = multiplexer.sweep() => End::Broken("the client was closed".to_owned()),
    };
    let now = multiplexer.settings.runtime.now();
    let mut wake = Vec::new();
    let mut state = multiplexer.state.lock();
    match end {
        End::Unread(error) => {
            let why = error.why().to_owned();
            tracing::debug!(address = multiplexer.address, error = why, "no stream");
            state.slots.break_off_unread(&why, &mut wake);
            state.failures = state.failures.saturating_add(1);
            let until = now + multiplexer.rest(state.failures - 1);
            state.link = Link::Resting { until, error: why };
            state.barred = Some(error).filter(OpenError::bars);
        }
        End::Broken(error) => {
            tracing::debug!(address = multiplexer.address, error, "stream ended");
            state.slots.break_off(&error, &mut wake);
            state.link = Link::Idle;
        }
    }
    state.stream += 1;
    state.sweep_at = None;
    state.outbox = None;
    multiplexer.silent.store(false, Ordering::Relaxed);
    drop(state);
    wake.into_iter().for_each(std::task::Waker::wake);
}

async fn serve(multiplexer: Arc<Multiplexer>) -> End {
    let requests = Requests::new(Outbox::new(multiplexer.clone()));
    let opening = multiplexer.settings.transport.open(multiplexer.address.clone(), requests);
    let mut answers = match opening.await {
        Ok(answers) => answers,
        Err(OpenError::Broken(why)) => return End::Broken(why),
        Err(unread) => return End::Unread(unread),
    };
    multiplexer.state.lock().barred = None;
    let mut wake = Vec::new();
    loop {
        match answers.next().await {
            Some(Ok(response)) => {
                let mut state = multiplexer.state.lock();
                state.heard = multiplexer.settings.runtime.now();
                state.failures = 0;
                multiplexer.silent.store(false, Ordering::Relaxed);
                for answer in response.answers {
                    state.slots.answer(answer, &mut wake);
                }
                drop(state);
                wake.drain(..).for_each(std::task::Waker::wake);
            }
            None => return End::Broken(format!("{} closed the stream", multiplexer.address)),
            Some(Err(why)) => {
                return End::Broken(format!("the stream to {} broke: {why}", multiplexer.address));
            }
        }
    }
}
