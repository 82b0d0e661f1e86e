//! Signs requests by AWS Signature Version 4, sends them, and reads their answers.

use std::time::SystemTime;

use aws_config::SdkConfig;
use aws_sdk_dynamodb::config::{ProvideCredentials, SharedCredentialsProvider};
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::http::{HttpConnector, SharedHttpConnector};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;

use crate::aws::connector;
use crate::error::{BoxError, Error};

/// The service that function URLs are signed for.
const SERVICE: &str = "lambda";
/// Longest body of an answer that is read, in bytes: a record with its payload is shorter.
const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Calls a function URL as a user or role.
#[derive(Clone, Debug)]
pub struct SignedClient {
    /// Without a slash at its end.
    url: String,
    connector: SharedHttpConnector,
    credentials: SharedCredentialsProvider,
    region: String,
}

/// What the interface answered.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The headers, by their names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// Why there is no answer to a request.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// It was not sent: it is none, or there are no credentials to sign it with.
    #[error("the request was not sent")]
    NotSent(#[source] BoxError),
    /// It may have been sent, and may have taken effect.
    #[error("no answer")]
    Unanswered(#[source] BoxError),
}

impl Answer {
    /// The value of a header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

impl SignedClient {
    /// Calls the interface at this URL, with the credentials and the Region of this configuration.
    ///
    /// # Errors
    /// When the configuration has no credentials or no Region, or `AWS_CA_BUNDLE` names no certificates.
    pub fn new(aws: &SdkConfig, url: &str) -> Result<SignedClient, Error> {
        Ok(SignedClient {
            url: url.trim_end_matches('/').to_owned(),
            connector: connector()?,
            credentials: aws.credentials_provider().ok_or(Error::Missing("AWS_ACCESS_KEY_ID"))?,
            region: aws.region().ok_or(Error::Missing("AWS_REGION"))?.to_string(),
        })
    }

    /// Sends a request, signed now. `path` begins with a slash and may have a query.
    ///
    /// # Errors
    /// A [`SendError`]. Nothing that holds a secret is in its text.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Answer, SendError> {
        let mut request = self.request(method, path, headers, body).map_err(SendError::NotSent)?;
        self.sign(&mut request, body).await.map_err(SendError::NotSent)?;
        self.call(request).await.map_err(SendError::Unanswered)
    }

    /// Sends a request that nobody signed.
    ///
    /// # Errors
    /// As [`send`](SignedClient::send).
    pub async fn send_unsigned(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Answer, SendError> {
        let request = self.request(method, path, headers, body).map_err(SendError::NotSent)?;
        self.call(request).await.map_err(SendError::Unanswered)
    }

    fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<HttpRequest, BoxError> {
        let mut request = HttpRequest::new(SdkBody::from(body.to_vec()));
        request.set_method(method)?;
        request.set_uri(format!("{}{path}", self.url))?;
        for (name, value) in headers {
            request.headers_mut().try_append((*name).to_owned(), (*value).to_owned())?;
        }
        Ok(request)
    }

    async fn sign(&self, request: &mut HttpRequest, body: &[u8]) -> Result<(), BoxError> {
        let identity = self.credentials.provide_credentials().await?.into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(SERVICE)
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()?;
        let headers = request.headers().iter();
        let signable =
            SignableRequest::new(request.method(), request.uri(), headers, SignableBody::Bytes(body))?;
        let (instructions, _) = sign(signable, &params.into())?.into_parts();
        for (name, value) in instructions.headers() {
            request.headers_mut().try_insert(name.to_owned(), value.to_owned())?;
        }
        Ok(())
    }

    async fn call(&self, request: HttpRequest) -> Result<Answer, BoxError> {
        let response = self.connector.call(request).await?;
        let headers = response.headers().iter();
        let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
        let status = response.status().as_u16();
        let (mut stream, mut body) = (ByteStream::new(response.into_body()), Vec::new());
        while let Some(part) = stream.try_next().await? {
            body.extend_from_slice(&part);
            if body.len() > BODY_BYTES_MAX {
                return Err(format!("the answer is over {BODY_BYTES_MAX} bytes").into());
            }
        }
        Ok(Answer { status, headers, body })
    }
}
