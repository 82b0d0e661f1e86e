//! Who makes a call: one run of a function, or of a program elsewhere.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::faults::site::Site;

tokio::task_local! {
    /// The invocation that makes a call.
    pub static INVOCATION: Arc<Invocation>;
}

/// One run of a function, or of a program elsewhere.
#[derive(Debug)]
pub struct Invocation {
    /// As in `refund#3`.
    pub name: String,
    pub stage: &'static str,
    calls: AtomicU64,
    /// Calls that have no answer yet.
    pending: Mutex<BTreeMap<u64, Site>>,
    is_killed: AtomicBool,
}

/// Kills the function that calls it, as a handler does that ends its process.
pub async fn kill_function() -> ! {
    INVOCATION.with(|invocation| invocation.is_killed.store(true, Ordering::Relaxed));
    std::future::pending().await
}

impl Invocation {
    pub fn new(name: String, stage: &'static str) -> Arc<Invocation> {
        Arc::new(Invocation {
            name,
            stage,
            calls: AtomicU64::new(0),
            pending: Mutex::default(),
            is_killed: AtomicBool::default(),
        })
    }

    /// Whether its own work killed it.
    pub fn is_killed(&self) -> bool {
        self.is_killed.load(Ordering::Relaxed)
    }

    /// The number of its next call.
    pub fn next_call(&self) -> u64 {
        self.calls.fetch_add(1, Ordering::Relaxed)
    }

    /// Counts a call as pending as long as the result lives.
    pub fn pending_call(self: &Arc<Self>, nth: u64, site: Site) -> PendingCall {
        self.pending.lock().expect("no panic holds it").insert(nth, site);
        PendingCall(self.clone(), nth)
    }

    /// The calls that have no answer yet.
    pub fn pending_sites(&self) -> Vec<Site> {
        self.pending.lock().expect("no panic holds it").values().cloned().collect()
    }
}

/// A call whose caller waits for the answer.
pub struct PendingCall(Arc<Invocation>, u64);

impl Drop for PendingCall {
    fn drop(&mut self) {
        self.0.pending.lock().expect("no panic holds it").remove(&self.1);
    }
}
