"""Lambda's function URLs by AWS's rules: who may call one, and what the function is told. For both local AWSs.

Neither gives a function its caller's identity, and both change a request on its way. `caller` verifies a request, and
`correct` writes what came of it into the event that the local AWS has made.

https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

import base64
import hashlib
import hmac
import os
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from urllib.parse import parse_qs, parse_qsl, quote

# AWS's name of a URL leads to AWS. This path leads to the local AWS, from every client and by any name of the host.
PREFIX = "/_aws/lambda-url/"
ALGORITHM = "AWS4-HMAC-SHA256"
# How far from now a request may be signed.
SKEW_MAX = timedelta(minutes=5)
# Bodies of these types, and of text/*, are passed as text, all others as base64.
TEXT_TYPES = ("application/json", "application/javascript", "application/xml")
# Headers that the front end of a function URL sets.
FRONT_END = ("x-amzn-tls-", "x-amzn-trace-id", "x-forwarded-")
# Headers that concern one connection, or that LocalStack adds.
NOT_PASSED = ("connection", "remote-addr", "x-localstack-")


class Refused(Exception):
    """Why a request is answered with 403."""


@dataclass(frozen=True)
class Request:
    """A request as it was sent: its bytes as Latin-1, the path and the query percent-encoded."""

    method: str
    path: str
    query: str
    headers: list[tuple[str, str]]
    body: bytes

    def joined(self):
        """The headers by their names in lower case. One that was sent several times has its values between commas."""
        headers = {}
        for name, value in self.headers:
            headers.setdefault(name.lower(), []).append(value.strip())
        return {name: ",".join(values) for name, values in headers.items()}

    def function_path(self):
        """The path below the function's URL."""
        if self.path.startswith(PREFIX):
            return "/" + self.path.removeprefix(PREFIX).partition("/")[2]
        return self.path


@dataclass(frozen=True)
class Credential:
    """An access key, and whose it is."""

    secret: str
    token: str | None
    account: str
    arn: str
    user_id: str  # that of a role's session is ROLE_ID:SESSION_NAME, root's is the account


def local_url(url_id):
    return f"{os.environ['AWS_ENDPOINT_URL']}{PREFIX}{url_id}/"


def id_of(url):
    """The id in a function's URL, that of AWS's form or the local one."""
    return url.rstrip("/").rpartition("/")[2].partition(".")[0]


def answer(refused):
    """The status, headers and body of the answer to a refused request."""
    body = '{"Message":"%s"}' % refused
    return 403, {"Content-Type": "application/json", "x-amzn-ErrorType": "AccessDeniedException"}, body.encode()


def caller(request, region, credential_of):
    """Who signed the request, as `authorizer.iam` has it. `credential_of` returns the Credential of a key, or None.

    A signature in the query, as presigned URLs have it, is refused.
    """
    headers = request.joined()
    algorithm, _, fields = headers.get("authorization", "").partition(" ")
    if algorithm != ALGORITHM:
        raise Refused("Forbidden")
    fields = dict(field.strip().partition("=")[::2] for field in fields.split(","))
    try:
        key, *scope = fields["Credential"].split("/")
        signed, signature = fields["SignedHeaders"].split(";"), fields["Signature"]
        date = headers["x-amz-date"]
        at = datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc)
    except (KeyError, ValueError):
        raise Refused("The signature is incomplete.") from None
    if abs(datetime.now(timezone.utc) - at) > SKEW_MAX:
        raise Refused(f"Signature expired or not yet current: {date}")
    if scope != [date[:8], region, "lambda", "aws4_request"]:
        raise Refused("Credential should be scoped to the date, the region and the service lambda.")
    if "host" not in signed:
        raise Refused("'Host' must be a 'SignedHeader' in the Authorization header.")
    credential = credential_of(key)
    if not credential or not is_same(credential.token or "", headers.get("x-amz-security-token", "")):
        raise Refused("The security token included in the request is invalid.")
    body_hash = hashlib.sha256(request.body).hexdigest()
    expected = sign(credential.secret, scope, date, canonical(request, headers, signed, body_hash))
    if not is_same(expected, signature) or headers.get("x-amz-content-sha256", body_hash) != body_hash:
        raise Refused("The request signature we calculated does not match the signature you provided.")
    return {
        "accessKey": key,
        "accountId": credential.account,
        "callerId": credential.user_id,
        "cognitoIdentity": None,
        "principalOrgId": None,
        "userArn": credential.arn,
        "userId": credential.user_id,
    }


def is_same(one, other):
    return hmac.compare_digest(one.encode(), other.encode())


def canonical(request, headers, signed, body_hash):
    segments = []
    for segment in request.path.split("/"):
        if segment == "..":
            segments = segments[:-1]
        elif segment not in ("", "."):
            segments.append(segment)
    slash = "/" if segments and request.path.endswith("/") else ""
    pairs = parse_qsl(request.query, keep_blank_values=True, errors="surrogateescape")
    pairs = sorted(tuple(quote(part, safe="-_.~", errors="surrogateescape") for part in pair) for pair in pairs)
    return "\n".join(
        [
            request.method,
            quote("/" + "/".join(segments) + slash, safe="/-_.~"),  # once more: it was sent encoded
            "&".join("=".join(pair) for pair in pairs),
            *(f"{name}:{' '.join(headers.get(name, '').split())}" for name in signed),
            "",
            ";".join(signed),
            body_hash,
        ]
    )


def sign(secret, scope, date, canonical_request):
    digest = hashlib.sha256(canonical_request.encode("latin-1")).hexdigest()
    key = f"AWS4{secret}".encode()
    for part in scope:
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, "\n".join([ALGORITHM, date, "/".join(scope), digest]).encode(), "sha256").hex()


def correct(event, request, iam, url_id, account, region):
    """Makes an event of a local AWS what AWS would send. `iam` is the caller, or None where the URL asks for none."""
    domain = f"{url_id}.lambda-url.{region}.on.aws"
    headers = {name: value for name, value in request.joined().items() if not name.startswith(NOT_PASSED)}
    headers.update((name, value) for name, value in event["headers"].items() if name.startswith(FRONT_END))
    headers["host"] = domain
    for name in "body", "cookies", "queryStringParameters":  # left out where there is none
        event.pop(name, None)
    if headers.pop("cookie", None):
        cookies = [value for name, value in request.headers if name.lower() == "cookie"]
        event["cookies"] = [cookie.strip() for value in cookies for cookie in value.split(";")]
    if iam:
        headers.pop("authorization")
    if request.query:
        query = parse_qs(request.query, keep_blank_values=True)
        event["queryStringParameters"] = {name: ",".join(values) for name, values in query.items()}
    content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    is_text = content_type.startswith("text/") or content_type in TEXT_TYPES
    if request.body:
        event["body"] = request.body.decode(errors="replace") if is_text else base64.b64encode(request.body).decode()
    event["isBase64Encoded"] = bool(request.body) and not is_text
    event.update(rawPath=request.function_path(), rawQueryString=request.query, headers=headers)
    context = event["requestContext"]
    context["http"]["path"] = request.function_path()
    context.update(accountId=account if iam else "anonymous", domainName=domain)
    if iam:
        context["authorizer"] = {"iam": iam}
    return event
