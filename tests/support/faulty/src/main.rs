//! A destination that fails in every way a function can. For tests only: it is not in the template;
//! `localstack/add-function` deploys it beside the stack.

use std::collections::BTreeMap;

use handover::lambda::variable;
use handover::{Destination, Effect, Error, Failure, Notification, run};
use serde::Deserialize;

/// What the destination does with a notification.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Does {
    /// Succeeds, with a write.
    Work,
    Panic,
    /// Never returns.
    Hang,
    /// Never returns, and never yields.
    Block,
    /// Ends the process.
    Exit,
    /// Allocates more memory than there is, which aborts the process.
    Exhaust,
}

struct Faulty {
    entries: String,
}

impl Destination for Faulty {
    type Data = Does;

    async fn apply(&self, notification: &Notification<Does>) -> Result<Effect, Failure> {
        match notification.data {
            Does::Work => {
                let entry = BTreeMap::from([("account", "faulty"), ("refund", &notification.id)]);
                return Ok(Effect::new().put(&self.entries, &entry));
            }
            Does::Panic => panic!("a bug"),
            Does::Hang => std::future::pending().await,
            Does::Block => loop {
                std::thread::park();
            },
            Does::Exit => std::process::exit(1),
            Does::Exhaust => drop(Vec::<u8>::with_capacity(isize::MAX as usize)),
        }
        Ok(Effect::new())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    run(Faulty { entries: variable("ENTRIES_TABLE")? }).await
}
