//! `handover trace`.

use handover::record::{Change, FailedAttempt, Record, State, Status};
use handover::{Draft, Routes};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::{handover, text, unique};

/// A record that nothing carries, of this id and source.
fn record(id: &str, source: &str, cause: Option<&str>) -> Record {
    let routes: Routes = r#"{"t":{"kind":"event","destinations":["audit"]}}"#.parse().unwrap();
    let now = Timestamp::from_millisecond(Timestamp::now().as_millisecond()).unwrap();
    let draft = Draft::event("t", source, &1).build(unique("trace")).unwrap();
    let mut record = Record::accept(draft, &routes, now).unwrap();
    record.id = id.to_owned();
    (record.causationid, record.correlationid) = (cause.map(str::to_owned), cause.map(str::to_owned));
    record.change = Change::Mark;
    record
}

/// The same, done.
fn done(mut record: Record, emits: &[&str]) -> Record {
    let delivery = record.destinations.get_mut("audit").unwrap();
    (delivery.state, delivery.ended_at) = (State::Done, Some(record.accepted_at));
    delivery.emits = emits.iter().map(ToString::to_string).collect();
    (record.status, record.open) = (Status::Done, 0);
    record.expires_at = Some(record.accepted_at + SignedDuration::from_hours(1));
    record
}

#[tokio::test]
async fn trace_shows_what_a_notification_led_to_and_who_has_custody() {
    let aws = handover::aws::config().unwrap().load().await;
    let dynamodb = handover::dynamodb::Client::new(&aws);
    let table = format!("{}-notifications", std::env::var("HANDOVER_STACK").unwrap());
    let id = unique("trace");
    let first = done(record(&id, "shop", None), &["told", "gone"]);
    let [told, gone] = [0, 1].map(|at| first.emits().nth(at).unwrap().id);
    let told = done(record(&told, "audit", Some(&id)), &["last"]);
    let last = told.emits().next().unwrap().id;
    let mut last = record(&last, "audit", Some(&told.id));
    let failed = FailedAttempt { at: last.accepted_at, error: "no answer".into(), retry_after: 0 };
    let delivery = last.destinations.get_mut("audit").unwrap();
    (delivery.attempts, delivery.failures) = (1, [("1".into(), failed)].into());
    let mut gone_on = done(record(&unique("trace"), "shop", None), &[]);
    gone_on.destinations.get_mut("audit").unwrap().emits_left_out = 2;
    // Another source has used the id, and emitted something else.
    let other = done(record(&id, "market", None), &["other"]);
    for record in [&first, &told, &last, &other, &gone_on] {
        let put = dynamodb.put_item().table_name(&table).set_item(Some(record.encode()));
        put.send().await.unwrap();
    }

    // From any of them the same tree.
    let trace = |arguments: &[&str]| {
        let output = handover(&[&["trace"], arguments].concat(), b"");
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout).to_owned()
    };
    let shown = trace(&[&last.id]);
    assert_eq!(shown, trace(&[&id, "--source", "shop"]));
    let lines: Vec<&str> = shown.lines().collect();
    let begins = [
        format!("{id}  t, from shop  DONE, accepted"),
        format!("  audit emits told: {}  t, from audit  DONE, accepted", told.id),
        format!("    audit emits last: {}  t, from audit  INIT, accepted", last.id),
        format!("  audit emits gone: {gone}  its record has expired, after it was completed"),
        format!("{} of audit, for audit: in the retry queue since ", last.id),
    ];
    assert_eq!(lines.len(), begins.len(), "{shown}");
    for (line, begin) in lines.iter().zip(&begins) {
        assert!(line.starts_with(begin), "{line}\n{begin}");
    }
    assert!(lines[4].ends_with("; last error: no answer"), "{shown}");

    let json: Value = serde_json::from_str(&trace(&["--json", &told.id])).unwrap();
    let depths: Vec<_> = json["notifications"].as_array().unwrap().iter().map(|one| &one["depth"]).collect();
    assert_eq!(depths, [0, 1, 2, 1]);
    assert_eq!(json["custody"][0]["holder"], "retry-queue");

    // What has lost its cause is traced from there.
    let orphan = record(&unique("trace"), "shop", Some("expired"));
    let put = dynamodb.put_item().table_name(&table).set_item(Some(orphan.encode()));
    put.send().await.unwrap();
    assert!(
        trace(&[&orphan.id]).starts_with("expired  is the cause of the first of these, and not on record")
    );
    // So is what the record with that id does not name.
    let stranger = record(&unique("trace"), "shop", Some(&id));
    let put = dynamodb.put_item().table_name(&table).set_item(Some(stranger.encode()));
    put.send().await.unwrap();
    let shown = trace(&[&stranger.id]);
    assert!(shown.contains("and its record does not name it"), "{shown}");
    assert!(trace(&["--from-here", &told.id]).starts_with(&told.id));
    assert_eq!(
        trace(&["--from-here", &gone_on.id]).lines().last(),
        Some("All that are shown are at their end.")
    );
    let ambiguous = handover(&["trace", &id], b"");
    assert!(text(&ambiguous.stderr).contains("name one with --source"), "{ambiguous:?}");
}
