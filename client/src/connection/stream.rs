//! The task of one stream, from connect to its end.

use super::outbox::Requests;
use super::{Link, Shared};
use crate::transport::OpenError;
use futures::StreamExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// How a stream ended.
enum End {
    /// No stream came to be, or the server refused it unread.
    Unread(String),
    /// It broke, or the server closed it.
    Broken(String),
}

/// Connects, opens the stream, delivers answers and sweeps until the end.
pub(super) async fn run(shared: Arc<Shared>) {
    let end = tokio::select! {
        biased;
        end = serve(shared.clone()) => end,
        () = shared.sweep() => End::Broken("the client was closed".to_owned()),
    };
    let now = shared.settings.runtime.now();
    let mut wake = Vec::new();
    let mut state = shared.state.lock();
    match end {
        End::Unread(error) => {
            tracing::debug!(address = shared.address, error, "no stream");
            state.slots.break_off_unread(&error, &mut wake);
            state.failures = state.failures.saturating_add(1);
            let until = now + shared.rest(state.failures - 1);
            state.link = Link::Resting { until, error };
        }
        End::Broken(error) => {
            tracing::debug!(address = shared.address, error, "stream ended");
            state.slots.break_off(&error, &mut wake);
            state.link = Link::Idle;
        }
    }
    state.stream += 1;
    state.sweep_at = None;
    state.outbox = None;
    shared.silent.store(false, Ordering::Relaxed);
    drop(state);
    wake.into_iter().for_each(std::task::Waker::wake);
}

async fn serve(shared: Arc<Shared>) -> End {
    let requests = Requests::new(shared.clone());
    let opening = shared.settings.transport.open(shared.address.clone(), requests);
    let mut answers = match opening.await {
        Ok(answers) => answers,
        Err(OpenError::Unread(why)) => return End::Unread(why),
        Err(OpenError::Broken(why)) => return End::Broken(why),
    };
    let mut wake = Vec::new();
    loop {
        match answers.next().await {
            Some(Ok(response)) => {
                let mut state = shared.state.lock();
                state.heard = shared.settings.runtime.now();
                state.failures = 0;
                shared.silent.store(false, Ordering::Relaxed);
                for answer in response.answers {
                    state.slots.answer(answer, &mut wake);
                }
                drop(state);
                wake.drain(..).for_each(std::task::Waker::wake);
            }
            None => return End::Broken(format!("{} closed the stream", shared.address)),
            Some(Err(why)) => {
                return End::Broken(format!("the stream to {} broke: {why}", shared.address));
            }
        }
    }
}
