//! The pages of what holds a message up: a call to AWS that failed, or what a destination says of another
//! system. None of them counts an attempt.

use super::page::Page;

/// Of a call to AWS.
const CALL: Page = Page {
    seen: &[
        "every command that calls AWS",
        "the metric `Faults` of the namespace `Handover`, as its `Cause`",
        "code: `Fault::code`",
    ],
    see: &[("Faults", "../runbooks.md#faults")],
    ..Page::NEW
};

/// Of a function alone.
const FUNCTION: Page = Page {
    seen: &["the metric `Faults` of the namespace `Handover`, as its `Cause`"],
    see: &[("Faults", "../runbooks.md#faults")],
    ..Page::NEW
};

pub(super) const CONTENDED: Page = Page {
    cause: "
Another transaction held the item at that moment. DynamoDB lets one of them go first, and refuses the other.",
    fix: "
Nothing: the call is repeated. A caller of HTTP or of the command repeats the request. If it lasts, many
notifications write to one item, such as one balance: spread what they write over several items.",
    mistake: "
A counter of everything in one item, which each notification changes.",
    ..CALL
};

pub(super) const THROTTLED: Page = Page {
    seen: &[
        "every command that calls AWS",
        "the metric `Faults` of the namespace `Handover`, as its `Cause`",
        "`Failure::throttled`, by which a destination says it of another system",
        "code: `Fault::code`",
    ],
    cause: "
A table, a stream, a queue or a function takes no more calls for now, or another system asked to slow down.
The message waits, and is tried again.",
    fix: "
Repeat the request after a while, as an HTTP answer says in `Retry-After`. If it lasts, find out what is at
its limit: the maximum of the table, the shards of the stream, one hot key, or the concurrency of the account.",
    mistake: "
To repeat at once and in parallel, which makes it worse. Another is to add shards for one hot partition key,
which stays in one.",
    see: &[
        ("Throttles", "../runbooks.md#throttles"),
        ("Stream throttles", "../runbooks.md#stream-throttles"),
        ("Hot keys", "../sizing.md#hot-keys"),
    ],
};

pub(super) const UNAVAILABLE: Page = Page {
    cause: "
No answer came in time, the connection broke, or the service is in trouble. The call may have taken effect all
the same.",
    fix: "
Repeat it as it is: every call of Handover may be repeated, and what took effect is found. For the command
check the network, the proxy variables, and those that begin with `AWS_ENDPOINT_URL`; is the local AWS
running, if you use one?",
    mistake: "
To take it for a failure and to send the event under another id. If the first call took effect, that makes a
second notification.",
    ..CALL
};

pub(super) const LATER_RELEASE: Page = Page {
    cause: "
The record is in a state that a later release of Handover wrote, and this one does not know. Another part of
the stack is already deployed in that release.",
    fix: "
During a deployment nothing: the message waits until it is complete. Else deploy the later release everywhere,
or use the command of that release.",
    mistake: "
To roll back a part of the stack, or to keep an old command on a laptop.",
    ..CALL
};

pub(super) const DENIED: Page = Page {
    cause: "
AWS does not allow the call to these credentials, or there are none. It will give the same answer until
somebody corrects that. The error names the permission, where AWS does.",
    fix: "
Give the role the action on the resource that the error names. The roles that the templates make have all that
the functions need, and `infra/policies/` has what an operator and a producer need. Credentials that have
expired are renewed by `aws sso login`, or by whatever gave them.",
    mistake: "
The credentials of another account, or a policy whose resources do not begin with the name of this stack. On a
local AWS that was started anew, the keys of its last run: source `.local/env` again.",
    ..CALL
};

pub(super) const NO_RESOURCE: Page = Page {
    seen: &["the metric `Faults` of the namespace `Handover`, as its `Cause`", "code: `Fault::code`"],
    cause: "
The table, queue, stream, function or secret that the call names does not exist in this account and Region. A
command says `unknown-stack` instead.",
    fix: "
Compare `HANDOVER_PREFIX` of the function with the name of the stack: the names of tables and queues begin
with it. Is the destination's application of `destination.yaml` deployed?",
    mistake: "
A variable `DESTINATION` that is spelt in another way than `Name` of `destination.yaml`, so that the function
looks for queues that nobody made.",
    ..CALL
};

pub(super) const UNREADABLE: Page = Page {
    cause: "
An item that was read is not one that Handover writes: an attribute is missing, or has a type or a value that
it cannot have. The error names the attribute, and does not show its value.",
    fix: "
Find out who wrote it: Handover's tables are for Handover alone. Restore the item from a backup, or delete it
if it is not a notification of yours.",
    mistake: "
To correct a record by hand in the console, such as its state. `handover redrive` and `handover close` do
that, in one write with all that belongs to it.",
    ..CALL
};

pub(super) const OUT_OF_TIME: Page = Page {
    cause: "
The invocation of the function ended before the notification was completed, because of what came before it in
the batch. It is tried again in a later one.",
    fix: "
Nothing, unless it lasts: then the destination is too slow for its batch. Raise the time-out or the memory of
the function, its `HANDLER_CONCURRENCY`, or make the batch smaller.",
    mistake: "
To make one call after another in a handler where they could be made together.",
    ..FUNCTION
};

pub(super) const MISCONFIGURED: Page = Page {
    seen: &[
        "the metric `Faults` of the namespace `Handover`, as its `Cause`",
        "`Failure::misconfigured`, by which a destination says it",
    ],
    cause: "
A destination says that the other system will refuse every call until somebody corrects something on this
side: a token, a right, an address or a queue. Its notifications wait, and no attempt is counted.",
    fix: "
Read the text of the error: `handover status ID` and the log of the function have it. At 401 or 403 renew the
token and look at its rights, and at 404 the URL. All that waits is tried again within a quarter of an hour.",
    mistake: "
To redrive or to close what waits. It is not dead, and goes on by itself when the cause is corrected.",
    ..FUNCTION
};

pub(super) const ROUTES: Page = Page {
    cause: "
The routes of the function accept have a mistake, or name a destination that is not deployed. It accepts
nothing, gives each message back to the queue, and says in its log what is wrong.",
    fix: "
Correct the routes, or add the destination to `Destinations` of the core, and deploy. What waits comes by
itself. What was received six times meanwhile, for about four hours, is in the dead letters:
`handover refused --resend --all` sends it again.",
    mistake: "
To deploy routes in one step with a destination whose deployment fails. Deploy the destination first.",
    see: &[("Upstream age", "../runbooks.md#upstream-age"), ("The routes", "../routes.md")],
    ..FUNCTION
};
