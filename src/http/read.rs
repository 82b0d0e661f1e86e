//! `GET /notifications/{id}`: what became of a notification.

use std::collections::BTreeMap;

use jiff::Timestamp;
use tokio::time::Instant;

use super::accept::shown;
use super::headers::{seen, wait};
use super::problem::Problem;
use super::request::Request;
use super::response::Response;
use super::settings::ApiSettings;
use super::token::VersionToken;
use super::wait::wait_until;
use crate::code::Code;
use crate::notification::{NotificationKey, is_id, is_source};
use crate::record::Record;

/// The record. With `If-None-Match` it is a version that the caller has not seen, or 304; with `Prefer: wait` that is
/// waited for. Without `If-None-Match` the end is waited for.
pub(super) async fn read(
    api: &ApiSettings,
    request: &Request,
    id: &str,
    until: Instant,
) -> Result<Response, Problem> {
    let parameters = request.parameters(&["source", "data"])?;
    let with_data = flag(&parameters, "data")?;
    let (mut record, seen) = find(api, request, id, source(&parameters)?).await?;
    let is_news = |record: &Record| match seen {
        Some(seen) => VersionToken::of(record) > seen,
        None => record.open == 0,
    };
    let applied = wait_until(api, &mut record, is_news, wait(request)?, until).await;
    let response = match seen.is_some() && !is_news(&record) {
        true => Response::text(304, "application/json", "")
            .with("etag", VersionToken::of(&record).etag(&record.key())),
        false => shown(api, request, 200, &record, with_data),
    };
    Ok(response.waited(applied))
}

/// The record that a caller means and may see, and the version of it that they have seen.
async fn find(
    api: &ApiSettings,
    request: &Request,
    id: &str,
    source: Option<&str>,
) -> Result<(Record, Option<VersionToken>), Problem> {
    let Some(source) = source else {
        let record = only(api, request, id).await?;
        let seen = seen(request, &record.key())?;
        return Ok((current(api, record, seen)?, seen));
    };
    let key = NotificationKey::new(id, source);
    let seen = seen(request, &key)?;
    let record = if is_id(id) { latest(api, &key, seen).await? } else { None };
    match record.filter(|record| api.scope.shows(record, request.caller.as_ref())) {
        Some(record) => Ok((current(api, record, seen)?, seen)),
        None if seen.is_some() => Err(gone()),
        None => Err(unknown()),
    }
}

/// The record that a caller names and may see, as it is now.
pub(super) async fn named(
    api: &ApiSettings,
    request: &Request,
    id: &str,
    source: Option<&str>,
) -> Result<Record, Problem> {
    let Some(source) = source else { return only(api, request, id).await };
    let key = NotificationKey::new(id, source);
    let record = if is_id(id) { api.ledger.get(&key).await? } else { None };
    record.filter(|record| api.scope.shows(record, request.caller.as_ref())).ok_or_else(unknown)
}

/// The record of a key, not older than what the caller has seen. An eventually consistent read, at half the price, is
/// believed as far as it is not older.
async fn latest(
    api: &ApiSettings,
    key: &NotificationKey,
    seen: Option<VersionToken>,
) -> Result<Option<Record>, Problem> {
    if let Some(seen) = seen
        && let Some(record) = api.ledger.glance(key).await?
        && VersionToken::of(&record) >= seen
    {
        return Ok(Some(record));
    }
    Ok(api.ledger.get(key).await?)
}

/// The one record with an id that the caller may see.
async fn only(api: &ApiSettings, request: &Request, id: &str) -> Result<Record, Problem> {
    let mut records = if is_id(id) { api.ledger.find(id).await? } else { vec![] };
    let now = api.clock.now();
    records.retain(|record| api.scope.shows(record, request.caller.as_ref()) && !has_expired(record, now));
    match records.len() {
        0 => Err(unknown()),
        1 => Ok(records.remove(0)),
        _ => Err(Problem::several_sources(records.into_iter().map(|record| record.source).collect())),
    }
}

/// A record that is there still. DynamoDB deletes what has expired some days late, and a table that was restored may be
/// older than what the caller has seen.
fn current(api: &ApiSettings, record: Record, seen: Option<VersionToken>) -> Result<Record, Problem> {
    match has_expired(&record, api.clock.now()) || seen.is_some_and(|seen| VersionToken::of(&record) < seen) {
        true => Err(gone()),
        false => Ok(record),
    }
}

fn has_expired(record: &Record, now: Timestamp) -> bool {
    record.expires_at.is_some_and(|at| at <= now)
}

fn unknown() -> Problem {
    Problem::new(
        Code::UnknownNotification,
        "there is no notification of this id and source, or none that this caller may see; check both",
    )
}

fn gone() -> Problem {
    Problem::new(
        Code::Gone,
        "the record has expired, or is older than the version that was seen; what has expired ended longer ago than records are kept",
    )
}

/// The parameter `source`.
pub(super) fn source<'a>(parameters: &'a BTreeMap<&'static str, String>) -> Result<Option<&'a str>, Problem> {
    match parameters.get("source") {
        Some(source) if !is_source(source) => Err(Problem::new(
            Code::InvalidParameter,
            "`source` is not one that a notification can have: 1 to 256 visible ASCII characters",
        )),
        source => Ok(source.map(String::as_str)),
    }
}

fn flag(parameters: &BTreeMap<&'static str, String>, name: &'static str) -> Result<bool, Problem> {
    match parameters.get(name).map(String::as_str) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => {
            Err(Problem::new(Code::InvalidParameter, format!("`{name}` is neither `true` nor `false`")))
        }
    }
}
