//! An operator replays events to a destination that was added later.

use std::collections::BTreeMap;

use handover::pipeline::Accept;
use handover::record::{Delivery, Record, Replay, State};
use handover::store::Replayed;
use handover::{Fault, Routes};
use jiff::{SignedDuration, Timestamp};

use crate::aws::Aws;
use crate::item::{self, number, text};
use crate::names::POSITIONS;
use crate::stack::Stack;

/// Whether a replay found every record that is there; nothing if its program died.
pub type ReplayResult = Option<Result<bool, Fault>>;

impl Stack {
    /// Accept of an earlier release, which had these routes.
    pub fn accept_by(&self, routes: Routes) -> Accept {
        Accept::new(self.ledger(), routes, self.clock("accept"))
    }

    /// Adds a destination to the events that were accepted since a time, in milliseconds since 1970, as `handover replay`
    /// does. Some operators know that nothing is on its way any more, as if a day had passed.
    pub async fn replay(&self, destination: &str, since_ms: i64, a_day_later: bool) -> ReplayResult {
        let since = Timestamp::from_millisecond(since_ms).expect("a time that is stored");
        let keys: Vec<_> = self.records().iter().map(item::key).collect();
        let (aws, name, routes) = (self.aws.clone(), destination.to_owned(), self.routes.clone());
        let (ledger, positions, clock) = (self.ledger(), self.positions(), self.clock("operator"));
        // Each event that it dispatches is a reason for one copy more.
        self.begin_operation();
        let replay = async move {
            let now = clock.now() + SignedDuration::from_hours(if a_day_later { 48 } else { 0 });
            let replay = Replay { destination: &name, since, now, routes: &routes };
            let mut records = Vec::new();
            for key in keys {
                let Some(record) = ledger.get(&key).await? else { return Ok(false) };
                records.push(record);
            }
            note_beginnings(&aws, &name, &records, since, a_day_later);
            let found = records.iter().filter_map(|record| replay.look_at(record)).collect();
            let plan = positions.plan_replay(found).await?;
            for beginning in &plan.begins {
                ledger.begin_replay(&positions, beginning, &name, clock.now()).await?;
            }
            let mut has_found_all = true;
            for addition in &plan.adds {
                let replayed = ledger.replay(addition, &positions, &name, clock.now()).await?;
                has_found_all &= replayed != Replayed::Gone;
            }
            Ok(has_found_all)
        };
        let replayed = self.run_operation(replay).await;
        self.note("operator", &format!("replays to {destination} what came since {since}: {replayed:?}"));
        replayed
    }
}

/// What is known of a number of a key.
struct Number {
    /// The destination has it.
    has: bool,
    /// All before it have come.
    has_all_before: bool,
}

/// Notes with which number of each key a destination begins that has not begun: the first that it has; or one that is
/// added before that, unless a number after it is missing which has come, and so must have expired. Where a number before
/// the first may be on its way, it does not begin.
fn note_beginnings(aws: &Aws, destination: &str, records: &[Record], since: Timestamp, all_came: bool) {
    let begun = aws.dynamodb().items(POSITIONS);
    let has_begun =
        |key: &str| begun.iter().any(|item| text(item, "key") == key && number(item, "position") > 0);
    let mut keys: BTreeMap<String, BTreeMap<i64, Number>> = BTreeMap::new();
    for record in records {
        let has = record.destinations.contains_key(destination);
        let (Some(partitionkey), Some(sequence)) = (&record.partitionkey, record.sequence) else { continue };
        if has || record.accepted_at >= since {
            let key = format!("{destination} {} {partitionkey}", record.source);
            let is_applied = |delivery: &Delivery| delivery.sequenced && delivery.state == State::Done;
            let mut others = record.destinations.iter().filter(|(name, _)| *name != destination);
            let has_all_before = all_came || others.any(|(_, delivery)| is_applied(delivery));
            keys.entry(key).or_default().insert(sequence as i64, Number { has, has_all_before });
        }
    }
    for (key, numbers) in keys.into_iter().filter(|(key, _)| !has_begun(key)) {
        if let Some(first) = first_of(&numbers) {
            aws.note("operator", &format!("lets {key} begin with {first}"));
            aws.state().invariants.sequences.begin(key, first);
        }
    }
}

fn first_of(numbers: &BTreeMap<i64, Number>) -> Option<i64> {
    let first_had = numbers.iter().find(|(_, number)| number.has).map(|(at, _)| *at);
    let mut added: Vec<i64> = numbers.keys().copied().take_while(|at| Some(*at) != first_had).collect();
    let mut first = added.pop().or(first_had)?;
    while let Some(before) =
        added.pop().filter(|before| before + 1 == first || !numbers[&first].has_all_before)
    {
        first = before;
    }
    (first == 1 || numbers[&first].has_all_before).then_some(first)
}
