//! The dead-letter queues of the stack's destinations.
//!
//! They, and not the records, say what is dead: a queue also has what SQS moved there itself, bytes that are not a
//! dispatch, and dead letters of notifications that are open elsewhere.

use aws_sdk_sqs::types::Message;
use handover::record::Dispatch;
use handover::store::ERROR;
use handover::{Code, NotificationKey};

use crate::error::coded;
use crate::held::{Held, Holder, Queue};
use crate::interrupt::Interrupt;
use crate::output::say_error;
use crate::stack::{NoSettings, Stack};

/// The dead-letter queues.
pub struct DeadLetterQueues<'a>(Holder<'a>);

/// A dead letter of a destination.
pub struct DeadLetter {
    pub destination: String,
    /// The notification; `None` if the body is not a dispatch.
    pub key: Option<NotificationKey>,
    pub error: String,
}

impl<'a> DeadLetterQueues<'a> {
    pub fn new(stack: &'a Stack, interrupt: &'a Interrupt) -> DeadLetterQueues<'a> {
        DeadLetterQueues(Holder::new(stack, interrupt))
    }

    /// The queue of a destination, if it has one.
    pub async fn find(&self, destination: &str) -> anyhow::Result<Option<Queue>> {
        let url = self.0.queue_url(&self.queue_name(destination)).await?;
        Ok(url.map(|url| Queue { of: destination.to_owned(), url }))
    }

    /// About how many dead letters a queue has; none where that cannot be read.
    pub async fn count(&self, queue: &Queue) -> Option<u64> {
        self.0.depth(queue).await
    }

    /// Receives the dead letters of this destination, or of all. Says what it cannot see.
    ///
    /// # Errors
    /// When one fails or at Ctrl-C, after everything was released.
    pub async fn receive(&self, destination: Option<&str>) -> anyhow::Result<Vec<Held<DeadLetter>>> {
        let queues = self.queues(destination).await?;
        let mut received = self.0.receive(&queues, |queue, message| dead_letter(&queue.of, message)).await?;
        received.sort_by(|one, next| (&one.destination, &one.key).cmp(&(&next.destination, &next.key)));
        Ok(received)
    }

    /// Receives the dead letters of this notification at this destination, and releases all others.
    pub async fn receive_of(
        &self,
        key: &NotificationKey,
        destination: &str,
    ) -> anyhow::Result<Vec<Held<DeadLetter>>> {
        let received = self.receive(Some(destination)).await?;
        let (wanted, others): (Vec<_>, Vec<_>) =
            received.into_iter().partition(|dead_letter| dead_letter.key.as_ref() == Some(key));
        self.release(&others).await;
        Ok(wanted)
    }

    /// Makes dead letters visible to other consumers again.
    pub async fn release(&self, dead_letters: &[Held<DeadLetter>]) {
        self.0.release(dead_letters).await;
    }

    pub async fn delete(&self, dead_letter: &Held<DeadLetter>) -> anyhow::Result<()> {
        self.0.delete(dead_letter).await
    }

    /// Deletes the dead letters of this notification at this destination. Without a queue there are none.
    ///
    /// # Errors
    /// The first fault, after what is left was released.
    pub async fn delete_of(&self, key: &NotificationKey, destination: &str) -> anyhow::Result<()> {
        match self.find(destination).await? {
            Some(_) => self.delete_all(&self.receive_of(key, destination).await?).await,
            None => Ok(()),
        }
    }

    /// Deletes dead letters of one delivery.
    ///
    /// # Errors
    /// The first fault, after those that are left were released.
    pub async fn delete_all(&self, dead_letters: &[Held<DeadLetter>]) -> anyhow::Result<()> {
        for (at, dead_letter) in dead_letters.iter().enumerate() {
            if let Err(error) = self.delete(dead_letter).await {
                self.release(&dead_letters[at..]).await;
                return Err(error);
            }
        }
        Ok(())
    }

    /// The queue of each destination. In a list of all, a destination without a queue is left out.
    async fn queues(&self, destination: Option<&str>) -> anyhow::Result<Vec<Queue>> {
        if let Some(name) = destination {
            return match self.find(name).await? {
                Some(queue) => Ok(vec![queue]),
                None => Err(self.no_queue(name).await),
            };
        }
        let mut queues = Vec::new();
        let instead = "without them, name a destination with --destination";
        let routes = self.0.stack.routes_or(instead).await?;
        for name in routes.destinations() {
            match self.find(name).await? {
                Some(queue) => queues.push(queue),
                None => say_error!(
                    "note: the destination `{name}` has no queue {}, so that nothing of it is found",
                    self.queue_name(name)
                ),
            }
        }
        Ok(queues)
    }

    fn queue_name(&self, destination: &str) -> String {
        format!("{}-{destination}-dead-letters", self.0.stack.name())
    }

    /// Why a destination that was named has no queue.
    async fn no_queue(&self, destination: &str) -> anyhow::Error {
        let (stack, queue) = (self.0.stack.name(), self.queue_name(destination));
        let routes = match self.0.stack.routes().await {
            Ok(routes) => routes,
            Err(NoSettings::Forbidden(_) | NoSettings::Packaged(_)) => {
                let text =
                    format!("there is no queue {queue}; is `{destination}` a destination of `{stack}`?");
                return coded(Code::NotDeployed, text);
            }
            Err(NoSettings::Error(error)) => return error,
        };
        let unknown = self.0.stack.check_destination(destination, &routes).err();
        let text = format!("the destination `{destination}` has no queue {queue}; is it deployed?");
        unknown.unwrap_or_else(|| coded(Code::NotDeployed, text))
    }
}

fn dead_letter(destination: &str, message: Message) -> DeadLetter {
    let attributes = message.message_attributes.unwrap_or_default();
    let error = attributes.get(ERROR).and_then(|value| value.string_value.clone());
    let dispatch = Dispatch::decode(message.body.unwrap_or_default().as_bytes());
    DeadLetter {
        destination: destination.to_owned(),
        key: dispatch.ok().map(|dispatch| dispatch.notification.key()),
        // SQS moved the message itself: no attempt lived long enough to send a dead letter.
        error: error.unwrap_or_else(|| {
            "SQS moved it here after too many receives: the function crashed or timed out each time".into()
        }),
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::held::tests::held;

    /// A dead letter of this notification at the destination `a`.
    pub fn dead_letter_of(id: &str, error: &str) -> Held<DeadLetter> {
        let key = Some(NotificationKey::new(id, "s"));
        held(id, DeadLetter { destination: "a".into(), key, error: error.into() })
    }
}
