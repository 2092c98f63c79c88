//! For tests: processes that are scheduled, and that nobody runs.

use super::{Ready, Task};
use crate::prelude::*;
use crate::sync::Mutex;
use std::sync::Arc;

/// Keeps what is scheduled.
#[derive(Clone, Default)]
pub(crate) struct Kept(pub(crate) Arc<Mutex<Vec<Task>>>);

impl Ready for Kept {
    fn ready(&self, task: Task) {
        self.0.lock().push(task);
    }
}

/// Does nothing.
pub(crate) struct Idle;

impl Process for Idle {
    fn receive<'h>(&mut self, _: Cx<'h>, state: Term<'h>, _: Term<'h>) -> Turn<'h> {
        Ok(Next(state))
    }
}
