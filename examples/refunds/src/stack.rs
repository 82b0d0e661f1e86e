//! The tables and queues of the deployed stack.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, anyhow, ensure};
use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, Select, WriteRequest};
use aws_sdk_sqs::types::{Message, QueueAttributeName};
use handover::pipeline::REASON;
use handover::record::{Item, Record, Status};

use crate::generate::Refund;

/// Most writes of one `BatchWriteItem`.
const WRITES_MAX: usize = 25;

/// A deployed stack.
pub struct Stack {
    dynamodb: aws_sdk_dynamodb::Client,
    sqs: aws_sdk_sqs::Client,
    name: String,
}

/// What the stack holds at rest.
pub struct Found {
    /// The records of all notifications.
    pub records: Vec<Record>,
    /// The entries: each refund with the account that it was credited to.
    pub entries: Vec<Refund>,
    /// The balance of each account, in cents.
    pub balances: BTreeMap<String, u64>,
    /// The refused texts, each with its reason.
    pub refused: Vec<(String, String)>,
}

impl Found {
    /// The refund that is stored under each id.
    pub fn held(&self) -> HashMap<&str, Refund> {
        self.records
            .iter()
            .filter_map(|record| Some((record.id.as_str(), Refund::from_record(record)?)))
            .collect()
    }

    /// The sum of each account's entries, in cents.
    pub fn credited(&self) -> HashMap<&str, u64> {
        let mut credited = HashMap::new();
        for entry in &self.entries {
            *credited.entry(entry.account.as_str()).or_default() += entry.amount;
        }
        credited
    }
}

impl Stack {
    /// Connects to the stack of this name, as the standard AWS environment and profile say.
    pub async fn connect(name: &str) -> anyhow::Result<Stack> {
        let aws = handover::aws::config()?.load().await;
        Ok(Stack {
            dynamodb: aws_sdk_dynamodb::Client::new(&aws),
            sqs: aws_sdk_sqs::Client::new(&aws),
            name: name.to_owned(),
        })
    }

    fn table(&self, name: &str) -> String {
        format!("{}-{name}", self.name)
    }

    /// The command `handover`, whose binary is beside this program's.
    pub fn handover(&self, arguments: &[&str]) -> anyhow::Result<Command> {
        let command = std::env::current_exe()?.with_file_name("handover");
        ensure!(command.exists(), "{} does not exist; build the workspace", command.display());
        let mut command = Command::new(command);
        command.args(["--stack", &self.name]).args(arguments);
        Ok(command)
    }

    /// Sends events, one a line, by the command.
    pub fn send(&self, lines: &str) -> anyhow::Result<()> {
        let mut send = self.handover(&["send", "-"])?.stdin(Stdio::piped()).spawn()?;
        send.stdin.take().expect("it is piped").write_all(lines.as_bytes())?;
        ensure!(send.wait()?.success(), "some events were not sent");
        Ok(())
    }

    /// Opens accounts with a balance of 0.
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

    /// Counts the stored notifications, and those of them with this status.
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

    /// The balance of each account, in cents.
    pub async fn balances(&self) -> anyhow::Result<BTreeMap<String, u64>> {
        let items = self.scan("accounts").await?;
        items.iter().map(|item| Ok((text(item, "account")?, number(item, "balance")?))).collect()
    }

    /// The entries: each refund with the account that it was credited to.
    pub async fn entries(&self) -> anyhow::Result<Vec<Refund>> {
        let items = self.scan("entries").await?;
        let refund = |item: &Item| {
            let (refund, account) = (text(item, "refund")?, text(item, "account")?);
            let id = refund.split(' ').next().unwrap_or_default().to_owned();
            Ok(Refund { id, account, amount: number(item, "amount")? })
        };
        items.iter().map(refund).collect()
    }

    /// Reads the tables. `refused` was received from the upstream's dead-letter queue before.
    pub async fn found(&self, refused: Vec<(String, String)>) -> anyhow::Result<Found> {
        let (records, entries, balances) = tokio::try_join!(self.records(), self.entries(), self.balances())?;
        Ok(Found { records, entries, balances, refused })
    }

    async fn queue(&self, name: &str) -> anyhow::Result<String> {
        let name = format!("{}-{name}", self.name);
        let found = self.sqs.get_queue_url().queue_name(&name).send().await;
        let found = found.with_context(|| {
            format!(
                "there is no queue {name}; is the stack `{}` deployed? (`make up`, or --stack)",
                self.name
            )
        })?;
        found.queue_url.ok_or_else(|| anyhow!("the queue {name} has no URL"))
    }

    /// The approximate number of messages in this queue, including those that are being processed.
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

    /// Deletes a queue.
    pub async fn delete_queue(&self, name: &str) -> anyhow::Result<()> {
        self.sqs.delete_queue().queue_url(self.queue(name).await?).send().await?;
        Ok(())
    }

    /// Creates a queue that was deleted.
    pub async fn create_queue(&self, name: &str) -> anyhow::Result<()> {
        self.sqs.create_queue().queue_name(format!("{}-{name}", self.name)).send().await?;
        Ok(())
    }

    /// Receives and deletes all messages of a queue: the ids of their events.
    pub async fn take_ids(&self, queue: &str) -> anyhow::Result<Vec<String>> {
        let id = |message: &Message| -> anyhow::Result<String> {
            let event: serde_json::Value = serde_json::from_str(message.body().unwrap_or_default())?;
            Ok(event["id"].as_str().context("an event has no id")?.to_owned())
        };
        self.take(queue).await?.iter().map(id).collect()
    }

    /// Receives and deletes all messages of the upstream's dead-letter queue: each text, with the reason if
    /// accept refused it. SQS itself moved those without a reason.
    pub async fn take_refused(&self) -> anyhow::Result<Vec<(String, Option<String>)>> {
        let taken = self.take("upstream-dead-letters").await?.into_iter();
        Ok(taken
            .map(|message| {
                let attributes = message.message_attributes.unwrap_or_default();
                let reason = attributes.get(REASON).and_then(|value| value.string_value.clone());
                (message.body.unwrap_or_default(), reason)
            })
            .collect())
    }

    /// Receives and deletes all messages of a queue.
    async fn take(&self, queue: &str) -> anyhow::Result<Vec<Message>> {
        let url = self.queue(queue).await?;
        let mut taken = Vec::new();
        loop {
            // A long poll asks all servers of the queue; a short one may miss messages.
            let call =
                self.sqs.receive_message().queue_url(&url).max_number_of_messages(10).wait_time_seconds(1);
            let messages = call.message_attribute_names("All").send().await?.messages.unwrap_or_default();
            if messages.is_empty() {
                return Ok(taken);
            }
            for message in messages {
                let handle = message.receipt_handle.clone().unwrap_or_default();
                self.sqs.delete_message().queue_url(&url).receipt_handle(handle).send().await?;
                taken.push(message);
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
