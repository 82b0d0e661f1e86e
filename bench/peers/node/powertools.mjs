// Powertools for AWS Lambda (TypeScript): its batch processor and its idempotency, around one update a record.
//
//   SEQUENTIAL=1  one record after another, which keeps the order; its default is all at once

import { BatchProcessor, EventType, processPartialResponse } from '@aws-lambda-powertools/batch';
import { IdempotencyConfig, makeIdempotent } from '@aws-lambda-powertools/idempotency';
import { DynamoDBPersistenceLayer } from '@aws-lambda-powertools/idempotency/dynamodb';
import { ConditionalCheckFailedException, DynamoDBClient, UpdateItemCommand } from '@aws-sdk/client-dynamodb';

import { run } from './runtime.mjs';

const { DESTINATION, IDEMPOTENCY_TABLE, NOTIFICATIONS_TABLE, SEQUENTIAL } = process.env;

const dynamodb = new DynamoDBClient({});
const processor = new BatchProcessor(EventType.KinesisDataStreams);
const config = new IdempotencyConfig({ eventKeyJmesPath: '[id, source]' });
// By default it creates a client of its own; sharing ours saves start-up time and connections.
const persistenceStore = new DynamoDBPersistenceLayer({ tableName: IDEMPOTENCY_TABLE, awsSdkV3Client: dynamodb });

const mark = makeIdempotent(
  async (notification) => {
    try {
      await dynamodb.send(
        new UpdateItemCommand({
          TableName: NOTIFICATIONS_TABLE,
          Key: { id: { S: notification.id }, source: { S: notification.source } },
          UpdateExpression:
            'SET #destinations.#name.#state = :done, #destinations.#name.#ended_at = :now,' +
            ' #status = :ended, #open = #open - :one, #version = #version + :one',
          ConditionExpression: '#destinations.#name.#state = :pending AND #open = :one',
          ExpressionAttributeNames: {
            '#destinations': 'destinations',
            '#name': DESTINATION,
            '#state': 'state',
            '#ended_at': 'ended_at',
            '#status': 'status',
            '#open': 'open',
            '#version': 'version',
          },
          ExpressionAttributeValues: {
            ':pending': { S: 'pending' },
            ':done': { S: 'done' },
            ':ended': { S: 'DONE' },
            ':now': { N: `${Date.now()}` },
            ':one': { N: '1' },
          },
          ReturnValuesOnConditionCheckFailure: 'ALL_OLD',
        }),
      );
    } catch (error) {
      // Was it marked by an invocation that died before it completed its claim?
      const isDone =
        error instanceof ConditionalCheckFailedException &&
        error.Item?.destinations?.M?.[DESTINATION]?.M?.state?.S === 'done';
      if (!isDone) throw error;
    }
  },
  { config, persistenceStore },
);

const recordHandler = (record) => mark(JSON.parse(Buffer.from(record.kinesis.data, 'base64').toString()));

const handler = (event, context) => {
  config.registerLambdaContext(context);
  return processPartialResponse(event, recordHandler, processor, { context, processInParallel: SEQUENTIAL !== '1' });
};

await run(handler);
