//! A request to a function URL, and its signature.

use std::time::{Duration, SystemTime};

use aws_sdk_lambda::config::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use aws_smithy_runtime_api::client::identity::Identity;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use serde::Deserialize;
use serde_json::Value;

/// Who calls.
#[derive(Clone, Deserialize)]
pub struct Caller {
    pub access_key: String,
    pub secret_key: String,
    /// That of a session of a role.
    pub token: Option<String>,
    pub arn: String,
    pub user_id: String,
}

/// What a signature is made of, apart from the request.
pub struct Signature<'a> {
    pub caller: &'a Caller,
    pub region: &'a str,
    pub service: &'a str,
    /// How long ago it is made.
    pub age: Duration,
}

/// A request with these headers, of which one may occur several times.
pub fn request(
    method: &str,
    url: String,
    headers: &[(&'static str, &'static str)],
    body: &[u8],
) -> HttpRequest {
    let mut request = HttpRequest::new(SdkBody::from(body));
    request.set_method(method).unwrap();
    request.set_uri(url).unwrap();
    for (name, value) in headers {
        request.headers_mut().append(*name, *value);
    }
    request
}

impl Signature<'_> {
    pub fn add_to(&self, request: &mut HttpRequest) {
        let Caller { access_key, secret_key, token, .. } = self.caller;
        let identity = Identity::from(Credentials::new(access_key, secret_key, token.clone(), None, "probe"));
        let params = SigningParams::builder().identity(&identity).region(self.region).name(self.service);
        let params = params.time(SystemTime::now() - self.age).settings(SigningSettings::default());
        let body = SignableBody::Bytes(request.body().bytes().unwrap());
        let signable = SignableRequest::new(request.method(), request.uri(), request.headers().iter(), body);
        let signed = sign(signable.unwrap(), &params.build().unwrap().into()).unwrap();
        let (instructions, _) = signed.into_parts();
        for (name, value) in instructions.headers() {
            request.headers_mut().insert(name.to_owned(), value.to_owned());
        }
    }
}

/// Sends a request as it is. Returns the status and the body of the answer.
pub async fn send(request: HttpRequest) -> (u16, Value) {
    let answer =
        handover_external_http::send(&handover_external_http::connector(), None, request).await.unwrap();
    (answer.status, Value::Object(answer.body))
}
