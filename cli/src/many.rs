//! Makes a call for each of many, several concurrently.

use std::cell::Cell;
use std::rc::Rc;

use futures_util::{Stream, StreamExt, stream};

use crate::interrupt::Interrupt;

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
