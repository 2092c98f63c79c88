//! Tasks of tokio, each with an unbounded channel.

use std::sync::mpsc::Sender;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::rust::{Receive, System, run};
use crate::work::Program;
use crate::{Contender, threads};

pub(crate) struct Tokio(Runtime);

impl Contender for Tokio {
    const NAME: &'static str = "tokio tasks and channels";

    fn new() -> Self {
        Self(Builder::new_multi_thread().worker_threads(threads()).build().expect("threads can be had"))
    }

    fn start(&self, program: Program, result: Sender<u64>) {
        self.0.spawn(run::<Tasks>(program, result));
    }
}

struct Tasks;

impl System for Tasks {
    type To<M: Send + 'static> = UnboundedSender<M>;

    async fn start<M: Send + 'static, S: Send + 'static>(
        mut state: S,
        receive: Receive<Self, M, S>,
    ) -> UnboundedSender<M> {
        let (to, mut messages) = unbounded_channel();
        let to_me = to.clone();
        tokio::spawn(async move {
            while let Some(message) = messages.recv().await {
                if receive(&to_me, &mut state, message).is_break() {
                    return;
                }
            }
        });
        to
    }

    fn send<M: Send + 'static>(to: &UnboundedSender<M>, message: M) {
        let _ = to.send(message);
    }
}
