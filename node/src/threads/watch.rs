//! A watch on a thread that reads: told what there is, or left to wait.

use crate::apply::ReplicaData;
use crate::engine::Engine;
use crate::engine::requests::{Asked, Permit, Request, Sink};
use crate::serving::{self, Interval, ReadFailure, Served, Watching, is_behind, just_left, tell};
use doug_proto::v1::stream_answer::Answer;

/// Answers a watch, or has it wait until something is changed in its range.
///
/// # Errors
/// Why it cannot be told anything, and whom that is to be said.
pub(super) fn serve(
    partition: &ReplicaData,
    mut watching: Watching,
    served: Served,
    (mut sink, mut permit): (Sink, Permit),
    engine: &Engine,
) -> Result<(), (Sink, ReadFailure)> {
    let id = partition.key().partition;
    engine.watches.lock().asked(id, engine.clock.now());
    loop {
        let now = engine.clock.now();
        let told = match tell(partition, &mut watching, served, &engine.watch_room, now) {
            Ok(told) => told,
            Err(failure) => return Err((sink, failure)),
        };
        if let Some(told) = told {
            permit.carried_out(engine.clock.now());
            let answer = Answer::Watch(told);
            partition.served().note_read(&answer);
            sink.answer(answer);
            return Ok(());
        }
        // While it waits it is one of few that are counted, and costs nothing.
        permit.waits();
        let (interval, until) = (Interval::of(&watching.request), watching.until.unwrap_or(now));
        let asked = Asked::Operation(serving::Asked::Watch(Box::new(watching.clone())));
        let request = Request { partition: id, asked, sink: Some(sink), permit };
        let waiting = engine.requests.insert(request);
        let refused = engine.watches.lock().wait((id, waiting), interval, until).err();
        // What was changed between the look and the wait has woken nobody, nor has a replica that
        // was let go of.
        let has_left = engine.partition(id).is_none();
        let again = has_left || is_behind(partition, &watching);
        if refused.is_none() && !(again && engine.watches.lock().take_back(id, waiting)) {
            return Ok(());
        }
        let Some(request) = engine.requests.take(waiting) else { return Ok(()) };
        let Some(own) = request.sink else { return Ok(()) };
        (sink, permit) = (own, request.permit);
        if let Some(fault) = refused {
            return Err((sink, fault.into()));
        }
        if has_left {
            return Err((sink, just_left().into()));
        }
    }
}
