//! Trouble of programs that run the library, and of their streams.

use super::{Library, LibraryEvent};
use crate::checks::Violation;
use crate::context::Context;
use crate::events::Event;
use crate::faults::Relief;
use crate::network::Place;
use crate::node::Node;
use crate::plan::FaultKind;
use crate::random::Random;
use crate::time::{SimTime, millis, seconds};
use std::collections::BTreeSet;

impl Library {
    /// Carries a fault out.
    ///
    /// # Errors
    /// A promise that the library breaks on it.
    pub fn fault(
        &mut self,
        kind: FaultKind,
        random: &mut Random,
        nodes: &mut [Node],
        cx: &mut Context,
    ) -> Result<(), Violation> {
        match kind {
            FaultKind::FacadeKill => self.kill_facade(random, cx),
            FaultKind::FacadePause => self.pause_facade(random, cx),
            FaultKind::ClientCut => self.cut_off(random, nodes.len(), cx),
            _ => return self.reset_stream(random, nodes, cx),
        }
        Ok(())
    }

    fn facade(&self, random: &mut Random, cx: &Context) -> Option<usize> {
        let facades = cx.plan.library.facades.len() as u64;
        (facades > 0).then(|| cx.plan.library.clients() + random.below(facades) as usize)
    }

    fn kill_facade(&mut self, random: &mut Random, cx: &mut Context) {
        let Some(program) = self.facade(random, cx) else { return };
        let (machine, delay) = (random.chance(300), random.duration_between(millis(1), seconds(2)));
        let killed = &mut self.programs[program];
        if killed.running.is_none() {
            return;
        }
        killed.end();
        let (place, line) = (killed.place, format!("{} is killed", killed.name));
        cx.trace.tell(cx.now, &line);
        self.streams.process_ended(place, machine, cx);
        cx.after(delay, Event::Library(LibraryEvent::Start { program }));
    }

    fn pause_facade(&mut self, random: &mut Random, cx: &mut Context) {
        let Some(program) = self.facade(random, cx) else { return };
        let until = cx.now + random.duration_between(millis(20), seconds(3));
        let paused = &mut self.programs[program];
        if paused.running.is_none() {
            return;
        }
        paused.paused_until = until;
        paused.run_at(until, cx);
        let line = format!("{} is paused for {} ms", paused.name, (until - cx.now).as_millis());
        cx.trace.tell(cx.now, &line);
    }

    /// One program loses sight of some nodes and facades, or they of it, or both.
    fn cut_off(&mut self, random: &mut Random, nodes: usize, cx: &mut Context) {
        if self.programs.is_empty() {
            return;
        }
        let program = random.below(self.programs.len() as u64) as usize;
        let one = self.programs[program].place;
        let facades = cx.plan.library.clients()..self.programs.len();
        let facades = facades.map(|facade| self.programs[facade].place);
        let mut others: Vec<Place> = (0..nodes).chain(facades).filter(|o| *o != one).collect();
        random.shuffle(&mut others);
        others.truncate(random.between(1, others.len() as u64) as usize);
        let both = random.below(3);
        let mut links = BTreeSet::new();
        for other in &others {
            if both != 1 {
                links.insert((one, *other));
            }
            if both != 0 {
                links.insert((*other, one));
            }
        }
        let line =
            format!("{} is cut off from {} others", self.programs[program].name, others.len());
        cx.trace.tell(cx.now, &line);
        cx.network.cut(&links);
        // Long enough, at times, for unanswered pings to end streams.
        let lasts = random.duration_between(millis(50), seconds(10));
        cx.after(lasts, Event::Relief(Relief::Links(links)));
    }

    fn reset_stream(
        &mut self,
        random: &mut Random,
        nodes: &mut [Node],
        cx: &mut Context,
    ) -> Result<(), Violation> {
        let Some(stream) = self.streams.any(random) else { return Ok(()) };
        for end in self.streams.reset(stream) {
            if end.place < nodes.len() {
                self.watches.remove(&(end.place, stream));
                continue;
            }
            let Some((program, running)) = self.running(end) else { continue };
            if let Some(facade) = &mut running.facade {
                facade.ended(stream);
            }
            running.wire.broke(stream, "connection reset by peer".to_owned());
            self.drive(program, cx)?;
        }
        Ok(())
    }

    /// Ends all trouble for good.
    pub fn heal(&mut self, cx: &mut Context) {
        for program in &mut self.programs {
            program.paused_until = SimTime::ZERO;
            program.run_at(cx.now, cx);
        }
    }
}
