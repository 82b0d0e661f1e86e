//! A notification as the command line names it: by its id, and by its source where several have that id.

use handover::record::Record;
use handover::{Code, NotificationKey};

use crate::error::coded;
use crate::stack::Stack;
use crate::value;

#[derive(clap::Args)]
pub struct Named {
    /// The notification's id.
    #[arg(value_parser = value::id)]
    id: String,
    /// The notification's source. It is needed where several sources have used this id.
    #[arg(long, value_parser = value::source)]
    source: Option<String>,
}

impl Named {
    /// The notification with this id, of this source if one is named.
    pub fn new(id: String, source: Option<String>) -> Named {
        Named { id, source }
    }

    /// The records of all notifications that it names, at least one.
    pub async fn all(&self, stack: &Stack) -> anyhow::Result<Vec<Record>> {
        let ledger = stack.ledger();
        let found = match &self.source {
            Some(source) => {
                let found = ledger.get(&NotificationKey::new(&self.id, source)).await;
                found.map(|record| record.into_iter().collect())
            }
            None => ledger.find(&self.id).await,
        };
        let found: Vec<Record> = found.map_err(|fault| stack.explained(fault))?;
        let of = self.source.as_ref().map_or_else(String::new, |source| format!(" of `{source}`"));
        let text = || {
            format!(
                "there is no record of `{}`{of} in the stack `{}`: it is not accepted yet (does the function accept run?), it was refused (see `handover refused`), or its record expired after it was completed",
                self.id,
                stack.name()
            )
        };
        anyhow::ensure!(!found.is_empty(), coded(Code::UnknownNotification, text()));
        Ok(found)
    }

    /// The record of the notification that it names.
    ///
    /// # Errors
    /// When there is none, or when several sources have used its id.
    pub async fn one(&self, stack: &Stack) -> anyhow::Result<Record> {
        let mut found = self.all(stack).await?;
        let sources: Vec<String> = found.iter().map(|record| format!("`{}`", record.source)).collect();
        match found.pop() {
            Some(record) if found.is_empty() => Ok(record),
            _ => Err(coded(
                Code::SeveralSources,
                format!(
                    "several sources have used the id `{}`: {}; name one with --source",
                    self.id,
                    sources.join(", ")
                ),
            )),
        }
    }
}

/// Whether a notification goes to a destination.
///
/// # Errors
/// When it does not.
pub fn has_destination(record: &Record, destination: &str) -> anyhow::Result<()> {
    if record.destinations.contains_key(destination) {
        return Ok(());
    }
    let names: Vec<&str> = record.destinations.keys().map(String::as_str).collect();
    let text =
        format!("`{destination}` is not a destination of `{}`; it has: {}", record.id, names.join(", "));
    Err(coded(Code::UnknownDestination, text))
}
