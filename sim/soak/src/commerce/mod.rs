//! Refunds, orders and notes, so that a notification takes every way through the library except those of
//! external effects and sequences; and money that shows what was applied.

mod checks;
mod destinations;
mod messages;
mod tables;

use std::time::Duration;

use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use handover::dynamodb::types::{AttributeValue, Put, TransactWriteItem};
use handover::store::Acceptance;
use handover::{Draft, Routes};
use handover_sim::{FAULTS_MS, SentMessage, Stack, Table, Workload};
use refund::Refunds;
use serde_json::json;
use tokio::time::sleep;

pub use crate::commerce::checks::sorted;
use crate::commerce::checks::{
    emits_are_not_given_up, foreign_bytes_are_dead_letters, orders_are_taken_once, refunds_are_entered_once,
    sales_commit_with_their_refund,
};
use crate::commerce::destinations::{Audit, Notes, Orders};
use crate::commerce::messages::{Message, Sale, foreign_bytes, messages};
use crate::commerce::tables::{ACCOUNTS, ENTRIES, ITEMS, SALES, STOCK};
use crate::operator::look_after;

/// The routes that are older than the events of orders, and those of these events.
const EARLIER_ROUTES: &str = r#"
    "refund.requested": { "kind": "command", "destinations": ["refund"] },
    "order.placed": { "kind": "command", "destinations": ["order"] },
    "account.noted": { "kind": "event", "destinations": ["audit", "mail", "search"] }"#;
const EMITTED_ROUTES: &str = r#"
    "order.accepted": { "kind": "event", "destinations": ["audit", "mail"] },
    "order.rejected": { "kind": "event", "destinations": ["audit"] }"#;

/// The workload.
#[derive(Clone, Copy, Debug, Default)]
pub struct Commerce;

impl Workload for Commerce {
    // Its operator redrives while faults are injected.
    const REDRIVES: bool = false;

    fn tables(&self) -> Vec<Table> {
        vec![
            Table::new(ACCOUNTS, &["account"]),
            Table::new(ENTRIES, &["account", "refund"]),
            Table::new(ITEMS, &["item"]),
            Table::new(SALES, &["id"]),
        ]
    }

    fn routes(&self) -> Routes {
        format!("{{{EARLIER_ROUTES}, {EMITTED_ROUTES}}}").parse().expect("routes")
    }

    fn earlier_routes(&self) -> Routes {
        format!("{{{EARLIER_ROUTES}}}").parse().expect("routes")
    }

    fn serve(&self, stack: &Stack) {
        let time = stack.time();
        stack.serve("refund", Refunds { accounts: ACCOUNTS.into(), entries: ENTRIES.into() });
        stack.serve(
            "order",
            Orders { dynamodb: stack.dynamodb().clone(), time, killer: stack.killer("order") },
        );
        stack.serve("audit", Audit);
        stack.serve("mail", Notes { time });
        stack.serve("search", Notes { time });
        open_account(stack, "account-0");
        let item =
            |item: &str, count: u32| json!({ "item": { "S": item }, "count": { "N": count.to_string() } });
        stack.put(ITEMS, &item("book", STOCK));
        stack.put(ITEMS, &item("unicorn", 0));
    }

    async fn drive(&self, stack: &Stack) -> Vec<SentMessage> {
        tokio::join!(send_all(stack), operate(stack)).0
    }

    fn violations(&self, stack: &Stack, sent: &[SentMessage]) -> Vec<String> {
        let mut found = Vec::new();
        let records = stack.records();
        refunds_are_entered_once(stack, &records, sent, &mut found);
        orders_are_taken_once(stack, &records, &mut found);
        emits_are_not_given_up(&records, &mut found);
        sales_commit_with_their_refund(stack, &records, &mut found);
        if !stack.may_have_lost() {
            foreign_bytes_are_dead_letters(stack, &mut found);
        }
        found
    }
}

fn open_account(stack: &Stack, account: &str) {
    stack.note("somebody", &format!("opens {account}"));
    stack.put(ACCOUNTS, &json!({ "account": { "S": account }, "balance": { "N": "0" } }));
}

async fn send_all(stack: &Stack) -> Vec<SentMessage> {
    let draw = |end, what: u64, at: u64| stack.draw_for_message(end, what, at);
    let mut sent = Vec::new();
    let messages = messages(&draw).into_iter().enumerate();
    for (at, message) in messages.filter(|(at, _)| stack.sends(*at)) {
        sleep(Duration::from_millis(draw(2_000, 7, at as u64))).await;
        match message {
            Message::Upstream(message) => {
                stack.send(&message.message);
                sent.push(message);
            }
            Message::Outbox(sale) => sell(stack, sale).await,
        }
    }
    foreign_bytes(&draw).iter().for_each(|bytes| stack.put_into_stream("foreign", bytes));
    sleep(Duration::from_millis(draw(20_000, 8, 0))).await;
    open_account(stack, "account-1");
    sent
}

/// In half of the runs no operator acts, since an operator may fix what was lost.
async fn operate(stack: &Stack) {
    let draw = |end, what: u64, at: u64| stack.draw_for_message(end, what, at);
    for nth in (0..).take_while(|_| draw(2, 12, 0) == 0) {
        // Every other time a dead letter that arrives alarms the operator.
        let is_alarmed = draw(2, 11, nth) == 0;
        tokio::select! {
            biased;
            () = stack.dead_letters_change(), if is_alarmed => (),
            () = sleep(Duration::from_millis(1_000 + draw(12_000, 9, nth))) => (),
        }
        if stack.time().elapsed_ms() >= FAULTS_MS {
            return;
        }
        look_after(stack, nth).await;
    }
}

/// A producer that commits a sale with its refund, and tries until it knows that it did.
async fn sell(stack: &Stack, sale: Sale) {
    let Sale { id, refund, behind } = sale;
    let draft = Draft::command("refund.requested", "shop", &refund);
    let message = stack.outbox(behind).accept(draft.build(id.clone()).expect("an id")).expect("a refund");
    let sale = Put::builder().table_name(SALES).item("id", AttributeValue::S(id)).build();
    let sale = TransactWriteItem::builder().put(sale.expect("all fields are set")).build();
    let dynamodb = stack.dynamodb().clone();
    let work = async move {
        loop {
            let call = dynamodb.transact_write_items().transact_items(sale.clone());
            let Err(error) = call.transact_items(message.action()).send().await else { return };
            let error = error.into_service_error();
            let reasons = match &error {
                TransactWriteItemsError::TransactionCanceledException(error) => error.cancellation_reasons(),
                _ => &[],
            };
            let outcome = reasons.get(1).map(|reason| message.outcome(reason));
            if let Some(Ok(Some(Acceptance::Duplicate(_)))) = outcome {
                return;
            }
            sleep(Duration::from_millis(500)).await;
        }
    };
    stack.run_program("producer", "outbox", Duration::from_secs(30), work).await;
}
