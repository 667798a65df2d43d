//! A process's part in the catalog: whoever leads it first writes the creation document.

use super::death::Death;
use super::process::Process;
use crate::context::Context;
use crate::events::NodeEvent;
use crate::mutants::Mutant;
use crate::plan::Plan;
use crate::time::{millis, seconds};
use doug_node::catalog::{self, creation_write};
use doug_node::host::Event;
use doug_raft::Role;
use doug_raft::Stamp;
use doug_storage::tree::ReadError;
use std::time::Duration;

/// Pause between looks.
pub(super) const LOOK: Duration = millis(300);
/// How late a first look is at most that comes late.
const LATE: Duration = seconds(4);
/// How long a write of the document may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// When a process first looks whether the creation document is there: in a quarter of the seeds so
/// late that the catalog may be asked to move before.
pub(super) fn first_look(plan: &Plan, soon: Duration) -> Duration {
    let late = plan.mutant == Mutant::CatalogMovesBare || plan.seed.is_multiple_of(4);
    if late { soon + LATE } else { soon }
}

impl Process {
    /// Has the creation document written, if this process leads the catalog without it.
    pub(super) fn write_creation(&mut self, cx: &mut Context) -> Result<(), Death> {
        self.schedule(LOOK, NodeEvent::WriteCreation, cx);
        let Some(replica) = self.partitions().get(&catalog::PARTITION).cloned() else {
            return Ok(());
        };
        let creation = self.store().creation();
        let leads = self.raft(catalog::PARTITION).is_some_and(|raft| raft.role() == Role::Leader);
        let Some(creation) = creation.filter(|_| leads) else { return Ok(()) };
        let command = match creation_write(&replica, &creation) {
            Ok(None) => return Ok(()),
            Ok(Some(command)) => command,
            // The next look may find a descriptor.
            Err(ReadError::Storage(error)) if error.is_out_of_descriptors() => return Ok(()),
            Err(ReadError::Storage(error)) => {
                return self.leave_if_damaged(replica.key(), error, cx).map(drop);
            }
            Err(_) => return Ok(()),
        };
        cx.coverage.hit("creation document proposed");
        let (request, partition) = (self.next_request(), catalog::PARTITION);
        let deadline = self.clock.local(cx.now).after(PATIENCE);
        let event = Event::Write { request, partition, command, seen: Stamp(0), deadline };
        self.post(self.host_of(partition), event, cx);
        Ok(())
    }

    /// Whether a replica of the catalog lacks the creation document.
    pub(crate) fn lacks_creation(&self) -> bool {
        self.partitions().get(&catalog::PARTITION).is_some_and(|replica| {
            let found = replica.reader().view().get(catalog::CREATION, None);
            matches!(found, Ok(None))
        })
    }
}
