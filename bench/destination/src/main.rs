//! A destination with the measured effect. For the benchmark only: it is not in the template.

use handover::dynamodb::types::{AttributeValue, Update};
use handover::lambda::variable;
use handover::{Destination, Effect, Error, Failure, Notification, run};
use serde::Deserialize;

/// The effect, in addition to the mark.
enum Measured {
    Nothing,
    Stores,
    /// Writes to the table of this name.
    Writes(String),
}

#[derive(Deserialize)]
struct Refund {
    account: String,
    amount: u32,
}

impl Destination for Measured {
    type Data = Refund;

    async fn apply(&self, refund: &Notification<Refund>) -> Result<Effect, Failure> {
        let Refund { account, amount } = &refund.data;
        Ok(match self {
            Measured::Nothing => Effect::new(),
            Measured::Stores => Effect::new().result(amount),
            Measured::Writes(accounts) => Effect::new().write(
                Update::builder()
                    .table_name(accounts)
                    .key("account", AttributeValue::S(account.clone()))
                    .update_expression("ADD balance :amount")
                    .condition_expression("attribute_exists(account)")
                    .expression_attribute_values(":amount", AttributeValue::N(amount.to_string()))
                    .build()?,
            ),
        })
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    run(match variable("EFFECT")?.as_str() {
        "nothing" => Measured::Nothing,
        "stored" => Measured::Stores,
        _ => Measured::Writes(variable("ACCOUNTS_TABLE")?),
    })
    .await
}
