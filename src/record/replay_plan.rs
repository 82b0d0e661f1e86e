//! What a replay adds, of all that it finds: decided over all events of a key where its destination applies in sequence.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::delivery::State;
use super::record::Record;
use super::replay::{NotReplayed, may_be_replayed};
use super::sequence::SequenceKey;
use crate::notification::{NotificationKey, Routes};

/// A number that is missing is no longer expected so long after a later one was accepted: accept tries a message for about
/// four hours.
const COMES_WITHIN: SignedDuration = SignedDuration::from_hours(24);
/// A record that expires within this time is not added where its number counts: it may be gone before its turn.
const EXPIRES_WITHIN: SignedDuration = SignedDuration::from_hours(48);

/// A replay: to which destination, since when, and when.
#[derive(Clone, Copy, Debug)]
pub struct Replay<'a> {
    /// The destination.
    pub destination: &'a str,
    /// What was accepted before this time is left out.
    pub since: Timestamp,
    /// The present time.
    pub now: Timestamp,
    /// The stack's routes: they say which types go to the destination.
    pub routes: &'a Routes,
}

/// A notification whose type goes to the destination of a replay.
#[derive(Clone, Debug, PartialEq)]
pub struct Replayable {
    key: NotificationKey,
    accepted_at: Timestamp,
    may_be_replayed: Result<(), NotReplayed>,
    /// Where the destination applies it in sequence, or is to do so.
    sequence_key: Option<SequenceKey>,
    /// It goes there, and was not tried yet.
    waits: bool,
    /// Another destination has applied it in its turn.
    is_applied: bool,
    /// Every number before its own has come, because of that or because it is old.
    has_all_before: bool,
}

/// A notification that gets the destination.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Addition {
    /// Which.
    pub key: NotificationKey,
    /// Whether the destination applies it in sequence.
    pub sequenced: bool,
}

/// How many notifications a replay leaves out, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LeftOut {
    /// They go there already.
    pub has: usize,
    /// They are commands.
    pub command: usize,
    /// They have no number, and the destination applies in sequence.
    pub unnumbered: usize,
    /// They have as many destinations as they may have.
    pub full: usize,
    /// Their records are of a later release.
    pub later_release: usize,
    /// The destination applies in sequence, and their records may expire before it has.
    pub expires: usize,
    /// The destination begins after their number, or is past it.
    pub before: usize,
    /// Another notification has their number: one that another destination has applied, or that was accepted before them.
    pub number_used: usize,
}

/// With which event a destination begins a key.
#[derive(Clone, Debug, PartialEq)]
pub struct Beginning(pub(crate) SequenceKey);

/// What a replay does.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct ReplayPlan {
    /// The keys with which the destination begins. Also those that it has begun where the next event waits, since an earlier
    /// replay may have failed right before it went on with that.
    pub begins: Vec<Beginning>,
    /// What it adds, in the order of their numbers, or of their acceptance.
    pub adds: Vec<Addition>,
    /// How many keys it cannot begin yet: a number may be on its way that comes before all others, or a record of the key is
    /// of a later release. What is added of them waits until a later replay begins them.
    pub undecided: usize,
    /// How many keys wait for a number that has come and is not among these. An earlier time may have it.
    pub held: usize,
    /// What it does not add.
    pub left_out: LeftOut,
}

impl Replay<'_> {
    /// Looks at a record; `None` where its type does not go to the destination, or it is of an earlier time. What has the
    /// destination already is looked at whenever it was accepted: the destination has to begin before it.
    pub fn look_at(&self, record: &Record) -> Option<Replayable> {
        let sequenced = self.routes.has_in_sequence(&record.r#type, self.destination)?;
        let delivery = record.destinations.get(self.destination);
        if delivery.is_none() && record.accepted_at < self.since {
            return None;
        }
        let in_sequence = delivery.map_or(sequenced, |has| has.sequenced);
        let sequence_key = SequenceKey::of(record, self.destination).filter(|_| in_sequence);
        let mut others = record.destinations.iter().filter(|(name, _)| *name != self.destination);
        let is_applied =
            others.any(|(_, other)| other.sequenced && matches!(other.state, State::Done | State::Rejected));
        let expires =
            record.expires_at.is_some_and(|at| at < self.now + EXPIRES_WITHIN) && sequence_key.is_some();
        let may_be_replayed = match may_be_replayed(record, self.destination, sequenced) {
            Ok(()) if expires => Err(NotReplayed::Expires),
            may_be_replayed => may_be_replayed,
        };
        Some(Replayable {
            key: record.key(),
            accepted_at: record.accepted_at,
            may_be_replayed,
            sequence_key,
            // One that a later release holds is gone on with when it no longer does.
            waits: delivery
                .is_some_and(|has| matches!(has.state, State::Pending | State::Unknown) && has.attempts == 0),
            is_applied,
            has_all_before: is_applied || record.accepted_at + COMES_WITHIN <= self.now,
        })
    }
}

impl Replayable {
    pub(crate) fn sequence_key(&self) -> Option<&SequenceKey> {
        self.sequence_key.as_ref()
    }

    /// Whether it gets the destination, as far as it alone decides.
    fn is_added(&self) -> bool {
        self.may_be_replayed.is_ok()
    }

    fn sequence(&self) -> u64 {
        self.sequence_key.as_ref().map_or(0, |key| key.sequence)
    }
}

/// What to do about all these. `positions` has those of the keys with which the destination has begun, by the key.
///
/// Where it has not, it begins with the first event that it gets, or later: after the last number that is missing among
/// those that are added, if that one has come and must have expired. Nobody would fill the gap. Any other gap is waited
/// for, as ever.
pub(crate) fn plan(found: Vec<Replayable>, positions: &BTreeMap<String, u64>) -> ReplayPlan {
    let (mut plan, mut adds) = (ReplayPlan::default(), Vec::new());
    let mut keys: BTreeMap<String, Numbers> = BTreeMap::new();
    let mut unknown = BTreeSet::new();
    for found in found {
        match (found.sequence_key(), found.may_be_replayed) {
            (Some(at), Ok(()) | Err(NotReplayed::Has)) => {
                keys.entry(at.key.clone()).or_default().add(found, &mut plan.left_out);
            }
            (of_key, Err(why)) => {
                let is_unknown = why == NotReplayed::LaterRelease;
                unknown.extend(of_key.filter(|_| is_unknown).map(|at| at.key.clone()));
                plan.left_out.count(why);
            }
            (None, Ok(())) => adds.push(found),
        }
    }
    for (key, mut numbers) in keys {
        let position = positions.get(&key).copied();
        if position.is_none() && unknown.contains(&key) {
            plan.undecided += 1;
            continue;
        }
        let position = numbers.begin(position, &mut plan);
        plan.left_out.before += numbers.leave_out_to(position);
        plan.held += usize::from(numbers.is_held(position));
        adds.extend(numbers.0.into_values().filter(Replayable::is_added));
    }
    adds.sort_by(|a, b| (a.sequence(), a.accepted_at, &a.key).cmp(&(b.sequence(), b.accepted_at, &b.key)));
    let addition = |add: Replayable| Addition { sequenced: add.sequence_key.is_some(), key: add.key };
    plan.adds = adds.into_iter().map(addition).collect();
    plan
}

/// The events of a key, by number.
#[derive(Default)]
struct Numbers(BTreeMap<u64, Replayable>);

impl Numbers {
    /// Adds an event. Of two with one number it keeps the one that the destination has, or that another one has applied;
    /// else the one that was accepted first.
    fn add(&mut self, found: Replayable, left_out: &mut LeftOut) {
        if !found.is_added() {
            left_out.has += 1;
        }
        let sequence = found.sequence();
        let Some(other) = self.0.remove(&sequence) else {
            self.0.insert(sequence, found);
            return;
        };
        let is_first =
            |found: &Replayable| (found.is_added(), !found.is_applied, found.accepted_at, found.key.clone());
        let (first, second) =
            if is_first(&found) < is_first(&other) { (found, other) } else { (other, found) };
        left_out.number_used += usize::from(second.is_added());
        self.0.insert(sequence, first);
    }

    /// The position after which the destination gets them: its own, or that from which it begins.
    fn begin(&self, position: Option<u64>, plan: &mut ReplayPlan) -> u64 {
        let first = match position {
            // An earlier replay may have failed right before it went on with what waits.
            Some(position) if self.0.get(&(position + 1)).is_some_and(|next| next.waits) => position + 1,
            Some(position) => return position,
            None => match self.first() {
                // With the first number of all a key begins by itself.
                None => return 0,
                Some(first) if first.sequence() == 1 => return 0,
                Some(first) if !first.has_all_before => {
                    plan.undecided += 1;
                    return 0;
                }
                Some(first) => first.sequence(),
            },
        };
        plan.begins.extend(self.0[&first].sequence_key.clone().map(Beginning));
        first - 1
    }

    /// The first event that the destination gets: the first that it has, or one that is added before that, behind which
    /// none is missing that has come.
    fn first(&self) -> Option<&Replayable> {
        let first_had = self.0.values().find(|found| !found.is_added());
        let mut before = self.0.range(..first_had.map_or(u64::MAX, Replayable::sequence)).rev();
        let Some((_, mut first)) = before.next() else { return first_had };
        for (sequence, found) in before {
            if sequence + 1 < first.sequence() && first.has_all_before {
                break;
            }
            first = found;
        }
        Some(first)
    }

    /// Whether a number after the position has come, and is none of these.
    fn is_held(&self, position: u64) -> bool {
        let before = std::iter::once(&position).chain(self.0.keys());
        let mut pairs = before.zip(self.0.values());
        pairs.any(|(before, found)| found.sequence() > before + 1 && found.has_all_before)
    }

    /// Leaves out what is added up to a position; returns how many.
    fn leave_out_to(&mut self, position: u64) -> usize {
        let later = self.0.split_off(&(position + 1));
        std::mem::replace(&mut self.0, later).values().filter(|found| found.is_added()).count()
    }
}

impl LeftOut {
    fn count(&mut self, why: NotReplayed) {
        *match why {
            NotReplayed::Has => &mut self.has,
            NotReplayed::Command => &mut self.command,
            NotReplayed::Unnumbered => &mut self.unnumbered,
            NotReplayed::Full => &mut self.full,
            NotReplayed::LaterRelease => &mut self.later_release,
            NotReplayed::Expires => &mut self.expires,
            NotReplayed::Past => &mut self.before,
        } += 1;
    }
}

#[cfg(test)]
mod tests;
