//! Deliberate mistakes in the protocol. Each replaces a text in a file of the library; `is` asks whether the
//! mistake is enabled in this run. A text that does not occur exactly once fails the build, so that the list
//! keeps up with the library.

mod commerce;
mod credit;
mod fan_out;
mod forward;
mod http;
mod operated;
mod ordered;
mod payments;
mod replayed;

/// The file's path below `src`, the text, and its replacement.
pub type Edit = (&'static str, &'static str, &'static str);

/// A mutant: its name, and what makes it.
pub type Mutant = (&'static str, &'static [Edit]);

/// Every mutant, by the workload that has to find it.
pub const MUTANTS: [(&str, &[Mutant]); 9] = [
    ("commerce", commerce::MUTANTS),
    ("payments", payments::MUTANTS),
    ("ordered", ordered::MUTANTS),
    ("credit", credit::MUTANTS),
    ("fan_out", fan_out::MUTANTS),
    ("forward", forward::MUTANTS),
    ("operated", operated::MUTANTS),
    ("replayed", replayed::MUTANTS),
    ("http", http::MUTANTS),
];
