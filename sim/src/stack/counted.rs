//! A destination that counts how many times it is asked to apply each notification, and how many at once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use handover::{Asked, CallFailure, External, OnUnknown};
use handover::{Destination, Effect, Failure, Notification, NotificationKey};

use crate::aws::Aws;
use crate::aws::invocation::{INVOCATION, kill_function};

/// How many times each destination was asked to apply each notification.
#[derive(Clone, Default)]
pub struct Tries {
    all: Counts,
    /// Those whose effect may have the handler called again at once.
    deciding_again: Counts,
    /// Those that killed the function.
    kills: Counts,
    /// Those that killed it while it had a batch of the stream.
    kills_from_stream: Counts,
    at_once: Arc<Mutex<AtOnce>>,
}

/// How many notifications an invocation applies at once.
#[derive(Default)]
struct AtOnce {
    /// Now, by destination and invocation.
    running: BTreeMap<(String, String), usize>,
    /// At most so far, by destination.
    most: BTreeMap<String, usize>,
}

/// A notification that is being applied.
struct Applying {
    at_once: Arc<Mutex<AtOnce>>,
    by: (String, String),
}

impl Drop for Applying {
    fn drop(&mut self) {
        let mut at_once = self.at_once.lock().expect("no panic holds it");
        *at_once.running.entry(self.by.clone()).or_insert(1) -= 1;
    }
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

    fn of_all(&self, destination: &str) -> i64 {
        let counts = self.0.lock().expect("no panic holds it");
        counts.iter().filter(|((of, _), _)| of == destination).map(|(_, count)| count).sum()
    }
}

impl Tries {
    pub fn of(&self, destination: &str, key: &NotificationKey) -> i64 {
        self.all.of(destination, key)
    }

    /// Whether the destination may be asked several times in one try.
    pub fn may_decide_again(&self, destination: &str, key: &NotificationKey) -> bool {
        self.deciding_again.of(destination, key) > 0
    }

    /// How often the function of a destination was killed.
    pub fn kills(&self, destination: &str) -> i64 {
        self.kills.of_all(destination)
    }

    /// How often this notification killed it.
    pub fn kills_of(&self, destination: &str, key: &NotificationKey) -> i64 {
        self.kills.of(destination, key)
    }

    /// How often it did so while the function had a batch of the stream.
    pub fn kills_from_stream(&self, destination: &str, key: &NotificationKey) -> i64 {
        self.kills_from_stream.of(destination, key)
    }

    /// How many notifications an invocation of a destination applied at once, at most.
    pub fn at_once(&self, destination: &str) -> usize {
        self.at_once.lock().expect("no panic holds it").most.get(destination).copied().unwrap_or_default()
    }

    /// Counts a notification as being applied as long as the result lives.
    fn begin(&self, destination: &str, key: NotificationKey) -> Applying {
        self.all.count(destination, key);
        let by = (destination.to_owned(), INVOCATION.with(|invocation| invocation.name.clone()));
        let mut at_once = self.at_once.lock().expect("no panic holds it");
        let running = at_once.running.entry(by.clone()).or_default();
        *running += 1;
        let running = *running;
        let most = at_once.most.entry(destination.to_owned()).or_default();
        *most = running.max(*most);
        Applying { at_once: self.at_once.clone(), by }
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
            self.tries.kills_from_stream.count(&self.destination, key.clone());
        }
        self.tries.kills.count(&self.destination, key);
        kill_function().await
    }
}

/// A destination whose tries are counted, with all of its instances together.
pub struct Counted<D> {
    pub destination: Arc<D>,
    pub name: String,
    pub tries: Tries,
    pub aws: Aws,
    /// How long its function may run.
    pub timeout: Duration,
}

impl<D> Clone for Counted<D> {
    fn clone(&self) -> Counted<D> {
        let Counted { destination, name, tries, aws, timeout } = self;
        let (destination, name, tries) = (destination.clone(), name.clone(), tries.clone());
        Counted { destination, name, tries, aws: aws.clone(), timeout: *timeout }
    }
}

impl<D: Destination> Destination for Counted<D> {
    type Data = D::Data;

    fn takes(&self, r#type: &str) -> bool {
        self.destination.takes(r#type)
    }

    async fn apply(&self, notification: &Notification<D::Data>) -> Result<Effect, Failure> {
        let _applying = self.tries.begin(&self.name, notification.key());
        self.aws.handler_begins(&self.name, Duration::ZERO);
        let effect = self.destination.apply(notification).await?;
        if effect.may_decide_again() {
            self.tries.deciding_again.count(&self.name, notification.key());
        }
        Ok(effect)
    }
}

impl<D: External> External for Counted<D> {
    type Data = D::Data;

    fn takes(&self, r#type: &str) -> bool {
        self.destination.takes(r#type)
    }

    fn timeout(&self) -> Duration {
        self.destination.timeout()
    }

    fn on_unknown(&self) -> OnUnknown {
        self.destination.on_unknown()
    }

    async fn call(&self, notification: &Notification<D::Data>) -> Result<Effect, CallFailure> {
        let _applying = self.tries.begin(&self.name, notification.key());
        // It takes a lease first.
        self.aws.handler_begins(&self.name, self.timeout);
        self.destination.call(notification).await
    }

    async fn ask(&self, notification: &Notification<D::Data>) -> Result<Asked, Failure> {
        self.destination.ask(notification).await
    }

    async fn done(&self, notification: &Notification<D::Data>) -> Result<Effect, Failure> {
        self.destination.done(notification).await
    }
}
