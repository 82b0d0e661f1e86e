//! `POST /notifications`: takes custody of an event.
//!
//! The one side effect is the conditional put of accept. If it fails before or after it took effect, or the function dies,
//! the caller repeats the request, which finds its own record: 200 in place of 202.

use std::time::Duration;

use tokio::time::Instant;

use super::caller::Caller;
use super::headers::{idempotency_key, json_body, wait};
use super::problem::Problem;
use super::request::Request;
use super::response::Response;
use super::settings::ApiSettings;
use super::token::VersionToken;
use super::wait::wait_until;
use crate::aws::HeldUp;
use crate::code::Code;
use crate::notification::{Refusal, keyed_id};
use crate::pipeline::{Accept, CONFLICT, Envelope};
use crate::record::{Record, RecordView, Time};
use crate::store::Acceptance;

/// After how long a caller is asked to repeat what waits for usable routes.
const ROUTES_RETRY_AFTER: Duration = Duration::from_secs(60);

/// What became of an event that a caller handed over.
pub(super) struct Taken {
    pub(super) record: Record,
    /// Whether it was stored now.
    pub(super) is_new: bool,
}

/// Answers 202 for what is stored and has not ended; else 200.
pub(super) async fn accept(
    api: &ApiSettings,
    request: &Request,
    until: Instant,
) -> Result<Response, Problem> {
    request.parameters(&[])?;
    json_body(request, "application/cloudevents+json")?;
    let (key, wait) = (idempotency_key(request)?, wait(request)?);
    let caller = request.caller.as_ref();
    let Taken { mut record, is_new } = take(api, &request.body, key.as_deref(), caller).await?;
    if !api.scope.shows(&record, caller) {
        return Ok(receipt(&record));
    }
    let has_ended = |record: &Record| record.open == 0;
    let applied = wait_until(api, &mut record, has_ended, wait, until).await;
    let status = if is_new && !has_ended(&record) { 202 } else { 200 };
    Ok(shown(api, request, status, &record, false).with("location", location(&record)).waited(applied))
}

/// Accepts an event that has an id, or has one from an idempotency key.
pub(super) async fn take(
    api: &ApiSettings,
    event: &[u8],
    key: Option<&str>,
    caller: Option<&Caller>,
) -> Result<Taken, Problem> {
    let accept = usable(api)?;
    let sender = caller.map(Caller::id);
    let keyed = key.map(|key| keyed_id(sender.unwrap_or_default(), key));
    let envelope = Envelope { sent_at: None, sender, id: keyed.as_deref() };
    let record = accept.record(event, envelope).map_err(|refusal| refused(refusal, key))?;
    if key.is_some_and(|key| record.id != key) && keyed.as_ref() != Some(&record.id) {
        let detail =
            "the event has an `id`, and `Idempotency-Key` is another; send one of them, or both the same";
        return Err(Problem::new(Code::KeyAndId, detail));
    }
    match accept.store(&record).await? {
        Acceptance::Stored => Ok(Taken { record, is_new: true }),
        Acceptance::Duplicate(stored) => Ok(Taken { record: *stored, is_new: false }),
        Acceptance::Conflict if keyed.as_ref() == Some(&record.id) => Err(Problem::new(
            Code::KeyReused,
            "this `Idempotency-Key` was sent with other content; send other content with a key of its own",
        )),
        Acceptance::Conflict => Err(Problem::new(Code::Conflict, CONFLICT)),
    }
}

/// What accepts, if the routes can be used.
pub(super) fn usable(api: &ApiSettings) -> Result<&Accept, Problem> {
    api.accept.as_ref().ok_or_else(|| {
        HeldUp::count([HeldUp { cause: Code::Routes, lasts: true }]);
        let detail =
            "the routes of the stack cannot be used, so that nothing is accepted; repeat the request later";
        Problem::new(Code::NoRoutes, detail).retry_after(ROUTES_RETRY_AFTER)
    })
}

fn refused(refusal: Refusal, key: Option<&str>) -> Problem {
    match refusal {
        Refusal::Missing { field: "id" } if key.is_none() => Problem::new(
            Code::NoId,
            "the event has no `id`, by which a repeat is known; send one, or the header `Idempotency-Key`",
        ),
        refusal => refusal.into(),
    }
}

/// Relative to the path of this call, since the interface may be below a path of another.
fn location(record: &Record) -> String {
    record.key().path().trim_start_matches('/').to_owned()
}

/// The answer with a record, as its caller may see it.
pub(super) fn shown(
    api: &ApiSettings,
    request: &Request,
    status: u16,
    record: &Record,
    with_data: bool,
) -> Response {
    let view = RecordView::of(record);
    let view = if api.scope.is_operator(request.caller.as_ref()) { view } else { view.for_sender() };
    let view = if with_data { view.with_data(record) } else { view };
    Response::json(status, &view).with("etag", VersionToken::of(record).etag(&record.key()))
}

/// The answer for a repeat of what another caller sent, of whose record this one sees nothing: it is in custody.
fn receipt(record: &Record) -> Response {
    let Record { id, source, accepted_at, .. } = record;
    Response::json(200, &serde_json::json!({ "id": id, "source": source, "accepted_at": Time(*accepted_at) }))
}
