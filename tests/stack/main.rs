//! The guarantees, through the deployed stack: real functions, real event sources, IAM
//! enforced. Run by `make test`, which starts a local AWS first.

mod accept;
mod consume;
mod crash;
mod effects;
mod external;
mod failure;
mod fatal;
mod outbox;
mod reconcile;
mod relay;
mod sequence;
mod world;
