//! Calls that drawn runs seldom make, each with a run that makes it while faults may be injected. A soak injects every fault
//! into these runs, too.

use handover_sim::{Plan, Run};

use crate::workloads::{COMMERCE, CREDIT, FAN_OUT, NamedWorkload, ORDERED, PAYMENTS};

/// A call, and a run that makes it.
#[derive(Clone, Copy, Debug)]
pub struct RareCall {
    /// The stage that makes it, and the call.
    pub site: (&'static str, &'static str),
    workload: NamedWorkload,
    plan: &'static str,
}

const fn rare(site: (&'static str, &'static str), workload: NamedWorkload, plan: &'static str) -> RareCall {
    RareCall { site, workload, plan }
}

/// All of them.
pub const RARE_CALLS: [RareCall; 10] = [
    rare(("accept", "ChangeMessageVisibilityBatch"), COMMERCE, "13 messages=2 faults=accept#1/slow/0"),
    rare(("relay", "SendMessageBatch"), COMMERCE, "10 messages=0 faults=relay#1/partial/0,relay#1/partial/1"),
    rare(("stream", "GetQueueUrl"), COMMERCE, "235 messages=0 faults="),
    rare(
        ("stream", "GET payment"),
        PAYMENTS,
        "129 messages=1 faults=relay#1/again/0/3960,relay#2/lost-request/0,relay#2/lost-request/1,relay#2/lost-request/2,relay#2/lost-request/3,relay#2/again/0/4062",
    ),
    rare(("retry", "BatchExecuteStatement"), COMMERCE, "5 messages=0 faults="),
    rare(("retry", "SendMessage to retry"), ORDERED, "103 messages=0,1,2 faults="),
    rare(("retry", "GET payment"), PAYMENTS, "27 messages=1 faults="),
    rare(("retry", "GetQueueUrl"), FAN_OUT, "8 messages=0 faults="),
    rare(
        ("reconcile", "GetQueueUrl"),
        PAYMENTS,
        "113 messages=0,1 faults=bank#2/lost-answer/1,caller/forget/5902/90037203,relay/late/0/1465",
    ),
    rare(("reconcile", "TransactWriteItems"), CREDIT, "80 messages=0 faults="),
];

impl RareCall {
    /// The workload, and the plan of the run.
    pub fn plan(&self) -> (NamedWorkload, Plan) {
        (self.workload, self.plan.parse().expect("a plan"))
    }

    /// Whether its run makes the call while faults may be injected. A change of the code may have changed the run: then look
    /// for another one.
    pub fn is_made_by(&self, run: &Run) -> bool {
        let (stage, call) = self.site;
        run.history.coverage.exposed.iter().any(|site| site.stage == stage && site.call == call)
    }
}
