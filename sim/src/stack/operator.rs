//! What an operator does: looks at dead letters, redrives, closes, dispatches again.

use std::time::Duration;

use handover::record::Settled;
use handover::store::OperatorOutcome;
use handover::{Fault, NotificationKey};
use tokio::time::sleep;

use crate::aws::sqs::Message;
use crate::item::RETENTION;
use crate::item::{self, destinations, number};
use crate::names::{dead_letter_queue, retry_queue};
use crate::stack::Stack;

/// How many times an operator tries to close a notification, once a second: longer than an outage.
const CLOSES_MAX: u32 = 30;
/// How long a program of the operator may run.
const LIMIT: Duration = Duration::from_secs(60);
/// Seconds between looks at a queue.
const LOOK_S: u64 = 5;

/// What became of an operator's action; nothing if its program died.
pub type OperatorResult = Option<Result<OperatorOutcome, Fault>>;

/// A dead letter that an operator received.
#[derive(Debug)]
pub struct DeadLetter(Message);

impl DeadLetter {
    /// The id of the message.
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// The notification.
    pub fn notification(&self) -> Option<NotificationKey> {
        self.0.notification()
    }
}

impl Stack {
    /// Records that an operator acts.
    pub fn begin_operation(&self) {
        self.aws.state().history.operations += 1;
    }

    /// The destinations that have dead letters.
    pub fn with_dead_letters(&self) -> Vec<String> {
        let state = self.aws.state();
        let has_any = |name: &String| !state.queues.queues[&dead_letter_queue(name)].messages.is_empty();
        self.destinations().into_iter().filter(has_any).collect()
    }

    /// Waits until another destination has dead letters, or one has none any more.
    pub async fn dead_letters_change(&self) {
        let before = self.with_dead_letters();
        while self.with_dead_letters() == before {
            self.aws.queued().notified().await;
        }
    }

    /// Receives a dead letter, if there is one that nobody received just now.
    pub fn receive_dead_letter(&self, destination: &str) -> Option<DeadLetter> {
        let now_ms = self.aws.time().now_ms();
        let url = dead_letter_queue(destination);
        let received = self.aws.state().queues.receive(&url, now_ms, 1, |_| false);
        received.into_iter().next().map(DeadLetter)
    }

    /// Receives every dead letter, once nobody else has received one.
    pub(crate) async fn receive_dead_letters(&self, destination: &str) -> Vec<DeadLetter> {
        let url = dead_letter_queue(destination);
        while self.aws.state().queues.has_invisible(&url, self.aws.time().now_ms()) {
            sleep(Duration::from_secs(LOOK_S)).await;
        }
        let now_ms = self.aws.time().now_ms();
        let received = self.aws.state().queues.receive(&url, now_ms, usize::MAX, |_| false);
        received.into_iter().map(DeadLetter).collect()
    }

    /// Moves a dead letter to the retry queue, as the console of SQS does.
    pub fn move_to_retry_queue(&self, destination: &str, dead_letter: &DeadLetter) {
        let now_ms = self.aws.time().now_ms();
        let (from, to) = (dead_letter_queue(destination), retry_queue(destination));
        self.note("operator", &format!("moves {} to the retry queue", dead_letter.id()));
        self.aws.state().queues.move_to(&from, dead_letter.0.receipt(), &to, now_ms);
        self.aws.queued().notify_waiters();
    }

    /// Redrives a dead letter, says what became of its call where that was not known, and deletes the dead
    /// letter if it may be deleted.
    pub async fn redrive(
        &self,
        destination: &str,
        key: NotificationKey,
        dead_letter: &DeadLetter,
        settled: Option<Settled>,
    ) -> OperatorResult {
        let (ledger, now) = (self.ledger(), self.clock("operator").now());
        let name = destination.to_owned();
        let redrive = async move {
            match settled {
                Some(settled) => ledger.settle(&key, &name, settled, now).await,
                None => ledger.redrive_dead_letter(&key, &name, now).await,
            }
        };
        let redriven = self.run_operation(redrive).await;
        if redriven
            .as_ref()
            .is_some_and(|result| result.as_ref().is_ok_and(|outcome| outcome.replaces_dead_letter()))
        {
            let url = dead_letter_queue(destination);
            self.aws.state().queues.delete(&url, dead_letter.0.receipt());
        }
        redriven
    }

    /// Closes a notification at a destination, and tries again until that succeeds, also where the record is not found:
    /// the operator knows that it is there.
    pub async fn close(&self, key: &NotificationKey, destination: &str) -> OperatorResult {
        let mut closed = None;
        for _ in 0..CLOSES_MAX {
            let (ledger, positions, now) = (self.ledger(), self.positions(), self.clock("operator").now());
            let (key, destination) = (key.clone(), destination.to_owned());
            let close = async move {
                ledger.close(&positions, &key, &destination, "fixed by an operator", now, RETENTION).await
            };
            closed = self.run_operation(close).await;
            if matches!(closed, Some(Ok(outcome)) if outcome != OperatorOutcome::NotFound) {
                break;
            }
            sleep(Duration::from_secs(1)).await;
        }
        closed
    }

    /// Dispatches a notification again. One more copy does no harm.
    pub async fn dispatch_again(&self, key: NotificationKey) {
        let (ledger, now) = (self.ledger(), self.clock("operator").now());
        let action = format!("dispatches {key} again");
        let result = self.run_operation(async move { ledger.dispatch_again(&key, now).await }).await;
        self.note("operator", &format!("{action}: {result:?}"));
    }

    /// Finds out at the provider what a call did whose outcome is not known.
    pub fn find_out(&self, destination: &str, key: &NotificationKey) -> Option<Settled> {
        let records = self.records();
        let record = records.iter().find(|record| item::key(record) == *key)?;
        let delivery = *destinations(record).get(destination)?;
        (number(delivery, "called_at") > 0).then(|| match self.payments_taken(destination, key) {
            0 => Settled::Again,
            _ => Settled::Done,
        })
    }

    /// Runs a program of the operator: its result, unless it died.
    pub(super) async fn run_operation<T: 'static>(
        &self,
        work: impl Future<Output = T> + 'static,
    ) -> Option<T> {
        self.run_program("operator", "operator", LIMIT, work).await
    }
}
