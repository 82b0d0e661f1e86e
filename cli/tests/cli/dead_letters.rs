//! `handover dead-letters`, `redrive` and `close`.

use serde_json::Value;

use crate::{handover, refund, status, text, unique};

/// Refunds to an account that does not exist: dead letters, redrive, close.
#[test]
fn dead_letters_are_listed_redriven_and_closed() {
    let (first, second) = (unique("dead"), unique("dead"));
    let absent = |id: &str| format!("{}\n", refund(id).replace("\"cli\"", &format!("\"absent-{id}\"")));
    assert!(handover(&["send", "-"], (absent(&first) + &absent(&second)).as_bytes()).status.success());
    status(&first, "DEAD");
    let shown = status(&second, "DEAD");
    let moments = shown["timeline"].as_array().unwrap().iter();
    assert_eq!(moments.filter(|moment| moment["what"].as_str().unwrap().ends_with("failed")).count(), 6);

    let ids = || {
        let listed = handover(&["dead-letters", "--destination", "refund", "--json"], b"");
        let groups: Vec<Value> = serde_json::from_slice(&listed.stdout).unwrap();
        let dead = groups.iter().flat_map(|group| group["notifications"].as_array().unwrap().clone());
        dead.map(|notification| notification["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert!([&first, &second].iter().all(|id| ids().contains(id)));

    let would = handover(&["redrive", "--destination", "refund", "--dry-run"], b"");
    assert!(text(&would.stdout).starts_with("would redrive up to "), "{would:?}");
    assert!([&first, &second].iter().all(|id| ids().contains(id)));
    // The cause is not fixed, so it dies again, with one dead letter.
    let redriven = handover(&["redrive", &first], b"");
    assert_eq!(text(&redriven.stdout), "1 redriven, 0 left\n");
    assert!(!ids().contains(&first));
    status(&first, "DEAD");
    assert_eq!(ids().iter().filter(|id| **id == first).count(), 1);

    for id in [&first, &second] {
        let closed = handover(&["close", id, "--reason", "paid by bank transfer"], b"");
        assert_eq!(text(&closed.stdout), format!("{id} closed at 1 of 1 destinations\n"));
        status(id, "CLOSED");
        assert!(!ids().contains(id));
        let again = handover(&["redrive", id], b"");
        assert_eq!(
            (again.status.code(), text(&again.stdout)),
            (Some(1), format!("{id} is CLOSED: nothing to redrive\n").as_str())
        );
    }
}
