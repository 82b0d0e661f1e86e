// Hand-written for speed: batches of 25 marks, several at a time, each key in its order.

import { BatchExecuteStatementCommand, DynamoDBClient } from '@aws-sdk/client-dynamodb';

import { run } from './runtime.mjs';

const { DESTINATION, NOTIFICATIONS_TABLE } = process.env;
const PATH = `"destinations"."${DESTINATION}"`;
const MARK =
  `UPDATE "${NOTIFICATIONS_TABLE}" SET ${PATH}."state"='done' SET ${PATH}."ended_at"=? SET "status"='DONE'` +
  ` SET "open"="open"-1 SET "version"="version"+1 WHERE "id"=? AND "source"=? AND ${PATH}."state"='pending' AND "open"=1`;
// The most statements that DynamoDB takes in a call.
const STATEMENTS = 25;

const dynamodb = new DynamoDBClient({}); // its connections are kept alive

// Lanes of { id, source, sequenceNumber }: whole keys in stream order, in as few calls as possible.
function pack(records) {
  const keys = new Map();
  for (const { kinesis } of records) {
    // Undecodable data fails the batch, which Lambda then bisects: nothing overtakes it.
    const { id, source } = JSON.parse(Buffer.from(kinesis.data, 'base64').toString());
    if (!keys.has(kinesis.partitionKey)) keys.set(kinesis.partitionKey, new Map());
    const marks = keys.get(kinesis.partitionKey);
    // A call can have an item only once; a second copy has the outcome of the first.
    const key = `${id} ${source}`;
    if (!marks.has(key)) marks.set(key, { id, source, sequenceNumber: kinesis.sequenceNumber });
  }
  const lanes = [];
  for (const marks of keys.values()) {
    const lane = lanes.find((lane) => lane.length + marks.size <= STATEMENTS);
    if (lane) lane.push(...marks.values());
    else lanes.push([...marks.values()]);
  }
  return lanes;
}

// Marks a lane, one call after another; returns the sequence numbers that failed.
async function runLane(lane) {
  for (let start = 0; start < lane.length; start += STATEMENTS) {
    const call = lane.slice(start, start + STATEMENTS);
    const now = { N: `${Date.now()}` };
    let responses;
    try {
      const Statements = call.map(({ id, source }) => ({
        Statement: MARK,
        Parameters: [now, { S: id }, { S: source }],
        ReturnValuesOnConditionCheckFailure: 'ALL_OLD',
      }));
      responses = (await dynamodb.send(new BatchExecuteStatementCommand({ Statements }))).Responses;
    } catch (error) {
      console.error(error);
      return call.map(({ sequenceNumber }) => sequenceNumber);
    }
    const failed = call.filter((_, i) => !isDone(responses[i])).map(({ sequenceNumber }) => sequenceNumber);
    if (failed.length > 0) return failed; // Lambda redelivers everything from the first of them
  }
  return [];
}

function isDone({ Error: error }) {
  if (!error) return true;
  const state = error.Item?.destinations?.M?.[DESTINATION]?.M?.state?.S;
  if (error.Code === 'ConditionalCheckFailed' && state === 'done') return true;
  console.error(error.Code, error.Message);
  return false;
}

const handler = async (event) => {
  const failed = (await Promise.all(pack(event.Records).map(runLane))).flat();
  return { batchItemFailures: failed.map((itemIdentifier) => ({ itemIdentifier })) };
};

await run(handler);
