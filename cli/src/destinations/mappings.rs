//! Whether Lambda reads the streams and retry queues of the stack's destinations.
//!
//! A function may have any name. The mapping of the retry queue says which one it is, since the queue's name derives from
//! the destination's.

use aws_sdk_lambda::types::EventSourceMappingConfiguration;
use handover::Fault;
use serde::Serialize;

use crate::stack::Stack;

/// The states of a destination's mappings, as Lambda names them, such as `Enabled`; none where there is no mapping.
#[derive(Debug, PartialEq, Serialize)]
pub struct Mappings {
    pub stream: Option<String>,
    pub retry_queue: Option<String>,
}

/// A mapping.
pub struct Mapping {
    source: String,
    function: String,
    state: String,
}

/// All mappings of the account and Region: the destinations' functions are not known.
pub async fn all(stack: &Stack) -> Result<Vec<Mapping>, Fault> {
    let pages = aws_sdk_lambda::Client::new(stack.aws()).list_event_source_mappings().into_paginator();
    let mappings = pages.items().send().try_collect().await;
    let mappings = mappings.map_err(|error| Fault::from_sdk("ListEventSourceMappings", &error))?;
    Ok(mappings.into_iter().filter_map(mapping).collect())
}

fn mapping(of: EventSourceMappingConfiguration) -> Option<Mapping> {
    Some(Mapping { source: of.event_source_arn?, function: of.function_arn?, state: of.state? })
}

impl Mappings {
    /// Those of a destination.
    pub fn of(stack: &str, destination: &str, all: &[Mapping]) -> Mappings {
        let queue = format!(":{stack}-{destination}-retry");
        let Some(retry) = all.iter().find(|mapping| mapping.source.ends_with(&queue)) else {
            return Mappings { stream: None, retry_queue: None };
        };
        // Its own consumer of the stream has an ARN that begins with the stream's.
        let stream = format!(":stream/{stack}-notifications");
        let is_of_stream = |source: &str| {
            let (_, rest) = source.split_once(&stream)?;
            (rest.is_empty() || rest.starts_with("/consumer/")).then_some(())
        };
        let of_function = all.iter().filter(|mapping| mapping.function == retry.function);
        let mut of_stream = of_function.filter(|mapping| is_of_stream(&mapping.source).is_some());
        let stream = of_stream.next().map(|mapping| mapping.state.clone());
        Mappings { stream, retry_queue: Some(retry.state.clone()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(source: &str, function: &str, state: &str) -> Mapping {
        let [source, function, state] = [format!("arn:aws:{source}"), function.to_owned(), state.to_owned()];
        Mapping { source, function, state }
    }

    #[test]
    fn the_mappings_are_those_of_the_function_that_reads_the_retry_queue() {
        let all = [
            mapping("sqs:us-east-1:1:other-a-retry", "x", "Enabled"),
            mapping("kinesis:us-east-1:1:stream/h-notifications", "b", "Disabled"),
            mapping("sqs:us-east-1:1:h-b-retry", "b", "Enabled"),
            mapping("kinesis:us-east-1:1:stream/h-notifications-2", "a", "Disabled"),
            mapping("kinesis:us-east-1:1:stream/h-notifications/consumer/h-a:7", "a", "Enabled"),
            mapping("sqs:us-east-1:1:h-a-retry", "a", "Updating"),
            mapping("sqs:us-east-1:1:h-c-retry", "c", "Enabled"),
        ];
        let of = |destination| {
            let Mappings { stream, retry_queue } = Mappings::of("h", destination, &all);
            [stream, retry_queue].map(|state| state.unwrap_or_else(|| "none".into()))
        };
        assert_eq!(of("a"), ["Enabled", "Updating"]);
        assert_eq!(of("b"), ["Disabled", "Enabled"]);
        assert_eq!(of("c"), ["none", "Enabled"]);
        assert_eq!(of("d"), ["none", "none"]);
    }
}
