//! The pages of requests over HTTP that are not carried out.

use super::page::Page;

pub(super) const UNAUTHENTICATED: Page = Page {
    cause: "
The request came without the identity of a user or role, and the stage takes none without. AWS verifies the
signature of a request and passes the identity on; the function answers this code where there is none.",
    fix: r#"
Sign the request by AWS Signature Version 4, for the service `lambda` and the Region of the stack. With curl:
`--aws-sigv4 aws:amz:REGION:lambda --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY"`, and with temporary
credentials also `--header "x-amz-security-token: $AWS_SESSION_TOKEN"`."#,
    mistake: "
To sign for the service `execute-api`, which is that of API Gateway. A wrong signature never comes so far: AWS
answers it with 403, and without this code.",
    ..Page::NEW
};

pub(super) const FORBIDDEN: Page = Page {
    cause: "
Callers of this stack see and do only what concerns what they sent themselves, and the request asks for what
an operator may do: to list, redrive or close what others sent.",
    fix: "
Call as an operator. If the caller is to be one, add the unique id of its role or user (`AROA…` or `AIDA…`) to
the operators of the API, and deploy the stack. `aws sts get-caller-identity` shows it as `UserId`, before the
colon.",
    mistake: "
To name the role by its ARN or its name. A role that is made anew has another unique id.",
    ..Page::NEW
};

pub(super) const UNKNOWN_PATH: Page = Page {
    cause: "
No call has this path. The paths are `/notifications`, `/notifications/batch`, `/notifications/ID`,
`/notifications/ID/redrive` and `/notifications/ID/close`.",
    fix: "
Compare the path with the description of the interface at `/openapi.json`. Encode an id as one part of the
path: `order/7` is `/notifications/order%2F7`.",
    mistake: "
An id with a `/`, `?`, `#` or `%` that is not encoded, or a `/` at the end of the path.",
    ..Page::NEW
};

pub(super) const METHOD_NOT_ALLOWED: Page = Page {
    cause: "
There is a call at this path, with another method. The header `Allow` of the answer has those that it takes.",
    fix: "
Send one of the methods of `Allow`.",
    mistake: "
`PUT` to send an event: `POST` it to `/notifications`, where its `id` makes a repeat harmless. A redirect that
makes a `GET` of a `POST` is another.",
    ..Page::NEW
};

pub(super) const UNSUPPORTED_MEDIA_TYPE: Page = Page {
    cause: "
`Content-Type` is missing, is not of JSON, or names another character set than UTF-8.",
    fix: "
Send `Content-Type: application/cloudevents+json` with an event, and `application/json` with any other body.
Both may have `charset=utf-8`.",
    mistake: "
`curl --data` without a header, which sends `application/x-www-form-urlencoded`. Another is CloudEvents in
binary mode, with `ce-` headers: send the event in structured mode, all of it in the body.",
    ..Page::NEW
};

pub(super) const INVALID_BODY: Page = Page {
    cause: "
The body is not of the form that the call takes, or one of its fields has a value that it cannot have. A batch
is a JSON array of events. A redrive and a close take a JSON object with a `reason`, and at most a
`destination`.",
    fix: r#"
Correct the field that the detail of the answer names:

```json
{ "reason": "the provider is back", "destination": "payment" }
```"#,
    mistake: "
No `reason`. It stays on the record, and tells who looks at it later why an operator did this. Another is a
batch of one event without the brackets of the array.",
    ..Page::NEW
};

pub(super) const HEADER_TOO_LARGE: Page = Page {
    cause: "
The names and values of all headers take more bytes together than they may. The detail of the answer has both
numbers.",
    fix: "
Send only the headers that the call takes.",
    mistake: "
To pass on every header of an incoming request, its cookies too.",
    ..Page::NEW
};

pub(super) const DUPLICATE_HEADER: Page = Page {
    cause: "
A header that may come once came several times, or its value has a comma, as if it did. AWS joins headers of
one name by commas, so that the two look the same.",
    fix: r#"
Send the header that the detail of the answer names once. Write an `Idempotency-Key` with a comma in quotes:
`Idempotency-Key: "a,b"`."#,
    mistake: "
A proxy or a client library that adds a header beside the one that the caller has set.",
    ..Page::NEW
};

pub(super) const INVALID_HEADER: Page = Page {
    cause: "
A header has a value that it cannot have, or that means nothing for this call: such as a `Prefer: wait` that
is not a whole number of seconds, or an `Idempotency-Key` for a batch.",
    fix: "
Correct the header that the detail of the answer names. To wait for up to ten seconds: `Prefer: wait=10`. For
a batch give each event an `id`.",
    mistake: "
A unit or a fraction: `wait=10s` or `wait=0.5`.",
    ..Page::NEW
};

pub(super) const UNKNOWN_PARAMETER: Page = Page {
    cause: "
The query has a parameter that this call does not take. An unknown one is refused: if it were ignored, a
misspelt filter would choose everything.",
    fix: "
Send only the parameters that the detail of the answer names.",
    mistake: "
`dest` for `destination`, or a parameter of the list in the request for one notification.",
    ..Page::NEW
};

pub(super) const INVALID_PARAMETER: Page = Page {
    cause: "
A parameter of the query has a value that it cannot have, or is there twice. `state` is one of `open`, `late`,
`dead` and `recent`; `since` is a time of RFC 3339; `source` has 1 to 256 visible ASCII characters.",
    fix: "
Correct the parameter that the detail of the answer names, and encode its value for a query: a `+` is `%2B`.",
    mistake: "
A time with an offset whose `+` is not encoded: a query takes it for a space. `2026-11-22T08:15:00Z` needs no
encoding.",
    ..Page::NEW
};

pub(super) const NO_ID: Page = Page {
    cause: "
The event has no `id`, and the request no `Idempotency-Key`. Without one of them a repeat of the request,
after an answer that was lost, would be another notification.",
    fix: "
Send the header `Idempotency-Key` with a text that is the same in each try of this event and in no other, such
as a UUID that is made before the first try. Or give the event an `id`.",
    mistake: "
To make the key anew in each try, for instance inside of the function that a retry library repeats.",
    ..Page::NEW
};

pub(super) const KEY_AND_ID: Page = Page {
    cause: "
The event has an `id`, the request has an `Idempotency-Key`, and they are not the same. Each of them says what
a repeat is, so that they cannot differ.",
    fix: "
Send one of them. The `id` is the better one where the event has a name of its own, since every sender can
derive it.",
    mistake: "
A client library that adds a random `Idempotency-Key` to every request.",
    ..Page::NEW
};

pub(super) const INVALID_KEY: Page = Page {
    cause: "
The `Idempotency-Key` is empty, longer than 255 bytes, or has other characters than visible ASCII, such as a
space; or its quotes do not match.",
    fix: r#"
Send 1 to 255 visible ASCII characters, all of them in quotes or none: `Idempotency-Key: "8e03978e"`. In
quotes, write `\"` for a quote and `\\` for a backslash."#,
    mistake: "
A text that a user typed, or a whole JSON document, as the key. A UUID or a hash is right.",
    ..Page::NEW
};

pub(super) const KEY_REUSED: Page = Page {
    cause: "
The same caller has sent other content with this `Idempotency-Key` for this `source`, and that was accepted.
What counts as content is `type`, `subject`, `partitionkey`, `sequence` and `data`. What was accepted is
unchanged.",
    fix: "
If it is another event, send it with a key of its own. If it is a repeat, send what was sent first: the
notification of the first request shows it.",
    mistake: "
A key that is made once for a process, or from the id of an entity in place of that of the change. Another is
data that differs with each try, such as the time of sending in `data`; put that into `time`, which is not
compared.",
    ..Page::NEW
};

pub(super) const INVALID_TOKEN: Page = Page {
    cause: "
`If-None-Match` is not an `ETag` that this stack gave for this notification. It was changed on its way, or is
that of another notification.",
    fix: "
Send one `ETag` as it was received, with its quotes. Without one, leave the header out: the answer has the
current one.",
    mistake: "
`*`, a list of several, or a weak one: a proxy that compresses an answer may put `W/` before its `ETag`. Keep
tokens by id and source, since an id alone does not name a notification.",
    ..Page::NEW
};

pub(super) const INVALID_CURSOR: Page = Page {
    cause: "
The cursor is not one that this list gave. A cursor is of one list: of one `state`, `destination`, `type` and
`since`.",
    fix: "
Send the cursor of the page before as it was received, with the same other parameters. To change them, begin
without a cursor.",
    mistake: "
To change the filter in the middle of a list, or to decode the cursor and put it together anew.",
    ..Page::NEW
};

pub(super) const TOO_MANY_ITEMS: Page = Page {
    cause: "
The batch has more events than it may have. The detail of the answer has both numbers. Nothing of it was
accepted.",
    fix: "
Send it in parts.",
    mistake: "
To collect events until a time is over, without a look at how many there are. The bytes of a body have a
limit, too.",
    ..Page::NEW
};

pub(super) const GONE: Page = Page {
    cause: "
The request has a version token of a record that is no longer there. It ended, was kept for the time that the
stack keeps records, and has expired; or its id was used again after that.",
    fix: "
Ask without `If-None-Match` whether the id is in use now. What is needed for longer than the stack keeps
records, keep yourself, or raise `LedgerDays` of the stack.",
    mistake: "
To poll with a token that was kept for months. A repeat that is sent after the record has expired is a new
notification.",
    ..Page::NEW
};

pub(super) const UNEXPECTED: Page = Page {
    cause: "
The service cannot carry the request out, and a repeat does not help before its operator has corrected
something, such as a permission or a table. The caller is not told what: the text names the parts of the
stack.",
    fix: "
As an operator, read the log of the function at that time: it has the fault. The pages of `denied`,
`no-resource`, `invalid`, `missing` and `unreadable` say what to do. As a caller, tell the operator, and
repeat the request later as it is. It may have taken effect, and a repeat is safe.",
    mistake: "
To send the event again under another id, or with another `Idempotency-Key`. If the first request took effect,
that makes a second notification.",
    see: &[("Faults", "../runbooks.md#faults")],
    ..Page::NEW
};
