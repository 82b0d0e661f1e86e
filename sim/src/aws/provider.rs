//! A payment provider elsewhere. Its endpoint `card` honours idempotency keys for their lifetime; `bank`
//! can be asked for a payment it took; `wire` does neither.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use serde_json::{Value, json};

use crate::aws::dynamodb::Answer;
use crate::faults::rng::{Purpose, below, of_name};

/// Its name among the services.
pub const PROVIDER: &str = "Provider";
/// The call that takes a payment.
pub const TAKE: &str = "POST payment";
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

    /// Answers a request. It refuses some payments, always or at first, and fails now and then.
    pub fn answer(&mut self, operation: &str, body: &[u8], seed: u64, now_ms: u64) -> Answer {
        let about = about(body);
        let (at, key) = (about.0.as_str(), about.1.as_str());
        let taken = |status: u16| (status, json!({ "payment": format!("payment of {key}") }).to_string());
        if operation != TAKE {
            return if self.taken(at, key) > 0 { taken(200) } else { (404, "{}".to_owned()) };
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
            1 => (false, (429, "{}".to_owned())),
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
