//! `POST /notifications/batch`: takes custody of several events, each for itself.

use futures_util::{StreamExt, stream};
use serde::Serialize;
use serde_json::value::RawValue;

use super::accept::{Taken, take, usable};
use super::headers::json_body;
use super::problem::{Details, Problem};
use super::request::Request;
use super::response::Response;
use super::settings::ApiSettings;
use super::token::VersionToken;
use crate::code::Code;
use crate::record::Record;

/// Most events of a batch.
pub const ITEMS_MAX: usize = 100;
/// Most that are stored concurrently.
const CONCURRENCY_MAX: usize = 16;

/// What became of the events, in the order in which they were sent.
#[derive(Serialize)]
struct View<'a> {
    items: Vec<Item<'a>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Item<'a> {
    Taken(Receipt<'a>),
    Refused(Details<'a>),
}

/// An event in custody.
#[derive(Serialize)]
struct Receipt<'a> {
    /// 202 for what is new, 200 for a repeat.
    status: u16,
    id: &'a str,
    source: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
}

/// Answers 200 with an outcome for each event: one that is refused keeps no other from being stored.
pub(super) async fn accept_batch(api: &ApiSettings, request: &Request) -> Result<Response, Problem> {
    request.parameters(&[])?;
    usable(api)?;
    json_body(request, "application/cloudevents-batch+json")?;
    if request.header("idempotency-key").is_some() {
        let detail = "`Idempotency-Key` stands for one event; leave it out, and give each event an `id`";
        return Err(Problem::new(Code::InvalidHeader, detail));
    }
    let events: Vec<&RawValue> = serde_json::from_slice(&request.body).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let detail = format!("the body is no JSON array of events (line {line}, column {column})");
        Problem::new(Code::InvalidBody, detail)
    })?;
    if events.len() > ITEMS_MAX {
        let count = events.len();
        let detail = format!("the batch has {count} events, over the limit of {ITEMS_MAX}; send it in parts");
        return Err(Problem::new(Code::TooManyItems, detail));
    }
    let caller = request.caller.as_ref();
    let takes = events.into_iter().map(|event| take(api, event.get().as_bytes(), None, caller));
    let outcomes: Vec<_> = stream::iter(takes).buffered(CONCURRENCY_MAX).collect().await;
    let items = outcomes.iter().map(|outcome| match outcome {
        Ok(taken) => Item::Taken(receipt(taken, api.scope.shows(&taken.record, caller))),
        Err(problem) => Item::Refused(problem.details()),
    });
    Ok(Response::json(200, &View { items: items.collect() }))
}

fn receipt(Taken { record, is_new }: &Taken, is_shown: bool) -> Receipt<'_> {
    let Record { id, source, .. } = record;
    let etag = is_shown.then(|| VersionToken::of(record).etag(&record.key()));
    Receipt { status: if *is_new { 202 } else { 200 }, id, source, etag }
}
