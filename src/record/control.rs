//! What an operator said last of a whole destination: that it is paused, or goes on. It is an item of the `positions`
//! table, which destinations and operators read and write already.

use jiff::Timestamp;

use super::attributes::{PAUSED_AT, POSITION_KEY, REASON, RESUMED_AT, SEQUENCE};
use super::delivery::{ERROR_BYTES_MAX, shortened};
use super::record::Item;
use super::update::{Condition, Set, Update, millis, number, text};

/// What an operator said last of a destination.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub enum Control {
    /// It takes notifications.
    Running {
        /// When it was resumed last, if it was ever paused.
        resumed_at: Option<Timestamp>,
    },
    /// It takes none.
    Paused {
        /// When it was paused.
        since: Timestamp,
        /// Why.
        reason: String,
    },
}

/// An item of the `positions` table has not the form of a control item: somebody changed it.
#[derive(Debug, thiserror::Error)]
#[error(
    "the item is not one of `handover pause`: `paused_at` and `resumed_at` have to be numbers of milliseconds, or absent, and `reason` a text; correct the table"
)]
pub(crate) struct NotAControl;

impl Control {
    /// Whether it is paused.
    pub fn is_paused(&self) -> bool {
        matches!(self, Control::Paused { .. })
    }

    /// Since when a delivery has been waiting that waits since `since`, a pause left out: in it nothing could complete
    /// it.
    pub(crate) fn waits_since(&self, since: Timestamp) -> Timestamp {
        match self {
            Control::Running { resumed_at } => resumed_at.map_or(since, |resumed_at| since.max(resumed_at)),
            Control::Paused { .. } => since,
        }
    }

    /// Reads the item. One that does not exist is of a destination that was never paused. Unknown attributes are
    /// ignored.
    ///
    /// # Errors
    /// When an attribute has another form: nobody may take that for "not paused".
    pub(crate) fn decode(item: &Item) -> Result<Control, NotAControl> {
        let resumed_at = time_in(item, RESUMED_AT)?;
        let Some(since) = time_in(item, PAUSED_AT)? else { return Ok(Control::Running { resumed_at }) };
        let reason = item.get(REASON).and_then(|reason| reason.as_s().ok()).ok_or(NotAControl)?;
        Ok(Control::Paused { since, reason: reason.clone() })
    }
}

fn time_in(item: &Item, name: &str) -> Result<Option<Timestamp>, NotAControl> {
    let Some(value) = item.get(name) else { return Ok(None) };
    let digits = value.as_n().ok().and_then(|digits| digits.parse().ok());
    digits.and_then(|at| Timestamp::from_millisecond(at).ok()).map(Some).ok_or(NotAControl)
}

/// The key of a destination's control item: its name alone. The key of a position has spaces.
pub(crate) fn control_key(destination: &str) -> Item {
    Item::from([(POSITION_KEY.to_owned(), text(destination)), (SEQUENCE.to_owned(), number(0))])
}

/// Pauses a destination that is seen like this; `None` if it is paused. The condition is what was seen, so that a write which
/// lands late does not undo a resume.
pub(crate) fn pausing(seen: &Control, reason: &str, now: Timestamp) -> Option<Update> {
    let Control::Running { resumed_at } = seen else { return None };
    let unchanged = was_resumed(*resumed_at);
    Some(Update {
        conditions: vec![Condition::Absent(PAUSED_AT.into()), unchanged],
        sets: vec![
            (PAUSED_AT.into(), Set::To(millis(now))),
            (REASON.into(), Set::To(text(shortened(reason, ERROR_BYTES_MAX)))),
        ],
        removes: vec![],
    })
}

/// Resumes a destination that is seen like this. That it was paused is kept, as the time from which reconcile counts. The
/// condition is what was seen, as in [`pausing`]. One that is not paused is marked, too: a pause whose write is still on its
/// way would take effect after the resume, and nobody would know.
pub(crate) fn resuming(seen: &Control, now: Timestamp) -> Update {
    let conditions = match seen {
        Control::Paused { since, .. } => vec![Condition::Is(PAUSED_AT.into(), millis(*since))],
        Control::Running { resumed_at } => {
            vec![Condition::Absent(PAUSED_AT.into()), was_resumed(*resumed_at)]
        }
    };
    Update {
        conditions,
        sets: vec![(RESUMED_AT.into(), Set::To(millis(now)))],
        removes: vec![PAUSED_AT.into(), REASON.into()],
    }
}

fn was_resumed(resumed_at: Option<Timestamp>) -> Condition {
    match resumed_at {
        Some(at) => Condition::Is(RESUMED_AT.into(), millis(at)),
        None => Condition::Absent(RESUMED_AT.into()),
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::types::AttributeValue;

    use super::*;
    use crate::notification::Draft;
    use crate::record::sequence::SequenceKey;
    use crate::record::tests::{applied, at};

    #[test]
    fn a_destination_is_paused_until_it_is_resumed() {
        let never = Control::decode(&Item::new()).unwrap();
        assert_eq!((never.clone(), never.is_paused()), (Control::Running { resumed_at: None }, false));
        let pause = pausing(&never, "it\nloses", at(2)).unwrap();
        let marked = applied(&resuming(&never, at(1)), &Item::new()).unwrap();
        assert_eq!(applied(&pause, &marked), None, "it was decided before the resume");
        let paused = applied(&pause, &Item::new()).unwrap();
        let control = Control::decode(&paused).unwrap();
        assert_eq!(control, Control::Paused { since: at(2), reason: "it loses".into() });
        assert!(control.is_paused() && pausing(&control, "again", at(3)).is_none());
        let resume = resuming(&control, at(4));
        let resumed = applied(&resume, &paused).unwrap();
        let running = Control::decode(&resumed).unwrap();
        assert_eq!(running, Control::Running { resumed_at: Some(at(4)) });
        let repeated = applied(&resuming(&running, at(5)), &resumed).unwrap();
        assert_eq!(Control::decode(&repeated).unwrap(), Control::Running { resumed_at: Some(at(5)) });
        let again = applied(&pausing(&running, "again", at(6)).unwrap(), &resumed).unwrap();
        assert!(Control::decode(&again).unwrap().is_paused());
        // Writes that land late.
        assert_eq!([applied(&pause, &paused), applied(&pause, &resumed)], [None, None]);
        assert_eq!([applied(&resume, &resumed), applied(&resume, &again)], [None, None]);
    }

    #[test]
    fn what_waits_is_counted_from_the_resume() {
        let resumed = |at| Control::Running { resumed_at: at };
        assert_eq!(resumed(None).waits_since(at(5)), at(5));
        assert_eq!(resumed(Some(at(4))).waits_since(at(5)), at(5));
        assert_eq!(resumed(Some(at(6))).waits_since(at(5)), at(6));
    }

    #[test]
    fn an_item_of_another_form_is_not_taken_for_running() {
        let running = Control::Running { resumed_at: None };
        let paused = applied(&pausing(&running, "no", at(2)).unwrap(), &Item::new()).unwrap();
        for (name, value) in [(PAUSED_AT, text("now")), (RESUMED_AT, text("then")), (REASON, number(1))] {
            let changed = [(name.to_owned(), value)];
            let item: Item = paused.clone().into_iter().chain(changed).collect();
            assert!(Control::decode(&item).is_err(), "{name}");
        }
        let mut without_reason = paused;
        without_reason.remove(REASON);
        assert!(Control::decode(&without_reason).is_err());
    }

    #[test]
    fn the_key_of_a_control_item_is_of_no_position() {
        let AttributeValue::S(key) = &control_key("refund")[POSITION_KEY] else { panic!("a text") };
        let numbered = Draft::event("t", "s", &()).partitionkey("k").sequence(1).build("x").unwrap();
        let position = SequenceKey::new(&numbered, "refund").unwrap();
        assert!(!key.contains(' ') && position.key.contains(' '));
    }
}
