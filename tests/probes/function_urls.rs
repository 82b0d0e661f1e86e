//! Lambda's function URLs: who may call one, and what the function is told of the request.

use std::time::Duration;

use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::signed::{Caller, Signature, request, send};
use crate::world::{World, deploy, run};

/// Of the text `body`, in hexadecimal digits.
const SHA_256_OF_BODY: &str = "230d8358dc8e8890b4c58deeb62912ee2f20357ae92a5cc861b98e68fe31acb5";

/// A function that answers with its event, behind a URL.
#[derive(Deserialize)]
struct Deployed {
    function: String,
    url: String,
    /// Where the URL asks for a signature.
    callers: Option<Callers>,
}

#[derive(Deserialize)]
struct Callers {
    /// Who runs the probes.
    owner: Caller,
    user: Caller,
    /// A session of a role.
    session: Caller,
    /// A user without permission.
    stranger: Caller,
}

/// All probes share these functions, and they stay, with the user and the role.
async fn deployed(auth_type: &'static str) -> &'static Deployed {
    static WITH_IAM: OnceCell<Deployed> = OnceCell::const_new();
    static OPEN: OnceCell<Deployed> = OnceCell::const_new();
    let cell = if auth_type == "AWS_IAM" { &WITH_IAM } else { &OPEN };
    cell.get_or_init(async || {
        let printed =
            tokio::task::spawn_blocking(move || run("deploy-url", &[deploy().as_ref(), auth_type.as_ref()]));
        serde_json::from_str(&printed.await.unwrap()).unwrap()
    })
    .await
}

/// A URL with `AWS_IAM`, and who calls it.
struct Url {
    url: &'static str,
    callers: &'static Callers,
    region: String,
}

impl Url {
    /// Also waits until the callers are known everywhere, so that a later refusal has another cause.
    async fn new(world: &World) -> Url {
        let Deployed { url, callers, .. } = deployed("AWS_IAM").await;
        let region = world.lambda.config().region().unwrap().to_string();
        let url = Url { url, callers: callers.as_ref().unwrap(), region };
        for caller in url.allowed() {
            world
                .until("the caller is let in", async || {
                    (status(url.signed(caller, url.get())).await == 200).then_some(())
                })
                .await;
        }
        url
    }

    /// Those who may call.
    fn allowed(&self) -> [&'static Caller; 3] {
        [&self.callers.owner, &self.callers.user, &self.callers.session]
    }

    fn get(&self) -> HttpRequest {
        request("GET", self.url.to_owned(), &[], &[])
    }

    fn signature<'a>(&'a self, caller: &'a Caller) -> Signature<'a> {
        Signature { caller, region: &self.region, service: "lambda", age: Duration::ZERO }
    }

    fn signed(&self, caller: &Caller, mut request: HttpRequest) -> HttpRequest {
        self.signature(caller).add_to(&mut request);
        request
    }
}

async fn status(request: HttpRequest) -> u16 {
    send(request).await.0
}

pub async fn the_url_of_a_stack_can_be_called(world: &World) {
    let Deployed { function, url, .. } = deployed("AWS_IAM").await;
    let config = world.lambda.get_function_url_config().function_name(function).send().await.unwrap();
    assert_eq!(&config.function_url, url);
    Url::new(world).await;
}

pub async fn a_request_without_a_right_signature_is_refused(world: &World) {
    let url = Url::new(world).await;
    assert_eq!(status(url.get()).await, 403, "not signed");
    for caller in url.allowed() {
        let post = || {
            // A body has to match its hash where that is signed, too.
            let headers = [("content-type", "text/plain"), ("x-amz-content-sha256", SHA_256_OF_BODY)];
            request("POST", format!("{}a?b=c", url.url), &headers, b"body")
        };
        let by = |caller: Caller| url.signed(&caller, post());
        let another = || "another".to_owned();
        let mut to_another_service = post();
        Signature { service: "execute-api", ..url.signature(caller) }.add_to(&mut to_another_service);
        let changed = |change: &dyn Fn(&mut HttpRequest)| {
            let mut signed = url.signed(caller, post());
            change(&mut signed);
            signed
        };
        let moved = |path: &str| changed(&|post| post.set_uri(format!("{}{path}", url.url)).unwrap());
        let retyped = |post: &mut HttpRequest| drop(post.headers_mut().insert("content-type", "text/html"));
        let refused = [
            ("another secret", by(Caller { secret_key: another(), ..caller.clone() })),
            ("another key", by(Caller { access_key: "AKIAIOSFODNN7EXAMPLE".to_owned(), ..caller.clone() })),
            ("another token", by(Caller { token: Some(another()), ..caller.clone() })),
            ("another service", to_another_service),
            ("another body", changed(&|post| *post.body_mut() = SdkBody::from("bode"))),
            ("another query", moved("a?b=d")),
            ("another path", moved("e?b=c")),
            ("another header", changed(&retyped)),
        ];
        assert_eq!(status(changed(&|_| ())).await, 200, "{}", caller.arn);
        for (difference, request) in refused {
            assert_eq!(status(request).await, 403, "{difference}: {}", caller.arn);
        }
    }
}

pub async fn a_request_signed_long_ago_is_refused(world: &World) {
    let url = Url::new(world).await;
    for caller in url.allowed() {
        let mut old = url.get();
        Signature { age: Duration::from_secs(20 * 60), ..url.signature(caller) }.add_to(&mut old);
        assert_eq!(status(old).await, 403, "{}", caller.arn);
    }
}

pub async fn a_caller_without_permission_is_refused(world: &World) {
    let url = Url::new(world).await;
    let status = status(url.signed(&url.callers.stranger, url.get())).await;
    assert_eq!(status, 403, "a caller without permission");
}

pub async fn a_function_is_told_who_called(world: &World) {
    let url = Url::new(world).await;
    for caller in url.allowed() {
        let (_, event) = send(url.signed(caller, url.get())).await;
        let account = caller.arn.split(':').nth(4);
        let expected = json!({
            "accessKey": caller.access_key,
            "accountId": account,
            "callerId": caller.user_id,
            "userArn": caller.arn,
            "userId": caller.user_id,
        });
        let mut iam = event["requestContext"]["authorizer"]["iam"].clone();
        // The first is null or left out, the second null outside of an organization.
        iam.as_object_mut()
            .unwrap()
            .retain(|name, _| !["cognitoIdentity", "principalOrgId"].contains(&&**name));
        assert_eq!(iam, expected);
        assert_eq!(event["requestContext"]["accountId"], json!(account));
    }
    let session = &url.callers.session;
    let (role, name) = session.user_id.split_once(':').unwrap();
    assert!(role.starts_with("AROA") && session.arn.ends_with(&format!("/{name}")), "{}", session.user_id);
}

pub async fn an_open_url_tells_no_caller(world: &World) {
    let Deployed { url, .. } = deployed("NONE").await;
    let event = world.until("the URL is open", async || {
        let (status, event) = send(request("GET", url.clone(), &[], &[])).await;
        (status == 200).then_some(event)
    });
    let context = &event.await["requestContext"];
    assert_eq!((&context["authorizer"], &context["accountId"]), (&Value::Null, &json!("anonymous")));
}

pub async fn a_function_gets_the_request_as_it_was_sent(world: &World) {
    let url = Url::new(world).await;
    let post = async |path: &str, headers: &[(&'static str, &'static str)], body: &[u8]| {
        let post = request("POST", format!("{}{path}", url.url), headers, body);
        let (status, event) = send(url.signed(&url.callers.user, post)).await;
        assert_eq!(status, 200, "{path}");
        event
    };

    let event = post("a%2Fb/c%20d/%C3%A9?z=1&x=a%2Cb&y=%C3%A9%20%26&x=2&empty=", &[], &[]).await;
    let path = "/a%2Fb/c%20d/%C3%A9";
    assert_eq!((&event["rawPath"], &event["requestContext"]["http"]["path"]), (&json!(path), &json!(path)));
    assert_eq!(event["rawQueryString"], "z=1&x=a%2Cb&y=%C3%A9%20%26&x=2&empty=");
    assert_eq!(event["queryStringParameters"], json!({ "z": "1", "x": "a,b,2", "y": "é &", "empty": "" }));
    assert_eq!((&event["body"], &event["isBase64Encoded"]), (&Value::Null, &json!(false)));
    assert_eq!(
        (&event["version"], &event["requestContext"]["http"]["method"]),
        (&json!("2.0"), &json!("POST"))
    );

    let headers = [("X-Several", "one"), ("X-Several", "two"), ("cookie", "a=1; b=2")];
    let event = post("", &headers, &[]).await;
    assert_eq!((&event["rawPath"], &event["rawQueryString"]), (&json!("/"), &json!("")));
    assert_eq!(
        (&event["headers"]["x-several"], &event["cookies"]),
        (&json!("one,two"), &json!(["a=1", "b=2"]))
    );

    let bytes: Vec<u8> = (0..=255).collect();
    for (content_type, is_text) in
        [("application/json; charset=utf-8", true), ("text/plain", true), ("application/octet-stream", false)]
    {
        let sent = if is_text { "{\"é\": 1}".as_bytes() } else { &bytes };
        let event = post("", &[("content-type", content_type)], sent).await;
        let body = if is_text { "{\"é\": 1}".to_owned() } else { BASE64_STANDARD.encode(&bytes) };
        assert_eq!((&event["body"], &event["isBase64Encoded"]), (&json!(body), &json!(!is_text)));
    }
}
