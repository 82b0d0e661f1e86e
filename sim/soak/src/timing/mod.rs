//! How long notifications take on virtual time. A figure is the same on every machine.

pub mod hot_key;
pub mod order;
