//! The cursors of reconcile, which several of its runs may move at once.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::item::{number, text};

/// How far each walk has come: its slot, and the pages of each partition of it that are checked.
#[derive(Debug, Default)]
pub struct Cursors(BTreeMap<String, (i64, BTreeMap<String, i64>)>);

impl Cursors {
    /// A walk moves forward alone: from slot to slot, and from page to page of a partition.
    pub fn follow(&mut self, item: &Value) -> Result<(), String> {
        let (name, slot) = (text(item, "name"), number(item, "slot"));
        let partitions = item.as_object().into_iter().flatten().filter(|(_, value)| value["M"].is_object());
        let pages: BTreeMap<String, i64> = partitions
            .map(|(partition, progress)| (partition.clone(), number(&progress["M"], "pages")))
            .collect();
        let violation = |what: String| Err(format!("reconcile's walk `{name}` went back {what}"));
        if let Some((before, checked)) = self.0.get(name) {
            if slot < *before {
                return violation(format!("from slot {before} to {slot}"));
            }
            let is_lost =
                |(partition, count): &(&String, &i64)| pages.get(*partition).is_none_or(|is| is < count);
            if slot == *before
                && let Some((partition, count)) = checked.iter().find(is_lost)
            {
                return violation(format!("behind page {count} of partition {partition} of slot {slot}"));
            }
        }
        self.0.insert(name.to_owned(), (slot, pages));
        Ok(())
    }
}
