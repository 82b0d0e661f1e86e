//! `handover explain`: what the code of an error means, and what to do.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use handover::Code;

use crate::output::say;

#[derive(clap::Args)]
pub struct Arguments {
    /// The code, as `error[CODE]` or the reason of a refused message has it.
    // They are too many for the help of the option; a shell completes them, and docs/errors/ has a list.
    #[arg(hide_possible_values = true, value_parser = code())]
    code: Code,
}

fn code() -> impl TypedValueParser<Value = Code> {
    let known = Code::ALL.iter().map(|code| PossibleValue::new(code.as_str()).help(code.title()));
    PossibleValuesParser::new(known).map(|text| {
        let code = Code::ALL.iter().find(|code| code.as_str() == text);
        *code.expect("clap takes nothing else")
    })
}

/// Prints the page of a code.
pub fn explain(Arguments { code }: &Arguments) {
    say!("{}", code.page().trim_end());
}
