//! Redrives every dead letter of a destination or of all, several concurrently.

use std::collections::BTreeMap;
use std::pin::pin;
use std::process::ExitCode;

use anyhow::Context;
use futures_util::StreamExt;
use handover::record::State;
use handover::store::OperatorOutcome;
use jiff::Timestamp;

use super::redrive::{Delivery, LETTER_IS_KEPT, Left, NotRedriven, Redrive};
use crate::ask::{check_can_ask, is_confirmed};
use crate::cause::has_text;
use crate::dead_letter_queues::DeadLetter;
use crate::held::Held;
use crate::interrupt::exit_code;
use crate::many::each;
use crate::output::{counter, say_error};

/// Most deliveries that are redriven concurrently. Each takes a write of DynamoDB and a call of SQS.
const REDRIVES_MAX: usize = 16;

type Letters = Vec<Held<DeadLetter>>;

/// Which dead letters to redrive.
pub struct Wanted {
    pub destination: Option<String>,
    pub error: Option<String>,
}

/// What came of the redrive of a delivery.
enum Redriven {
    /// It is dispatched again.
    Dispatched,
    /// It was completed, and its dead letters were obsolete.
    WasCompleted,
    /// Nothing changed, for this reason.
    Kept(&'static str),
}

impl Redrive<'_> {
    pub async fn every(&self, wanted: Wanted) -> anyhow::Result<ExitCode> {
        check_can_ask("redrive of many", self.yes || self.dry_run)?;
        let received = self.queues.receive(wanted.destination.as_deref()).await?;
        let (received, others): (Vec<_>, Vec<_>) = received
            .into_iter()
            .partition(|letter| wanted.error.as_deref().is_none_or(|text| has_text(&letter.error, text)));
        self.queues.release(&others).await;
        let (found, left) = (found(received.len(), &wanted), Left::DeadLetters(received.len()));
        if self.dry_run {
            self.queues.release(&received).await;
            self.did(0, left, format_args!("would redrive up to {found}"))?;
            return Ok(ExitCode::SUCCESS);
        }
        say_error!("found {found}");
        if !self.yes && !received.is_empty() && !is_confirmed("Redrive them?", self.interrupt).await {
            self.queues.release(&received).await;
            self.did(0, left, format_args!("0 redriven, {} left", received.len()))?;
            return Ok(exit_code(false));
        }
        let (deliveries, unreadable) = by_delivery(received);
        for letter in &unreadable {
            say_error!("{}: {}; the dead letter is kept", letter.destination, letter.error);
        }
        let (redriven, left, fault) = self.redrive_all(deliveries, unreadable).await;
        self.end(redriven, Left::DeadLetters(left), fault).await
    }

    /// Returns what is dispatched again, how many dead letters are left beside, and the first fault. After that, and
    /// after Ctrl-C, it begins with no further delivery. What is left is visible again.
    async fn redrive_all(
        &self,
        deliveries: BTreeMap<Delivery, Letters>,
        mut left: Letters,
    ) -> (Vec<Delivery>, usize, Option<anyhow::Error>) {
        let progress = counter(deliveries.len(), "redriven");
        let redrive = async |(delivery, dead_letters): &(Delivery, Letters)| {
            self.redrive_delivery(delivery, dead_letters).await
        };
        let mut redrives = pin!(each(deliveries, REDRIVES_MAX, self.interrupt, redrive));
        let (mut dispatched, mut obsolete, mut fault) = (Vec::new(), Vec::new(), None);
        while let Some(((delivery, dead_letters), redriven)) = redrives.next().await {
            progress.inc(1);
            match redriven {
                Some(Ok(Redriven::Dispatched)) => dispatched.push(delivery),
                Some(Ok(Redriven::WasCompleted)) => (),
                None => left.extend(dead_letters),
                Some(Ok(Redriven::Kept(reason))) => {
                    let key = &delivery.0;
                    let destination = &delivery.1;
                    progress
                        .suspend(|| say_error!("{key} at {destination}: {reason}; its dead letter is kept"));
                    left.extend(dead_letters);
                }
                Some(Err((NotRedriven { is_dispatched, error }, deleted))) => {
                    fault.get_or_insert(error);
                    dispatched.extend(is_dispatched.then_some(delivery));
                    let kept = dead_letters.into_iter().skip(deleted);
                    if is_dispatched { obsolete.extend(kept) } else { left.extend(kept) }
                }
            }
        }
        progress.finish_and_clear();
        tokio::join!(self.queues.release(&left), self.queues.release(&obsolete));
        (dispatched, left.len(), fault)
    }

    /// All its dead letters were received before the redrive, so they are obsolete after it.
    ///
    /// # Errors
    /// A fault, with the number of its dead letters that are deleted.
    async fn redrive_delivery(
        &self,
        (key, destination): &Delivery,
        dead_letters: &[Held<DeadLetter>],
    ) -> Result<Redriven, (NotRedriven, usize)> {
        let outcome = self.ledger.redrive_dead_letter(key, destination, Timestamp::now()).await;
        let outcome = outcome.map_err(|fault| (self.stack.explained(fault).into(), 0))?;
        if !outcome.replaces_dead_letter() {
            return Ok(Redriven::Kept(match outcome {
                OperatorOutcome::NotFound => "there is no such notification",
                OperatorOutcome::Was(State::Pending) => "it was pending and is dispatched again",
                _ => "the record changed meanwhile; look at its status and try again",
            }));
        }
        let is_dispatched = outcome == OperatorOutcome::Applied;
        for (deleted, dead_letter) in dead_letters.iter().enumerate() {
            let result = self.queues.delete(dead_letter).await;
            let result = if is_dispatched { result.context(LETTER_IS_KEPT) } else { result };
            result.map_err(|error| (NotRedriven { is_dispatched, error }, deleted))?;
        }
        Ok(if is_dispatched { Redriven::Dispatched } else { Redriven::WasCompleted })
    }
}

/// The dead letters of each delivery, and those that are not a dispatch.
fn by_delivery(received: Letters) -> (BTreeMap<Delivery, Letters>, Letters) {
    let mut deliveries: BTreeMap<Delivery, Letters> = BTreeMap::new();
    let mut unreadable = Vec::new();
    for dead_letter in received {
        match dead_letter.key.clone() {
            Some(key) => {
                let delivery = (key, dead_letter.destination.clone());
                deliveries.entry(delivery).or_default().push(dead_letter);
            }
            None => unreadable.push(dead_letter),
        }
    }
    (deliveries, unreadable)
}

/// How many dead letters there are of what is wanted.
fn found(count: usize, wanted: &Wanted) -> String {
    let dead_letters = if count == 1 { "dead letter" } else { "dead letters" };
    let of = wanted.destination.as_ref().map_or_else(String::new, |name| format!(" of {name}"));
    let with = wanted.error.as_ref().map_or_else(String::new, |text| format!(" with the error `{text}`"));
    format!("{count} {dead_letters}{of}{with}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dead_letter_queues::tests::dead_letter_of;

    #[test]
    fn a_delivery_is_redriven_once_however_many_dead_letters_it_has() {
        let mut unreadable = dead_letter_of("3", "error");
        unreadable.letter.key = None;
        let received =
            ["1", "2", "1"].map(|id| dead_letter_of(id, "error")).into_iter().chain([unreadable]).collect();
        let (deliveries, unreadable) = by_delivery(received);
        assert_eq!(deliveries.values().map(Vec::len).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(unreadable.len(), 1);
    }

    #[test]
    fn what_was_found_is_said_first() {
        let wanted = |destination: Option<&str>, error: Option<&str>| Wanted {
            destination: destination.map(str::to_owned),
            error: error.map(str::to_owned),
        };
        assert_eq!(found(201, &wanted(None, None)), "201 dead letters");
        assert_eq!(
            found(1, &wanted(Some("a"), Some("at byte …"))),
            "1 dead letter of a with the error `at byte …`"
        );
    }
}
