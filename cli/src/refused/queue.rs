//! The dead-letter queue of the upstream queue, and which of its messages are wanted.

use handover::Code;

use super::letter::Letter;
use crate::cause::has_text;
use crate::error::coded;
use crate::held::{Held, Holder, Queue};
use crate::interrupt::Interrupt;
use crate::output::say_error;
use crate::stack::Stack;

/// What its dead letters are of.
const UPSTREAM: &str = "upstream";

/// Which messages to take.
pub struct Wanted {
    pub message_id: Option<String>,
    pub error: Option<String>,
    /// Whether they are sent again: then in the name of who does so, whatever sender accept refused.
    pub resends: bool,
}

/// The code of messages that were refused for who sent them.
pub const FOREIGN_SENDER: &str = "foreign-sender";

impl Wanted {
    fn takes(&self, held: &Held<Letter>) -> bool {
        self.message_id.as_ref().is_none_or(|id| *id == held.message_id)
            && self.error.as_ref().is_none_or(|text| has_text(&held.reason, text))
            && !self.spares(&held.reason)
    }

    /// Whether a message is left alone, since sending it again with many others would make it look like one of a sender
    /// who may. It has to be named.
    fn spares(&self, reason: &str) -> bool {
        let is_named = self.message_id.is_some() || self.error.as_deref() == Some(FOREIGN_SENDER);
        self.resends && !is_named && reason.starts_with(&format!("{FOREIGN_SENDER}:"))
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
        let spared = others.iter().filter(|held| wanted.spares(&held.reason)).count();
        if spared > 0 {
            say_error!(
                "left {spared} that were refused for who sent them: look at each, then send them with --error {FOREIGN_SENDER}"
            );
        }
        if let (Some(id), true) = (&wanted.message_id, received.is_empty()) {
            let text = format!("no message with the id `{id}` is in the queue {}", self.name(&name));
            return Err(coded(Code::UnknownNotification, text));
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
        self.holder.queue_url(&name).await?.ok_or_else(|| {
            let stack = self.holder.stack.name();
            let text = format!(
                "there is no queue {name}, so no stack `{stack}`; name another with --stack or HANDOVER_STACK"
            );
            coded(Code::UnknownStack, text)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_refused_for_its_sender_is_sent_again_only_by_name() {
        let spares = |message_id: Option<&str>, error: Option<&str>, resends| {
            let [message_id, error] = [message_id, error].map(|text| text.map(str::to_owned));
            let wanted = Wanted { message_id, error, resends };
            ["foreign-sender: no", "unknown-type: no"].map(|reason| wanted.spares(reason))
        };
        assert_eq!(spares(None, None, true), [true, false]);
        assert_eq!(spares(None, Some("no"), true), [true, false]);
        assert_eq!(spares(None, Some("foreign-sender"), true), [false, false]);
        assert_eq!(spares(Some("7"), None, true), [false, false]);
        assert_eq!(spares(None, None, false), [false, false], "they are listed");
    }
}
