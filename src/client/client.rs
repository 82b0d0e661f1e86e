//! The client: hands notifications over, asks what became of them, and waits for that.

use std::time::Duration;

use aws_config::SdkConfig;
use tokio::time::{Instant, sleep, timeout_at};

use super::answer::{ClientError, End, Problem, Receipt};
use super::signed::{Answer, SendError, SignedClient};
use crate::error::{BoxError, Error};
use crate::notification::{Checked, NotificationKey, encode};

/// First pause before a request is repeated; it doubles with each.
const PAUSE: Duration = Duration::from_millis(100);
/// Longest pause, if the interface asks for no longer one.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Longest pause that the interface may ask for.
const DAY: Duration = Duration::from_secs(24 * 3_600);
/// How long one request waits for an end. The interface waits no longer.
const WAIT: Duration = Duration::from_secs(20);
/// How much longer than it waits a request may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// A client of the HTTP interface of a stack. It signs with the credentials of its configuration.
///
/// ```no_run
/// use std::time::Duration;
/// use handover::client::{Client, End};
/// use handover::Draft;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let aws = handover::aws::config()?.load().await;
/// let client = Client::new(&aws, "https://example.lambda-url.eu-west-1.on.aws")?;
/// let refund = Draft::command("refund.requested", "orders", &500).build("order-7-refund")?;
/// let receipt = client.send(&refund, Duration::from_secs(30)).await?;
/// match client.wait(&receipt, Duration::from_secs(60)).await? {
///     Some(End::Done { .. }) => println!("refunded"),
///     Some(End::Rejected { reason }) => println!("not refunded: {reason}"),
///     // It is in custody. It will end, or be dead and wait for an operator.
///     other => println!("not yet: {other:?}"),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Client(SignedClient);

impl Client {
    /// The client of the interface at this URL.
    ///
    /// # Errors
    /// As [`SignedClient::new`].
    pub fn new(aws: &SdkConfig, url: &str) -> Result<Client, Error> {
        SignedClient::new(aws, url).map(Client)
    }

    /// Hands a notification over. It tries again, as long as there is no answer or the interface asks for it, until so much
    /// time has passed. Each try has the same id, so that it is accepted once.
    ///
    /// # Errors
    /// A [`ClientError`].
    pub async fn send(&self, notification: &Checked, within: Duration) -> Result<Receipt, ClientError> {
        let body = encode(notification);
        let headers = [("content-type", "application/cloudevents+json")];
        let until = after(within);
        let answer = self.patiently("POST", "/notifications", &headers, &body, until).await?;
        Receipt::read(&answer).ok_or(ClientError::Unreadable { status: answer.status })
    }

    /// What became of a notification: its latest version, and how it has ended, if it has.
    ///
    /// # Errors
    /// A [`ClientError`].
    pub async fn get(&self, key: &NotificationKey, within: Duration) -> Result<Receipt, ClientError> {
        self.look(key, &[], after(within)).await
    }

    /// Waits until a notification has ended, for so long; `None` if it has not by then.
    ///
    /// # Errors
    /// A [`ClientError`].
    pub async fn wait(&self, receipt: &Receipt, within: Duration) -> Result<Option<End>, ClientError> {
        if receipt.end.is_some() {
            return Ok(receipt.end.clone());
        }
        let key = NotificationKey::new(&receipt.id, &receipt.source);
        let until = after(within);
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let prefer = format!("wait={}", left.min(WAIT).as_secs());
            let began = Instant::now();
            let seen = self.look(&key, &[("prefer", &prefer)], until + ANSWER_WITHIN).await?;
            if seen.end.is_some() || Instant::now() >= until {
                return Ok(seen.end);
            }
            // The interface does not wait where too many do.
            sleep(PAUSE_MAX.min(left).saturating_sub(began.elapsed())).await;
        }
    }

    async fn look(
        &self,
        key: &NotificationKey,
        headers: &[(&str, &str)],
        until: Instant,
    ) -> Result<Receipt, ClientError> {
        let answer = self.patiently("GET", &key.path(), headers, b"", until).await?;
        Receipt::read(&answer).ok_or(ClientError::Unreadable { status: answer.status })
    }

    /// The answer to a request, which may be repeated.
    async fn patiently(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
        until: Instant,
    ) -> Result<Answer, ClientError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let answer_by = until.min(Instant::now() + WAIT + ANSWER_WITHIN);
            let sent = timeout_at(answer_by, self.0.send(method, path, headers, body)).await;
            let (last, wait): (BoxError, _) = match sent {
                Ok(Ok(answer)) if matches!(answer.status, 200..=299) => return Ok(answer),
                Ok(Ok(answer)) if !is_passing(answer.status) => {
                    match Problem::read(&answer) {
                        problem if problem.status < 500 => return Err(ClientError::Refused(problem)),
                        problem if !problem.code.is_empty() => return Err(ClientError::Unexpected(problem)),
                        // Of the function itself, which ended without an answer.
                        problem => (format!("status {}", problem.status).into(), None),
                    }
                }
                Ok(Ok(answer)) => {
                    let asked = answer.header("retry-after").and_then(|seconds| seconds.parse().ok());
                    (
                        format!("status {}", answer.status).into(),
                        asked.map(Duration::from_secs).map(|asked| asked.min(DAY)),
                    )
                }
                Ok(Err(SendError::NotSent(error))) => return Err(ClientError::NotSent(error)),
                Ok(Err(error)) => (error.into(), None),
                Err(_) => ("no answer in time".into(), None),
            };
            let pause = pause(tries, fastrand::f64()).max(wait.unwrap_or_default());
            if Instant::now() + pause >= until {
                return Err(ClientError::Unanswered { tries, last });
            }
            sleep(pause).await;
        }
    }
}

/// The end of a time that a caller names, which may be longer than a clock counts.
fn after(within: Duration) -> Instant {
    Instant::now() + within.min(365 * DAY)
}

/// Whether the same request may be carried out later.
fn is_passing(status: u16) -> bool {
    matches!(status, 408 | 429 | 502 | 503 | 504)
}

/// The pause after try number `tries`, from 1. The longest one doubles with each try. `random` is from 0 to 1, and chooses
/// between half of the longest and all of it, so that clients which failed together do not come back together.
fn pause(tries: u32, random: f64) -> Duration {
    let longest = PAUSE.saturating_mul(1 << (tries - 1).min(16)).min(PAUSE_MAX);
    longest.mul_f64(0.5 + random / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_five_seconds() {
        let pauses: Vec<_> = (1..=8).map(|tries| pause(tries, 1.0).as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
        assert_eq!(pause(1, 0.0).as_millis(), 50);
    }

    #[test]
    fn only_what_passes_is_repeated() {
        assert!([429, 502, 503, 504].into_iter().all(is_passing));
        assert!(![400, 401, 403, 409, 410, 422, 500].into_iter().any(is_passing));
    }
}
