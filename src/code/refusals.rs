//! The pages of what is refused: a message that cannot be accepted as it is.

use super::page::Page;

const ACCEPT: &str = "accept: the attribute `reason` of the message in `STACK-upstream-dead-letters`, which \
                      `handover refused` lists";
const SEND: &str = "`handover send`: a line that it does not send";
const DRAFT: &str = "code: `Refusal::code`, where a draft is built or an outbox accepts it";

/// Of what only bytes can be, which somebody sends.
const SENT: Page = Page { seen: &[ACCEPT, SEND], ..Page::NEW };

/// Of what a program can build, too.
const BUILT: Page = Page {
    seen: &[
        ACCEPT,
        SEND,
        DRAFT,
        "a destination that emits it: the error of the failed attempt has the text of the refusal",
    ],
    ..Page::NEW
};

/// Of what the routes say.
const ROUTED: Page = Page {
    see: &[
        ("The routes", "../routes.md"),
        ("Send refused messages again", "../runbooks.md#refused-messages"),
    ],
    ..BUILT
};

pub(super) const NOT_UTF8: Page = Page {
    cause: "
An event is JSON in UTF-8. The error names the offset of the first byte, from 0, that is not.",
    fix: "
Encode the event as UTF-8, and send it again under the same id. Put binary data into `data` as a string in
base64, or store it elsewhere and send a reference.",
    mistake: "
A file that an editor or a spreadsheet saved as Latin-1 or UTF-16. `iconv -f LATIN1 -t UTF-8 FILE` rewrites
it.",
    ..SENT
};

pub(super) const MALFORMED_JSON: Page = Page {
    cause: "
The parser stopped at the line and column that the error names: what is there is not JSON, or something
follows the event. The column counts bytes.",
    fix: "
Send one JSON object for each message, written by a JSON library. In a file for `handover send` each event is
on a line of its own.",
    mistake: r#"
An event that is printed over several lines in a file of one event a line: its first line is `{`, and so is
refused at its end. `jq -c .` writes each event on one line. Others are a comma after the last entry, a
comment, `NaN`, and half of a surrogate pair (`"\ud83d"`)."#,
    ..SENT
};

pub(super) const DUPLICATE_KEY: Page = Page {
    cause: "
JSON leaves open what an object means that has a key twice: one reader takes the first value, another the
last. Handover takes neither. The error names the key by its path, at any depth of the event.",
    fix: "
Send each key once.",
    mistake:
        "
Text that is put together by hand, or a template that writes an attribute which the caller has given already.",
    ..SENT
};

pub(super) const NUMBER: Page = Page {
    cause: "
Readers of JSON take a number as a double (IEEE 754), and that cannot hold this one as it is written: an odd
integer above 2^53, a decimal of more than 17 significant digits, or a number that is too large. Two readers
could see different values. The error names the number by its path.",
    fix: r#"
Send it as a string: `"id": "9007199254740993"`. In Rust, give the field a type that serialises as a string."#,
    mistake: "
A 64-bit id of a database, or an amount of money in tiny units, as a JSON number. It works until the first one
that is above 9,007,199,254,740,992.",
    ..BUILT
};

pub(super) const TOO_DEEP: Page = Page {
    cause: "
Objects and arrays may nest 64 levels deep. The error names the path that is deeper.",
    fix: "
Flatten the data: send a list of items that name their parent by id, or store the document elsewhere and send
a reference.",
    mistake: "
A tree or a linked list that is serialised as it is in memory.",
    ..BUILT
};

pub(super) const NOT_AN_OBJECT: Page = Page {
    cause: "
The message is valid JSON, but an array, a string, a number, `true`, `false` or `null`. An event is an object.",
    fix: r#"
Send a CloudEvents 1.0 event in structured mode:

```json
{
  "specversion": "1.0", "id": "order-7", "source": "orders", "type": "refund.requested",
  "data": { "amount": 5 }
}
```"#,
    mistake: "
An array of events in one message. A message of the queue and a line of a file hold one event each. Another is
an event that was serialised twice, which makes it a string.",
    ..SENT
};

pub(super) const TOO_LARGE: Page = Page {
    cause: "
An event takes at most 262,144 bytes (256 KiB), both as it was sent and as Handover encodes it: in JSON
without white space, with all its attributes. `handover send` also refuses a line that SQS could not carry, of
more than 1,044,480 bytes. In HTTP the code is that of a body that is over the limit of every body, too. The
error names the size and the limit.",
    fix: "
Store large data in S3 or in a table, and send its key.",
    mistake: "
A file as base64 in `data`, which takes a third more than the file. Also: to look at the size of the data
alone. Attributes count, too, and so do the escapes of JSON.",
    see: &[("What size costs", "../sizing.md#limits-of-size")],
    ..BUILT
};

pub(super) const MISSING: Page = Page {
    seen: &[
        ACCEPT,
        SEND,
        "code: `Refusal::code`, and `Fault::code`",
        "a command whose call to AWS failed",
        "the metric `Faults`, as its `Cause`",
    ],
    cause: "
Of an event: `specversion`, `id`, `type` and `source` are required, and the error names the one that is
missing. `kind` is required where no routes are at hand to say it. CloudEvents takes an attribute that is
`null` for absent.

Of a call to AWS: a record that has to be there is not in the table of notifications. It was deleted, or the
function works on another stack's table.",
    fix: "
Of an event: add the attribute, and send the event again. Over HTTP the header `Idempotency-Key` stands in for
a missing `id` (else the code is `no-id`).

Of a call to AWS: compare `HANDOVER_PREFIX` of the function with the name of the stack. If somebody deleted
the record, close or delete its copies: a copy without its record applies nothing.",
    mistake: "
An attribute of CloudEvents inside of `data`: they are beside it. Also: to delete items of the table of
notifications by hand, to make a dead letter go away; `handover close` does that.",
    see: &[("Faults", "../runbooks.md#faults")],
};

pub(super) const WRONG_TYPE: Page = Page {
    cause: "
The attribute that the error names is of another JSON type than it may be. Most attributes are strings.
`sequence` is an integer up to 2,147,483,647 without fraction and exponent, or a string of digits. An
extension attribute is a string, a boolean, or an integer of 32 bits.",
    fix: "
Send the type that the error names. Move what is an object or an array into `data`.",
    mistake: r#"
A number as the `id` (`"id": 7`): write `"id": "7"`. Another is `"sequence": 1.0`, which some libraries write
for an integer."#,
    ..SENT
};

pub(super) const TOO_LONG: Page = Page {
    cause: "
An attribute takes more bytes, in UTF-8, than it may. The error names both sizes.

| attribute | most bytes |
|---|---|
| `id`, `type`, `outcometo` | 128 |
| `source`, `partitionkey` | 256 |
| `subject`, `dataschema` | 1,024 |
| an extension attribute | 1,024 |",
    fix: "
Shorten it. If what makes it long is needed, carry it in `data`, and let the attribute be a hash of it.",
    mistake: "
An id that is put together of several long parts, such as a URL and a file name. A hash of the parts is as
unique, and has one length.",
    ..BUILT
};

pub(super) const INVALID: Page = Page {
    seen: &[
        ACCEPT,
        SEND,
        "code: `Refusal::code`, and `Fault::code`",
        "a command whose call to AWS failed",
        "the metric `Faults`, as its `Cause`",
    ],
    cause: "
Of an event: the attribute that the error names is empty, has characters that it cannot have, or has a value
that means nothing. `id`, `type`, `source` and `outcometo` are visible ASCII without spaces. `specversion` is
`1.0`. `time` is one of RFC 3339. `datacontenttype` is a media type of JSON. `sequence` is from 1 to 2^53 - 1,
and needs a `partitionkey`.

Of a call to AWS: a table or a queue does not take the request, since it is over a limit, or the table has
other keys.",
    fix: "
Of an event: do what the error says, and send it again under the same id.

Of a call to AWS: compare the release of the command or the function with that of the stack. The changelog
says which stacks have to be deployed anew. Else please report it, with the text of the error.",
    mistake: "
A time without its zone: `2026-11-22T08:15:00`. Write `2026-11-22T08:15:00Z`. Others are a space in a
`source`, and binary data in `data_base64`.",
    see: &[("Faults", "../runbooks.md#faults")],
};

pub(super) const RESERVED_ID: Page = Page {
    seen: &[ACCEPT, SEND, DRAFT],
    cause: "
The `id` begins with `emit:` or `key:`. Such an id derives from the notification that emitted it, or from the
`Idempotency-Key` of a caller of the HTTP interface. Whoever sent it beforehand would take its place.",
    fix: "
Choose another id, and send the message under that. If another stack forwards emitted notifications to this
one, name the role of its function in `forwarders` of the route, and send the refused message again,
unchanged.",
    mistake: "
To read notifications from one stack and send them to another with a role that `forwarders` does not name. A
role that was deleted and made anew has another unique id.",
    see: &[
        ("Forward to another stack", "../../infra/README.md#forward-to-another-stack"),
        ("Send refused messages again", "../runbooks.md#refused-messages"),
    ],
};

pub(super) const RESERVED_SOURCE: Page = Page {
    seen: &[ACCEPT, SEND, DRAFT],
    cause: "
The `source` is `handover`. Only the outcomes that Handover sends have it, so that their receivers can believe
them.",
    fix: "
Send it with the name of your service as its `source`.",
    mistake: "
To name the source after the product that carries the message. It names the service that owns what the message
says.",
    ..Page::NEW
};

pub(super) const UNKNOWN_ATTRIBUTE: Page = Page {
    cause: "
The name of an attribute has to be 1 to 64 of a-z and 0-9 by CloudEvents. The error names the attribute, and
the known one that is probably meant.",
    fix: "
Correct its spelling. Write an attribute of your own in lower-case letters and digits, or move it into `data`.",
    mistake: "
`partitionKey`, `trace_parent` or `data-schema`: CloudEvents has no capitals, underscores or hyphens. Headers
of the HTTP binding (`ce-id`) are not names of attributes either.",
    ..BUILT
};

pub(super) const TOO_MANY_EXTENSIONS: Page = Page {
    cause: "
An event carries at most 32 extension attributes, of at most 8,192 bytes in all, names and values together.
The error names what this one has.",
    fix: "
Keep as attributes what is read without the data, such as a tenant, and move the others into `data`.",
    mistake: "
To copy every header of an HTTP request into attributes.",
    ..BUILT
};

pub(super) const UNKNOWN_KIND: Page = Page {
    cause: "
The attribute `kind` is neither `command` nor `event`.",
    fix: "
Send `command` for what asks its one owner to do something, and `event` for what tells others that it
happened. Or leave it out: the route of the type says it.",
    mistake: "
`Command`, or a kind of another system, such as `query` or `message`.",
    see: &[("The routes", "../routes.md")],
    ..SENT
};

pub(super) const UNKNOWN_TYPE: Page = Page {
    cause: "
The routes of the stack do not have this `type`. Types are compared letter by letter, and a channel is not a
type.",
    fix: "
If the type is misspelt, correct it, and send the message again. If it is right, add its route, deploy the
stack, and then `handover refused --resend --error unknown-type` sends the refused messages to accept once
more.",
    mistake: "
To deploy the producer of a new type before the stack whose routes have it. Deploy the stack first. An emit of
such a type is a failed attempt, which is repeated, so that it waits for the deployment.",
    ..ROUTED
};

pub(super) const WRONG_KIND: Page = Page {
    cause: "
The message says that it is a command, and the route of its type is for events; or the other way round.",
    fix: "
Send the `kind` that the error names, or none: the route says it. If the route is wrong, correct and deploy
it, and send the refused messages again by `handover refused --resend --error wrong-kind`.",
    mistake: "
`Draft::command` for something that has happened already. Nobody can reject it any more, so it is an event.",
    ..ROUTED
};

pub(super) const FOREIGN_SOURCE: Page = Page {
    cause: "
The route of the type has `sources`, and the `source` of the message is not one of them. An event comes from
the service that owns what it tells of, so that others cannot tell it in that name.",
    fix: "
Send it from the service that owns it. If this source may send it, too, add it to `sources` of the route,
deploy the stack, and send the refused messages again by `handover refused --resend --error foreign-source`.",
    mistake: "
To rename a service, and with it the `source` of its events, before the routes name the new one. An id belongs
to its source: the same id from another source is another notification.",
    ..ROUTED
};

pub(super) const FOREIGN_SENDER: Page = Page {
    seen: &[ACCEPT],
    cause: "
A route binds the `source` of the message to `senders`: unique ids of users and roles. The user or role that
sent it is none of them; the error names its id, if it is known. Of a source that one route binds, other types
are taken from those senders, too.",
    fix: "
Find out who sent it: the id is that of a role (`AROA…`) or a user (`AIDA…`) in IAM. If it may do so, add the
id to `senders` of the route, deploy the stack, and let it send again. If not, somebody writes in the name of
another service: treat it so.",
    mistake: "
A role that is deleted and made anew has the same name and another unique id. Let the template that makes the
role pass its `RoleId` to the routes. Another: to send refused messages again as an operator, who is their
sender then.",
    ..ROUTED
};

pub(super) const TOO_LARGE_FOR_ROUTE: Page = Page {
    cause: "
The event is larger than `max_bytes` of its type's route, which is 65,536 where the route does not say it.
What counts is the event as encoded: in JSON without white space, with all its attributes.",
    fix: "
Store large data elsewhere, and send a reference. Or raise `max_bytes`, up to 262,144, deploy the stack, and
send the refused messages again by `handover refused --resend --error too-large-for-route`.",
    mistake: "
To raise `max_bytes` of the route and not `UpstreamMessageBytes` of the stack (73,728 by default): then SQS
does not take the message. Each write of a large record costs a write unit for every KB of it.",
    see: &[
        ("What size costs", "../sizing.md#limits-of-size"),
        ("The routes", "../routes.md"),
        ("Send refused messages again", "../runbooks.md#refused-messages"),
    ],
    ..BUILT
};

pub(super) const OUTCOME: Page = Page {
    cause: "
`outcometo` names the type of the event that is to tell how the notification ended. No route takes it; or its
route is of a command, belongs to a channel, does not have `handover` among its `sources`, or has a
`max_bytes` below 16,384.",
    fix: r#"
Route the type as an event that Handover sends, and deploy the stack:

```json
"credit.answered": { "kind": "event", "destinations": ["orders"], "sources": ["handover"] }
```

Then send the refused messages again by `handover refused --resend --error outcome`."#,
    mistake: "
To name a destination, or a queue, in `outcometo`. It names a type, and the route of that type names the
destinations.",
    ..ROUTED
};

pub(super) const NO_OUTCOME: Page = Page {
    cause: "
The event is of a channel that has no subscriber. It goes nowhere, so nobody would end it, and there is no
outcome to tell.",
    fix: "
Leave out `outcometo`. Or add a subscriber to `destinations` of the channel, and deploy the stack.",
    mistake: "
To ask for an outcome to learn that an event was accepted. The answer of the queue or of HTTP says that.",
    ..ROUTED
};

pub(super) const NOT_KEYED: Page = Page {
    cause: "
The type belongs to a channel. The events of a channel are about an entity, and say which one in
`partitionkey`: the name of the channel, `/`, and an id that is not empty.",
    fix: r#"
Send such a `partitionkey`. For an account 7 in the channel `account`:

```json
"partitionkey": "account/7"
```"#,
    mistake: "
The id alone (`7`), or the name of the type in place of that of the channel (`account.opened/7`).",
    ..ROUTED
};

pub(super) const NOT_NUMBERED: Page = Page {
    cause: "
A destination applies this type in the order of its numbers (`sequenced` of the route or of its channel), and
the message has no `sequence`.",
    fix: "
Send `partitionkey` and `sequence`. Count from 1, without a gap, for each source and partition key, in the
transaction that makes the change: `Draft::partitionkey` and `Draft::sequence`.",
    mistake: "
A time or a random number as the `sequence`. The destination waits for each number that is left out.",
    see: &[("Apply in sequence", "../../infra/README.md#apply-in-sequence"), ("The routes", "../routes.md")],
    ..BUILT
};

pub(super) const CONFLICT: Page = Page {
    seen: &[ACCEPT, "`Acceptance::Conflict`, where a program accepts into the ledger itself"],
    cause: "
The source has sent other content under this `id` before, and that was accepted. What counts as content is
`type`, `subject`, `partitionkey`, `sequence` and `data`. The notification that was accepted is unchanged.",
    fix: "
Compare both: `handover status ID --source SOURCE` shows what was accepted, and
`handover refused --json --body` what was not. If the new content is another message, send it under an id of
its own. If it was meant to correct the first one, send a message that says so. Then delete the refused one in
the SQS console.",
    mistake: "
An id of the entity in place of the message, such as `order-7` for each change of the order: use
`order-7-paid`. Another is data that differs with each try, such as the time of sending in `data`; put that
into `time`, which is not compared.",
    see: &[("Refused messages", "../runbooks.md#refused-messages")],
};

pub(super) const SQS: Page = Page {
    seen: &["`handover send`: a line that SQS did not take"],
    cause: "
SQS refused the message, and the error has the code of SQS. `InvalidParameterValue` means that the line is
larger than the upstream queue takes. `InvalidMessageContents` means that it has a character that SQS does not
carry. With another code SQS failed eight times in a row, or takes the line to be at fault.",
    fix: "
For `InvalidParameterValue` send a reference to large data, or raise `UpstreamMessageBytes` of the stack and
deploy it. For `InvalidMessageContents` write control characters, U+FFFE and U+FFFF as JSON escapes. For
another code send the line again later, which is safe.",
    mistake: "
`--unchecked` with a file that is not checked elsewhere. Without that option the command finds most mistakes,
and writes U+FFFE and U+FFFF as escapes itself.",
    ..Page::NEW
};
