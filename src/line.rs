//! The line in which the notifications of one key stand, at a destination that applies them in sequence:
//! each waits for its turn, and whoever ends wakes the next (G8).
//!
//! If the function dies after a notification ended and before the next one was woken, the copy at hand comes
//! again, and wakes it then; it is not let go before (G3).

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::attempt::NotEnded;
use crate::consume::{Applied, Consumer, Settings, Settled, Step, Times, Work};
use crate::fault::{Cause, Fault, pause};
use crate::ledger::{Marked, NotMarked};
use crate::offer::Offer;
use crate::record::{Delivery, Record, State};
use crate::sequence::{Place, Position, Positions, Stand, Turn};

/// Those of one key that are applied in sequence stand in a line, in their order; each other one stands
/// alone.
pub(crate) fn lines(work: Vec<Work>) -> Vec<Vec<Work>> {
    let (sequenced, others): (Vec<_>, Vec<_>) = work.into_iter().partition(|it| it.place.is_some());
    let mut lines: BTreeMap<String, Vec<Work>> = BTreeMap::new();
    for work in sequenced {
        let key = work.place.as_ref().map(|place| place.key.clone()).unwrap_or_default();
        lines.entry(key).or_default().push(work);
    }
    let sorted = lines.into_values().map(|mut line| {
        line.sort_by_key(|work| work.place.as_ref().map(|place| place.sequence));
        line
    });
    sorted.chain(others.into_iter().map(|work| vec![work])).collect()
}

/// Where a notification stands that is applied in sequence.
enum Stands {
    /// It is its turn.
    Now(Turn),
    /// It had ended; this one has its turn now, if it waits.
    Ended { marked: Marked, waits: Option<String> },
}

impl Consumer {
    /// What stands in a line is applied one after another.
    pub(crate) async fn line(&self, line: Vec<Work>, times: Times) -> Vec<Step> {
        let (mut known, mut woken) = (None, None);
        let mut steps = Vec::with_capacity(line.len());
        let mut line = line.into_iter().peekable();
        while let Some(work) = line.next() {
            let Some(place) = work.place.clone() else {
                steps.push(self.step(work, times).await);
                continue;
            };
            let next = line.peek().map(|next| next.offer.notification.id.as_str());
            // On the heap: whoever is not sequenced need not carry, and move, the room that this takes.
            let result = Box::pin(self.step_in_turn(work, &place, &mut known, next, &mut woken, times));
            steps.push(result.await);
        }
        steps
    }

    /// Applies a notification if it is its turn, by the position that is known of its key, or is read; and
    /// then wakes who waits for its end, unless he stands `next` in the line, or was `woken` already. What
    /// ended and could not wake him has to come again.
    async fn step_in_turn(
        &self,
        mut work: Work,
        place: &Place,
        known: &mut Option<Position>,
        next: Option<&str>,
        woken: &mut Option<String>,
        times: Times,
    ) -> Step {
        let result = async {
            let (marked, waits) = self.apply_in_turn(&mut work, place, known, times).await?;
            if let Some(waits) = waits.filter(|id| next != Some(id) && woken.as_ref() != Some(id)) {
                let wake = timeout_at(times.end_by, self.settings.wake(&waits)).await;
                wake.map_err(|_| NotEnded::NoTime)?.map_err(NotMarked::from)?;
                *woken = Some(waits);
            }
            Ok(marked)
        };
        let result = result.await;
        Step::Settled(Settled { work, result })
    }

    /// Applies a notification if it is its turn; says who waits for that.
    async fn apply_in_turn(
        &self,
        work: &mut Work,
        place: &Place,
        known: &mut Option<Position>,
        times: Times,
    ) -> Result<(Marked, Option<String>), NotEnded> {
        if Instant::now() >= times.begin_by {
            return Err(NotEnded::NoTime);
        }
        let stands = timeout_at(times.end_by, self.settings.stands(place, known)).await;
        match stands.map_err(|_| NotEnded::NoTime)?? {
            Stands::Ended { marked, waits } => return Ok((marked, waits)),
            Stands::Now(turn) => work.turn = Some(turn),
        }
        match self.handler.handle(&self.settings, work, times).await? {
            Applied::Ended { marked: Marked::Now, waits } => {
                // The next one's guess; it is wrong where somebody waits or was closed, and then corrected.
                *known = Some(Position::just(place.sequence));
                Ok((Marked::Now, waits))
            }
            // By another, who may have died before he woke whoever came to wait meanwhile.
            Applied::Ended { marked, .. } => {
                let position = timeout_at(times.end_by, self.settings.position(place)).await;
                let position = position.map_err(|_| NotEnded::NoTime)?.map_err(NotMarked::from)?;
                let waits = position.next();
                *known = Some(position);
                Ok((marked, waits))
            }
            Applied::ToMark(_) => unreachable!("a mark with a position is committed"),
        }
    }
}

impl Settings {
    fn positions(&self) -> Result<&Positions, Fault> {
        self.positions.as_ref().ok_or(Fault::new("GetItem", Cause::NoPositions))
    }

    async fn position(&self, place: &Place) -> Result<Position, Fault> {
        self.positions()?.get(place).await
    }

    /// The record of an id, and where it stands here.
    async fn delivery(&self, id: &str) -> Result<(Record, Delivery), Fault> {
        let record = self.ledger.get(id).await?.ok_or(Fault::new("GetItem", Cause::Missing))?;
        let delivery = record.destinations.get(&self.name).cloned();
        // It was offered here, or waits here.
        delivery.map(|it| (record, it)).ok_or(Fault::new("GetItem", Cause::Missing))
    }

    /// Where a notification stands by the position that is known of its key, which is kept up to date.
    async fn stands(&self, place: &Place, known: &mut Option<Position>) -> Result<Stands, NotMarked> {
        let positions = self.positions()?;
        let mut position = match known.take() {
            Some(position) => position,
            None => positions.get(place).await?,
        };
        let stand = positions.stand(place, &mut position).await?;
        let next = position.next();
        *known = Some(position);
        match stand {
            Stand::Now(advance) => Ok(Stands::Now(positions.turn(place, advance))),
            Stand::Early { is_written } => Err(NotMarked::Early { is_written }),
            Stand::Past => match self.has_ended(place).await? {
                Some(state) => Ok(Stands::Ended { marked: Marked::Before(state), waits: next }),
                None => Err(NotMarked::Taken),
            },
        }
    }

    /// How a notification ended, whose number has: it is a repeat, most likely.
    async fn has_ended(&self, place: &Place) -> Result<Option<State>, Fault> {
        // Of one transaction a read may see the position, and the next one not yet the record.
        for tries in 1..=2 {
            let (_, delivery) = self.delivery(place.id()).await?;
            if delivery.state.is_final() {
                return Ok(Some(delivery.state));
            }
            pause(tries).await;
        }
        Ok(None)
    }

    /// Brings a notification a copy, for its turn has come; or, where it has ended meanwhile, the next one.
    async fn wake(&self, id: &str) -> Result<(), Fault> {
        let mut id = id.to_owned();
        loop {
            let (record, delivery) = self.delivery(&id).await?;
            let next = match delivery.state {
                // One that was tried has a copy, which waits.
                State::Pending if delivery.attempts == 0 => {
                    let offer = Offer::of(&record, vec![self.name.clone()], self.clock.now());
                    return self.parking.park(&offer, 0, Duration::ZERO).await;
                }
                State::Pending | State::Dead => None,
                State::Done | State::Rejected | State::Closed => {
                    match Place::of(&record.notification(), &self.name) {
                        Some(place) => self.position(&place).await?.next(),
                        None => None,
                    }
                }
            };
            match next {
                Some(next) if next != id => id = next,
                _ => return Ok(()),
            }
        }
    }
}
