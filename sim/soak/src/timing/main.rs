//! timing SCENARIO: prints how long the notifications of a scenario take on virtual time.

use std::process::ExitCode;

use handover_soak::timing::{hot_key, order};

const USAGE: &str = "usage: timing hot-key|order";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["hot-key"] => hot_key::rows().iter().for_each(|row| println!("{row}")),
        ["order"] => {
            println!("{}", order::catch_up());
            order::beside_a_hanging_key(1_000).iter().for_each(|row| println!("{row}"));
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
