//! The event source mappings of the local AWS that are to be served.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use aws_sdk_lambda::types::{EventSourceMappingConfiguration, FunctionResponseType};
use event_sources::{Filters, MappingSettings, StreamKind};
use tokio::time::{Instant, sleep};

use crate::args::Args;
use crate::on_failure::OnFailureQueue;

/// How long to wait for the mappings that `--expect` requires.
const EXPECT_WAIT: Duration = Duration::from_secs(30);

/// The pause between two calls that list the mappings during that wait.
const EXPECT_PAUSE: Duration = Duration::from_millis(500);

/// A mapping from a stream to a function.
#[derive(Debug, Clone)]
pub struct Mapping {
    pub uuid: String,
    pub function_arn: String,
    pub stream: StreamArn,
    pub settings: MappingSettings,
    pub on_failure: Option<OnFailureQueue>,
}

/// The ARN of a stream, and its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamArn {
    pub arn: String,
    pub kind: StreamKind,
    pub region: String,
    /// The last part of the ARN. For Kinesis, this is the name of the stream.
    pub name: String,
}

impl StreamArn {
    /// `None` if this is not the ARN of a stream.
    fn parse(arn: &str) -> Option<Self> {
        let parts: Vec<&str> = arn.splitn(6, ':').collect();
        let [_, _, service, region, _, resource] = parts[..] else {
            return None;
        };
        let path: Vec<&str> = resource.split('/').collect();
        let (kind, name) = match (service, &path[..]) {
            ("dynamodb", ["table", _, "stream", label]) => (StreamKind::DynamoDb, label),
            ("kinesis", ["stream", name]) => (StreamKind::Kinesis, name),
            _ => return None,
        };
        Some(Self { arn: arn.to_owned(), kind, region: region.to_owned(), name: (*name).to_owned() })
    }
}

/// The mappings to serve, when there are as many as expected.
pub async fn find(lambda: &aws_sdk_lambda::Client, args: &Args) -> Result<Vec<Mapping>> {
    let deadline = Instant::now() + EXPECT_WAIT;
    loop {
        let mappings = list(lambda, &args.functions).await?;
        if mappings.len() >= args.expect {
            return Ok(mappings);
        }
        if Instant::now() >= deadline {
            bail!(
                "expected {} disabled stream mappings for functions named \"{}…\", but found {} after \
                 {} s: is the stack deployed, with Enabled: false on its stream mappings?",
                args.expect,
                args.functions,
                mappings.len(),
                EXPECT_WAIT.as_secs(),
            );
        }
        sleep(EXPECT_PAUSE).await;
    }
}

/// Lists the mappings to serve.
pub async fn list(lambda: &aws_sdk_lambda::Client, prefix: &str) -> Result<Vec<Mapping>> {
    let pages = lambda.list_event_source_mappings().into_paginator();
    let mappings = pages.items().send().collect::<Result<Vec<_>, _>>().await;
    let mappings = mappings.context(
        "cannot list the event source mappings: is the local AWS running at AWS_ENDPOINT_URL, and \
         are AWS_REGION, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY set?",
    )?;
    select(&mappings, prefix)
}

/// Selects the disabled stream mappings of the functions with this prefix. The local AWS itself
/// serves the enabled ones; serving these here as well would deliver every record twice.
fn select(mappings: &[EventSourceMappingConfiguration], prefix: &str) -> Result<Vec<Mapping>> {
    let disabled = mappings.iter().filter(|mapping| mapping.state() == Some("Disabled"));
    let mut selected = Vec::new();
    for mapping in disabled {
        let function_arn = mapping.function_arn().unwrap_or_default();
        let stream = mapping.event_source_arn().and_then(StreamArn::parse);
        let Some(stream) = stream.filter(|_| function_name(function_arn).starts_with(prefix)) else {
            continue;
        };
        let context = || format!("in the mapping from {} to {function_arn}", stream.arn);
        let settings = settings(mapping, stream.kind).with_context(context)?;
        let on_failure = on_failure(mapping).with_context(context)?;
        let (uuid, function_arn) = (mapping.uuid().unwrap_or_default().to_owned(), function_arn.to_owned());
        selected.push(Mapping { uuid, function_arn, stream, settings, on_failure });
    }
    Ok(selected)
}

/// The name in `arn:aws:lambda:REGION:ACCOUNT:function:NAME[:QUALIFIER]`.
fn function_name(function_arn: &str) -> &str {
    function_arn.split(':').nth(6).unwrap_or_default()
}

fn settings(mapping: &EventSourceMappingConfiguration, kind: StreamKind) -> Result<MappingSettings> {
    // AWS's -1 means no limit.
    let limit = |number: Option<i32>| number.and_then(|number| u32::try_from(number).ok());
    let positive = |number: Option<i32>| limit(number).map(|number| number as usize);
    let seconds = |number: Option<i32>| limit(number).map(|number| Duration::from_secs(number.into()));
    let filters = mapping.filter_criteria().map(|criteria| criteria.filters());
    let patterns = filters.unwrap_or_default().iter().filter_map(|filter| filter.pattern());
    let mut settings = MappingSettings::default();
    if let Some(batch_size) = positive(mapping.batch_size()) {
        settings.batch_size = batch_size;
    }
    if let Some(window) = seconds(mapping.maximum_batching_window_in_seconds()) {
        settings.maximum_batching_window = window;
    }
    if let Some(factor) = positive(mapping.parallelization_factor()) {
        settings.parallelization_factor = factor;
    }
    settings.maximum_retry_attempts = limit(mapping.maximum_retry_attempts());
    settings.maximum_record_age = seconds(mapping.maximum_record_age_in_seconds());
    settings.bisect_batch_on_function_error = mapping.bisect_batch_on_function_error().unwrap_or(false);
    settings.report_batch_item_failures =
        mapping.function_response_types().contains(&FunctionResponseType::ReportBatchItemFailures);
    settings.filters = Filters::parse(kind, patterns)?;
    Ok(settings)
}

/// Some local AWSs return an empty ARN for a mapping without a destination.
fn on_failure(mapping: &EventSourceMappingConfiguration) -> Result<Option<OnFailureQueue>> {
    let on_failure = mapping.destination_config().and_then(|config| config.on_failure());
    let arn = on_failure.and_then(|on_failure| on_failure.destination());
    arn.filter(|arn| !arn.is_empty()).map(OnFailureQueue::parse).transpose()
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
        let streams: Vec<_> = selected.iter().map(|mapping| mapping.stream.clone()).collect();
        let stream = |arn: &str, kind, name: &str| StreamArn {
            arn: arn.into(),
            kind,
            region: "eu-west-1".into(),
            name: name.into(),
        };
        assert_eq!(
            streams,
            [
                stream(TABLE, StreamKind::DynamoDb, "2024-06-10T19:26:16.525"),
                stream(STREAM, StreamKind::Kinesis, "s"),
            ]
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
        assert_eq!(sends_to(QUEUE).unwrap()[0].on_failure, Some(OnFailureQueue::parse(QUEUE).unwrap()));
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
        assert!(error.contains(STREAM) && error.contains("not valid JSON"), "{error}");
    }
}
