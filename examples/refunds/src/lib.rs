//! What programs that send refunds share: the refunds, the stack they go through, and the check of every
//! cent. `make run` and `make chaos` are two.

pub mod astray;
pub mod generate;
pub mod summary;
pub mod world;
