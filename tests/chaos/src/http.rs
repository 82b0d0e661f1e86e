//! Sends lines by the HTTP interface, as a client service does: it repeats each request until it has an answer.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use handover::client::SignedClient;
use tokio::time::{sleep, timeout};

use crate::damage::checkout;

/// Longest time until a request is answered. The local AWS is paused for some seconds at a time.
const ANSWERED_WITHIN: Duration = Duration::from_secs(120);
/// Longest time that one try takes.
const TRY: Duration = Duration::from_secs(15);
/// Time between two tries, in milliseconds.
const PAUSE_MS: u64 = 200;

/// The HTTP interface of the stack.
pub struct Http(SignedClient);

impl Http {
    /// Finds the interface by the outputs of the stack.
    pub async fn connect(stack: &str) -> anyhow::Result<Http> {
        let query = "Stacks[0].Outputs[?OutputKey=='ApiUrl'].OutputValue";
        let aws = Command::new(checkout().join(".local/venv/bin/python"))
            .args(["-m", "awscli", "--output", "text", "cloudformation", "describe-stacks"])
            .args(["--stack-name", stack, "--query", query])
            .output()
            .context("cannot run the AWS CLI")?;
        ensure!(aws.status.success(), "{}", String::from_utf8_lossy(&aws.stderr));
        let url = String::from_utf8(aws.stdout)?;
        let config = handover::aws::config()?.load().await;
        Ok(Http(SignedClient::new(&config, url.trim())?))
    }

    /// Hands over an event. Returns why it was refused, if it was, beginning with the code.
    pub async fn send(&self, event: &str) -> anyhow::Result<Option<String>> {
        let headers = [("content-type", "application/cloudevents+json")];
        let begun = Instant::now();
        while begun.elapsed() < ANSWERED_WITHIN {
            let sent = self.0.send("POST", "/notifications", &headers, event.as_bytes());
            match timeout(TRY, sent).await {
                Ok(Ok(answer)) if matches!(answer.status, 200 | 202) => return Ok(None),
                Ok(Ok(answer)) if matches!(answer.status, 400..=428) => {
                    let problem: serde_json::Value = serde_json::from_slice(&answer.body)
                        .with_context(|| format!("status {} without a problem", answer.status))?;
                    let text = |name: &str| problem[name].as_str().unwrap_or_default().to_owned();
                    return Ok(Some(format!("{}: {}", text("code"), text("detail"))));
                }
                // No answer, or none of the function: it may be in custody or not.
                _ => sleep(Duration::from_millis(PAUSE_MS)).await,
            }
        }
        bail!("a request was not answered within {} s", ANSWERED_WITHIN.as_secs())
    }
}
