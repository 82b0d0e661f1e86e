//! A payment provider elsewhere, and what it saw. At `card` it honours idempotency keys as long as they
//! live; at `bank` it says what it took when it is asked; at `wire` it does neither.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use serde_json::{Value, json};

use crate::draw::{below, of_name};
use crate::dynamodb::Answer;
use crate::fault::Purpose;

/// Its name among the services.
pub const PROVIDER: &str = "Provider";
/// The call that takes a payment.
pub const TAKE: &str = "POST payment";
/// How long `card` knows a key.
pub const KEY_LIVES: Duration = Duration::from_secs(25);

/// The provider.
#[derive(Default)]
pub struct Provider {
    /// How many payments it has taken, by where and key.
    taken: BTreeMap<(String, String), u64>,
    /// How many requests for one it had.
    requests: BTreeMap<(String, String), u64>,
    /// What `card` answered first, and when.
    answered: BTreeMap<String, (u64, Answer)>,
    /// How many wait for it to take a payment.
    pub under_way: BTreeMap<(String, String), u64>,
}

/// What a request is about, as JSON.
pub fn asked(request: &HttpRequest) -> Value {
    let mut path = request.uri().split('/').skip(3);
    let at = path.next().unwrap_or_default();
    let key = request.headers().get("idempotency-key").or(path.nth(1)).unwrap_or_default();
    json!({ "at": at, "key": key })
}

/// Where, and which payment.
pub fn about(body: &[u8]) -> (String, String) {
    let asked: Value = serde_json::from_slice(body).expect("JSON");
    let text = |name: &str| asked[name].as_str().unwrap_or_default().to_owned();
    (text("at"), text("key"))
}

impl Provider {
    /// How many payments it has taken for a key.
    pub fn taken(&self, at: &str, key: &str) -> u64 {
        self.taken.get(&(at.to_owned(), key.to_owned())).copied().unwrap_or_default()
    }

    /// Answers a request. Some payments it refuses, always or at first; and it has its moods.
    pub fn answer(&mut self, operation: &str, body: &[u8], seed: u64, now_ms: u64) -> Answer {
        let about = about(body);
        let (at, key) = (about.0.as_str(), about.1.as_str());
        let taken = |status: u16| (status, json!({ "payment": format!("payment of {key}") }).to_string());
        if operation != TAKE {
            return if self.taken(at, key) > 0 { taken(200) } else { (404, "{}".to_owned()) };
        }
        let lives_ms = KEY_LIVES.as_millis() as u64;
        if let Some((first_ms, answer)) = self.answered.get(key)
            && at == "card"
            && now_ms < first_ms + lives_ms
        {
            return answer.clone();
        }
        let requests = self.requests.entry(about.clone()).or_default();
        *requests += 1;
        let draw = |end, nth| below(end, seed, &[Purpose::Provider as u64, of_name(key), nth]);
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
        }
        let settled = if takes { taken(201) } else { answer.clone() };
        if takes || answer.0 == 402 {
            self.answered.insert(key.to_owned(), (now_ms, settled));
        }
        answer
    }
}
