//! What the deployed stack holds: its tables and queues, read as anybody could.

use std::collections::BTreeMap;

use anyhow::{Context, anyhow};
use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use aws_sdk_sqs::types::QueueAttributeName;
use handover::record::{Item, Record};
use handover::upstream::REASON;

use crate::generate::Refund;

/// Most writes of one `BatchWriteItem`.
const WRITES_MAX: usize = 25;

/// The stack.
pub struct World {
    dynamodb: aws_sdk_dynamodb::Client,
    sqs: aws_sdk_sqs::Client,
    stack: String,
}

impl World {
    pub async fn connect(stack: &str) -> World {
        let aws: SdkConfig = aws_config::load_defaults(BehaviorVersion::latest()).await;
        World {
            dynamodb: aws_sdk_dynamodb::Client::new(&aws),
            sqs: aws_sdk_sqs::Client::new(&aws),
            stack: stack.to_owned(),
        }
    }

    fn table(&self, name: &str) -> String {
        format!("{}-{name}", self.stack)
    }

    /// Opens accounts with nothing on them.
    pub async fn open_accounts(&self, accounts: &[String]) -> anyhow::Result<()> {
        let write = |account: &String| {
            let put = PutRequest::builder()
                .item("account", AttributeValue::S(account.clone()))
                .item("balance", AttributeValue::N("0".into()));
            WriteRequest::builder().put_request(put.build().expect("the item is set")).build()
        };
        for accounts in accounts.chunks(WRITES_MAX) {
            let writes: Vec<_> = accounts.iter().map(write).collect();
            let call = self.dynamodb.batch_write_item().request_items(self.table("accounts"), writes);
            let left = call.send().await.context("cannot open the accounts")?.unprocessed_items;
            anyhow::ensure!(left.is_none_or(|left| left.is_empty()), "not all accounts could be opened");
        }
        Ok(())
    }

    async fn scan(&self, table: &str) -> anyhow::Result<Vec<Item>> {
        let scan = self.dynamodb.scan().table_name(self.table(table)).consistent_read(true);
        let items = scan.into_paginator().items().send().collect::<Result<Vec<_>, _>>().await;
        items.with_context(|| format!("cannot read the table {}", self.table(table)))
    }

    /// The records of all notifications.
    pub async fn records(&self) -> anyhow::Result<Vec<Record>> {
        let items = self.scan("notifications").await?;
        items.into_iter().map(|item| Ok(Record::decode(item)?)).collect()
    }

    /// The balances, in cents.
    pub async fn balances(&self) -> anyhow::Result<BTreeMap<String, u64>> {
        let items = self.scan("accounts").await?;
        items.iter().map(|item| Ok((text(item, "account")?, number(item, "balance")?))).collect()
    }

    /// The entries: which refund was credited to which account.
    pub async fn entries(&self) -> anyhow::Result<Vec<Refund>> {
        let items = self.scan("entries").await?;
        let refund = |item: &Item| {
            let (id, account) = (text(item, "id")?, text(item, "account")?);
            Ok(Refund { id, account, amount: number(item, "amount")? })
        };
        items.iter().map(refund).collect()
    }

    async fn queue(&self, name: &str) -> anyhow::Result<String> {
        let name = format!("{}-{name}", self.stack);
        let found = self.sqs.get_queue_url().queue_name(&name).send().await;
        let found = found.with_context(|| {
            format!(
                "there is no queue {name}; is the stack `{}` deployed? (`make up`, or --stack)",
                self.stack
            )
        })?;
        found.queue_url.ok_or_else(|| anyhow!("the queue {name} has no URL"))
    }

    /// About how many messages wait in the upstream queue, or are being accepted.
    pub async fn upstream_left(&self) -> anyhow::Result<u64> {
        let names = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        ];
        let call = self.sqs.get_queue_attributes().queue_url(self.queue("upstream").await?);
        let attributes =
            call.set_attribute_names(Some(names.to_vec())).send().await?.attributes.unwrap_or_default();
        Ok(attributes.values().filter_map(|count| count.parse::<u64>().ok()).sum())
    }

    /// Takes the refused messages out of the upstream's dead-letter queue: text and reason.
    pub async fn take_refused(&self) -> anyhow::Result<Vec<(String, String)>> {
        let url = self.queue("upstream-dead-letters").await?;
        let mut refused = Vec::new();
        loop {
            // A long poll asks all of the queue's servers; a short one may miss messages.
            let call =
                self.sqs.receive_message().queue_url(&url).max_number_of_messages(10).wait_time_seconds(1);
            let messages = call.message_attribute_names("All").send().await?.messages.unwrap_or_default();
            if messages.is_empty() {
                return Ok(refused);
            }
            for message in messages {
                let attributes = message.message_attributes.unwrap_or_default();
                let reason = attributes.get(REASON).and_then(|value| value.string_value.clone());
                refused
                    .push((message.body.unwrap_or_default(), reason.unwrap_or_else(|| "none given".into())));
                let handle = message.receipt_handle.unwrap_or_default();
                self.sqs.delete_message().queue_url(&url).receipt_handle(handle).send().await?;
            }
        }
    }
}

fn text(item: &Item, name: &str) -> anyhow::Result<String> {
    let value = item.get(name).and_then(|value| value.as_s().ok());
    Ok(value.with_context(|| format!("an item has no text `{name}`"))?.clone())
}

fn number(item: &Item, name: &str) -> anyhow::Result<u64> {
    let value = item.get(name).and_then(|value| value.as_n().ok());
    Ok(value.with_context(|| format!("an item has no number `{name}`"))?.parse()?)
}
