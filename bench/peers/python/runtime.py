"""A minimal runtime: takes invocations from the Lambda Runtime API, one after another."""

import json
import os
import time
from http.client import HTTPConnection
from traceback import format_exception


class Context:
    """What handlers read of Lambda's context."""

    def __init__(self, headers):
        self.aws_request_id = headers["Lambda-Runtime-Aws-Request-Id"]
        self.invoked_function_arn = headers.get("Lambda-Runtime-Invoked-Function-Arn", "")
        self.function_name = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
        self.memory_limit_in_mb = int(os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"])
        self._deadline = int(headers["Lambda-Runtime-Deadline-Ms"])

    def get_remaining_time_in_millis(self):
        return max(0, self._deadline - int(time.time() * 1000))


def run(handler):
    """Serves until the API answers 410 or closes the connection."""
    api = HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])  # kept alive; sets TCP_NODELAY itself

    def call(method, path, body=None):
        api.request(method, f"/2018-06-01/runtime/invocation/{path}", body)
        response = api.getresponse()
        return response, response.read()

    while True:
        try:
            response, event = call("GET", "next")
        except ConnectionError:
            return
        if response.status == 410:
            return
        context = Context(response.headers)
        try:
            outcome, answer = "response", handler(json.loads(event), context)
        except Exception as error:
            outcome = "error"
            answer = {
                "errorMessage": str(error),
                "errorType": type(error).__name__,
                "stackTrace": format_exception(error),
            }
        call("POST", f"{context.aws_request_id}/{outcome}", json.dumps(answer))
