//! What a repository with a stack of its own takes from this release: the CloudFormation templates that the stack is
//! built on, and the scripts that deploy it to a local AWS. `handover new` writes them.

/// Tables, stream, accept, relay, reconcile, and their alarms.
pub const CORE: &str = include_str!("../infra/core.yaml");

/// What belongs to a destination: its queues, event sources, alarms, and the rights that its function needs.
pub const DESTINATION: &str = include_str!("../infra/destination.yaml");

/// The scripts of a local AWS, by their names in the folder `localstack/`. There, `stack.sh` says what they deploy.
pub const LOCALSTACK: [(&str, &str); 9] = [
    ("down", include_str!("../localstack/down")),
    ("fix-mappings", include_str!("../localstack/fix-mappings")),
    ("lib.sh", include_str!("../localstack/lib.sh")),
    ("ministack.sh", include_str!("../localstack/ministack.sh")),
    ("one-key", include_str!("../localstack/one-key")),
    ("requirements.txt", include_str!("../localstack/requirements.txt")),
    ("setup", include_str!("../localstack/setup")),
    ("up", include_str!("../localstack/up")),
    ("with", include_str!("../localstack/with")),
];
