//! `POST /notifications/{id}/redrive` and `/close`: what an operator does with a notification.

use serde::Deserialize;

use super::accept::shown;
use super::caller::Caller;
use super::headers::json_body;
use super::problem::Problem;
use super::read::{named, source};
use super::request::Request;
use super::response::Response;
use super::settings::ApiSettings;
use crate::code::Code;
use crate::record::{ERROR_BYTES_MAX, Record, State};
use crate::store::OperatorOutcome;

/// What an operator says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    /// Why.
    reason: String,
    /// Where; wherever it applies, if none is named.
    #[serde(default)]
    destination: Option<String>,
}

/// Lets destinations that gave up try again: the named one, or all where it is dead. Answers with the record as it stands
/// then.
pub(super) async fn redrive(api: &ApiSettings, request: &Request, id: &str) -> Result<Response, Problem> {
    let (record, order) = meant(api, request, id).await?;
    for name in destinations(&record, &order, |state| state == State::Dead)? {
        let outcome = api.ledger.redrive(&record.key(), name, api.clock.now()).await?;
        log(&record, name, request, &order, ("redrive", outcome));
    }
    as_it_stands(api, request, record).await
}

/// Ends a notification for good: at the named destination, or wherever it is pending or dead. Answers with the record as
/// it stands then.
pub(super) async fn close(api: &ApiSettings, request: &Request, id: &str) -> Result<Response, Problem> {
    let (record, order) = meant(api, request, id).await?;
    let is_open = |state| matches!(state, State::Pending | State::Dead);
    for name in destinations(&record, &order, is_open)? {
        let (now, key) = (api.clock.now(), record.key());
        let reason = &order.reason;
        let outcome = api.ledger.close(&api.positions, &key, name, reason, now, api.retention).await?;
        log(&record, name, request, &order, ("close", outcome));
    }
    as_it_stands(api, request, record).await
}

/// The record that an operator means, and what they say.
async fn meant(api: &ApiSettings, request: &Request, id: &str) -> Result<(Record, Order), Problem> {
    let parameters = request.parameters(&["source"])?;
    let caller = request.caller.as_ref();
    api.scope.operates(caller)?;
    json_body(request, "application/json")?;
    let order: Order = serde_json::from_slice(&request.body).map_err(|_| {
        let detail = "the body is not a JSON object with a text `reason`, and at most a text `destination`";
        Problem::new(Code::InvalidBody, detail)
    })?;
    if order.reason.trim().is_empty() || order.reason.len() > ERROR_BYTES_MAX {
        let detail = format!("`reason` has to have 1 to {ERROR_BYTES_MAX} bytes; say why in a sentence");
        return Err(Problem::new(Code::InvalidBody, detail));
    }
    Ok((named(api, request, id, source(&parameters)?).await?, order))
}

/// The destinations where it is in a state that the action changes, or the named one.
fn destinations<'a>(
    record: &'a Record,
    order: &Order,
    changes: impl Fn(State) -> bool,
) -> Result<Vec<&'a str>, Problem> {
    let of = record.destinations.iter();
    match &order.destination {
        None => {
            Ok(of.filter(|(_, delivery)| changes(delivery.state)).map(|(name, _)| name.as_str()).collect())
        }
        Some(wanted) => match of.map(|(name, _)| name.as_str()).find(|name| name == wanted) {
            Some(name) => Ok(vec![name]),
            None => Err(Problem::new(
                Code::UnknownDestination,
                "the notification does not go to `destination`; its record names those that it goes to",
            )),
        },
    }
}

async fn as_it_stands(api: &ApiSettings, request: &Request, record: Record) -> Result<Response, Problem> {
    let now = api.ledger.get(&record.key()).await?;
    Ok(shown(api, request, 200, &now.unwrap_or(record), false))
}

/// Who acted is in the log alone, as is the reason of a redrive.
fn log(record: &Record, destination: &str, request: &Request, order: &Order, did: (&str, OperatorOutcome)) {
    let actor = request.caller.as_ref().map(Caller::id);
    let (id, source, reason, (action, outcome)) = (&record.id, &record.source, &order.reason, did);
    let outcome = match outcome {
        OperatorOutcome::Applied => "applied",
        OperatorOutcome::Was(_) | OperatorOutcome::NoUnknownCall => "unchanged",
        OperatorOutcome::Held => "held",
        OperatorOutcome::NotFound => "not found",
    };
    tracing::warn!(id, source, destination, actor, action, reason, outcome, "an operator acted");
}
