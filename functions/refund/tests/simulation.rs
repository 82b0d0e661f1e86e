//! Refunds under injected faults: every run ends with the same balances.

use handover::{Checked, Draft};
use refund::Refunds;
use serde_json::json;

const AMOUNTS: [i64; 5] = [500, 20, 20, 1_999, 1];

fn five_refunds() -> impl Iterator<Item = Checked> {
    AMOUNTS.iter().enumerate().map(|(number, amount)| {
        let data = json!({ "account": if number % 2 == 0 { "even" } else { "odd" }, "amount": amount });
        let refund = Draft::command("refund.requested", "orders", &data);
        refund.build(format!("refund-{number}")).expect("a valid id")
    })
}

#[test]
fn a_refund_is_credited_once_whatever_fails() {
    handover_sim::check("refund", |_| Refunds { accounts: "accounts".into(), entries: "entries".into() })
        .table("accounts", &["account"])
        .table("entries", &["account", "refund"])
        .item("accounts", json!({ "account": "even", "balance": 0 }))
        .item("accounts", json!({ "account": "odd", "balance": 0 }))
        .sends(five_refunds())
        .at_rest(|stack| {
            assert_eq!(stack.sum("accounts", "balance"), AMOUNTS.iter().sum::<i64>());
            assert_eq!(stack.items("entries").len(), AMOUNTS.len());
        })
        .over_seeds(0..100);
}
