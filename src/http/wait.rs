//! Waits until a notification has changed, for a caller that asked to.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use super::settings::ApiSettings;
use super::token::VersionToken;
use crate::record::{Place, Record};

/// The pause before the first look. It grows by half with each.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest pause between two looks: a caller learns of the end at most so much later.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// What is left of the invocation for the answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// Brings the record up to date until `ends` holds for it, or the wait is over, if there is one. It is never older than it
/// was. Returns the wait, if it was heeded: it was not if there was no free place.
pub(super) async fn wait_until(
    api: &ApiSettings,
    record: &mut Record,
    ends: impl Fn(&Record) -> bool,
    wait: Option<Duration>,
    until: Instant,
) -> Option<Duration> {
    let wait = wait?;
    if ends(record) {
        return Some(wait);
    }
    let began = Instant::now();
    let until = until.checked_sub(ANSWER_WITHIN).unwrap_or(began).min(began + wait);
    let place = timeout_at(until, place(api, until - began)).await.ok().flatten()?;
    let look = async {
        let mut pause = FIRST_PAUSE;
        while !ends(record) {
            sleep(pause).await;
            pause = (pause * 3 / 2).min(PAUSE_MAX);
            // Eventually consistent, at half the price. What is older than what the caller has seen is not shown.
            match api.ledger.glance(&record.key()).await {
                Ok(Some(seen)) if VersionToken::of(&seen) > VersionToken::of(record) => *record = seen,
                Ok(_) => (),
                Err(fault) => {
                    tracing::warn!(%fault, "a look at a notification that a caller waits for failed")
                }
            }
        }
        // Otherwise it is free when the wait would have ended.
        if let Err(fault) = api.waiters.leave(&place).await {
            tracing::warn!(%fault, "a place of callers that wait is not left");
        }
    };
    // The end counts even where there was no time to leave the place.
    let _ = timeout_at(until, look).await;
    Some(wait)
}

/// A place for so long, if one is free.
async fn place(api: &ApiSettings, holds: Duration) -> Option<Place> {
    let now = api.clock.now();
    let until = now + jiff::SignedDuration::try_from(holds).ok()?;
    match api.waiters.take(fastrand::u64(..), now, until).await {
        Ok(place) => place,
        Err(fault) => {
            tracing::warn!(%fault, "a caller does not wait");
            None
        }
    }
}
