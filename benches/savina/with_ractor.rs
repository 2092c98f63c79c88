//! Actors of ractor, on tokio.

use std::sync::mpsc::Sender;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::runtime::{Builder, Runtime};

use crate::rust::{Receive, System, run};
use crate::work::Program;
use crate::{Contender, threads};

pub(crate) struct Ractor(Runtime);

impl Contender for Ractor {
    const NAME: &'static str = "ractor";

    fn new() -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(threads()).enable_time().build();
        Self(runtime.expect("threads can be had"))
    }

    fn start(&self, program: Program, result: Sender<u64>) {
        self.0.spawn(run::<Actors>(program, result));
    }
}

struct Actors;

/// An actor that is a function.
struct Function<M: Send + 'static, S: Send + 'static>(Receive<Actors, M, S>);

impl<M: Send + 'static, S: Send + 'static> Actor for Function<M, S> {
    type Msg = M;
    type State = S;
    type Arguments = S;

    async fn pre_start(&self, _: ActorRef<M>, state: S) -> Result<S, ActorProcessingErr> {
        Ok(state)
    }

    async fn handle(&self, me: ActorRef<M>, message: M, state: &mut S) -> Result<(), ActorProcessingErr> {
        if (self.0)(&me, state, message).is_break() {
            me.stop(None);
        }
        Ok(())
    }
}

impl System for Actors {
    type To<M: Send + 'static> = ActorRef<M>;

    async fn start<M: Send + 'static, S: Send + 'static>(state: S, receive: Receive<Self, M, S>) -> ActorRef<M> {
        let (to, _) = Actor::spawn(None, Function(receive), state).await.expect("an actor without a name starts");
        to
    }

    fn send<M: Send + 'static>(to: &ActorRef<M>, message: M) {
        let _ = to.send_message(message);
    }
}
