//! `GET /notifications`: what is open, late or dead, or was accepted lately, from reconcile's index.
//!
//! A request reads a bounded part of the index, so that a page may be empty and have a cursor all the same.

use futures_util::future::try_join_all;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;

use super::cursor::Cursor;
use super::problem::Problem;
use super::request::Request;
use super::response::Response;
use super::selection::{Selection, Wanted, list_of};
use super::settings::ApiSettings;
use crate::aws::Fault;
use crate::code::Code;
use crate::notification::{Kind, NotificationKey};
use crate::record::{
    Delivery, PARTITIONS_PER_SLOT, Record, Slot, State, Status, Time, dead_slots, open_slots, recent_slots,
};
use crate::store::Walk;

/// Most keys of the index that a request looks at.
const KEYS_MAX: usize = 100;
/// Most parts of the index that it reads.
const PARTS_MAX: usize = 256;
/// Most parts, and most records, that are read concurrently.
const CONCURRENCY_MAX: usize = 16;

/// A page.
#[derive(Serialize)]
struct View {
    notifications: Vec<Row>,
    /// To be sent for the next page. The last page has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
}

/// A notification.
#[derive(Debug, PartialEq, Serialize)]
struct Row {
    id: String,
    source: String,
    r#type: String,
    kind: Kind,
    status: Status,
    accepted_at: Time,
    /// Its deliveries that were asked for.
    destinations: Vec<Column>,
}

/// A delivery.
#[derive(Debug, PartialEq, Serialize)]
struct Column {
    name: String,
    state: State,
    attempts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

pub(super) async fn list(api: &ApiSettings, request: &Request) -> Result<Response, Problem> {
    let parameters = request.parameters(&["state", "destination", "type", "since", "cursor"])?;
    // What a page reads is not what is shown, so that a caller who sees its own alone would learn of others.
    api.scope.operates(request.caller.as_ref())?;
    let (now, list) = (api.clock.now(), list_of(&parameters));
    let sent =
        parameters.get("cursor").map(|text| Cursor::read(text, &list, now).ok_or_else(not_of_this_list));
    let sent = sent.transpose()?;
    let selection = Selection::read(&parameters, sent.as_ref().map_or(now, |cursor| cursor.now))?;
    let mut cursor = match sent {
        Some(cursor) => cursor,
        None => Cursor { now, unchecked: unchecked(api, &selection).await?, part: 0, after: None },
    };
    let slots = slots(&selection, &cursor);
    let parts = slots.len() * PARTITIONS_PER_SLOT as usize;
    let bucket =
        |part: usize| slots[part / PARTITIONS_PER_SLOT as usize].bucket(part as u32 % PARTITIONS_PER_SLOT);
    let (mut keys, mut read) = (Vec::new(), 0);
    while cursor.part < parts && read < PARTS_MAX && keys.len() < KEYS_MAX {
        let wave = cursor.part..parts.min(cursor.part + CONCURRENCY_MAX);
        read += wave.len();
        let from = |part| cursor.after.as_ref().filter(|_| part == wave.start);
        let pages = wave.clone().map(|part| (bucket(part), from(part)));
        let pages = pages.map(async |(bucket, from)| api.ledger.page(&bucket, from).await);
        for (part, page) in wave.clone().zip(try_join_all(pages).await?) {
            keys.extend(page.keys);
            (cursor.part, cursor.after) =
                if page.next.is_some() { (part, page.next) } else { (part + 1, None) };
            // What was read of the parts behind it is read again.
            if cursor.after.is_some() || keys.len() >= KEYS_MAX {
                break;
            }
        }
    }
    if selection.wanted != Wanted::Recent {
        keys = not_completed(api, keys).await?;
    }
    let row = async |key| Ok::<_, Fault>(get(api, &key).await?.and_then(|record| row(&record, &selection)));
    let rows: Vec<Option<Row>> = stream::iter(keys).map(row).buffered(CONCURRENCY_MAX).try_collect().await?;
    let notifications = rows.into_iter().flatten().collect();
    let cursor = (cursor.part < parts).then(|| cursor.text(&list));
    Ok(Response::json(200, &View { notifications, cursor }))
}

fn not_of_this_list() -> Problem {
    let detail = "`cursor` is none of this list, or over a day old; send the one of the page before, with the same other parameters";
    Problem::new(Code::InvalidCursor, detail)
}

/// Where reconcile's walks are that bound what has to be read.
async fn unchecked(api: &ApiSettings, selection: &Selection) -> Result<[Option<Slot>; 2], Fault> {
    let of = |walk| api.cursors.unchecked(walk);
    Ok(match selection.wanted {
        Wanted::Recent => [None, None],
        Wanted::Open | Wanted::Late => [of(Walk::DueAgain).await?, None],
        Wanted::Dead => [of(Walk::DueAgain).await?, of(Walk::Dead).await?],
    })
}

/// The slots in which what is wanted may be, as of the first page.
fn slots(selection: &Selection, cursor: &Cursor) -> Vec<Slot> {
    let [open, dead] = cursor.unchecked;
    match selection.wanted {
        Wanted::Recent => recent_slots(selection.since, cursor.now).collect(),
        Wanted::Open | Wanted::Late => open_slots(open, cursor.now).collect(),
        // What is dead at one destination may be open at another.
        Wanted::Dead => dead_slots(dead, cursor.now).chain(open_slots(open, cursor.now)).collect(),
    }
}

async fn not_completed(api: &ApiSettings, keys: Vec<NotificationKey>) -> Result<Vec<NotificationKey>, Fault> {
    let mut left = Vec::new();
    // A last page may bring more keys than one call takes.
    for keys in keys.chunks(KEYS_MAX) {
        left.extend(api.ledger.not_completed(keys.to_vec()).await?.keys);
    }
    Ok(left)
}

/// A record. One that is malformed is left out, and is in the log.
async fn get(api: &ApiSettings, key: &NotificationKey) -> Result<Option<Record>, Fault> {
    match api.ledger.get(key).await {
        Err(fault) if fault.is_unreadable() => {
            tracing::error!(id = key.id, source = key.source, %fault, "a record is left out of a list");
            Ok(None)
        }
        record => record,
    }
}

/// The row of a record that is asked for.
fn row(record: &Record, selection: &Selection) -> Option<Row> {
    let is_wanted = |name: &str, delivery: &Delivery| {
        selection.destination.as_deref().is_none_or(|wanted| wanted == name)
            && selection.wants(record, delivery)
    };
    let deliveries = record.destinations.iter().filter(|(name, delivery)| is_wanted(name, delivery));
    let destinations: Vec<Column> = deliveries
        .map(|(name, delivery)| Column {
            name: name.clone(),
            state: delivery.state,
            attempts: delivery.attempts,
            error: delivery.last_error().map(str::to_owned),
        })
        .collect();
    // Of a channel without subscribers.
    let goes_nowhere = record.destinations.is_empty()
        && selection.wanted == Wanted::Recent
        && selection.destination.is_none();
    let is_asked_for = record.accepted_at >= selection.since
        && selection.r#type.as_ref().is_none_or(|wanted| *wanted == record.r#type)
        && (!destinations.is_empty() || goes_nowhere);
    is_asked_for.then(|| Row {
        id: record.id.clone(),
        source: record.source.clone(),
        r#type: record.r#type.clone(),
        kind: record.kind,
        status: record.status,
        accepted_at: Time(record.accepted_at),
        destinations,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::record::FIRST_DUE_AFTER;
    use crate::record::tests::{at, event_for};

    #[test]
    fn a_row_has_the_deliveries_that_were_asked_for() {
        let mut record = event_for(&["a", "b", "c"]);
        record.destinations.get_mut("b").unwrap().state = State::Dead;
        let listed = |parameters: &[(&'static str, &str)], now| {
            let parameters: BTreeMap<_, _> =
                parameters.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
            let row = row(&record, &Selection::read(&parameters, now).unwrap());
            row.map(|row| row.destinations.into_iter().map(|column| column.name).collect::<Vec<_>>())
        };
        let soon = at(2_000);
        assert_eq!(listed(&[("state", "dead")], soon).unwrap(), ["b"]);
        assert_eq!(listed(&[("state", "open")], soon).unwrap(), ["a", "c"]);
        assert_eq!(listed(&[("state", "open"), ("destination", "c")], soon).unwrap(), ["c"]);
        assert_eq!(listed(&[("state", "dead"), ("destination", "c")], soon), None);
        assert_eq!(listed(&[("state", "recent")], soon).unwrap(), ["a", "b", "c"]);
        assert_eq!(listed(&[("state", "recent"), ("type", "other")], soon), None);
        assert_eq!(listed(&[("state", "late")], soon), None);
        assert_eq!(listed(&[("state", "late")], soon + FIRST_DUE_AFTER).unwrap(), ["a", "c"]);
        let later = [("state", "open"), ("since", "1970-01-01T00:00:01.001Z")];
        assert_eq!(listed(&later, soon), None, "it was accepted before");
    }
}
