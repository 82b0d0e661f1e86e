// A minimal runtime: takes invocations from the Lambda Runtime API, one after another.

import { once } from 'node:events';
import { Agent, request } from 'node:http';
import { text } from 'node:stream/consumers';

const { AWS_LAMBDA_RUNTIME_API, AWS_LAMBDA_FUNCTION_NAME, AWS_LAMBDA_FUNCTION_MEMORY_SIZE } = process.env;
const agent = new Agent({ keepAlive: true, maxSockets: 1 }); // sets TCP_NODELAY itself

async function call(method, path, body = '') {
  const url = `http://${AWS_LAMBDA_RUNTIME_API}/2018-06-01/runtime/invocation/${path}`;
  const headers = { 'Content-Length': Buffer.byteLength(body) };
  const outgoing = request(url, { agent, method, headers }).end(body);
  const [response] = await once(outgoing, 'response');
  return { status: response.statusCode, headers: response.headers, body: await text(response) };
}

// What handlers read of Lambda's context.
function contextOf(headers) {
  const deadline = Number(headers['lambda-runtime-deadline-ms']);
  return {
    awsRequestId: headers['lambda-runtime-aws-request-id'],
    invokedFunctionArn: headers['lambda-runtime-invoked-function-arn'],
    functionName: AWS_LAMBDA_FUNCTION_NAME,
    memoryLimitInMB: AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    getRemainingTimeInMillis: () => Math.max(0, deadline - Date.now()),
  };
}

// Serves until the API answers 410 or closes the connection.
export async function run(handler) {
  for (;;) {
    const next = await call('GET', 'next').catch((error) => {
      if (error.code === 'ECONNRESET' || error.code === 'ECONNREFUSED') return { status: 410 };
      throw error;
    });
    if (next.status === 410) return;
    const context = contextOf(next.headers);
    let outcome = 'response';
    let answer;
    try {
      answer = await handler(JSON.parse(next.body), context);
    } catch (error) {
      outcome = 'error';
      answer = { errorMessage: error.message, errorType: error.name, stackTrace: error.stack.split('\n') };
    }
    await call('POST', `${context.awsRequestId}/${outcome}`, JSON.stringify(answer));
  }
}
