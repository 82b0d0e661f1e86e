//! The names of the tables, and the stock.

/// The balance of each account.
pub const ACCOUNTS: &str = "accounts";
/// The refunds of each account.
pub const ENTRIES: &str = "entries";
/// How many there are of each item.
pub const ITEMS: &str = "items";
/// The sales that a producer commits with their refund.
pub const SALES: &str = "sales";

/// Books at the beginning.
pub const STOCK: u32 = 2;
