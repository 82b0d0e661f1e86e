//! Every combination of a verb's options. What a combination does not use it must not take: clap leaves out a
//! `requires` whose argument conflicts with another one that was given.

use clap::Parser;

/// Options of a verb, each as it is typed.
pub type Options<'a> = &'a [&'a [&'a str]];

/// Checks that a verb takes the combinations of these options for which all rules hold, and no others. The rules are
/// given a function that says whether a combination has an option.
pub fn check<const N: usize>(
    verb: &str,
    options: Options,
    rules: impl Fn(&dyn Fn(&str) -> bool) -> [bool; N],
) {
    for combination in 0..1 << options.len() {
        let given: Vec<&[&str]> =
            (0..options.len()).filter(|at| combination >> at & 1 == 1).map(|at| options[at]).collect();
        let has = |option: &str| {
            assert!(options.iter().any(|words| words[0] == option), "{option} is not one of the options");
            given.iter().any(|words| words[0] == option)
        };
        let typed = ["handover", verb].into_iter().chain(given.concat());
        let taken = crate::Arguments::try_parse_from(typed);
        assert_eq!(taken.is_ok(), rules(&has) == [true; N], "{verb} {:?}", given.concat());
    }
}
