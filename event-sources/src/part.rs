//! A batch that was begun, or what a split or a success has left of it.

use std::time::Duration;

use crate::answer::{Answer, Verdict};
use crate::batch::Item;
use crate::discard::Reason;
use crate::retry::{Next, after_failure, backoff};
use crate::settings::Settings;

/// Records that are invoked together, and discarded together.
#[derive(Debug)]
pub(crate) struct Part {
    items: Vec<Item>,
    /// How often the function has run with the first of them.
    invocations: u32,
    /// The failures that count against MaximumRetryAttempts.
    failures: u32,
    /// The calls in a row that came to nothing, for the pause before the next.
    setbacks: u32,
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    InvokeAt(Duration),
    InFlight,
    DiscardAt(Duration, Reason),
    BeingDiscarded(Reason),
}

/// What is to be done with a part, from now on under way.
#[derive(Debug)]
pub(crate) enum Step<'a> {
    Invoke(&'a Part),
    Discard(&'a Part, Reason),
}

impl Part {
    pub fn new(items: Vec<Item>) -> Self {
        Self { items, invocations: 0, failures: 0, setbacks: 0, state: State::InvokeAt(Duration::ZERO) }
    }

    pub fn items(&self) -> &[Item] {
        &self.items
    }

    pub fn into_items(self) -> Vec<Item> {
        self.items
    }

    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub fn invocations(&self) -> u32 {
        self.invocations
    }

    /// When there is something to do; `None` while it is under way.
    pub fn due_at(&self) -> Option<Duration> {
        match self.state {
            State::InvokeAt(at) | State::DiscardAt(at, _) => Some(at),
            State::InFlight | State::BeingDiscarded(_) => None,
        }
    }

    pub fn in_flight(&self) -> bool {
        matches!(self.state, State::InFlight)
    }

    pub fn being_discarded(&self) -> bool {
        matches!(self.state, State::BeingDiscarded(_))
    }

    /// Keeps the records at the front that are all too old, or all young enough, and returns
    /// those behind. The records of a shard age in their order, so there is seldom more to it
    /// than a front that is too old.
    pub fn split_by_age(&mut self, settings: &Settings, now: Duration) -> Option<Part> {
        if !matches!(self.state, State::InvokeAt(_)) {
            return None;
        }
        let too_old = |item: &Item| settings.too_old(item.arrived_at, now);
        let first = self.items.first().map(too_old);
        let alike = self.items.iter().take_while(|item| Some(too_old(item)) == first).count();
        (alike < self.items.len()).then(|| self.split_off(alike))
    }

    /// What is to be done now, after [`Self::split_by_age`].
    pub fn begin(&mut self, settings: &Settings, now: Duration) -> Step<'_> {
        let reason = match self.state {
            State::DiscardAt(_, reason) | State::BeingDiscarded(reason) => Some(reason),
            _ if settings.too_old(self.items[0].arrived_at, now) => Some(Reason::RecordAgeExceeded),
            _ => None,
        };
        match reason {
            Some(reason) => {
                self.state = State::BeingDiscarded(reason);
                Step::Discard(self, reason)
            }
            None => {
                self.state = State::InFlight;
                Step::Invoke(self)
            }
        }
    }

    /// Takes the answer of its invocation. Returns the records that have succeeded, and the
    /// second half where the rest is split.
    pub fn answered(
        &mut self,
        answer: &Answer,
        settings: &Settings,
        now: Duration,
    ) -> (Vec<Item>, Option<Part>) {
        let numbers: Vec<&str> = self.items.iter().map(|item| item.sequence_number.as_str()).collect();
        let Verdict { succeeded, failure } = answer.judge(&numbers, settings.report_batch_item_failures);
        let done = self.items.drain(..succeeded).collect();
        if !matches!(answer, Answer::NotInvoked) {
            self.invocations += 1;
        }
        let Some(failure) = failure else {
            return (done, None);
        };
        let mut rest = None;
        match after_failure(failure, self.items.len(), self.failures, settings) {
            Next::RetryAtOnce => self.state = State::InvokeAt(now),
            Next::Retry { counted } => {
                self.failures += u32::from(counted);
                self.setbacks += 1;
                self.state = State::InvokeAt(now + backoff(self.setbacks));
            }
            Next::Split => {
                rest = Some(self.split_off(self.items.len() / 2));
                self.setbacks = 0;
                self.state = State::InvokeAt(now);
            }
            Next::Discard(reason) => {
                self.setbacks = 0;
                self.state = State::DiscardAt(now, reason);
            }
        }
        (done, rest)
    }

    /// The on-failure destination could not be written: nothing is lost, and it is tried again.
    pub fn not_discarded(&mut self, now: Duration) {
        if let State::BeingDiscarded(reason) = self.state {
            self.setbacks += 1;
            self.state = State::DiscardAt(now + backoff(self.setbacks), reason);
        }
    }

    fn split_off(&mut self, at: usize) -> Part {
        let (invocations, failures) = (self.invocations, self.failures);
        Part { invocations, failures, ..Part::new(self.items.split_off(at)) }
    }
}
