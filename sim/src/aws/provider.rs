//! A payment provider elsewhere. Its endpoint `card` honours idempotency keys for their lifetime; `bank`
//! can be asked for a payment it took; `wire` does neither. For some time an endpoint may refuse all, or be behind
//! something that answers with pages of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use serde_json::{Value, json};

use crate::aws::dynamodb::Answer;
use crate::aws::time::BEGIN_S;
use crate::faults::rng::{Purpose, below, of_name};

/// Its name among the services.
pub const PROVIDER: &str = "Provider";
/// The call that takes a payment.
pub const TAKE: &str = "POST payment";
/// What a 429 asks to wait, in seconds.
pub const RETRY_AFTER: &str = "3";
/// What something in front of it answers.
const PAGE: &str = "<html>";
/// How late an endpoint begins to refuse all, in milliseconds, and for how long it does so.
const BEGINS_MS_MAX: u64 = 5_000;
const HELD_UP_MS_MAX: u64 = 60_000;
/// How long `card` knows a key.
pub const KEY_LIFETIME: Duration = Duration::from_secs(25);

/// The provider.
#[derive(Default)]
pub struct Provider {
    /// How many payments it has taken, by endpoint and key.
    taken: BTreeMap<(String, String), u64>,
    /// The amount that it has taken last, by endpoint and key.
    amounts: BTreeMap<(String, String), Value>,
    /// How many requests it has had, by endpoint and key.
    requests: BTreeMap<(String, String), u64>,
    /// The first answer of `card`, and its time, by key.
    answered: BTreeMap<String, (u64, Answer)>,
    /// The payments of which an answer did not say whether it was taken, by endpoint and key.
    unclear: BTreeSet<(String, String)>,
    /// How many requests were refused for now, by endpoint and key.
    held_up: BTreeMap<(String, String), i64>,
    /// How many callers wait for a payment, by endpoint and key.
    pub pending: BTreeMap<(String, String), u64>,
}

/// The endpoint, the key and the reference of a request, as JSON.
pub fn asked(request: &HttpRequest) -> Value {
    let mut path = request.uri().split('/').skip(3);
    let at = path.next().unwrap_or_default();
    let key = request.headers().get("idempotency-key").or(path.nth(1)).unwrap_or_default();
    let body: Value =
        request.body().bytes().and_then(|body| serde_json::from_slice(body).ok()).unwrap_or_default();
    json!({ "at": at, "key": key, "reference": body["reference"], "amount": body["amount"] })
}

/// The endpoint and the key of a payment.
pub fn about(body: &[u8]) -> (String, String) {
    (text(body, "at"), text(body, "key"))
}

fn text(body: &[u8], name: &str) -> String {
    let asked: Value = serde_json::from_slice(body).expect("JSON");
    asked[name].as_str().unwrap_or_default().to_owned()
}

/// The answer to one request too many.
pub fn throttled() -> Answer {
    (429, json!({ "error": "too many requests" }).to_string())
}

impl Provider {
    /// How many payments an endpoint has taken for a key.
    pub fn taken(&self, at: &str, key: &str) -> u64 {
        self.taken.get(&(at.to_owned(), key.to_owned())).copied().unwrap_or_default()
    }

    /// The amount that an endpoint has taken last for a key.
    pub fn amount(&self, at: &str, key: &str) -> Option<&Value> {
        self.amounts.get(&(at.to_owned(), key.to_owned()))
    }

    /// How many payments an endpoint has taken.
    pub fn all_taken(&self, at: &str) -> u64 {
        self.taken.iter().filter(|((endpoint, _), _)| endpoint == at).map(|(_, taken)| taken).sum()
    }

    /// Whether every answer about a payment said whether it was taken.
    pub fn is_clear(&self, at: &str, key: &str) -> bool {
        !self.unclear.contains(&(at.to_owned(), key.to_owned()))
    }

    /// How many requests for a payment an endpoint refused for now; without a key, for any.
    pub fn held_up(&self, at: &str, key: Option<&str>) -> i64 {
        let held_up = self.held_up.iter().filter(|((endpoint, _), _)| endpoint == at);
        held_up.filter(|((_, of), _)| key.is_none_or(|key| key == of)).map(|(_, times)| times).sum()
    }

    /// Answers a request. In a third of the runs each endpoint refuses all for some time: as one whose token was
    /// rotated, or as something in front of it, which may pass a payment on all the same.
    pub fn answer(&mut self, operation: &str, body: &[u8], seed: u64, now_ms: u64) -> Answer {
        let about = about(body);
        let draw = |end, nth| below(end, seed, &[Purpose::HeldUp as u64, of_name(&about.0), nth]);
        let kind = draw(9, 0);
        let from_ms = 1_000 * BEGIN_S + draw(BEGINS_MS_MAX, 1);
        let is_held_up = (from_ms..from_ms + draw(HELD_UP_MS_MAX, 2)).contains(&now_ms);
        let answer = match kind {
            0 if is_held_up => (401, json!({ "error": "the token is not valid" }).to_string()),
            1 | 2 if is_held_up => {
                if draw(2, now_ms) == 0 {
                    self.answer_itself(operation, &about, body, seed, now_ms);
                }
                (if kind == 1 { 403 } else { 404 }, PAGE.to_owned())
            }
            _ => self.answer_itself(operation, &about, body, seed, now_ms),
        };
        if answer.1 == PAGE || matches!(answer.0, 401 | 429) {
            *self.held_up.entry(about.clone()).or_default() += 1;
        }
        if answer.1 == PAGE || answer.0 >= 500 {
            self.unclear.insert(about);
        }
        answer
    }

    /// Answers a request that comes through. It refuses some payments, always or at first, and fails now and then.
    fn answer_itself(
        &mut self,
        operation: &str,
        about: &(String, String),
        body: &[u8],
        seed: u64,
        now_ms: u64,
    ) -> Answer {
        let (at, key) = (about.0.as_str(), about.1.as_str());
        let taken = |status: u16| (status, json!({ "payment": format!("payment of {key}") }).to_string());
        if operation != TAKE {
            return if self.taken(at, key) > 0 {
                taken(200)
            } else {
                (404, json!({ "payment": null }).to_string())
            };
        }
        let lifetime_ms = KEY_LIFETIME.as_millis() as u64;
        if let Some((first_ms, answer)) = self.answered.get(key)
            && at == "card"
            && now_ms < first_ms + lifetime_ms
        {
            return answer.clone();
        }
        let requests = self.requests.entry(about.clone()).or_default();
        *requests += 1;
        let reference = of_name(&text(body, "reference"));
        let draw = |end, nth| below(end, seed, &[Purpose::Provider as u64, reference, nth]);
        let refuses = match draw(6, 0) {
            0 => true,
            1 => *requests == 1,
            _ => false,
        };
        let (takes, answer) = match draw(10, *requests) {
            0 => (false, (500, "{}".to_owned())),
            1 => (false, throttled()),
            2 if !refuses => (true, (500, "{}".to_owned())),
            _ if refuses => (false, (402, json!({ "reason": "no cover" }).to_string())),
            _ => (true, taken(201)),
        };
        if takes {
            *self.taken.entry(about.clone()).or_default() += 1;
            let asked: Value = serde_json::from_slice(body).expect("JSON");
            self.amounts.insert(about.clone(), asked["amount"].clone());
        }
        let kept = if takes { taken(201) } else { answer.clone() };
        if takes || answer.0 == 402 {
            self.answered.insert(key.to_owned(), (now_ms, kept));
        }
        answer
    }
}
