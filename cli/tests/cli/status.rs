//! `handover status --wait`.

use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};

use handover::record::{Record, State, Status};
use handover::{Draft, Routes};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::scripted::{Aws, item};

/// The record of a notification: pending, or completed or dead.
fn record(ended: Option<(State, Status)>) -> Record {
    let routes: Routes = r#"{"t":{"kind":"event","destinations":["audit"]}}"#.parse().unwrap();
    let now = Timestamp::from_millisecond(Timestamp::now().as_millisecond()).unwrap();
    let mut record = Record::accept(Draft::event("t", "s", &1).build("1").unwrap(), &routes, now).unwrap();
    if let Some((state, status)) = ended {
        let delivery = record.destinations.get_mut("audit").unwrap();
        (delivery.state, delivery.ended_at) = (state, Some(now));
        (record.status, record.open, record.dead) = (status, 0, usize::from(state == State::Dead) as u32);
        record.expires_at = (state == State::Done).then_some(now + SignedDuration::from_hours(1));
    }
    record
}

/// The exit code and the calls of `status`, where the first two find no record, the third finds it pending, and the next
/// ones ended.
fn status(ended: (State, Status), arguments: &[&str]) -> (Option<i32>, usize) {
    let looks = AtomicUsize::new(0);
    let aws = Aws::new(move |call, _| {
        assert_eq!(call, "GetItem");
        let found = match looks.fetch_add(1, Ordering::Relaxed) {
            0 | 1 => json!({}),
            2 => json!({ "Item": item(&record(None).encode()) }),
            _ => json!({ "Item": item(&record(Some(ended)).encode()) }),
        };
        (200, found)
    });
    let output = aws.handover(&[&["status", "1", "--source", "s"], arguments].concat(), Stdio::piped());
    (output.status.code(), aws.calls("GetItem").len())
}

#[test]
fn it_waits_until_the_notification_is_accepted_and_ends() {
    let done = (State::Done, Status::Done);
    assert_eq!(status(done, &["--wait", "60"]), (Some(0), 4));
    assert_eq!(status((State::Dead, Status::Dead), &["--wait", "60"]), (Some(1), 4));
    assert_eq!(status(done, &["--wait", "0"]), (Some(1), 1));
    assert_eq!(status(done, &[]), (Some(1), 1), "there is no record yet");
}
