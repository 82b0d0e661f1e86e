//! A place of a caller that waits: an item of the `positions` table.

use jiff::Timestamp;

use super::attributes::{HOLDER, POSITION_KEY, SEQUENCE, UNTIL};
use super::record::Item;
use super::update::{Condition, Set, Update, millis, number, text};

/// The key of all places. It is no name of a destination, and has no space as that of a position has.
const PLACES: &str = "/waiters";

/// A place, and who holds it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Place {
    pub(crate) number: u32,
    /// Tells the holder from earlier and later ones.
    pub(crate) holder: u64,
}

impl Place {
    pub(crate) fn key(&self) -> Item {
        Item::from([(POSITION_KEY.to_owned(), text(PLACES)), (SEQUENCE.to_owned(), number(self.number))])
    }

    fn holder(&self) -> String {
        format!("{:016x}", self.holder)
    }
}

/// Takes a place that nobody holds now.
pub(crate) fn take(place: &Place, now: Timestamp, until: Timestamp) -> Update {
    Update {
        conditions: vec![Condition::AbsentOrBelow(UNTIL.into(), now.as_millisecond().max(0) as u64)],
        sets: vec![(UNTIL.into(), Set::To(millis(until))), (HOLDER.into(), Set::To(text(place.holder())))],
        removes: vec![],
    }
}

/// Leaves a place, unless another has it by now.
pub(crate) fn leave(place: &Place) -> Update {
    Update {
        conditions: vec![Condition::Is(HOLDER.into(), text(place.holder()))],
        sets: vec![],
        removes: vec![UNTIL.into(), HOLDER.into()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notification::is_destination;
    use crate::record::tests::{applied, at};

    #[test]
    fn a_place_has_one_holder_until_its_time_has_come() {
        let [one, other] = [1, 2].map(|holder| Place { number: 0, holder });
        let taken = applied(&take(&one, at(1), at(10)), &Item::new()).unwrap();
        assert_eq!(applied(&take(&other, at(10), at(20)), &taken), None);
        let taken_over = applied(&take(&other, at(11), at(20)), &taken).unwrap();
        assert_eq!(applied(&leave(&one), &taken_over), None, "it is no longer its own");
        let left = applied(&leave(&other), &taken_over).unwrap();
        assert!(applied(&take(&one, at(12), at(20)), &left).is_some());
    }

    #[test]
    fn the_key_is_of_no_destination_and_of_no_position() {
        assert!(!is_destination(PLACES) && !PLACES.contains(' '));
    }
}
