//! The destination `refund`: credits a refund to its account.

use handover::dynamodb::types::{AttributeValue, Put, Update};
use handover::{Destination, Effect, Failure, Notification};
use serde::Deserialize;

/// What a refund says.
#[derive(Deserialize)]
pub struct Refund {
    /// Of the customer.
    pub account: String,
    /// In cents.
    pub amount: u32,
}

/// Credits refunds: the account's balance, and an entry that says why.
pub struct Refunds {
    /// The table of accounts.
    pub accounts: String,
    /// The table of entries.
    pub entries: String,
}

impl Destination for Refunds {
    type Data = Refund;

    async fn apply(&self, refund: &Notification<Refund>) -> Result<Effect, Failure> {
        let Refund { account, amount } = &refund.data;
        let amount = AttributeValue::N(amount.to_string());
        let account = AttributeValue::S(account.clone());
        let credit = Update::builder()
            .table_name(&self.accounts)
            .key("account", account.clone())
            .update_expression("ADD balance :amount")
            .condition_expression("attribute_exists(account)")
            .expression_attribute_values(":amount", amount.clone())
            .build()?;
        let entry = Put::builder()
            .table_name(&self.entries)
            .item("account", account)
            .item("id", AttributeValue::S(refund.id.clone()))
            .item("amount", amount)
            .build()?;
        Ok(Effect::new().write(credit).write(entry))
    }
}
