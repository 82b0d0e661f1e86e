//! The result of one GetRecords.

use event_sources::Record;

#[derive(Debug)]
pub struct Page {
    pub records: Vec<Record>,
    /// `None` at the end of a closed shard.
    pub next_iterator: Option<String>,
}
