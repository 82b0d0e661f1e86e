//! The event source mappings to serve.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use aws_sdk_lambda::types::{EventSourceMappingConfiguration, FunctionResponseType};
use event_sources::{Filters, Settings, Source};
use tokio::time::{Instant, sleep};

use crate::args::Args;
use crate::destination::Queue;

/// How long `--expect` waits for its mappings.
const EXPECT_WAIT: Duration = Duration::from_secs(30);

/// The pause between two looks at the list while `--expect` waits.
const EXPECT_PAUSE: Duration = Duration::from_millis(500);

/// A mapping from a stream to a function.
#[derive(Debug, Clone)]
pub struct Mapping {
    pub function_arn: String,
    pub stream: StreamArn,
    pub settings: Settings,
    pub on_failure: Option<Queue>,
}

/// The ARN of a stream, and what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamArn {
    pub arn: String,
    pub source: Source,
    pub region: String,
    /// The last part of the ARN: for Kinesis, the stream's name.
    pub name: String,
}

impl StreamArn {
    /// `None` for the ARN of anything else.
    fn parse(arn: &str) -> Option<Self> {
        let parts: Vec<&str> = arn.splitn(6, ':').collect();
        let [_, _, service, region, _, resource] = parts[..] else {
            return None;
        };
        let path: Vec<&str> = resource.split('/').collect();
        let (source, name) = match (service, &path[..]) {
            ("dynamodb", ["table", _, "stream", label]) => (Source::DynamoDb, label),
            ("kinesis", ["stream", name]) => (Source::Kinesis, name),
            _ => return None,
        };
        Some(Self { arn: arn.to_owned(), source, region: region.to_owned(), name: (*name).to_owned() })
    }
}

/// Lists the mappings to serve, waiting for as many as are expected.
pub async fn find(lambda: &aws_sdk_lambda::Client, args: &Args) -> Result<Vec<Mapping>> {
    let deadline = Instant::now() + EXPECT_WAIT;
    loop {
        let mappings = select(&list(lambda).await?, &args.functions)?;
        if mappings.len() >= args.expect {
            return Ok(mappings);
        }
        if Instant::now() >= deadline {
            bail!(
                "expected {} disabled mappings from streams to functions named \"{}…\", found {} \
                 after {} s: is the stack deployed, with Enabled: false on its stream mappings?",
                args.expect,
                args.functions,
                mappings.len(),
                EXPECT_WAIT.as_secs(),
            );
        }
        sleep(EXPECT_PAUSE).await;
    }
}

async fn list(lambda: &aws_sdk_lambda::Client) -> Result<Vec<EventSourceMappingConfiguration>> {
    let pages = lambda.list_event_source_mappings().into_paginator();
    let mappings = pages.items().send().collect::<Result<_, _>>().await;
    mappings.context(
        "cannot list the event source mappings: is the local AWS running at AWS_ENDPOINT_URL, and \
         are AWS_REGION, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY set?",
    )
}

/// The stream mappings of the chosen functions that are disabled: an enabled one is served by
/// the local AWS itself, and served twice every record would come twice.
fn select(mappings: &[EventSourceMappingConfiguration], prefix: &str) -> Result<Vec<Mapping>> {
    let disabled = mappings.iter().filter(|m| m.state() == Some("Disabled"));
    let mut selected = Vec::new();
    for mapping in disabled {
        let function_arn = mapping.function_arn().unwrap_or_default();
        let stream = mapping.event_source_arn().and_then(StreamArn::parse);
        let Some(stream) = stream.filter(|_| function_name(function_arn).starts_with(prefix)) else {
            continue;
        };
        let which = || format!("the mapping from {} to {function_arn}", stream.arn);
        let settings = settings(mapping, stream.source).with_context(which)?;
        let on_failure = on_failure(mapping).with_context(which)?;
        selected.push(Mapping { function_arn: function_arn.to_owned(), stream, settings, on_failure });
    }
    Ok(selected)
}

/// The name in `arn:aws:lambda:REGION:ACCOUNT:function:NAME[:QUALIFIER]`.
fn function_name(function_arn: &str) -> &str {
    function_arn.split(':').nth(6).unwrap_or_default()
}

fn settings(mapping: &EventSourceMappingConfiguration, source: Source) -> Result<Settings> {
    let default = Settings::default();
    // AWS's -1 stands for no limit.
    let limit = |number: Option<i32>| number.and_then(|n| u32::try_from(n).ok());
    let positive = |number: Option<i32>| limit(number).map(|n| n as usize);
    let seconds = |number: Option<i32>| limit(number).map(|n| Duration::from_secs(n.into()));
    let filters = mapping.filter_criteria().map(|c| c.filters());
    let patterns = filters.unwrap_or_default().iter().filter_map(|f| f.pattern());
    Ok(Settings {
        batch_size: positive(mapping.batch_size()).unwrap_or(default.batch_size),
        maximum_batching_window: seconds(mapping.maximum_batching_window_in_seconds())
            .unwrap_or(default.maximum_batching_window),
        parallelization_factor: positive(mapping.parallelization_factor())
            .unwrap_or(default.parallelization_factor),
        maximum_retry_attempts: limit(mapping.maximum_retry_attempts()),
        maximum_record_age: seconds(mapping.maximum_record_age_in_seconds()),
        bisect_batch_on_function_error: mapping.bisect_batch_on_function_error().unwrap_or(false),
        report_batch_item_failures: mapping
            .function_response_types()
            .contains(&FunctionResponseType::ReportBatchItemFailures),
        filters: Filters::parse(source, patterns)?,
        retention: default.retention,
    })
}

/// Some local AWS give an empty ARN where there is no destination.
fn on_failure(mapping: &EventSourceMappingConfiguration) -> Result<Option<Queue>> {
    let on_failure = mapping.destination_config().and_then(|config| config.on_failure());
    let arn = on_failure.and_then(|on_failure| on_failure.destination());
    arn.filter(|arn| !arn.is_empty()).map(Queue::parse).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_lambda::types::builders::EventSourceMappingConfigurationBuilder;
    use aws_sdk_lambda::types::{DestinationConfig, Filter, FilterCriteria, OnFailure};

    const TABLE: &str = "arn:aws:dynamodb:eu-west-1:1:table/t/stream/2024-06-10T19:26:16.525";
    const STREAM: &str = "arn:aws:kinesis:eu-west-1:1:stream/s";
    const QUEUE: &str = "arn:aws:sqs:eu-west-1:1:q";

    fn mapping(source: &str, function: &str, state: &str) -> EventSourceMappingConfigurationBuilder {
        EventSourceMappingConfiguration::builder()
            .event_source_arn(source)
            .function_arn(format!("arn:aws:lambda:eu-west-1:1:function:{function}"))
            .state(state)
    }

    #[test]
    fn disabled_stream_mappings_of_the_chosen_functions_are_served() {
        let mappings = [
            mapping(TABLE, "app-relay", "Disabled").build(),
            mapping(STREAM, "app-refund:live", "Disabled").build(),
            mapping(STREAM, "app-other", "Enabled").build(),
            mapping(STREAM, "elsewhere", "Disabled").build(),
            mapping(QUEUE, "app-accept", "Disabled").build(),
        ];
        let selected = select(&mappings, "app-").unwrap();
        let streams: Vec<_> = selected.iter().map(|m| m.stream.clone()).collect();
        let arn = |arn: &str, source, name: &str| StreamArn {
            arn: arn.into(),
            source,
            region: "eu-west-1".into(),
            name: name.into(),
        };
        assert_eq!(
            streams,
            [arn(TABLE, Source::DynamoDb, "2024-06-10T19:26:16.525"), arn(STREAM, Source::Kinesis, "s"),]
        );
        assert_eq!(select(&mappings, "").unwrap().len(), 3);
    }

    #[test]
    fn settings_are_read_and_default_to_those_of_aws() {
        let given = mapping(TABLE, "f", "Disabled")
            .batch_size(25)
            .maximum_batching_window_in_seconds(3)
            .parallelization_factor(10)
            .maximum_retry_attempts(2)
            .maximum_record_age_in_seconds(60)
            .bisect_batch_on_function_error(true)
            .function_response_types(FunctionResponseType::ReportBatchItemFailures)
            .build();
        let settings = &select(&[given], "").unwrap()[0].settings;
        assert_eq!(settings.batch_size, 25);
        assert_eq!(settings.maximum_batching_window, Duration::from_secs(3));
        assert_eq!(settings.parallelization_factor, 10);
        assert_eq!(settings.maximum_retry_attempts, Some(2));
        assert_eq!(settings.maximum_record_age, Some(Duration::from_secs(60)));
        assert!(settings.bisect_batch_on_function_error);
        assert!(settings.report_batch_item_failures);

        let bare = mapping(TABLE, "f", "Disabled").build();
        let settings = &select(&[bare], "").unwrap()[0].settings;
        assert_eq!(settings.batch_size, 100);
        assert_eq!(settings.parallelization_factor, 1);
        assert!(!settings.bisect_batch_on_function_error);

        let unlimited = mapping(TABLE, "f", "Disabled")
            .maximum_retry_attempts(-1)
            .maximum_record_age_in_seconds(-1)
            .build();
        let settings = &select(&[unlimited], "").unwrap()[0].settings;
        assert_eq!(settings.maximum_retry_attempts, None);
        assert_eq!(settings.maximum_record_age, None);
    }

    #[test]
    fn an_on_failure_destination_is_a_queue() {
        let sends_to = |arn: &str| {
            let on_failure = OnFailure::builder().destination(arn).build();
            let config = DestinationConfig::builder().on_failure(on_failure).build();
            select(&[mapping(STREAM, "f", "Disabled").destination_config(config).build()], "")
        };
        assert_eq!(sends_to(QUEUE).unwrap()[0].on_failure, Some(Queue::parse(QUEUE).unwrap()));
        assert_eq!(sends_to("").unwrap()[0].on_failure, None);
        let error = format!("{:#}", sends_to("arn:aws:s3:::bucket").unwrap_err());
        assert!(error.contains(STREAM) && error.contains("bucket"), "{error}");
    }

    #[test]
    fn a_filter_that_cannot_be_read_names_its_mapping() {
        let filter = Filter::builder().pattern("{").build();
        let criteria = FilterCriteria::builder().filters(filter).build();
        let broken = mapping(STREAM, "f", "Disabled").filter_criteria(criteria).build();
        let error = format!("{:#}", select(&[broken], "").unwrap_err());
        assert!(error.contains(STREAM) && error.contains("not JSON"), "{error}");
    }
}
