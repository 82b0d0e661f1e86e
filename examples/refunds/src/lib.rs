//! Shared by the programs that send refunds (`make run` and `make chaos`): the refunds, access to the stack,
//! and the check of every cent.

pub mod discrepancies;
pub mod fan_out;
pub mod generate;
pub mod stack;
pub mod summary;
