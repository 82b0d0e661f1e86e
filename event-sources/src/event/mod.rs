//! The event of an invocation: its records, in the JSON that AWS documents for each kind of stream.

pub mod dynamodb;
pub mod kinesis;

mod time;
