//! The control items of the `positions` table: pause and resume of a destination.

use jiff::Timestamp;

use super::call::{GET_ITEM, UPDATE_ITEM, Updated, update_item};
use super::positions::Positions;
use crate::aws::{Cause, Fault, TRIES_MAX, pause};
use crate::record::{Control, NotAControl, Update, control_key, is_same_millisecond, pausing, resuming};

/// What came of a pause or a resume.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub enum Controlled {
    /// It is done.
    Applied,
    /// It was so before: nothing changed.
    Was(Control),
}

impl Positions {
    /// Whether a destination is paused, read consistently.
    ///
    /// # Errors
    /// A [`Fault`]: then it is not known.
    pub async fn control(&self, destination: &str) -> Result<Control, Fault> {
        let get = self.client.get_item().table_name(&self.table).set_key(Some(control_key(destination)));
        let item = get.consistent_read(true).send().await;
        let item = item.map_err(|error| Fault::from_sdk(GET_ITEM, &error))?.item;
        Control::decode(&item.unwrap_or_default()).map_err(|error| unreadable(GET_ITEM, &error))
    }

    /// Pauses a destination: within ten seconds it begins with no notification any more, until [`Positions::resume`]. What
    /// it has begun with ends. What waits counts no attempt and is not given up. The item keeps the reason (512 bytes of
    /// it).
    ///
    /// # Errors
    /// A [`Fault`]; try again.
    pub async fn pause(&self, destination: &str, reason: &str, now: Timestamp) -> Result<Controlled, Fault> {
        let own = |control: &Control| matches!(control, Control::Paused { since, .. } if is_same_millisecond(*since, now));
        let (seen, is_changed) =
            self.set_control(destination, |seen| pausing(seen, reason, now), own).await?;
        Ok(if is_changed { Controlled::Applied } else { Controlled::Was(seen) })
    }

    /// Resumes a destination, at once. What waits there has to be dispatched again: reconcile does that within about an
    /// hour, at its rate.
    ///
    /// # Errors
    /// A [`Fault`]; try again.
    pub async fn resume(&self, destination: &str, now: Timestamp) -> Result<Controlled, Fault> {
        let own = |control: &Control| matches!(control, Control::Running { resumed_at: Some(at) } if is_same_millisecond(*at, now));
        let (seen, _) = self.set_control(destination, |seen| Some(resuming(seen, now)), own).await?;
        Ok(if seen.is_paused() { Controlled::Applied } else { Controlled::Was(seen) })
    }

    /// Changes a control item as `decide` says of the one that is seen. Returns that one, and whether it was changed. `own`
    /// says whether one shows this same change: its answer was lost.
    async fn set_control(
        &self,
        destination: &str,
        decide: impl Fn(&Control) -> Option<Update>,
        own: impl Fn(&Control) -> bool,
    ) -> Result<(Control, bool), Fault> {
        let mut seen = self.control(destination).await?;
        let mut tries = 0;
        while let Some(update) = decide(&seen) {
            tries += 1;
            match update_item(&self.client, &self.table, control_key(destination), &update).await {
                Ok(Updated::Applied) => return Ok((seen, true)),
                Ok(Updated::ConditionFailed(item)) => {
                    let now = Control::decode(&item).map_err(|error| unreadable(UPDATE_ITEM, &error))?;
                    if own(&now) {
                        return Ok((seen, true));
                    }
                    if tries == TRIES_MAX {
                        return Err(Fault::new(UPDATE_ITEM, Cause::Contended));
                    }
                    seen = now;
                }
                Err(fault) if fault.is_retryable() && tries < TRIES_MAX => pause(tries).await,
                Err(fault) => return Err(fault),
            }
        }
        Ok((seen, false))
    }
}

fn unreadable(call: &'static str, error: &NotAControl) -> Fault {
    Fault::new(call, Cause::Unreadable(error.to_string()))
}
