//! The guarantees, through the deployed stack: deployed functions, event sources, and IAM enforced. `make
//! test` starts a local AWS and runs these tests.

mod accept;
mod api;
mod consume;
mod crash;
mod documents;
mod effects;
mod external;
mod failure;
mod fan_out;
mod fatal;
mod local;
mod outbox;
mod pause;
mod receipt;
mod reconcile;
mod relay;
mod sequence;
mod world;
