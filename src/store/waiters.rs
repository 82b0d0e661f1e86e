//! The places of callers that wait: items of the `positions` table.
//!
//! Each caller that waits holds an execution of the API's function. A place is taken by one conditional update, so that
//! never more wait than there are places, over all executions. A place whose holder died is free when its wait would have
//! ended.

use aws_sdk_dynamodb::Client;
use jiff::Timestamp;

use super::call::{Updated, update_item};
use crate::aws::Fault;
use crate::record::{Place, leave, take};

/// How many places are tried. Where a third of ten is taken, one is always found; where half is, nearly always.
const TRIES: usize = 4;

/// The places of a stack.
#[derive(Clone, Debug)]
pub struct Waiters {
    client: Client,
    table: String,
    places: u32,
}

impl Waiters {
    /// So many places, in the `positions` table of this name.
    pub fn new(client: Client, table: impl Into<String>, places: u32) -> Waiters {
        Waiters { client, table: table.into(), places }
    }

    /// Takes a place until then, if one is found free. `choice` chooses which are tried, and tells this holder from
    /// others.
    ///
    /// # Errors
    /// A [`Fault`]. A place may be taken all the same, until then.
    pub(crate) async fn take(
        &self,
        choice: u64,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Place>, Fault> {
        for tried in 0..TRIES.min(self.places as usize) {
            let number = (choice.wrapping_add(tried as u64) % u64::from(self.places)) as u32;
            let place = Place { number, holder: choice };
            let update = take(&place, now, until);
            if let Updated::Applied = update_item(&self.client, &self.table, place.key(), &update).await? {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    /// Leaves a place before its time.
    ///
    /// # Errors
    /// A [`Fault`]; the place is free when its time has come.
    pub(crate) async fn leave(&self, place: &Place) -> Result<(), Fault> {
        update_item(&self.client, &self.table, place.key(), &leave(place)).await.map(|_| ())
    }
}
