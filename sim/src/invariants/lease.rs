//! G5: leases of external effects.

use std::collections::BTreeMap;

use handover::NotificationKey;
use serde_json::Value;

use crate::item::{self, destinations, number, text};

/// The last lease that was taken of each delivery, by notification and destination.
#[derive(Debug, Default)]
pub struct Leases(BTreeMap<(NotificationKey, String), Lease>);

#[derive(Debug)]
struct Lease {
    holder: String,
    /// The outcome of an earlier call was not known when it was taken.
    is_repeat: bool,
}

impl Leases {
    /// Nobody takes a lease that has not expired. Nobody but its holder records a result. A call without an
    /// outcome stays known until it has one, or an operator settles it.
    pub fn follow(&mut self, old: &Value, new: &Value, who: &str) -> Result<(), String> {
        let was = destinations(old);
        let both = destinations(new).into_iter().filter_map(|(name, is)| Some((name, *was.get(name)?, is)));
        for (name, was, is) in both.filter(|(_, was, is)| was != is) {
            let key = (item::key(new), name.to_owned());
            let (called_before, called) = (number(was, "called_at"), number(is, "called_at"));
            let violation = |what: &str| Err(format!("G5: {who} {what}, of {name}"));
            match (text(new, "change"), number(is, "fence") - number(was, "fence")) {
                ("lease", 1) if number(was, "lease_until") > number(new, "updated_at") => {
                    return violation("took a lease that had not expired");
                }
                ("lease", 1) if called_before > 0 && called != called_before => {
                    return violation("lost the start of the first call whose outcome is not known");
                }
                ("lease", 1) => {
                    self.0.insert(key, Lease { holder: who.to_owned(), is_repeat: called_before > 0 });
                    continue;
                }
                ("dispatch", 1) if called_before > 0 => (),
                (_, 0) => (),
                _ => return violation("changed the fence"),
            }
            let Some(lease) = self.0.get(&key) else { continue };
            let is_result =
                matches!(text(new, "change"), "mark" | "attempt") && text(was, "settled") != "done";
            if is_result && lease.holder != who {
                return violation("recorded a result though another held the lease");
            }
            let is_forgotten = called_before > 0 && called < 0 && text(new, "change") != "dispatch";
            if is_forgotten && (lease.is_repeat || lease.holder != who) {
                return violation("forgot an earlier call without an outcome");
            }
        }
        Ok(())
    }
}
