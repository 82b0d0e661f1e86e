//! The dead-letter queue of the upstream queue, and which of its messages are wanted.

use anyhow::Context;

use super::letter::Letter;
use crate::cause::has_text;
use crate::held::{Held, Holder, Queue};
use crate::interrupt::Interrupt;
use crate::stack::Stack;

/// What its dead letters are of.
const UPSTREAM: &str = "upstream";

/// Which messages to take.
pub struct Wanted {
    pub message_id: Option<String>,
    pub error: Option<String>,
}

impl Wanted {
    fn takes(&self, held: &Held<Letter>) -> bool {
        self.message_id.as_ref().is_none_or(|id| *id == held.message_id)
            && self.error.as_ref().is_none_or(|text| has_text(&held.reason, text))
    }
}

/// The dead-letter queue.
pub struct RefusedQueue<'a> {
    pub holder: Holder<'a>,
}

impl<'a> RefusedQueue<'a> {
    pub fn new(stack: &'a Stack, interrupt: &'a Interrupt) -> RefusedQueue<'a> {
        RefusedQueue { holder: Holder::new(stack, interrupt) }
    }

    /// Receives what is wanted, the oldest first, and releases all others. Says what it cannot see.
    ///
    /// # Errors
    /// When one fails, at Ctrl-C, or when there is no message with the wanted id; after everything was released.
    pub async fn receive(&self, wanted: &Wanted, keeps_body: bool) -> anyhow::Result<Vec<Held<Letter>>> {
        let name = format!("{UPSTREAM}-dead-letters");
        let queue = Queue { of: UPSTREAM.to_owned(), url: self.url(&name).await? };
        let received = self.holder.receive(&[queue], |_, message| Letter::read(message, keeps_body)).await?;
        let (mut received, others): (Vec<_>, Vec<_>) =
            received.into_iter().partition(|held| wanted.takes(held));
        self.holder.release(&others).await;
        if let (Some(id), true) = (&wanted.message_id, received.is_empty()) {
            anyhow::bail!("no message with the id `{id}` is in the queue {}", self.name(&name));
        }
        received.sort_by(|one, next| (one.since, &one.message_id).cmp(&(next.since, &next.message_id)));
        Ok(received)
    }

    /// The URL of the upstream queue.
    pub async fn upstream_url(&self) -> anyhow::Result<String> {
        self.url(UPSTREAM).await
    }

    fn name(&self, queue: &str) -> String {
        format!("{}-{queue}", self.holder.stack.name())
    }

    async fn url(&self, queue: &str) -> anyhow::Result<String> {
        let name = self.name(queue);
        self.holder.queue_url(&name).await?.with_context(|| {
            let stack = self.holder.stack.name();
            format!(
                "there is no queue {name}, so no stack `{stack}`; name another with --stack or HANDOVER_STACK"
            )
        })
    }
}
