//! Arguments that are wrong, and are said to be before any call. These tests need no deployed stack.

use std::fs::OpenOptions;
use std::process::{Command, Output};

use crate::text;

/// The command where no call is answered: nothing listens on port 9, the discard port.
fn handover(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    command(arguments, variables).output().unwrap()
}

fn command(arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let of_all = [
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:9"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "a"),
        ("AWS_SECRET_ACCESS_KEY", "b"),
        ("HANDOVER_STACK", "absent"),
    ];
    let mut command = Command::new(env!("CARGO_BIN_EXE_handover"));
    command.args(arguments).env_clear().envs(of_all).envs(variables.iter().copied());
    command
}

#[test]
fn an_empty_or_malformed_value_is_refused_by_its_name() {
    for (arguments, name, problem) in [
        (&["status", ""][..], "<ID>", "1 to 128 visible ASCII characters"),
        (&["status", "a b"], "<ID>", "1 to 128 visible ASCII characters"),
        (&["status", "1", "--source", ""], "--source", "1 to 256 visible ASCII characters"),
        (&["redrive", ""], "[ID]", "1 to 128 visible ASCII characters"),
        (&["redrive", "--destination", "a b"], "--destination", "1 to 32 characters of a-z"),
        (&["redrive", "--all", "--error", ""], "--error", "it is empty"),
        (&["dispatch", ""], "[ID]", "1 to 128 visible ASCII characters"),
        (&["dispatch", "--destination", ""], "--destination", "1 to 32 characters of a-z"),
        (&["list", "--recent", "31d"], "--recent", "at most 30d"),
        (&["list", "--open", "--type", ""], "--type", "it is empty"),
        (&["dead-letters", "--destination", ""], "--destination", "1 to 32 characters of a-z"),
        (&["refused", ""], "[MESSAGE_ID]", "it is empty"),
        (&["refused", "--error", " "], "--error", "it is empty"),
        (&["close", "", "--reason", "r"], "<ID>", "1 to 128 visible ASCII characters"),
        (&["close", "1", "--reason", " "], "--reason", "it is empty"),
        (&["close", "1", "--reason", "r", "--destination", ""], "--destination", "1 to 32 characters of a-z"),
        (&["close", "1", "--reason", "r", "--ledger-days", "0"], "--ledger-days", "30..=3650"),
        (&["close", "1", "--reason", "r", "--ledger-days", "99999999"], "--ledger-days", "30..=3650"),
    ] {
        let refused = handover(arguments, &[]);
        let error = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "{arguments:?}: {error}");
        assert!(error.contains(name) && error.contains(problem), "{arguments:?}: {error}");
    }
}

#[test]
fn the_name_of_no_stack_and_of_no_region_is_refused() {
    let no_stack = "error[no-stack]: `a b` is not the name of a stack, ";
    let no_region = "error[no-region]: `bad region` is not the name of a Region, ";
    for (arguments, variables, expected) in [
        (&["--stack", "a b"][..], &[][..], no_stack),
        (&[], &[("HANDOVER_STACK", "a b")], no_stack),
        (&["--region", "bad region"], &[], no_region),
        (&[], &[("AWS_REGION", "bad region")], no_region),
    ] {
        let refused = handover(&[arguments, &["status", "1"]].concat(), variables);
        assert!(text(&refused.stderr).starts_with(expected), "{refused:?}");
        assert_eq!(refused.status.code(), Some(1));
    }
}

#[test]
fn what_acts_on_many_needs_somebody_who_says_yes() {
    for arguments in [
        &["redrive", "--all"][..],
        &["dispatch", "--destination", "a"],
        &["refused", "--resend", "--all"],
        &["replay", "--destination", "a", "--since", "1d"],
    ] {
        let refused = handover(arguments, &[]);
        let error = text(&refused.stderr);
        assert!(error.starts_with("error[needs-yes]: ") && error.contains("add --yes"), "{error}");
        assert_eq!(refused.status.code(), Some(1), "{arguments:?}");
    }
}

#[test]
fn an_empty_variable_is_not_set() {
    let called = handover(&["status", "1"], &[("HANDOVER_ROUTES", "")]);
    assert!(text(&called.stderr).contains("http://127.0.0.1:9 does not answer"), "{called:?}");
}

#[test]
fn what_cannot_be_read_is_named() {
    let folder = std::env::temp_dir();
    let refused = handover(&["send", folder.to_str().unwrap()], &[]);
    let expected = format!("error: cannot read {}: it is a directory; ", folder.display());
    assert!(text(&refused.stderr).starts_with(&expected), "{refused:?}");
}

/// What clap prints itself, and what needs no stack.
#[test]
fn what_cannot_be_written_fails() {
    for arguments in
        [&["--help"][..], &["help", "close"], &["--version"], &["completion", "bash"], &["explain", "gone"]]
    {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = command(arguments, &[]).stdout(full).output().unwrap();
        let errors = text(&output.stderr);
        assert!(errors.starts_with("error: the output cannot be written: "), "{arguments:?}: {errors}");
        assert_eq!((errors.lines().count(), output.status.code()), (1, Some(1)), "{arguments:?}: {errors}");
    }
}

#[test]
fn the_help_has_the_exit_codes() {
    let help = handover(&["--help"], &[]);
    let (_, codes) = text(&help.stdout).split_once("\nExit codes:\n").unwrap();
    let codes: Vec<&str> = codes.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(codes, ["0", "1", "2", "130"]);
}

#[test]
fn a_shell_completes_every_command() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = handover(&["completion", shell], &[("HANDOVER_STACK", "")]);
        assert_eq!(script.status.code(), Some(0), "{shell}");
        for word in ["dead-letters", "completion", "--older-than"] {
            // Fish has its options without the dashes.
            assert!(text(&script.stdout).contains(word.trim_start_matches('-')), "{shell}: {word}");
        }
    }
    assert_eq!(handover(&["completion", "tcsh"], &[]).status.code(), Some(2));
}

#[test]
fn a_code_is_explained_without_a_stack() {
    let explained = handover(&["explain", "needs-yes"], &[("HANDOVER_STACK", "")]);
    let page = include_str!("../../../docs/errors/needs-yes.md");
    assert!(page.contains(text(&explained.stdout)) && explained.stdout.starts_with(b"# `needs-yes`\n"));
    let unknown = handover(&["explain", "need-yes"], &[]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(text(&unknown.stderr).contains("'needs-yes'"), "{}", text(&unknown.stderr));
}

#[test]
fn the_help_has_the_options_of_the_command_apart() {
    let help = handover(&["close", "--help"], &[]);
    let (own, of_all) = text(&help.stdout).split_once("\nStack and AWS:\n").unwrap();
    assert!(
        ["--reason", "--destination", "--ledger-days"].iter().all(|option| own.contains(option)),
        "{own}"
    );
    assert!(own.contains("30 to 3650"), "{own}");
    for option in ["--stack", "--region", "--profile", "--routes"] {
        assert!(of_all.contains(option) && !own.contains(option), "{option}: {own}");
    }
}
