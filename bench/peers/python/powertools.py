"""Powertools for AWS Lambda (Python): its batch processor and its idempotency, around one update a record."""

import os
import time

import boto3
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes.kinesis_stream_event import KinesisStreamRecord
from aws_lambda_powertools.utilities.idempotency import (
    DynamoDBPersistenceLayer,
    IdempotencyConfig,
    idempotent_function,
)

from runtime import run

TABLE = os.environ["NOTIFICATIONS_TABLE"]
DESTINATION = os.environ["DESTINATION"]

dynamodb = boto3.client("dynamodb")
processor = BatchProcessor(event_type=EventType.KinesisDataStreams)
config = IdempotencyConfig(event_key_jmespath="[id, source]")
# By default it creates a client of its own; sharing ours saves start-up time and a connection.
persistence = DynamoDBPersistenceLayer(table_name=os.environ["IDEMPOTENCY_TABLE"], boto3_client=dynamodb)


@idempotent_function(data_keyword_argument="notification", config=config, persistence_store=persistence)
def mark(notification):
    try:
        dynamodb.update_item(
            TableName=TABLE,
            Key={"id": {"S": notification["id"]}, "source": {"S": notification["source"]}},
            UpdateExpression="SET #destinations.#name.#state = :done, #destinations.#name.#ended_at = :now,"
            " #status = :ended, #open = #open - :one, #version = #version + :one",
            ConditionExpression="#destinations.#name.#state = :pending AND #open = :one",
            ExpressionAttributeNames={
                "#destinations": "destinations",
                "#name": DESTINATION,
                "#state": "state",
                "#ended_at": "ended_at",
                "#status": "status",
                "#open": "open",
                "#version": "version",
            },
            ExpressionAttributeValues={
                ":pending": {"S": "pending"},
                ":done": {"S": "done"},
                ":ended": {"S": "DONE"},
                ":now": {"N": str(time.time_ns() // 1_000_000)},
                ":one": {"N": "1"},
            },
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
    except dynamodb.exceptions.ConditionalCheckFailedException as error:
        # It may be marked by an invocation that died before it completed its claim.
        destinations = error.response.get("Item", {}).get("destinations", {}).get("M", {})
        if destinations.get(DESTINATION, {}).get("M", {}).get("state") != {"S": "done"}:
            raise


def record_handler(record: KinesisStreamRecord):
    mark(notification=record.kinesis.data_as_json())


def handler(event, context):
    config.register_lambda_context(context)
    return process_partial_response(
        event=event, record_handler=record_handler, processor=processor, context=context
    )


if __name__ == "__main__":
    run(handler)
