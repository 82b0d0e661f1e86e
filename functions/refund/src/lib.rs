//! The destination `refund`: credits a refund to its account.

use handover::dynamodb::types::{AttributeValue, Update};
use handover::{Destination, Effect, Failure, Notification};
use serde::{Deserialize, Serialize};

/// The data of a refund.
#[derive(Deserialize)]
pub struct Refund {
    /// The customer's account.
    pub account: String,
    /// In cents.
    pub amount: u32,
}

/// Credits a refund: adds it to the account's balance, and writes an entry.
pub struct Refunds {
    /// The table of accounts.
    pub accounts: String,
    /// The table of entries.
    pub entries: String,
}

/// Why a balance grew.
#[derive(Serialize)]
struct Entry<'a> {
    account: &'a str,
    /// The notification's id and source. With the account it is the key of the table.
    refund: String,
    amount: u32,
}

impl Destination for Refunds {
    type Data = Refund;

    async fn apply(&self, refund: &Notification<Refund>) -> Result<Effect, Failure> {
        let Refund { account, amount } = &refund.data;
        let credit = Update::builder()
            .table_name(&self.accounts)
            .key("account", AttributeValue::S(account.clone()))
            .update_expression("ADD balance :amount")
            .condition_expression("attribute_exists(account)")
            .expression_attribute_values(":amount", AttributeValue::N(amount.to_string()))
            .build()?;
        let entry = Entry { account, refund: refund.key().to_string(), amount: *amount };
        Ok(Effect::new().write(credit).put(&self.entries, &entry))
    }
}
