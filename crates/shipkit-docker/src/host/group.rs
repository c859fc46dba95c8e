//! `ProcessGroup`: a command and all that it has started.

use std::io;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};

/// A command that leads a process group of its own. The group is killed when this is dropped before its leader was waited
/// for.
#[derive(Debug)]
pub struct ProcessGroup(Child);

impl ProcessGroup {
    /// Starts a command as the leader of a group.
    ///
    /// # Errors
    /// When the system does not start it.
    pub fn start(command: &mut Command) -> io::Result<Self> {
        command.process_group(0).kill_on_drop(true).spawn().map(Self)
    }

    /// The leader.
    pub fn leader(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        // While nobody has waited for the leader, its number belongs to nobody else.
        let leader = self.0.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(leader) = leader {
            // It fails only if nobody is left.
            kill_process_group(leader, Signal::KILL).ok();
        }
    }
}
