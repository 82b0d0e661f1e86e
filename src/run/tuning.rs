//! What an operator tunes of each destination, from the environment: when and how often it tries again, how long its
//! handler may take, and how many handlers run at once.
//!
//! A variable holds for every destination of the function. The same name with that of a destination in upper case behind
//! it, as in `RETRY_WAITS_CRM`, holds for that one instead. One that is empty is as one that is not there, since a template
//! cannot easily leave one out.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::destination::{CONCURRENCY_MAX, Deadlines, RetrySchedule};
use crate::error::Error;
use crate::lambda::work_time;

const RETRY_WAITS: &str = "RETRY_WAITS";
pub(super) const HANDLER_TIMEOUT: &str = "HANDLER_TIMEOUT_SECONDS";
const HANDLER_CONCURRENCY: &str = "HANDLER_CONCURRENCY";
/// That of reconcile. A destination's function may have it, too.
const GIVE_UP_AFTER: &str = "GIVE_UP_AFTER_DAYS";
/// The function's own time-out. It may have it, too.
pub(super) const TIMEOUT: &str = "TIMEOUT_SECONDS";
/// Longest time of an invocation, in seconds.
const INVOCATION_SECONDS_MAX: u64 = 900;

/// What an operator tunes of a destination.
#[derive(Debug, PartialEq)]
pub(super) struct Tuning {
    pub(super) retries: RetrySchedule,
    pub(super) handler_timeout: Option<Duration>,
    pub(super) concurrency: usize,
}

impl Tuning {
    /// That of this destination, as the environment says. `backoff` is the first wait where it has no waits.
    pub(super) fn of(
        destination: &str,
        backoff: Duration,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Tuning, Error> {
        let variable = |name: &str| {
            let own = format!("{name}_{}", destination.to_ascii_uppercase());
            let named = |name: String| {
                environment(&name).filter(|value| !value.trim().is_empty()).map(|value| (name, value))
            };
            named(own).or_else(|| named(name.to_owned()))
        };
        let schedule = RetrySchedule::doubling(backoff);
        let retries = match variable(RETRY_WAITS) {
            None => schedule,
            Some((name, waits)) => {
                let schedule =
                    schedule.with_waits(&waits).map_err(|problem| Error::invalid(&name, problem))?;
                ends_in_time(&name, &schedule, environment(GIVE_UP_AFTER))?;
                schedule
            }
        };
        let timeout = match variable(HANDLER_TIMEOUT) {
            None => None,
            Some((name, value)) => {
                let timeout = whole_number(name.clone(), &value, 1..=INVOCATION_SECONDS_MAX)?;
                fits_function(name, timeout, environment(TIMEOUT))?;
                Some(timeout)
            }
        };
        let concurrency = variable(HANDLER_CONCURRENCY)
            .map(|(name, value)| whole_number(name, &value, 1..=CONCURRENCY_MAX as u64))
            .transpose()?;
        Ok(Tuning {
            retries,
            handler_timeout: timeout.map(Duration::from_secs),
            concurrency: concurrency.map_or(CONCURRENCY_MAX, |concurrency| concurrency as usize),
        })
    }
}

/// The variables with the name of a destination behind them that the function does not have.
pub(super) fn of_no_destination<'v>(
    variables: impl Iterator<Item = &'v str>,
    destinations: &[String],
) -> Vec<&'v str> {
    let own =
        |name: &'static str| destinations.iter().map(move |of| format!("{name}_{}", of.to_ascii_uppercase()));
    let names = [RETRY_WAITS, HANDLER_TIMEOUT, HANDLER_CONCURRENCY];
    let known: BTreeSet<String> = names.into_iter().flat_map(own).collect();
    let has_suffix = |variable: &str| {
        names.iter().any(|name| variable.strip_prefix(name).is_some_and(|suffix| suffix.starts_with('_')))
    };
    variables.filter(|variable| has_suffix(variable) && !known.contains(*variable)).collect()
}

fn whole_number(name: String, value: &str, allowed: RangeInclusive<u64>) -> Result<u64, Error> {
    let number = value.trim().parse().ok().filter(|number| allowed.contains(number));
    number.ok_or_else(|| {
        let (least, most) = (allowed.start(), allowed.end());
        Error::invalid(
            name,
            format!("is not a whole number from {least} to {most}; correct it, or remove it"),
        )
    })
}

/// Whether the last attempt of a schedule comes before reconcile gives the notification up, where that is known.
fn ends_in_time(name: &str, schedule: &RetrySchedule, give_up_after: Option<String>) -> Result<(), Error> {
    let Some(days) = give_up_after else { return Ok(()) };
    let days = whole_number(GIVE_UP_AFTER.to_owned(), &days, 1..=u64::from(u32::MAX))?;
    let (total, most) = (schedule.total().as_secs(), days * 24 * 3_600);
    if total < most {
        return Ok(());
    }
    let problem = format!(
        "has waits of {total} s together, and a notification is given up after {most} s (GIVE_UP_AFTER_DAYS); shorten the waits, or raise the parameter GiveUpAfterDays"
    );
    Err(Error::invalid(name, problem))
}

/// Whether a handler can reach this time-out at all, where the function's own is known.
fn fits_function(name: String, handler: u64, function: Option<String>) -> Result<(), Error> {
    let Some(function) = function.filter(|value| !value.trim().is_empty()) else { return Ok(()) };
    let function = whole_number(TIMEOUT.to_owned(), &function, 1..=INVOCATION_SECONDS_MAX)?;
    let has = Deadlines::of_handlers(work_time(Duration::from_secs(function)));
    if Duration::from_secs(handler) < has {
        return Ok(());
    }
    let problem = format!(
        "is {handler} s, and the function's time-out of {function} s (TIMEOUT_SECONDS) leaves handlers {has:?}; lower it, or raise the time-out, and TIMEOUT_SECONDS with it"
    );
    Err(Error::invalid(&name, problem))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(environment: &[(&str, &str)]) -> Result<Tuning, String> {
        let value =
            |name: &str| environment.iter().find(|(of, _)| *of == name).map(|(_, value)| value.to_string());
        Tuning::of("crm_2", Duration::from_secs(120), value).map_err(|error| error.to_string())
    }

    fn waits(text: &str) -> RetrySchedule {
        RetrySchedule::doubling(Duration::from_secs(120)).with_waits(text).unwrap()
    }

    #[test]
    fn without_variables_it_is_as_ever() {
        let six = RetrySchedule::doubling(Duration::from_secs(120));
        let default = || Ok(Tuning { retries: six.clone(), handler_timeout: None, concurrency: 48 });
        assert_eq!(read(&[]), default());
        assert_eq!(read(&[("RETRY_WAITS", ""), ("HANDLER_CONCURRENCY_CRM_2", " ")]), default());
    }

    #[test]
    fn the_variable_with_the_name_of_the_destination_wins() {
        let plain = [("RETRY_WAITS", "5"), ("HANDLER_TIMEOUT_SECONDS", "9"), ("HANDLER_CONCURRENCY", "8")];
        let own = [
            ("RETRY_WAITS_CRM_2", "none"),
            ("HANDLER_TIMEOUT_SECONDS_CRM_2", "1"),
            ("HANDLER_CONCURRENCY_CRM_2", " 1 "),
            ("RETRY_WAITS_CRM", "7"),
        ];
        let tuned = |waits_of: &str, seconds, concurrency| {
            let handler_timeout = Some(Duration::from_secs(seconds));
            Ok(Tuning { retries: waits(waits_of), handler_timeout, concurrency })
        };
        assert_eq!(read(&plain), tuned("5", 9, 8));
        assert_eq!(read(&own), tuned("none", 1, 1));
        assert_eq!(read(&[&plain[..], &own[..]].concat()), tuned("none", 1, 1));
    }

    #[test]
    fn what_cannot_be_kept_is_refused_with_its_variable_and_its_limit() {
        for (name, value, said) in [
            (
                "RETRY_WAITS",
                "soon",
                "RETRY_WAITS has a wait that is not a whole number of seconds from 1 to 42300",
            ),
            ("RETRY_WAITS_CRM_2", "5,", "RETRY_WAITS_CRM_2 has a wait"),
            ("HANDLER_TIMEOUT_SECONDS", "0", "HANDLER_TIMEOUT_SECONDS is not a whole number from 1 to 900"),
            ("HANDLER_TIMEOUT_SECONDS_CRM_2", "901", "HANDLER_TIMEOUT_SECONDS_CRM_2 is not a whole number"),
            ("HANDLER_CONCURRENCY", "49", "HANDLER_CONCURRENCY is not a whole number from 1 to 48"),
        ] {
            let error = read(&[(name, value)]).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn a_handler_can_reach_its_time_out_before_that_of_the_function() {
        let both = |handler, function| {
            read(&[("HANDLER_TIMEOUT_SECONDS_CRM_2", handler), ("TIMEOUT_SECONDS", function)])
        };
        assert!(both("44", "60").is_ok());
        let error = both("45", "60").unwrap_err();
        assert!(
            error.contains("HANDLER_TIMEOUT_SECONDS_CRM_2 is 45 s, and the function's time-out of 60 s")
                && error.contains("leaves handlers 44.625s; lower it"),
            "{error}"
        );
        assert!(both("5", "soon").unwrap_err().contains("TIMEOUT_SECONDS is not a whole number"));
        assert!(both("900", "").is_ok());
        assert!(read(&[("TIMEOUT_SECONDS", "1")]).is_ok());
    }

    #[test]
    fn the_last_attempt_comes_before_the_notification_is_given_up() {
        let given_up = |waits, days| read(&[("RETRY_WAITS", waits), ("GIVE_UP_AFTER_DAYS", days)]);
        assert!(given_up("42300,42300", "1").is_ok());
        let error = given_up("42300,42300,1800", "1").unwrap_err();
        assert!(
            error.contains("RETRY_WAITS has waits of 86400 s together") && error.contains("GiveUpAfterDays")
        );
        assert!(given_up("42300,42300,1800", "2").is_ok());
        assert!(read(&[("GIVE_UP_AFTER_DAYS", "1")]).is_ok());
    }

    #[test]
    fn a_variable_of_another_destination_is_found() {
        let variables =
            ["RETRY_WAITS", "RETRY_WAITS_CRM", "RETRY_WAITS_CMR", "HANDLER_CONCURRENCY_CRM_2", "PATH"];
        let found = of_no_destination(variables.into_iter(), &["crm".to_owned()]);
        assert_eq!(found, ["RETRY_WAITS_CMR", "HANDLER_CONCURRENCY_CRM_2"]);
    }
}
