//! The task of one stream, from connect to its end.

use super::channel::open_channel;
use super::outbox::Outbox;
use super::{Link, Shared};
use doug_proto::error::Fault;
use doug_proto::limits;
use doug_proto::v1::doug_client::DougClient;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::time::Instant;

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
        end = serve(shared.clone()) => end,
        () = shared.sweep() => End::Broken("the client was closed".to_owned()),
    };
    let now = Instant::now();
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
    let channel = match open_channel(&shared.address, &shared.settings).await {
        Ok(channel) => channel,
        Err(error) => return End::Unread(error),
    };
    let mut client = DougClient::new(channel)
        .max_decoding_message_size(limits::MESSAGE_BYTES)
        .max_encoding_message_size(limits::MESSAGE_BYTES);
    let mut answers = match client.stream(Outbox::new(shared.clone())).await {
        Ok(response) => response.into_inner(),
        Err(status) => {
            let fault = Fault::from_status(&status);
            let why = format!("{} refused the stream: {}", shared.address, fault.message);
            // Before the first answer our servers have read nothing when they promise so.
            return if fault.is_not_executed() { End::Unread(why) } else { End::Broken(why) };
        }
    };
    let mut wake = Vec::new();
    loop {
        match answers.message().await {
            Ok(Some(response)) => {
                let mut state = shared.state.lock();
                state.heard = Instant::now();
                state.failures = 0;
                shared.silent.store(false, Ordering::Relaxed);
                for answer in response.answers {
                    state.slots.answer(answer, &mut wake);
                }
                drop(state);
                wake.drain(..).for_each(std::task::Waker::wake);
            }
            Ok(None) => return End::Broken(format!("{} closed the stream", shared.address)),
            Err(status) => {
                let why = super::channel::describe(&status);
                return End::Broken(format!("the stream to {} broke: {why}", shared.address));
            }
        }
    }
}
