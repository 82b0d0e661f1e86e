//! A request to a provider, and the way to its answer.

use std::error::Error;
use std::{fmt, io};

use aws_smithy_http_client::Connector;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use handover::{CallFailure, Failure};
use serde::Serialize;
use serde_json::Value;

use crate::answer::{Answer, retry_after};
use crate::token::Token;

/// Longest body of an answer that is read, in bytes: a function has many of them at once.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// Why there is no answer. With `?` it becomes the [`CallFailure`] of a call, or the [`Failure`] of a question.
#[derive(Clone, Debug, PartialEq)]
pub enum NoAnswer {
    /// Nothing was sent: the request cannot be made, its token cannot be read, or the connection was refused.
    NotSent(Failure),
    /// The provider may have taken the request, or may still do so.
    Unknown(Failure),
}

impl From<NoAnswer> for CallFailure {
    fn from(no_answer: NoAnswer) -> CallFailure {
        match no_answer {
            NoAnswer::NotSent(failure) => CallFailure::not_done(failure),
            NoAnswer::Unknown(failure) => CallFailure::unknown(failure),
        }
    }
}

impl From<NoAnswer> for Failure {
    fn from(no_answer: NoAnswer) -> Failure {
        let (NoAnswer::NotSent(failure) | NoAnswer::Unknown(failure)) = no_answer;
        failure
    }
}

/// The HTTP client of the SDK, so that a function needs no second one. It speaks TLS by rustls over ring.
pub fn connector() -> SharedHttpConnector {
    SharedHttpConnector::new(Connector::builder().tls_provider(Provider::Rustls(CryptoMode::Ring)).build())
}

/// In a test, in place of [`connector`]: answers each request itself, with a status and a body.
pub fn answering(
    answer: impl Fn(&HttpRequest) -> (u16, Value) + Send + Sync + 'static,
) -> SharedHttpConnector {
    SharedHttpConnector::new(Answering(answer))
}

struct Answering<A>(A);

impl<A> fmt::Debug for Answering<A> {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        to.write_str("Answering")
    }
}

impl<A: Fn(&HttpRequest) -> (u16, Value) + Send + Sync> HttpConnector for Answering<A> {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let Answering(answer) = self;
        let (status, body) = answer(&request);
        let status = StatusCode::try_from(status).map_err(|error| ConnectorError::user(error.into()));
        let response = |status| HttpResponse::new(status, SdkBody::from(body.to_string()));
        HttpConnectorFuture::ready(status.map(response))
    }
}

/// A `POST` of this body as JSON, with the key in its header `Idempotency-Key`: each call for a notification has the
/// same one, and no call for another has it, by [`idempotency_key`](handover::NotificationKey::idempotency_key).
///
/// # Errors
/// [`NoAnswer::NotSent`], where the URL is none or the body has no form in JSON.
pub fn post(url: String, idempotency_key: String, body: &impl Serialize) -> Result<HttpRequest, NoAnswer> {
    let mut post = HttpRequest::new(SdkBody::from(serde_json::to_vec(body).map_err(not_sent)?));
    post.set_method("POST").map_err(not_sent)?;
    post.set_uri(url).map_err(not_sent)?;
    post.headers_mut().insert("content-type", "application/json");
    post.headers_mut().insert("idempotency-key", idempotency_key);
    Ok(post)
}

/// A `GET`.
///
/// # Errors
/// [`NoAnswer::NotSent`], where the URL is none.
pub fn get(url: String) -> Result<HttpRequest, NoAnswer> {
    let mut get = HttpRequest::new(SdkBody::empty());
    get.set_uri(url).map_err(not_sent)?;
    Ok(get)
}

/// Sends a request with the token, if the provider takes one, and reads its answer: as much of the body as any contract
/// needs. It takes as long as the caller lets it; [`External::timeout`](handover::External::timeout) ends it.
///
/// # Errors
/// [`NoAnswer`].
pub async fn send(
    http: &SharedHttpConnector,
    token: Option<&Token>,
    mut request: HttpRequest,
) -> Result<Answer, NoAnswer> {
    if let Some(token) = token {
        let authorization = token.authorization().await.map_err(NoAnswer::NotSent)?;
        request.headers_mut().insert("authorization", authorization);
    }
    let response = http.call(request).await.map_err(Unanswered::new)?;
    let (status, retry_after) = (response.status().as_u16(), retry_after(response.headers()));
    // A refused connection has no response.
    let body = read(response.into_body()).await.map_err(|error| NoAnswer::Unknown(error.into()))?;
    if let (401 | 403, Some(token)) = (status, token) {
        token.refused();
    }
    Ok(Answer { status, retry_after, body: serde_json::from_slice(&body).unwrap_or_default() })
}

/// The body of an answer; none where it is longer than any of a contract.
async fn read(body: SdkBody) -> Result<Vec<u8>, Unanswered> {
    let (mut stream, mut body) = (ByteStream::new(body), Vec::new());
    while let Some(part) = stream.try_next().await.map_err(Unanswered::new)? {
        body.extend_from_slice(&part);
        if body.len() > BODY_BYTES_MAX {
            return Ok(Vec::new());
        }
    }
    Ok(body)
}

fn not_sent(error: impl Error + 'static) -> NoAnswer {
    NoAnswer::NotSent(error.into())
}

/// A request without a response. Its cause names no URL, which may hold a secret.
#[derive(Debug)]
struct Unanswered(Box<dyn Error + Send + Sync>);

impl Unanswered {
    fn new(error: impl Into<Box<dyn Error + Send + Sync>>) -> Unanswered {
        Unanswered(error.into())
    }

    /// Whether the connection was refused, so that nothing was sent.
    fn is_refused(&self) -> bool {
        let begin: &(dyn Error + 'static) = self;
        let causes = std::iter::successors(Some(begin), |error| (*error).source());
        let mut causes = causes.filter_map(|error| error.downcast_ref::<io::Error>());
        causes.any(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    }
}

impl From<Unanswered> for NoAnswer {
    fn from(unanswered: Unanswered) -> NoAnswer {
        match unanswered.is_refused() {
            true => NoAnswer::NotSent(unanswered.into()),
            false => NoAnswer::Unknown(unanswered.into()),
        }
    }
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("the provider did not answer")
    }
}

impl Error for Unanswered {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::token::tests::Secrets;

    /// A provider with this answer, or none: what it was asked for.
    #[derive(Clone, Debug)]
    struct Provider {
        answer: Result<(u16, &'static str), io::ErrorKind>,
        asked: Arc<Mutex<Vec<HttpRequest>>>,
    }

    impl HttpConnector for Provider {
        fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
            self.asked.lock().unwrap().push(request);
            HttpConnectorFuture::ready(match self.answer {
                Ok((status, body)) => Ok(HttpResponse::new(status.try_into().unwrap(), body.into())),
                Err(kind) => Err(ConnectorError::io(io::Error::from(kind).into())),
            })
        }
    }

    impl Provider {
        fn with(answer: Result<(u16, &'static str), io::ErrorKind>) -> Provider {
            Provider { answer, asked: Arc::default() }
        }

        async fn send(&self, token: Option<&Token>) -> Result<Answer, NoAnswer> {
            let post = post("https://provider.example/labels".into(), "a-key".into(), &7).unwrap();
            send(&SharedHttpConnector::new(self.clone()), token, post).await
        }

        fn requests(&self) -> usize {
            self.asked.lock().unwrap().len()
        }
    }

    #[tokio::test]
    async fn a_request_has_its_key_and_its_token() {
        let (provider, secrets) = (Provider::with(Ok((201, r#"{"label":"l-1"}"#))), Secrets::with("one"));
        let answer = provider.send(Some(&secrets.token().await)).await.unwrap();
        assert_eq!((answer.status, answer.id("label")), (201, Some("l-1")));
        let asked = provider.asked.lock().unwrap();
        let header = |name| asked[0].headers().get(name);
        assert_eq!((asked[0].method(), asked[0].uri()), ("POST", "https://provider.example/labels"));
        assert_eq!((header("idempotency-key"), header("authorization")), (Some("a-key"), Some("Bearer one")));
        assert_eq!(
            (header("content-type"), asked[0].body().bytes()),
            (Some("application/json"), Some(&b"7"[..]))
        );
    }

    #[tokio::test]
    async fn in_a_test_a_request_is_answered_without_a_connection() {
        let http = answering(|request| match request.headers().get("idempotency-key") {
            Some("a-key") => (201, serde_json::json!({ "label": "l-1" })),
            _ => (0, Value::Null),
        });
        let sent =
            async |key: &str| send(&http, None, post("https://p.example".into(), key.into(), &7)?).await;
        assert_eq!(sent("a-key").await.unwrap().id("label"), Some("l-1"));
        assert!(sent("another").await.is_err(), "0 is no status");
    }

    #[tokio::test]
    async fn nothing_is_sent_until_the_token_can_be_read() {
        let (provider, secrets) = (Provider::with(Ok((200, "{}"))), Secrets::with(""));
        let token = secrets.token().await;
        let held_up = token.authorization().await.unwrap_err();
        assert_eq!(provider.send(Some(&token)).await, Err(NoAnswer::NotSent(held_up)));
        assert_eq!(provider.requests(), 0);
        secrets.set("one");
        token.age();
        assert!(provider.send(Some(&token)).await.is_ok());
        assert_eq!(provider.requests(), 1);
    }

    #[tokio::test]
    async fn a_token_that_an_answer_refuses_is_read_again() {
        let (provider, secrets) = (Provider::with(Ok((401, ""))), Secrets::with("one"));
        let token = secrets.token().await;
        for _ in 0..2 {
            token.age();
            provider.send(Some(&token)).await.unwrap();
        }
        assert_eq!(secrets.reads(), 2);
    }

    #[tokio::test]
    async fn only_a_refused_connection_says_that_nothing_was_sent() {
        let refused = Provider::with(Err(io::ErrorKind::ConnectionRefused)).send(None).await.unwrap_err();
        let error = "the provider did not answer: io error: connection refused";
        assert_eq!(refused, NoAnswer::NotSent(Failure::transient(error)));
        assert_eq!(CallFailure::from(refused), CallFailure::not_done(Failure::transient(error)));
        let reset = Provider::with(Err(io::ErrorKind::ConnectionReset)).send(None).await.unwrap_err();
        let error = "the provider did not answer: io error: connection reset";
        assert_eq!(reset, NoAnswer::Unknown(Failure::transient(error)));
        assert_eq!(CallFailure::from(reset), CallFailure::unknown(Failure::transient(error)));
    }

    #[tokio::test]
    async fn a_request_that_cannot_be_made_is_not_sent_and_its_error_does_not_quote_it() {
        let error = get("https://provider.example/a secret".into()).unwrap_err();
        assert!(
            matches!(&error, NoAnswer::NotSent(_)) && !format!("{error:?}").contains("secret"),
            "{error:?}"
        );
    }

    #[tokio::test]
    async fn an_answer_is_read_up_to_its_longest() {
        let read = async |bytes: usize| super::read(SdkBody::from(vec![b' '; bytes])).await.unwrap().len();
        assert_eq!(read(BODY_BYTES_MAX).await, BODY_BYTES_MAX);
        assert_eq!(read(BODY_BYTES_MAX + 1).await, 0);
    }
}
