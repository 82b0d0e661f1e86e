//! A destination that no function runs yet.

use handover::destination::{Consumer, DestinationSettings};

/// A destination that no function runs yet.
pub struct Undeployed {
    pub(super) name: String,
    pub(super) consumer: Box<dyn Fn(DestinationSettings) -> Consumer>,
}
