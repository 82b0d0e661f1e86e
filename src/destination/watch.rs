//! What an invocation does, as another thread sees it: what it has decided, and which handler it polls.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, poll_fn};

use super::failed_attempt::Disposition;
use super::handler::{Deadlines, DestinationSettings, Handled, Handler, WorkItem};
use super::retry_policy::NotCompleted;
use crate::notification::NotificationKey;

/// What an invocation has decided, and what it does.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// The notifications that are not decided, by their first copy.
    undecided: Mutex<HashMap<String, Undecided>>,
    redelivered: Mutex<BTreeSet<String>>,
    /// The handlers that began.
    begun: Mutex<Vec<Begun>>,
    /// The one that is polled now: its place in `begun`, from 1; 0 for none.
    polled: AtomicUsize,
    /// How many polls began.
    polls: AtomicUsize,
}

/// A handler that began.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Begun {
    /// Its notification.
    pub(crate) key: NotificationKey,
    /// The attempts that were recorded before, where the record was read.
    pub(crate) attempts: Option<u32>,
}

/// A poll of a handler that has not returned.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Polled {
    /// The handler.
    pub(crate) begun: Begun,
    /// The poll's number.
    nth: usize,
}

/// A notification of a batch that is not decided.
#[derive(Clone, Debug)]
pub(crate) struct Undecided {
    pub(crate) key: NotificationKey,
    pub(crate) copies: Vec<String>,
}

impl Watch {
    /// Notes what the invocation has to decide.
    pub(crate) fn takes(&self, work: &[WorkItem]) {
        let mut undecided = locked(&self.undecided);
        for WorkItem { dispatch, copies, .. } in work {
            let key = dispatch.notification.key();
            undecided.insert(copies[0].clone(), Undecided { key, copies: copies.clone() });
        }
    }

    /// Notes what it has decided of these copies.
    pub(crate) fn decides(&self, copies: &[String], disposition: Disposition) {
        copies.first().and_then(|copy| locked(&self.undecided).remove(copy));
        if disposition != Disposition::Drop {
            self.redelivers(copies.iter().cloned());
        }
    }

    /// Notes that these copies are redelivered.
    pub(crate) fn redelivers(&self, copies: impl IntoIterator<Item = String>) {
        locked(&self.redelivered).extend(copies);
    }

    /// The copies that are redelivered.
    pub(crate) fn redelivered(&self) -> Vec<String> {
        locked(&self.redelivered).iter().cloned().collect()
    }

    /// The notifications that are not decided.
    pub(crate) fn undecided(&self) -> Vec<Undecided> {
        locked(&self.undecided).values().cloned().collect()
    }

    /// The poll that a handler is in now.
    pub(crate) fn polled(&self) -> Option<Polled> {
        let nth = self.polls.load(Ordering::Relaxed);
        let place = self.polled.load(Ordering::Relaxed).checked_sub(1)?;
        let begun = locked(&self.begun).get(place).cloned()?;
        Some(Polled { begun, nth })
    }

    fn begins(&self, work: &WorkItem) -> usize {
        let attempts = work.delivery.as_ref().map(|delivery| delivery.attempts);
        let mut begun = locked(&self.begun);
        begun.push(Begun { key: work.key(), attempts });
        begun.len()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A handler that is watched.
pub(crate) struct Watched<'w> {
    pub(crate) handler: &'w dyn Handler,
    pub(crate) watch: &'w Watch,
}

impl Handler for Watched<'_> {
    fn handle<'a>(
        &'a self,
        settings: &'a DestinationSettings,
        work: &'a WorkItem,
        deadlines: Deadlines,
    ) -> BoxFuture<'a, Result<Handled, NotCompleted>> {
        let nth = self.watch.begins(work);
        let mut handle = self.handler.handle(settings, work, deadlines);
        let polled = poll_fn(move |context| {
            self.watch.polls.fetch_add(1, Ordering::Relaxed);
            self.watch.polled.store(nth, Ordering::Relaxed);
            let result = handle.as_mut().poll(context);
            self.watch.polled.store(0, Ordering::Relaxed);
            result
        });
        polled.boxed()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::notification::Draft;
    use crate::record::tests::at;
    use crate::record::{Delivery, Dispatch, Record};

    /// A record, and the work for it by these copies.
    fn work(copies: &[&str]) -> (Record, WorkItem) {
        let routes = r#"{"t":{"kind":"event","destinations":["a"]}}"#.parse().unwrap();
        let event = Draft::event("t", "s", &"x").build("1").unwrap();
        let record = Record::accept(event, &routes, at(1_000)).unwrap();
        let dispatch = Dispatch::new(&record, vec!["a".to_owned()], at(2_000));
        let mut work = WorkItem::of_copy(String::new(), dispatch, at(2_000), "a");
        work.copies = copies.iter().map(ToString::to_string).collect();
        (record, work)
    }

    #[test]
    fn a_handler_that_is_polled_is_known_with_the_attempts_before_it() {
        let (record, mut work) = work(&["copy"]);
        work.delivery = Some(Delivery { attempts: 2, ..record.destinations["a"].clone() });
        let watch = Watch::default();
        assert_eq!(watch.polled(), None);
        watch.polled.store(watch.begins(&work), Ordering::Relaxed);
        let begun = watch.polled().unwrap().begun;
        assert_eq!(begun, Begun { key: record.key(), attempts: Some(2) });
    }

    #[test]
    fn what_is_decided_is_redelivered_with_all_copies_unless_it_is_dropped() {
        let (watch, (record, first), (_, second)) = (Watch::default(), work(&["1", "3"]), work(&["2"]));
        let [copies, others] = [&first, &second].map(|work| work.copies.clone());
        watch.takes(&[first, second]);
        assert_eq!(watch.undecided().len(), 2);
        watch.decides(&others, Disposition::Drop);
        let [undecided] = &*watch.undecided() else { panic!("one is not decided") };
        assert_eq!((&undecided.key, &undecided.copies), (&record.key(), &copies));
        assert_eq!(watch.redelivered(), [""; 0]);
        watch.decides(&copies, Disposition::Redeliver { wait: Duration::ZERO });
        assert!(watch.undecided().is_empty());
        assert_eq!(watch.redelivered(), ["1", "3"]);
    }
}
