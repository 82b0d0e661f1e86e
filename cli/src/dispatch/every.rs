//! Dispatches what is pending at a destination, several concurrently.

use std::process::ExitCode;

use handover::record::{Change, Record, State};
use handover::store::OperatorOutcome;
use handover::{Fault, NotificationKey};
use jiff::{SignedDuration, Timestamp};

use super::Dispatch;
use crate::ask::{check_can_ask, is_confirmed};
use crate::index::Index;
use crate::interrupt::{Interrupt, exit_code};
use crate::many::{Tally, tally};
use crate::output::say_error;
use crate::stack::Stack;

/// What was dispatched less than this ago is on its way.
const ON_ITS_WAY: SignedDuration = SignedDuration::from_mins(1);

impl Dispatch<'_> {
    pub async fn every(&self, destination: &str) -> anyhow::Result<ExitCode> {
        check_can_ask("dispatch of many", self.yes || self.dry_run)?;
        let now = Timestamp::now();
        let pending = tokio::select! {
            pending = pending(self.stack, destination, |record| is_on_its_way(record, now)) => pending?,
            () = self.interrupt.wait() => {
                self.did(0, None, "0 dispatched again")?;
                return Ok(exit_code(false));
            }
        };
        if pending.is_empty()
            && let Ok(routes) = self.stack.routes().await
        {
            self.stack.check_destination(destination, &routes)?;
        }
        let found = match pending.len() {
            1 => format!("1 notification that is pending at {destination}"),
            count => format!("{count} notifications that are pending at {destination}"),
        };
        if self.dry_run {
            self.did(0, Some(pending.len()), format_args!("would dispatch {found}"))?;
            return Ok(ExitCode::SUCCESS);
        }
        say_error!("found {found}");
        if !self.yes && !pending.is_empty() && !is_confirmed("Dispatch them again?", self.interrupt).await {
            self.did_all(0, pending.len())?;
            return Ok(exit_code(false));
        }
        let dispatch = async |key: &NotificationKey| self.ledger.dispatch_again(key, Timestamp::now()).await;
        let Tally { done: dispatched, left, fault, .. } =
            dispatch_all(pending, self.interrupt, dispatch).await;
        self.did_all(dispatched, left)?;
        fault.map_or(Ok(exit_code(left == 0)), |fault| Err(self.stack.explained(fault)))
    }

    fn did_all(&self, dispatched: usize, left: usize) -> serde_json::Result<()> {
        self.did(dispatched, Some(left), format_args!("{dispatched} dispatched again, {left} left"))
    }
}

/// The notifications that are pending at a destination, and not on their way.
pub async fn pending(
    stack: &Stack,
    destination: &str,
    is_on_its_way: impl Fn(&Record) -> bool,
) -> anyhow::Result<Vec<NotificationKey>> {
    let index = Index::of(stack);
    let is_pending = |record: &Record| {
        let delivery = record.destinations.get(destination);
        delivery.is_some_and(|delivery| delivery.state == State::Pending)
    };
    let waiting = |record: Record| (is_pending(&record) && !is_on_its_way(&record)).then(|| record.key());
    index.choose(index.open().await?, waiting).await
}

fn is_on_its_way(record: &Record, now: Timestamp) -> bool {
    record.change == Change::Dispatch && now < record.updated_at + ON_ITS_WAY
}

/// Dispatches these again, several concurrently. Those that were completed meanwhile need none.
pub async fn dispatch_all(
    pending: Vec<NotificationKey>,
    interrupt: &Interrupt,
    dispatch: impl AsyncFn(&NotificationKey) -> Result<OperatorOutcome, Fault>,
) -> Tally {
    let dispatch = async |key: &_| Ok(dispatch(key).await? == OperatorOutcome::Applied);
    tally(pending, "dispatched again", interrupt, dispatch).await
}
