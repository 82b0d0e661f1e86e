//! What the command prints. A text may come from a sender, a provider or a destination, so that no control character
//! of it reaches the terminal. Whoever reads may close the pipe: the command then goes on without output, and ends with
//! the exit code that it has. It also goes on where the output cannot be written, as on a full disk, so that it ends
//! what it began; but it says so, and fails.

use std::fmt::Display;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

/// Prints a line, as `println!` does.
macro_rules! say {
    ($($text:tt)*) => { $crate::output::line(std::io::stdout(), &format!($($text)*)) };
}
/// Prints a line to the standard error, as `eprintln!` does.
macro_rules! say_error {
    ($($text:tt)*) => { $crate::output::line(std::io::stderr(), &format!($($text)*)) };
}
pub(crate) use {say, say_error};

/// Whether something could not be written.
static IS_INCOMPLETE: AtomicBool = AtomicBool::new(false);

/// Whether something could not be written, for another reason than a closed pipe.
pub fn is_incomplete() -> bool {
    IS_INCOMPLETE.load(Ordering::Relaxed)
}

/// Writes a line.
pub fn line(mut to: impl Write, text: &str) {
    let plain = |c: char| if c.is_control() && c != '\n' { '\u{fffd}' } else { c };
    note(writeln!(to, "{}", text.chars().map(plain).collect::<String>()));
}

/// Notes whether an output could be written, and says its first error.
pub fn note(written: io::Result<()>) {
    if let Err(error) = written
        && error.kind() != ErrorKind::BrokenPipe
        && !IS_INCOMPLETE.swap(true, Ordering::Relaxed)
    {
        // It may be the standard error itself that cannot be written.
        let _ = writeln!(std::io::stderr(), "error: the output cannot be written: {error}");
    }
}

/// Prints JSON.
///
/// # Errors
/// When the value has no form in JSON.
pub fn json(value: &impl Serialize) -> serde_json::Result<()> {
    say!("{}", escaped(&serde_json::to_string_pretty(value)?));
    Ok(())
}

/// Prints what a command did: as JSON where that is asked for, else in words.
///
/// # Errors
/// As [`json`].
pub fn did(is_json: bool, value: &impl Serialize, words: impl Display) -> serde_json::Result<()> {
    match is_json {
        true => json(value),
        false => {
            say!("{words}");
            Ok(())
        }
    }
}

/// The same JSON, with escapes for the control characters that JSON allows in strings.
fn escaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        match c.is_control() && c != '\n' {
            true => text.push_str(&format!("\\u{:04x}", u32::from(c))),
            false => text.push(c),
        }
    }
    text
}

/// A bar on the terminal; hidden where stderr is none.
pub fn progress(bar: ProgressBar, template: &str) -> ProgressBar {
    match std::io::stderr().is_terminal() {
        true => bar.with_style(ProgressStyle::with_template(template).expect("the template is valid")),
        false => ProgressBar::hidden(),
    }
}

/// A bar over this many, such as "redriven".
pub fn counter(count: usize, of: &'static str) -> ProgressBar {
    progress(ProgressBar::new(count as u64), "{bar:40} {pos} of {len} {msg}").with_message(of)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> String {
        let mut to = Vec::new();
        line(&mut to, text);
        String::from_utf8(to).unwrap()
    }

    #[test]
    fn a_line_has_no_control_character_of_its_own() {
        assert_eq!(
            written("é\u{1b}[2J\r\u{9b}31m\u{7f}\nnext"),
            "é\u{fffd}[2J\u{fffd}\u{fffd}31m\u{fffd}\nnext\n"
        );
    }

    #[test]
    fn json_keeps_its_meaning() {
        let text = serde_json::to_string(&["\u{9b}31m\u{7f}\u{1b}\n"]).unwrap();
        assert!(escaped(&text).chars().all(|c| !c.is_control()));
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&escaped(&text)).unwrap(),
            serde_json::from_str::<serde_json::Value>(&text).unwrap()
        );
    }

    #[test]
    fn a_time_has_three_digits_after_the_second() {
        let time = |text: &str| handover::record::Time(text.parse().unwrap()).to_string();
        for (given, expected) in [
            ("2026-11-27T18:26:19.34Z", "2026-11-27T18:26:19.340Z"),
            ("2026-11-27T18:26:19Z", "2026-11-27T18:26:19.000Z"),
            ("2026-11-27T18:26:19.153Z", "2026-11-27T18:26:19.153Z"),
        ] {
            assert_eq!(time(given), expected);
        }
    }

    /// An output that fails so.
    struct Failing(ErrorKind);

    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(self.0.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_closed_pipe_is_no_error_and_a_full_disk_is_one() {
        line(Failing(ErrorKind::BrokenPipe), "text");
        assert!(!is_incomplete());
        line(Failing(ErrorKind::StorageFull), "text");
        assert!(is_incomplete());
    }
}
