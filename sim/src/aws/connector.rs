//! The connector by which the SDK's clients reach the simulated AWS: it carries a call there and back.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::time::sleep;

use crate::aws::Aws;
use crate::aws::answer::summary;
use crate::aws::dynamodb::Answer;
use crate::aws::invocation::{INVOCATION, Invocation};
use crate::aws::provider::{self, PROVIDER};
use crate::faults::fault::Fault;
use crate::faults::injected::InjectedFault;
use crate::faults::rng::{Purpose, of_name};
use crate::faults::site::{Call, OF_CONTROL, OF_CURSOR, OF_HANDLER, OF_PLACE, OF_POSITION, Site};
use crate::item;
use crate::names::NOTIFICATIONS;

/// How much longer a slow call takes, in milliseconds: longer than its caller waits, so that it takes
/// effect after the caller's own repeat.
const SLOW_MS: u64 = 4_000;
/// How much longer a delayed write takes, in milliseconds: so long that its caller has given it up.
pub(crate) const DELAYED_MS: Range<u64> = 60_000..10 * 60_000;
/// What a request contains whose answer has to include every write before it.
const CONSISTENT: &[u8] = br#""ConsistentRead":true"#;

/// A call without an answer.
struct NoAnswer;

impl Aws {
    /// Carries a call there, lets it take effect, and carries its answer back. It cannot be cancelled.
    async fn carry(self, call: Call, body: Vec<u8>, caller: Arc<Invocation>) -> Result<Answer, NoAnswer> {
        let draw = |purpose, end| call.draw(self.seed(), purpose, end);
        let label = format!("{} {}#{}", caller.name, call.operation, call.nth);
        let fault = self.inject_into(&caller, &call);
        let longer_ms = match fault {
            Some(Fault::Slow) => SLOW_MS,
            Some(Fault::Delayed) => {
                DELAYED_MS.start + draw(Purpose::Delay, DELAYED_MS.end - DELAYED_MS.start)
            }
            _ => 0,
        };
        self.state().under_way += 1;
        let there_ms = self.call_ms().map_or(1 + draw(Purpose::WayThere, 20), |all_ms| all_ms / 2);
        sleep(Duration::from_millis(there_ms + longer_ms)).await;
        self.state().under_way -= 1;
        if fault == Some(Fault::LostRequest) {
            self.note(&label, "request lost");
            return Err(NoAnswer);
        }
        let answer = self.answer(&call, &body, fault);
        self.follow_changes(&caller.name);
        if call.site.call.ends_with(OF_CURSOR) {
            self.follow_cursors();
        }
        if call.site.call.ends_with(OF_CONTROL) {
            self.follow_controls();
        }
        let result = if fault == Some(Fault::LostAnswer) { "answer lost" } else { "answered" };
        self.note(&label, format!("{result}: {} {}", answer.0, summary(&answer.1)).trim_end());
        let back_ms = self.call_ms().map_or(1 + draw(Purpose::WayBack, 20), |all_ms| all_ms - all_ms / 2);
        sleep(Duration::from_millis(back_ms)).await;
        if fault == Some(Fault::LostAnswer) { Err(NoAnswer) } else { Ok(answer) }
    }

    /// Injects the fault of a call, if it has one.
    fn inject_into(&self, caller: &Invocation, call: &Call) -> Option<Fault> {
        let mut state = self.state();
        let is_exposed = state.faults_enabled;
        state.history.coverage.called(call.site.clone(), is_exposed);
        if !is_exposed {
            return None;
        }
        let point = |fault| InjectedFault::at(&caller.name, fault, call.nth);
        let possible = Fault::ALL.into_iter().filter(|fault| fault.applies_to(&call.site, call.consistent));
        state.history.injection_points.extend(possible.map(point));
        let fault = self.plan().fault_of_call(&caller.name, call, self.time().elapsed_ms())?;
        // A stale read counts only if it returns something else than a fresh one, which the answer shows.
        let site = (fault != Fault::Stale).then(|| call.site.clone());
        state.history.inject(point(fault), site);
        Some(fault)
    }

    /// Notes that `who` asks the provider for a payment, as long as the result lives. G5: it has a lease,
    /// and nobody else asks meanwhile.
    fn begin_payment(&self, who: &str, body: &[u8]) -> PendingPayment {
        let (at, key) = provider::about(body);
        let now_ms = self.time().now_ms() as i64;
        let records = self.dynamodb().items(NOTIFICATIONS);
        let record = records.iter().find(|record| item::key(record).idempotency_key(&at) == key);
        let delivery = record.and_then(|record| item::destinations(record).get(at.as_str()).copied());
        let has_lease = delivery.is_some_and(|delivery| item::number(delivery, "lease_until") > now_ms);
        let mut state = self.state();
        if !has_lease {
            state.violations.push(format!("G5: {who} pays {key} at {at} without a lease"));
        }
        let pending = state.provider.pending.entry((at.clone(), key.clone())).or_default();
        *pending += 1;
        if *pending > 1 {
            state.violations.push(format!("G5: {who} pays {key} at {at} while another does"));
        }
        PendingPayment { aws: self.clone(), about: (at, key) }
    }
}

/// A payment that the provider was asked for.
struct PendingPayment {
    aws: Aws,
    about: (String, String),
}

impl Drop for PendingPayment {
    fn drop(&mut self) {
        *self.aws.state().provider.pending.entry(self.about.clone()).or_default() -= 1;
    }
}

/// What a call to the table of positions is about, by its key: a place of a caller that waits, the item of a destination's
/// name alone, or a position, whose key has spaces.
fn use_of_positions(body: &[u8]) -> &'static str {
    let request: Value = serde_json::from_slice(body).expect("JSON");
    match request["Key"]["key"]["S"].as_str() {
        Some(key) if key.starts_with('/') => OF_PLACE,
        Some(key) if !key.contains(' ') => OF_CONTROL,
        _ => OF_POSITION,
    }
}

/// The operation of a call, and its use: see `coverage.rs`.
fn operation_and_use(service: &str, operation: &str, body: &[u8]) -> String {
    let contains = |text: &str| body.windows(text.len()).any(|part| part == text.as_bytes());
    match operation {
        "SendMessage" if contains("-retry\"") => format!("{operation} to retry"),
        "SendMessage" if contains("-dead-letters\"") => format!("{operation} to dead letters"),
        "SendMessage" => format!("{operation} {OF_HANDLER}"),
        // As a table's name, in JSON and in a statement.
        _ if contains("\"notifications\"") || contains("\\\"notifications\\\"") => operation.to_owned(),
        // Accept elsewhere makes the calls of accept.
        _ if contains("\"elsewhere\"") => operation.to_owned(),
        _ if contains("\"reconcile\"") => format!("{operation} {OF_CURSOR}"),
        _ if contains("\"positions\"") => format!("{operation} {}", use_of_positions(body)),
        _ if service.starts_with("DynamoDB") => format!("{operation} {OF_HANDLER}"),
        _ => operation.to_owned(),
    }
}

/// Gives back the number that the SDK draws for a call, the id of its span. With each number that is drawn, the state of
/// the generator grows by the same step.
fn give_back_draw() {
    let mut from_zero = fastrand::Rng::with_seed(0);
    from_zero.u64(..);
    fastrand::seed(fastrand::get_seed().wrapping_sub(from_zero.get_seed()));
}

fn response((status, body): Answer) -> HttpResponse {
    let status = StatusCode::try_from(status).expect("a status");
    let mut response = HttpResponse::new(status, SdkBody::from(body));
    // As the provider does; AWS has other ways to throttle.
    if status.as_u16() == 429 {
        response.headers_mut().insert("retry-after", provider::RETRY_AFTER);
    }
    response
}

impl HttpConnector for Aws {
    fn call(&self, mut request: HttpRequest) -> HttpConnectorFuture {
        // Services of AWS are called by JSON protocols, which name their target; the provider is not.
        let target = request.headers().get("x-amz-target").map(str::to_owned);
        let target = target.unwrap_or_else(|| format!("{PROVIDER}.{} payment", request.method()));
        let (service, operation) = target.split_once('.').expect("service and operation");
        let body = match service {
            PROVIDER => provider::asked(&request).to_string().into_bytes(),
            _ => request.take_body().bytes().expect("a body in memory").to_vec(),
        };
        // Lambda freezes what an invocation leaves behind when it returns; it may never go on.
        let Ok(caller) = INVOCATION.try_with(Arc::clone) else {
            let error = format!("{operation} is called from a task that was spawned; await it instead");
            self.state().violations.push(error.clone());
            return HttpConnectorFuture::ready(Err(ConnectorError::user(error.into())));
        };
        let body = self.of_release(&caller, operation, body);
        // Before anybody pauses in a run, the read of a control item finds nothing. It then takes no time, has no fault and
        // draws nothing, so that it changes nothing in a run in which nobody does.
        let of_control = format!("GetItem {OF_CONTROL}");
        if !self.state().pauses.are_begun() && operation_and_use(service, operation, &body) == of_control {
            give_back_draw();
            return HttpConnectorFuture::ready(Ok(response(self.dynamodb().call(operation, &body))));
        }
        let nth = caller.next_call();
        let payment = (operation == provider::TAKE).then(|| self.begin_payment(&caller.name, &body));
        let site = Site { stage: caller.stage, call: operation_and_use(service, operation, &body) };
        let pending = caller.pending_call(nth, site.clone());
        let call = Call {
            service: service.to_owned(),
            operation: operation.to_owned(),
            site,
            consistent: body.windows(CONSISTENT.len()).any(|part| part == CONSISTENT),
            invocation: of_name(&caller.name),
            nth,
        };
        let carry = self.clone().carry(call, body, caller);
        // The call goes on when its caller dies, so it is a task of its own.
        let (done, answer) = oneshot::channel();
        let aws = self.clone();
        tokio::spawn(async move {
            // Until it is answered, whatever becomes of the caller.
            let _payment = payment;
            if let Some(answer) = aws.watched("AWS", carry).await {
                let _ = done.send(answer);
            }
        });
        HttpConnectorFuture::new(async move {
            let _pending = pending;
            match answer.await {
                Ok(Ok(answer)) => Ok(response(answer)),
                _ => Err(ConnectorError::io("the connection broke".into())),
            }
        })
    }
}

impl HttpClient for Aws {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}
