//! What holds messages up, as metrics.

use std::collections::BTreeMap;

use super::fault::Fault;
use crate::code::Code;
use crate::metrics::METRICS;

/// What held a message up, which is no failure of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HeldUp {
    /// As metrics name it.
    pub(crate) cause: Code,
    /// Whether it lasts until somebody corrects it.
    pub(crate) lasts: bool,
}

impl HeldUp {
    pub(crate) fn by(fault: &Fault) -> HeldUp {
        HeldUp { cause: fault.code(), lasts: !fault.is_retryable() }
    }

    /// Counts them: by cause, and what lasts until somebody corrects it.
    pub(crate) fn count(all: impl IntoIterator<Item = HeldUp>) {
        let (mut by_cause, mut lasting) = (BTreeMap::<&str, u64>::new(), 0_u64);
        for HeldUp { cause, lasts } in all {
            *by_cause.entry(cause.as_str()).or_default() += 1;
            lasting += u64::from(lasts);
        }
        for (cause, faults) in by_cause {
            tracing::info!(target: METRICS, Faults = faults, Cause = cause);
        }
        if lasting > 0 {
            tracing::info!(target: METRICS, LastingFaults = lasting);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::Cause;
    use crate::metrics::written_by;

    #[test]
    fn what_lasts_is_counted_beside_the_causes() {
        let by = |code| HeldUp::by(&Fault::new("Op", Cause::of_code(Some(code), None)));
        let (denied, throttled) = (by("AccessDeniedException"), by("ThrottlingException"));
        assert_eq!(denied, HeldUp { cause: Code::Denied, lasts: true });
        assert_eq!(throttled, HeldUp { cause: Code::Throttled, lasts: false });
        let counted = |all: &[HeldUp]| {
            let lines = written_by(|| HeldUp::count(all.iter().copied())).into_iter();
            let count = |name: &str, line: &serde_json::Value| line[name].as_u64();
            let counts = lines.map(|line| {
                (
                    line["Cause"].as_str().map(str::to_owned),
                    count("Faults", &line),
                    count("LastingFaults", &line),
                )
            });
            counts.collect::<Vec<_>>()
        };
        let of = |cause: &str, count| (Some(cause.to_owned()), Some(count), None);
        let lasting = (None, None, Some(1));
        assert_eq!(counted(&[throttled, denied, throttled]), [of("denied", 1), of("throttled", 2), lasting]);
        assert_eq!(counted(&[throttled]), [of("throttled", 1)]);
        assert_eq!(counted(&[]), []);
    }
}
