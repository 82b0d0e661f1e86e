//! A destination that counts how many times it is asked to apply each notification.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use handover::{Asked, CallFailure, External, OnUnknown};
use handover::{Destination, Effect, Failure, Notification, NotificationKey};

use crate::aws::invocation::{INVOCATION, kill_function};

/// How many times each destination was asked to apply each notification.
#[derive(Clone, Default)]
pub struct Tries {
    all: Counts,
    /// Those that killed the function.
    killed: Counts,
    /// Those that killed it while it had a batch of the stream.
    killed_from_stream: Counts,
}

#[derive(Clone, Default)]
struct Counts(Arc<Mutex<BTreeMap<(String, NotificationKey), i64>>>);

impl Counts {
    fn of(&self, destination: &str, key: &NotificationKey) -> i64 {
        let tried = (destination.to_owned(), key.clone());
        self.0.lock().expect("no panic holds it").get(&tried).copied().unwrap_or_default()
    }

    fn count(&self, destination: &str, key: NotificationKey) {
        *self.0.lock().expect("no panic holds it").entry((destination.to_owned(), key)).or_default() += 1;
    }

    fn is_empty(&self) -> bool {
        self.0.lock().expect("no panic holds it").is_empty()
    }
}

impl Tries {
    pub fn of(&self, destination: &str, key: &NotificationKey) -> i64 {
        self.all.of(destination, key)
    }

    /// How many of them killed the function.
    pub fn killed(&self, destination: &str, key: &NotificationKey) -> i64 {
        self.killed.of(destination, key)
    }

    /// How many of those had a batch of the stream.
    pub fn killed_from_stream(&self, destination: &str, key: &NotificationKey) -> i64 {
        self.killed_from_stream.of(destination, key)
    }

    /// Whether any killed its function.
    pub fn have_killed(&self) -> bool {
        !self.killed.is_empty()
    }

    fn count(&self, destination: &str, key: NotificationKey) {
        self.all.count(destination, key);
    }
}

/// Lets handlers of a destination kill their function.
#[derive(Clone)]
pub struct Killer {
    pub(super) destination: String,
    pub(super) tries: Tries,
}

impl Killer {
    /// Kills the function, as a handler does that ends its process.
    pub async fn kill(&self, key: NotificationKey) -> ! {
        if INVOCATION.with(|invocation| invocation.stage == "stream") {
            self.tries.killed_from_stream.count(&self.destination, key.clone());
        }
        self.tries.killed.count(&self.destination, key);
        kill_function().await
    }
}

/// A destination whose tries are counted.
pub struct Counted<D> {
    pub destination: D,
    pub name: String,
    pub tries: Tries,
}

impl<D: Destination> Destination for Counted<D> {
    type Data = D::Data;

    async fn apply(&self, notification: &Notification<D::Data>) -> Result<Effect, Failure> {
        self.tries.count(&self.name, notification.key());
        self.destination.apply(notification).await
    }
}

impl<D: External> External for Counted<D> {
    type Data = D::Data;

    fn timeout(&self) -> Duration {
        self.destination.timeout()
    }

    fn on_unknown(&self) -> OnUnknown {
        self.destination.on_unknown()
    }

    async fn call(&self, notification: &Notification<D::Data>) -> Result<Effect, CallFailure> {
        self.tries.count(&self.name, notification.key());
        self.destination.call(notification).await
    }

    async fn ask(&self, notification: &Notification<D::Data>) -> Result<Asked, Failure> {
        self.destination.ask(notification).await
    }

    async fn done(&self, notification: &Notification<D::Data>) -> Result<Effect, Failure> {
        self.destination.done(notification).await
    }
}
