//! The HTTP interface, as its callers reach it.

use std::time::Duration;

use handover::http::{Api, ApiSettings, Response, Scope};
use handover::lambda::MARGIN_MS;
use handover::pipeline::Accept;
use handover::store::{Cursors, Waiters};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::item::RETENTION;
use crate::names::{POSITIONS, RECONCILE};
use crate::stack::Stack;

const API_TIMEOUT: Duration = Duration::from_secs(29);
/// Places of callers that wait: few, so that some find none.
const PLACES: u32 = 2;

/// A request to the HTTP interface.
#[derive(Clone, Debug)]
pub struct Request {
    /// The unique id of the role that signs it.
    pub caller: &'static str,
    /// `GET` or `POST`.
    pub method: &'static str,
    /// The path, with its query.
    pub path: String,
    /// The headers, by their names in lower case.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: String,
}

impl Stack {
    /// Sends a request to the HTTP interface. There is no answer where the function died, before the request took effect or
    /// after that.
    pub async fn request(&self, request: &Request) -> Option<Response> {
        let api = self.api();
        let event = serde_json::from_value(event(request)).expect("an event of a function URL");
        let until = Instant::now() + API_TIMEOUT - Duration::from_millis(MARGIN_MS);
        let work = async move { api.answer(event, until).await };
        let answer = self.run_program("api", "api", API_TIMEOUT, work).await;
        let Request { caller, method, path, .. } = request;
        let status = answer.as_ref().map(|answer| answer.status_code);
        self.note(caller, &format!("calls {method} {path}: {status:?}"));
        answer
    }

    fn api(&self) -> Api {
        let clock = self.clock("api");
        let ledger = self.ledger();
        Api::new(ApiSettings {
            accept: Some(Accept::new(ledger.clone(), self.routes().clone(), clock.clone())),
            ledger,
            positions: self.positions(),
            cursors: Cursors::new(self.dynamodb().clone(), RECONCILE),
            waiters: Waiters::new(self.dynamodb().clone(), POSITIONS, PLACES),
            scope: Scope::All,
            is_open: false,
            retention: RETENTION,
            clock,
        })
    }
}

/// The event of a function URL.
fn event(Request { caller, method, path, headers, body }: &Request) -> Value {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let headers: serde_json::Map<String, Value> =
        headers.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    json!({
        "rawPath": path, "rawQueryString": query, "headers": headers, "body": body,
        "requestContext": {
            "http": { "method": method },
            "authorizer": { "iam": { "userId": format!("{caller}:session") } },
        },
    })
}
