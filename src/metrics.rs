//! Metrics, as log lines in CloudWatch's embedded metric format.
//!
//! A metric is a tracing event with the target [`METRICS`]. Its numbers are metrics, its texts their dimensions beside
//! the function's name. Where nothing listens, as in the simulation, it costs nothing.

/// The target of the events that are metrics.
pub(crate) const METRICS: &str = "handover::metrics";

#[cfg(feature = "lambda")]
pub(crate) use lines::MetricLines;
#[cfg(test)]
#[cfg(feature = "lambda")]
pub(crate) use lines::tests::written_by;

#[cfg(feature = "lambda")]
mod lines {
    use std::fmt::Debug;
    use std::io::Write;
    use std::sync::Mutex;

    use jiff::Timestamp;
    use serde_json::{Map, Value, json};
    use tracing::field::{Field, Visit};
    use tracing::{Event, Subscriber};
    use tracing_subscriber::Layer;
    use tracing_subscriber::layer::Context;

    use crate::clock::Clock;

    /// Writes each metric as a line, in the namespace `Handover`.
    pub(crate) struct MetricLines<W> {
        pub(crate) function: String,
        pub(crate) clock: Clock,
        pub(crate) to: Mutex<W>,
    }

    impl<S: Subscriber, W: Write + 'static> Layer<S> for MetricLines<W>
    where
        MetricLines<W>: Send + Sync,
    {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            let mut values = Values::default();
            event.record(&mut values);
            let line = values.line(&self.function, self.clock.now());
            // A metric that cannot be written is not worth an invocation.
            let _ = self.to.lock().map(|mut to| writeln!(to, "{line}"));
        }
    }

    #[derive(Default)]
    struct Values {
        numbers: Map<String, Value>,
        texts: Map<String, Value>,
    }

    impl Visit for Values {
        fn record_i64(&mut self, field: &Field, value: i64) {
            self.numbers.insert(field.name().into(), value.into());
        }

        fn record_u64(&mut self, field: &Field, value: u64) {
            self.numbers.insert(field.name().into(), value.into());
        }

        fn record_str(&mut self, field: &Field, value: &str) {
            self.texts.insert(field.name().into(), value.into());
        }

        fn record_debug(&mut self, _: &Field, _: &dyn Debug) {}
    }

    impl Values {
        fn line(self, function: &str, at: Timestamp) -> Value {
            let unit = |name: &str| if name.ends_with("Seconds") { "Seconds" } else { "Count" };
            let metrics = self.numbers.keys().map(|name| json!({ "Name": name, "Unit": unit(name) }));
            let dimensions: Vec<&str> =
                ["FunctionName"].into_iter().chain(self.texts.keys().map(String::as_str)).collect();
            let mut line = json!({
                "_aws": {
                    "Timestamp": at.as_millisecond(),
                    "CloudWatchMetrics": [{
                        "Namespace": "Handover",
                        "Dimensions": [dimensions],
                        "Metrics": metrics.collect::<Vec<_>>(),
                    }],
                },
                "FunctionName": function,
            });
            let members = line.as_object_mut().expect("it is an object");
            members.extend(self.numbers);
            members.extend(self.texts);
            line
        }
    }

    #[cfg(test)]
    pub(super) mod tests {
        use std::sync::Arc;

        use tracing_subscriber::layer::SubscriberExt;

        use super::*;
        use crate::metrics::METRICS;

        /// A writer whose lines a test reads.
        #[derive(Clone, Default)]
        struct Lines(Arc<Mutex<Vec<u8>>>);

        impl Write for Lines {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.lock().unwrap().write(bytes)
            }

            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }

        /// The lines that are written for metrics at 5 ms.
        pub(crate) fn written_by(report: impl FnOnce()) -> Vec<Value> {
            let lines = Lines::default();
            let clock = Clock::new(|| Timestamp::from_millisecond(5).unwrap());
            let layer = MetricLines { function: "refund".into(), clock, to: Mutex::new(lines.clone()) };
            tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), report);
            let written = lines.0.lock().unwrap();
            let lines = serde_json::Deserializer::from_slice(&written).into_iter();
            lines.map(|line| line.expect("each line is JSON")).collect()
        }

        #[test]
        fn a_metric_is_a_line_with_its_dimensions() {
            let written = written_by(|| {
                let unknown: Option<i64> = None;
                tracing::info!(target: METRICS, BehindSeconds = 7, Looked = 2_u32, Unknown = unknown);
                tracing::info!(target: METRICS, Faults = 3, Cause = "denied");
            });
            let [behind, faults] = &*written else { panic!("a line for each") };
            let of = |line: &Value| line["_aws"]["CloudWatchMetrics"][0].clone();
            let seconds = json!({ "Name": "BehindSeconds", "Unit": "Seconds" });
            let looked = json!({ "Name": "Looked", "Unit": "Count" });
            assert_eq!(of(behind)["Metrics"], json!([seconds, looked]));
            assert_eq!(of(behind)["Dimensions"], json!([["FunctionName"]]));
            assert_eq!((&behind["BehindSeconds"], &behind["_aws"]["Timestamp"]), (&json!(7), &json!(5)));
            assert_eq!(of(faults)["Dimensions"], json!([["FunctionName", "Cause"]]));
            assert_eq!((&faults["FunctionName"], &faults["Cause"]), (&json!("refund"), &json!("denied")));
        }
    }
}
