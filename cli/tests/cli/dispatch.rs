//! `handover dispatch`.

use std::time::{Duration, Instant};

use handover::dynamodb::Client;
use handover::{Checked, Clock, Ledger, Outbox};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::{WAIT_SECONDS_MAX, handover, text, unique};

/// Stores a notification for a destination that nothing is deployed for, so that it stays pending.
async fn store_for(destination: &str, id: &str, ago: SignedDuration) {
    let client = Client::new(&handover::aws::config().unwrap().load().await);
    let table = format!("{}-notifications", std::env::var("HANDOVER_STACK").unwrap());
    let routes = format!(r#"{{"t":{{"kind":"event","destinations":["{destination}"]}}}}"#).parse().unwrap();
    let clock = Clock::new(move || Timestamp::now() - ago);
    let event =
        format!(r#"{{"specversion":"1.0","id":"{id}","type":"t","kind":"event","source":"s","data":{{}}}}"#);
    let ledger = Ledger::new(client.clone(), table);
    let message = Outbox::new(ledger, routes, clock);
    let message = message.accept(Checked::decode(event.as_bytes()).unwrap()).unwrap();
    client.transact_write_items().transact_items(message.action()).send().await.unwrap();
}

/// The name of a destination that nothing is deployed for.
fn nowhere() -> String {
    unique("nowhere").replace('-', "_")
}

fn dispatches(id: &str) -> i64 {
    let shown = handover(&["status", "--json", id], b"");
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    shown[0]["dispatches"].as_i64().unwrap()
}

#[tokio::test]
async fn what_is_pending_at_a_destination_is_dispatched_again() {
    let destination = nowhere();
    let ids: Vec<String> = (0..20).map(|_| unique("pending")).collect();
    for id in &ids {
        store_for(&destination, id, SignedDuration::from_mins(2)).await;
    }
    let (young, elsewhere) = (unique("young"), unique("elsewhere"));
    // By a clock that is so far ahead that it stays young however slow this test is.
    store_for(&destination, &young, SignedDuration::from_mins(-30)).await;
    store_for(&nowhere(), &elsewhere, SignedDuration::from_mins(2)).await;

    let refused = handover(&["dispatch", "--destination", &destination], b"y\n");
    assert!(text(&refused.stderr).contains("error[needs-yes]"), "{refused:?}");
    let all = |more| handover(&["dispatch", "--destination", &destination, more], b"");
    // The index lags behind the table.
    let found = format!("20 notifications that are pending at {destination}");
    let begun = Instant::now();
    while text(&all("--dry-run").stdout) != format!("would dispatch {found}\n") {
        assert!(begun.elapsed().as_secs() < WAIT_SECONDS_MAX, "{:?}", all("--dry-run"));
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert!(ids.iter().all(|id| dispatches(id) == 1));
    let listed = |options: &[&str]| {
        let listed = handover(&[&["list", "--open", "--destination", &destination], options].concat(), b"");
        text(&listed.stdout).to_owned()
    };
    let rows: Vec<Value> = serde_json::from_str(&listed(&["--older-than", "1m", "--json"])).unwrap();
    let mut open: Vec<&str> = rows.iter().map(|row| row["id"].as_str().unwrap()).collect();
    open.sort();
    let mut expected = ids.clone();
    expected.sort();
    assert_eq!(open, expected, "the young one and what is pending elsewhere are left out");
    assert!(listed(&[]).contains(&young));
    let none = handover(&["list", "--open", "--older-than", "365d"], b"");
    assert_eq!(text(&none.stdout), "nothing is open\n");
    let done = all("--yes");
    assert!(text(&done.stderr).ends_with(&format!("found {found}\n")), "{done:?}");
    assert_eq!((text(&done.stdout), done.status.code()), ("20 dispatched again, 0 left\n", Some(0)));
    assert!(ids.iter().all(|id| dispatches(id) == 2));
    assert_eq!([dispatches(&young), dispatches(&elsewhere)], [1, 1]);

    let dry = handover(&["dispatch", "--dry-run", &young], b"");
    assert_eq!(text(&dry.stdout), format!("would dispatch {young} to {destination}\n"));
    let done = |arguments: &[&str]| -> (Value, Option<i32>) {
        let output = handover(&[&["dispatch", "--json"], arguments].concat(), b"");
        (serde_json::from_slice(&output.stdout).unwrap(), output.status.code())
    };
    assert_eq!(done(&["--dry-run", &young]), (json!({ "dispatched": 0, "left": 1 }), Some(0)));
    assert_eq!(done(&[&young]), (json!({ "dispatched": 1, "left": 0 }), Some(0)));
    for id in ids.iter().chain([&young, &elsewhere]) {
        assert!(handover(&["close", id, "--reason", "a test"], b"").status.success());
    }
    assert_eq!(done(&[&young]), (json!({ "dispatched": 0, "left": 0 }), Some(1)));
    let unknown = handover(&["dispatch", "--destination", &destination, "--yes"], b"");
    assert!(
        text(&unknown.stderr).contains(&format!("`{destination}` is not a destination of the stack")),
        "{unknown:?}"
    );
    assert_eq!(unknown.status.code(), Some(1));
}
