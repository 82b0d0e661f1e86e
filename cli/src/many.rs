//! Makes a call for each of many, several concurrently.

use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;

use futures_util::{Stream, StreamExt, stream};
use handover::Fault;

use crate::interrupt::Interrupt;
use crate::output::counter;

/// Most calls of a [`tally`] that are made concurrently.
const CALLS_MAX: usize = 16;

/// Each item with what came of its call, as the calls end; `None` where its call did not begin. After the first error,
/// and after Ctrl-C, no further call begins.
pub fn each<T, R, E>(
    items: impl IntoIterator<Item = T>,
    calls_max: usize,
    interrupt: &Interrupt,
    call: impl AsyncFn(&T) -> Result<R, E>,
) -> impl Stream<Item = (T, Option<Result<R, E>>)> {
    let shared = Rc::new((call, Cell::new(false)));
    let calls = stream::iter(items).map(move |item| {
        let shared = shared.clone();
        async move {
            let (call, has_failed) = &*shared;
            if interrupt.has_come() || has_failed.get() {
                return (item, None);
            }
            let result = call(&item).await;
            has_failed.set(has_failed.get() || result.is_err());
            (item, Some(result))
        }
    });
    calls.buffer_unordered(calls_max)
}

/// What came of many calls.
#[derive(Default)]
pub struct Tally {
    pub done: usize,
    /// They needed nothing to be done.
    pub unneeded: usize,
    pub left: usize,
    /// The first one. After it, and after Ctrl-C, no further call begins.
    pub fault: Option<Fault>,
}

/// Makes a call for each item, several concurrently, with a bar that counts them as `of`. A call says whether it did
/// something.
pub async fn tally<T>(
    items: impl IntoIterator<Item = T, IntoIter: ExactSizeIterator>,
    of: &'static str,
    interrupt: &Interrupt,
    call: impl AsyncFn(&T) -> Result<bool, Fault>,
) -> Tally {
    let items = items.into_iter();
    let progress = counter(items.len(), of);
    let mut calls = pin!(each(items, CALLS_MAX, interrupt, call));
    let mut tally = Tally::default();
    while let Some((_, did)) = calls.next().await {
        progress.inc(u64::from(did.is_some()));
        match did {
            Some(Ok(true)) => tally.done += 1,
            Some(Ok(false)) => tally.unneeded += 1,
            None => tally.left += 1,
            Some(Err(fault)) => {
                tally.left += 1;
                tally.fault.get_or_insert(fault);
            }
        }
    }
    progress.finish_and_clear();
    tally
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn after_an_error_no_further_call_begins() {
        let interrupt = Interrupt::default();
        let call = async |item: &u32| if *item == 2 { Err("no") } else { Ok(item * 10) };
        let results: Vec<_> = each(1..=4, 1, &interrupt, call).collect().await;
        assert_eq!(results, [(1, Some(Ok(10))), (2, Some(Err("no"))), (3, None), (4, None)]);
    }
}
