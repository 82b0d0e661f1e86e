//! Serves the invocations of a function, by one event source or by two.

use std::time::{Duration, SystemTime};

use aws_lambda_events::sqs::SqsEvent;
use lambda_runtime::{LambdaEvent, service_fn};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tokio::time::Instant;

use crate::error::Error;

/// How long before the end of an invocation work stops, so that its answer is still sent, in milliseconds.
pub const MARGIN_MS: u64 = 500;

/// Serves invocations, one at a time: `handle` gets the event, and when it has to stop.
///
/// # Errors
/// When the Lambda runtime stops.
pub async fn serve<E, R>(handle: impl AsyncFn(E, Instant) -> R) -> Result<(), Error>
where
    E: DeserializeOwned,
    R: Serialize,
{
    serve_read(|event| serde_json::from_str(event), handle).await
}

/// Serves the invocations of two event sources, a stream and a queue, as [`serve`] does those of one.
///
/// # Errors
/// When the Lambda runtime stops.
pub async fn serve_both<E, S, Q>(
    of_stream: impl AsyncFn(E, Instant) -> S,
    of_queue: impl AsyncFn(SqsEvent, Instant) -> Q,
) -> Result<(), Error>
where
    E: DeserializeOwned,
    S: Serialize,
    Q: Serialize,
{
    serve_read(Batch::read, async |event, until| match event {
        Batch::Stream(event) => Response::Stream(of_stream(event, until).await),
        Batch::Queue(event) => Response::Queue(of_queue(event, until).await),
    })
    .await
}

/// Takes the event from the Lambda runtime unread, and reads it here: the runtime's reader tracks the path of
/// every field, which takes longer than reading.
async fn serve_read<E, R: Serialize>(
    read: impl Fn(&str) -> serde_json::Result<E>,
    handle: impl AsyncFn(E, Instant) -> R,
) -> Result<(), Error> {
    let (read, handle) = (&read, &handle);
    let serve = service_fn(move |event: LambdaEvent<Box<RawValue>>| async move {
        let left = event.context.deadline().duration_since(SystemTime::now()).unwrap_or_default();
        let until = Instant::now() + work_time(left);
        let unread = event.payload;
        let event = read(unread.get()).map_err(|error| unreadable(&error))?;
        drop(unread);
        // On the heap: otherwise the nested types of futures exceed the compiler's limit.
        Ok::<R, lambda_runtime::Error>(Box::pin(handle(event, until)).await)
    });
    lambda_runtime::run(serve).await.map_err(Error::Runtime)
}

/// Says where the event is wrong, and not what it is: serde's own text quotes the event.
fn unreadable(error: &serde_json::Error) -> String {
    let (line, column) = (error.line(), error.column());
    format!("the event is not one that this function takes (line {line}, column {column})")
}

/// How long an invocation may work that has this much time: until [`MARGIN_MS`] before its end.
pub(crate) fn work_time(left: Duration) -> Duration {
    left.saturating_sub(Duration::from_millis(MARGIN_MS))
}

/// The event of a function with two sources: records of a stream, or messages of a queue.
enum Batch<E> {
    Stream(E),
    Queue(SqsEvent),
}

/// The response in the form of the event source. Both forms are the same JSON.
#[derive(Serialize)]
#[serde(untagged)]
enum Response<S, Q> {
    Stream(S),
    Queue(Q),
}

impl<E: DeserializeOwned> Batch<E> {
    fn read(event: &str) -> serde_json::Result<Batch<E>> {
        // A message has no record of a stream. A batch of messages is small, so that it may be read twice.
        let is_batch = |event: &SqsEvent| event.records.iter().all(|message| message.message_id.is_some());
        let stream = serde_json::from_str(event).map(Batch::Stream);
        stream.or_else(|error| match serde_json::from_str(event) {
            Ok(queue) if is_batch(&queue) => Ok(Batch::Queue(queue)),
            _ => Err(error),
        })
    }
}

#[cfg(test)]
mod tests {
    use aws_lambda_events::dynamodb;

    use super::*;
    use crate::destination::DispatchBatch;

    const MESSAGE: &str =
        r#"{"Records":[{"eventSource":"aws:sqs","awsRegion":"r","messageId":"1","body":"{}"}]}"#;

    #[test]
    fn work_stops_before_the_deadline() {
        assert_eq!(work_time(Duration::from_secs(2)), Duration::from_millis(1_500));
        assert_eq!(work_time(Duration::from_millis(400)), Duration::ZERO);
    }

    #[test]
    fn an_error_about_an_event_does_not_quote_it() {
        for event in [r#"{"Records":"4111 1111"}"#, r#"{"Records":[{"kinesis":{"data":"4111"}}]}"#] {
            let said = unreadable(&Batch::<DispatchBatch>::read(event).err().unwrap());
            assert!(!said.contains("4111") && said.contains("(line 1, column "), "{said}");
        }
    }

    #[test]
    fn a_destination_tells_its_two_event_sources_apart() {
        assert!(
            matches!(Batch::<DispatchBatch>::read(MESSAGE), Ok(Batch::Queue(event)) if event.records.len() == 1)
        );
        let stream = r#"{"Records":[{"eventSource":"aws:kinesis","kinesis":{"data":"e30=","sequenceNumber":"1",
            "approximateArrivalTimestamp":1.5}}]}"#;
        let Ok(Batch::<DispatchBatch>::Stream(dispatches)) = Batch::read(stream) else {
            panic!("of the stream")
        };
        assert_eq!(dispatches.copies().count(), 1);
    }

    #[test]
    fn relay_tells_its_two_event_sources_apart() {
        assert!(
            matches!(Batch::<dynamodb::Event>::read(MESSAGE), Ok(Batch::Queue(event)) if event.records.len() == 1)
        );
        let stream = r#"{"Records":[{"awsRegion":"r","eventID":"1","eventName":"INSERT","dynamodb":{
            "ApproximateCreationDateTime":1.0,"Keys":{"id":{"S":"1"}},"SequenceNumber":"7","SizeBytes":1}}]}"#;
        let Ok(Batch::<dynamodb::Event>::Stream(event)) = Batch::read(stream) else {
            panic!("of the stream")
        };
        assert_eq!(event.records.len(), 1);
    }
}
