//! What the deployed stack holds: its tables and queues, read as anybody could.

use std::collections::{BTreeMap, HashMap};
use std::process::Command;

use anyhow::{Context, anyhow, ensure};
use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, Select, WriteRequest};
use aws_sdk_sqs::types::QueueAttributeName;
use handover::record::{Item, Record, Status};
use handover::pipeline::REASON;

use crate::generate::Refund;

/// Most writes of one `BatchWriteItem`.
const WRITES_MAX: usize = 25;

/// The stack.
pub struct World {
    dynamodb: aws_sdk_dynamodb::Client,
    sqs: aws_sdk_sqs::Client,
    stack: String,
}

/// What it holds when it rests.
pub struct Found {
    /// The records of all notifications.
    pub records: Vec<Record>,
    /// Which refund was credited to which account.
    pub entries: Vec<Refund>,
    /// In cents.
    pub balances: BTreeMap<String, u64>,
    /// What was refused, and the reason.
    pub refused: Vec<(String, String)>,
}

impl Found {
    /// The refund that each id stands for.
    pub fn held(&self) -> HashMap<&str, Refund> {
        self.records.iter().filter_map(|record| Some((record.id.as_str(), Refund::of(record)?))).collect()
    }

    /// What the entries of each account come to, in cents.
    pub fn credited(&self) -> HashMap<&str, u64> {
        let mut credited = HashMap::new();
        for entry in &self.entries {
            *credited.entry(entry.account.as_str()).or_default() += entry.amount;
        }
        credited
    }
}

impl World {
    /// The stack of this name, by the standard environment and profile.
    pub async fn connect(stack: &str) -> anyhow::Result<World> {
        let aws = handover::aws::config()?.load().await;
        Ok(World {
            dynamodb: aws_sdk_dynamodb::Client::new(&aws),
            sqs: aws_sdk_sqs::Client::new(&aws),
            stack: stack.to_owned(),
        })
    }

    fn table(&self, name: &str) -> String {
        format!("{}-{name}", self.stack)
    }

    /// The command that users have, which stands beside this program.
    pub fn handover(&self, arguments: &[&str]) -> anyhow::Result<Command> {
        let command = std::env::current_exe()?.with_file_name("handover");
        ensure!(command.exists(), "there is no {}; build the workspace", command.display());
        let mut command = Command::new(command);
        command.args(["--stack", &self.stack]).args(arguments);
        Ok(command)
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
            ensure!(left.is_none_or(|left| left.is_empty()), "not all accounts could be opened");
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

    /// How many notifications are stored, and how many of them have this status.
    pub async fn count(&self, status: Status) -> anyhow::Result<(u64, u64)> {
        let scan = self.dynamodb.scan().table_name(self.table("notifications")).consistent_read(true);
        let scan = scan.select(Select::Count).filter_expression("#status = :status");
        let scan = scan.expression_attribute_names("#status", "status");
        let status = AttributeValue::S(status.as_str().into());
        let mut pages = scan.expression_attribute_values(":status", status).into_paginator().send();
        let (mut stored, mut counted) = (0, 0);
        while let Some(page) = pages.next().await {
            let page = page.context("cannot count the notifications")?;
            stored += u64::from(page.scanned_count.unsigned_abs());
            counted += u64::from(page.count.unsigned_abs());
        }
        Ok((stored, counted))
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

    /// All that it holds, with what was taken out of the upstream's dead-letter queue.
    pub async fn found(&self, refused: Vec<(String, String)>) -> anyhow::Result<Found> {
        let (records, entries, balances) = tokio::try_join!(self.records(), self.entries(), self.balances())?;
        Ok(Found { records, entries, balances, refused })
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

    /// About how many messages wait in this queue, or are being received.
    pub async fn left(&self, queue: &str) -> anyhow::Result<u64> {
        let names = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        ];
        let call = self.sqs.get_queue_attributes().queue_url(self.queue(queue).await?);
        let attributes =
            call.set_attribute_names(Some(names.to_vec())).send().await?.attributes.unwrap_or_default();
        Ok(attributes.values().filter_map(|count| count.parse::<u64>().ok()).sum())
    }

    /// Takes all messages out of the upstream's dead-letter queue: each text, and the reason where it
    /// was refused. One without was moved there by SQS.
    pub async fn take_refused(&self) -> anyhow::Result<Vec<(String, Option<String>)>> {
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
                refused.push((message.body.unwrap_or_default(), reason));
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
