//! The names of the stack's tables and queues, and what a later release stores.

/// The table of records.
pub const NOTIFICATIONS: &str = "notifications";
/// The table of reconcile's cursor.
pub const RECONCILE: &str = "reconcile";
/// The table of the positions of sequenced destinations.
pub const POSITIONS: &str = "positions";

/// What the names of the queues of destinations begin with.
pub const PREFIX: &str = "stack";

/// The URL of a queue with this name.
pub fn queue_url(name: &str) -> String {
    format!("https://sqs/{name}")
}

/// The URL of the upstream queue.
pub const UPSTREAM: &str = "https://sqs/upstream";
/// The URL of the upstream queue's dead-letter queue.
pub const UPSTREAM_DEAD_LETTERS: &str = "https://sqs/upstream-dead-letters";

/// The URL of relay's queue.
pub const RELAY_QUEUE: &str = "https://sqs/relay";
/// The URL of the dead-letter queue of relay's queue.
pub const RELAY_DEAD_LETTERS: &str = "https://sqs/relay-dead-letters";

/// The table of another stack's records.
pub const ELSEWHERE: &str = "elsewhere";
/// The function of accept in the other stack.
pub const FUNCTION_ELSEWHERE: &str = "elsewhere";
/// The URL of another stack's upstream queue.
pub const UPSTREAM_ELSEWHERE: &str = "https://sqs/elsewhere-upstream";
/// The URL of its dead-letter queue.
pub const UPSTREAM_DEAD_LETTERS_ELSEWHERE: &str = "https://sqs/elsewhere-upstream-dead-letters";

/// The URL of a destination's retry queue.
pub fn retry_queue(destination: &str) -> String {
    queue_url(&format!("{PREFIX}-{destination}-retry"))
}

/// The URL of a destination's dead-letter queue.
pub fn dead_letter_queue(destination: &str) -> String {
    queue_url(&format!("{PREFIX}-{destination}-dead-letters"))
}

/// The name of the function that runs these destinations.
pub(crate) fn function_of(destinations: &[String]) -> String {
    destinations.join("+")
}

/// Whether a function runs this destination.
pub(crate) fn runs(function: &str, destination: &str) -> bool {
    function.split('+').any(|name| name == destination)
}

/// The state of a later release, which counts as open.
pub(crate) const HELD: &str = "held";
/// Why it changes a record: it begins to hold a delivery, and ends that. Neither is dispatched.
pub(crate) const HOLDS: [&str; 2] = ["hold", "resume"];

/// The unique id of the role of a producer.
pub const PRODUCER: &str = "AROAPRODUCER";
