//! Another stack, as far as it takes what this one forwards: an upstream queue, accept, and a ledger.

use std::time::Duration;

use handover::pipeline::{Accept, REASON, Upstream, UpstreamQueue};
use handover::{Ledger, Routes};
use serde_json::Value;
use tokio::time::sleep;

use crate::aws::dynamodb::Table;
use crate::aws::lambda::Function;
use crate::names::{ELSEWHERE, FUNCTION_ELSEWHERE, UPSTREAM_DEAD_LETTERS_ELSEWHERE, UPSTREAM_ELSEWHERE};
use crate::stack::{RECEIVES_MAX, Stack};

/// The time-out of its accept.
const ACCEPT_TIMEOUT: Duration = Duration::from_secs(5);
/// The visibility time-out of its upstream queue.
const VISIBILITY_MS: u64 = 6 * ACCEPT_TIMEOUT.as_millis() as u64;
/// How long its queues keep a message.
const KEPT: Duration = Duration::from_secs(14 * 24 * 3_600);
/// How long it is down.
const DOWN_FOR: Duration = Duration::from_secs(24 * 3_600);

/// What is down for a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Down {
    /// Nothing.
    Nothing,
    /// Accept of the other stack, from the first: messages wait in its queue.
    Accept,
    /// The queue of the other stack, from the first: nobody can send to it.
    Queue,
    /// This stack, from this time of the run in milliseconds: none of its functions is invoked.
    Here {
        /// When it begins.
        from_ms: u64,
    },
}

impl Stack {
    /// The table of its ledger, which a workload deploys that forwards.
    pub fn table_elsewhere() -> Table {
        Table::new(ELSEWHERE, &["id", "source"])
    }

    /// Deploys the other stack, and returns the URL of its upstream queue.
    pub fn serve_elsewhere(&self, routes: Routes, down: Down) -> String {
        let mut state = self.aws.state();
        state.queues.create(UPSTREAM_DEAD_LETTERS_ELSEWHERE, VISIBILITY_MS, KEPT, None);
        let redrive = Some((RECEIVES_MAX, UPSTREAM_DEAD_LETTERS_ELSEWHERE));
        state.queues.create(UPSTREAM_ELSEWHERE, VISIBILITY_MS, KEPT, redrive);
        let (time, down_ms) = (self.aws.time(), DOWN_FOR.as_millis() as u64);
        if down == Down::Queue {
            state.queues.break_until(UPSTREAM_ELSEWHERE, time.now_ms() + down_ms);
        }
        drop(state);
        if down != Down::Nothing {
            self.note("the world", &format!("{down:?} is down for a day"));
        }
        match down {
            Down::Nothing => (),
            Down::Accept | Down::Queue => self.lambda.is_stopped_until(time.elapsed_ms() + down_ms),
            Down::Here { from_ms } => self.lambda.take_down(from_ms..from_ms + down_ms),
        }
        let accept = Accept::new(
            Ledger::new(self.dynamodb().clone(), ELSEWHERE),
            routes,
            self.clock(FUNCTION_ELSEWHERE),
        );
        let dead_letters = UPSTREAM_DEAD_LETTERS_ELSEWHERE;
        let queue = UpstreamQueue::new(self.sqs().clone(), UPSTREAM_ELSEWHERE, dead_letters, 1);
        let upstream = Upstream::new(accept, queue);
        let accept =
            Function::new(FUNCTION_ELSEWHERE, "accept", ACCEPT_TIMEOUT, async move |event, until| {
                upstream.receive(event, until).await
            });
        let mapping = self.lambda.clone().serve_queue(UPSTREAM_ELSEWHERE.into(), accept);
        self.spawn(async move {
            if down == Down::Accept {
                sleep(DOWN_FOR).await;
            }
            mapping.await;
        });
        UPSTREAM_ELSEWHERE.to_owned()
    }

    /// Sends a message to the upstream queue of the other stack as the role with this unique id.
    pub fn send_elsewhere(&self, sender: &str, message: &str) {
        self.send_to(UPSTREAM_ELSEWHERE, sender, message);
    }

    /// The records of the other stack.
    pub fn records_elsewhere(&self) -> Vec<Value> {
        self.items(ELSEWHERE)
    }

    /// The dead letters of the other stack's upstream queue, each with the reason if accept refused it.
    pub fn dead_letters_elsewhere(&self) -> Vec<(String, String)> {
        let state = self.aws.state();
        let letters = state.queues.queues[UPSTREAM_DEAD_LETTERS_ELSEWHERE].messages.iter();
        letters.map(|letter| (letter.body.clone(), letter.attribute(REASON).to_owned())).collect()
    }
}
