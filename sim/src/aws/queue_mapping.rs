//! The mapping of a queue: receives its messages, and invokes the function with them.

use std::rc::Rc;
use std::time::Duration;

use event_sources::InvocationOutcome;
use handover::store::ERROR;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::aws::State;
use crate::aws::lambda::{Function, Lambda, failures};
use crate::aws::sqs::Message;
use crate::faults::fault::Fault;
use crate::faults::injected::InjectedFault;
use crate::faults::rng::{Purpose, below, of_name};
use crate::faults::site::Site;

/// How long Lambda takes to fetch at most, in milliseconds.
const FETCH_MS_MAX: u64 = 250;
/// After how long Lambda polls again a queue with as many messages in flight as SQS allows.
const POLLED_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// Invocations that the mapping runs at once, at most.
const CONCURRENCY_MAX: usize = 2;

impl Lambda {
    /// Serves the mapping of a queue: up to ten messages an invocation. What the function does not report
    /// as failed is deleted.
    pub async fn serve_queue(self, url: String, function: Function) {
        let running = Rc::new(());
        let seed = self.aws.seed();
        loop {
            self.while_down(&function.name).await;
            // Created before we look, so that it misses nothing that happens after.
            let changed = self.aws.queued().notified();
            let next = self.aws.state().queues.next_visible(&url).map(|(at_ms, message)| {
                (at_ms, [Purpose::Receive as u64, of_name(&message.id), u64::from(message.receives)])
            });
            let now_ms = self.aws.time().now_ms();
            let is_full = Rc::strong_count(&running) > CONCURRENCY_MAX;
            let about = match next.filter(|_| !is_full) {
                Some((next_ms, _)) if next_ms > now_ms => {
                    tokio::select! {
                        biased;
                        () = changed => (),
                        () = sleep(Duration::from_millis(next_ms - now_ms)) => (),
                    }
                    continue;
                }
                Some((_, about)) => about,
                None => {
                    changed.await;
                    continue;
                }
            };
            let draw = |end, what| below(end, seed, &[&about[..], &[what]].concat());
            sleep(Duration::from_millis(draw(FETCH_MS_MAX, 0))).await;
            let most = if draw(2, 1) == 0 { 10 } else { 1 + draw(9, 2) as usize };
            let messages = self.receive(&url, most, function.stage);
            if messages.is_empty() {
                let is_full = self.aws.state().queues.is_full(&url, self.aws.time().now_ms());
                sleep(if is_full { POLLED_AGAIN_AFTER } else { Duration::ZERO }).await;
                continue;
            }
            let deliver = self.clone().deliver(url.clone(), function.clone(), messages, running.clone());
            self.aws.clone().spawn("a queue's mapping", deliver);
        }
    }

    /// Invokes the function with these messages, and deletes those that it did.
    async fn deliver(self, url: String, function: Function, messages: Vec<Message>, running: Rc<()>) {
        let queue = url.rsplit('/').next().unwrap_or_default();
        let records = messages.iter().map(|message| message.event(queue));
        let event = json!({ "Records": records.collect::<Vec<_>>() });
        let (answer, again) = self.invoke(&function, event).await;
        // Standard queues deliver a message again, now and then, though it was deleted.
        if let InvocationOutcome::Returned(answer) = answer
            && again.is_none()
        {
            let answer: Value = serde_json::from_str(&answer).expect("JSON");
            let failed: Vec<&str> = failures(&answer).collect();
            let done = messages.iter().filter(|message| !failed.contains(&message.id.as_str()));
            done.for_each(|message| self.aws.state().queues.delete(&url, message.receipt()));
        }
        drop(running);
        self.aws.queued().notify_waiters();
    }

    /// Receives messages of a queue, some of which are overtaken, or are deleted.
    fn receive(&self, url: &str, most: usize, stage: &'static str) -> Vec<Message> {
        let now_ms = self.aws.time().now_ms();
        let State { queues, history, faults_enabled, .. } = &mut *self.aws.state();
        let mut has_fault = |message: &Message, fault| {
            if !*faults_enabled {
                return false;
            }
            let at = u64::from(message.receives);
            history.injection_points.push(InjectedFault::at(&message.id, fault, at));
            let injected = self.aws.plan().fault_of(&message.id, fault, Some(at));
            let has_fault = injected.is_some();
            injected.into_iter().for_each(|fault| history.inject(fault, [Site::invocation(stage)]));
            has_fault
        };
        let messages = queues.receive(url, now_ms, most, |message| has_fault(message, Fault::Overtaken));
        if stage != "retry" {
            return messages;
        }
        // An operator who deletes a dead letter that was moved to this queue has looked at it.
        let is_dead_letter = |message: &Message| !message.attribute(ERROR).is_empty();
        let (purged, received): (Vec<_>, Vec<_>) = messages
            .into_iter()
            .partition(|message| !is_dead_letter(message) && has_fault(message, Fault::Purged));
        purged.iter().for_each(|message| queues.delete(url, message.receipt()));
        received
    }
}
