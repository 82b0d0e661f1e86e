//! The pages of the command, and of what an operator asks for.

use super::page::Page;

/// Of every command that works on a stack.
const OF_STACK: Page = Page {
    seen: &["every command that works on a stack"],
    see: &[("The command line", "../command-line.md")],
    ..Page::NEW
};

pub(super) const UNKNOWN_NOTIFICATION: Page = Page {
    seen: &[
        "`handover status`, `trace`, `dispatch`, `redrive` and `close`",
        "`handover refused ID`, where no refused message has the id",
    ],
    cause: "
No record has this id, or none of the source that was named. It was not accepted yet, it was refused, or it
ended and its record has expired. Over HTTP it may also be one that the caller may not see.",
    fix: "
Compare id and source with those of the event, letter by letter. `handover refused` shows whether accept
refused it. If it was sent a moment ago, `handover status ID --wait 60` waits for it. If nothing that is sent
comes, look whether the function accept runs.",
    mistake: "
The message id that SQS gave when the event was sent. The `id` of the event is meant, but for
`handover refused`, which takes the id of the refused message.",
    see: &[("Upstream age", "../runbooks.md#upstream-age")],
};

pub(super) const SEVERAL_SOURCES: Page = Page {
    seen: &["`handover trace`, `dispatch`, `redrive` and `close`"],
    cause: "
An id names a notification within its source. Several sources have used this one, and the error lists them.",
    fix: "
Name the source: `--source SOURCE` for the command, and `?source=SOURCE` in HTTP.",
    mistake: "
To leave out the source in a script because ids are unique so far. A sender of another source can choose the
same id.",
    ..Page::NEW
};

pub(super) const UNKNOWN_DESTINATION: Page = Page {
    seen: &["every command that takes a destination"],
    cause: "
The routes of the stack do not name the destination, or the notification does not go there. The error lists
those that there are.",
    fix: "
Correct the name. If it is right, compare the routes: the command reads those of the deployed function accept,
or of the file that `--routes` or `HANDOVER_ROUTES` names.",
    mistake: "
The name of the function or of the queue (`handover-refund`) in place of that of the destination (`refund`).
Another is a file of routes that is newer than what is deployed. What was accepted before a destination was
added does not go there, unless it is replayed.",
    see: &[("Replay to a new destination", "../runbooks.md#replay-to-a-new-destination")],
};

pub(super) const CALL_RUNNING: Page = Page {
    seen: &["`handover redrive --as`"],
    cause: "
A call to another system was started, and its lease has not expired. It may still take effect, so that nobody
can say yet what became of it.",
    fix: "
Wait for a minute, ask the other system once more what it did, and repeat the command.",
    mistake: "
To settle it by what the other system said while the call was running.",
    see: &[("Dead letters", "../runbooks.md#dead-letters")],
};

pub(super) const NO_UNKNOWN_CALL: Page = Page {
    seen: &["`handover redrive --as`"],
    cause: "
`--as done` and `--as again` say what became of a call whose outcome is unknown. The notification has no such
call at this destination.",
    fix: "
Leave out `--as`. `handover status ID` shows why it is dead.",
    mistake: "
To use `--as again` for every dead letter. It is needed only where the error says that the outcome of a call
is unknown.",
    see: &[("Dead letters", "../runbooks.md#dead-letters")],
};

pub(super) const CHANGED: Page = Page {
    seen: &["`handover redrive`"],
    cause: "
The record changed between the time when the command read it and its write, which is conditional on what it
read. Nothing was done.",
    fix: "
Look at `handover status ID`. If it still is as you thought, repeat the command.",
    mistake: "
To repeat it in a loop without a look. A copy that was on its way, or another operator, may have completed the
notification.",
    ..Page::NEW
};

pub(super) const NO_STACK: Page = Page {
    cause: "
Neither `--stack` nor the variable `HANDOVER_STACK` names the stack, or the name is not one that a stack can
have: 1 to 57 letters, digits, `-` and `_`.",
    fix: "
Add `--stack NAME`, or set `HANDOVER_STACK`. For the local AWS of this repository, source its `.local/env`.",
    mistake: "
An empty variable, which counts as not set. Another is the ARN of the stack in place of its name.",
    ..OF_STACK
};

pub(super) const NO_REGION: Page = Page {
    cause: "
No Region is named, or the name is none, such as one with a space.",
    fix: "
Add `--region NAME`, or set `AWS_REGION`, or the `region` of the profile.",
    mistake: "
An availability zone (`eu-west-1a`), which is no Region: leave out its last letter. It has the form of a
Region, so that the command finds no host of the name (`unavailable`).",
    ..OF_STACK
};

pub(super) const NO_PROFILE: Page = Page {
    cause: "
`--profile` names a profile that is in neither file of the AWS CLI, or the files cannot be read. The error
names both files.",
    fix: "
`aws configure list-profiles` lists the profiles. Correct the name, or set `AWS_CONFIG_FILE` and
`AWS_SHARED_CREDENTIALS_FILE` to where they are.",
    mistake: "
In the file of the configuration a profile is `[profile NAME]`, and in that of the credentials `[NAME]`.",
    ..OF_STACK
};

pub(super) const NO_ENDPOINT: Page = Page {
    cause: "
A variable that begins with `AWS_ENDPOINT_URL` has a value that is no URL. The error names the variable.",
    fix: "
Write the URL with its scheme, such as `http://localhost:4566`. To use AWS itself, unset the variable.",
    mistake: "
A host and a port without `http://`.",
    ..OF_STACK
};

pub(super) const UNKNOWN_STACK: Page = Page {
    cause: "
There is no queue, table or function that begins with this name in the account and Region of the credentials.
The error names the Region or the endpoint that was asked.",
    fix: "
Compare name, Region and profile with where it is deployed: `aws sts get-caller-identity` shows the account,
and `aws cloudformation list-stacks` the stacks. If it is not deployed, deploy it.",
    mistake: "
The right name and the Region of another profile. On a local AWS: it was started anew, and the stack was not
deployed since.",
    ..OF_STACK
};

pub(super) const NOT_DEPLOYED: Page = Page {
    seen: &["`handover replay`, `dead-letters` and `redrive`"],
    cause: "
The routes name the destination, and it has no queue `STACK-DESTINATION-dead-letters`. So its application of
`destination.yaml` is not deployed in this stack.",
    fix: "
Deploy the destination, with its name in `Destinations` of the core. `handover destinations` then shows it as
deployed.",
    mistake: "
To deploy routes that name a destination before the destination itself. Accept takes nothing then, and its log
names what is missing.",
    see: &[("Add a destination to the stack", "../../infra/README.md#add-a-destination-to-the-stack")],
};

pub(super) const NO_ROUTES: Page = Page {
    seen: &[
        "`handover send`, `destinations`, `pause`, `replay`, `dead-letters`, `redrive` and `add destination`",
    ],
    cause: "
The routes of the stack, of the file that was named, or of the repository cannot be read, or there is a
mistake in them. The error names the place. Over HTTP it is the function that cannot use its routes, and takes
nothing.",
    fix: "
Correct the routes as the error says. If the stack has them in a file (`RoutesFile`), name the same file with
`--routes` or `HANDOVER_ROUTES`. If the permission to read them is missing, allow
`lambda:GetFunctionConfiguration` on the function accept.",
    mistake: "
To name the file of a newer commit than what is deployed.",
    see: &[("The routes", "../routes.md"), ("Upstream age", "../runbooks.md#upstream-age")],
};

pub(super) const NEEDS_YES: Page = Page {
    seen: &["`handover redrive`, `dispatch`, `replay` and `refused --resend`, where they act on many"],
    cause: "
The command acts on many and asks before it begins. The standard input or the standard error is no terminal,
so nobody could answer. Nothing was done.",
    fix: "
`--dry-run` says how many it would be. `--yes` says yes.",
    mistake: "
`yes |` before the command: an answer is taken from a terminal only.",
    ..Page::NEW
};

pub(super) const NO_REPOSITORY: Page = Page {
    seen: &["`handover add destination`"],
    cause: "
The current folder is not the root of a repository that `handover new` wrote. The error names the file that is
missing.",
    fix: "
Go to the root of the repository, or write one with `handover new NAME`.",
    mistake: "
To run it in the folder of a function.",
    see: &[("A repository of your own", "../command-line.md#a-repository-of-your-own")],
};

pub(super) const EXISTS: Page = Page {
    seen: &["`handover new` and `handover add destination`"],
    cause: "
A folder, a type, a destination or a resource of the template has this name. Nothing was written.",
    fix: "
Choose another name, or remove what is there.",
    mistake: "
To repeat `add destination` after a test of what it wrote has failed. What it wrote is complete: correct that
instead.",
    see: &[("A repository of your own", "../command-line.md#a-repository-of-your-own")],
};
