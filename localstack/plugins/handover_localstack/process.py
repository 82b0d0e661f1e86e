"""Runs functions of the runtimes `provided.*` as processes. LocalStack alone would start containers.

LocalStack asks an executor to start an environment of a function, to pass it one invocation at a
time, and to stop it. This module does the rest of Lambda's part: the Runtime API that `bootstrap`
polls, the time-out, and the answer of an invocation whose process fails, hangs or dies.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

import json
import queue
import subprocess
import threading
import time
from concurrent.futures import Future
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from localstack.services.lambda_.invocation.executor_endpoint import StatusErrorException
from localstack.services.lambda_.invocation.lambda_models import FunctionVersion, InvocationResult
from localstack.services.lambda_.invocation.plugins import RuntimeExecutorPlugin
from localstack.services.lambda_.invocation.runtime_executor import RuntimeExecutor

API = "/2018-06-01/runtime"
# How long the init phase of a function may take.
INIT_SECONDS = 10


class ProcessPlugin(RuntimeExecutorPlugin):
    name = "process"

    def load(self, *args, **kwargs):
        return ProcessExecutor


class FunctionError(Exception):
    """The answer of an invocation that failed, as JSON."""

    def __init__(self, answer: bytes):
        super().__init__(answer)
        self.answer = answer

    @classmethod
    def of(cls, kind: str, message: str) -> "FunctionError":
        return cls(json.dumps({"errorType": kind, "errorMessage": message}).encode())


class RuntimeApi(BaseHTTPRequestHandler):
    """The Runtime API of one process."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # Head and body of an answer leave together.
    server: "Process"

    def do_GET(self):
        if self.path != f"{API}/invocation/next":
            return self.reply(404)
        self.server.settle_ready(None)
        invocation = self.server.inbox.get()
        if invocation is None:  # The process is gone, so nobody reads an answer.
            self.close_connection = True
            return None
        return self.reply(
            200,
            invocation["payload"].encode(),
            {
                "Content-Type": "application/json",
                "Lambda-Runtime-Aws-Request-Id": invocation["invoke-id"],
                "Lambda-Runtime-Deadline-Ms": invocation["deadline-ms"],
                "Lambda-Runtime-Invoked-Function-Arn": invocation["invoked-function-arn"],
                "Lambda-Runtime-Trace-Id": invocation["trace-id"],
            },
        )

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == f"{API}/init/error":
            self.server.settle_ready(FunctionError(body))
        elif self.path == f"{API}/invocation/{self.server.request_id}/response":
            self.server.settle(body)
        elif self.path == f"{API}/invocation/{self.server.request_id}/error":
            self.server.settle(FunctionError(body))
        else:
            return self.reply(403, b'{"errorMessage":"No such invocation","errorType":"InvalidRequestID"}')
        return self.reply(202)

    def reply(self, status: int, body: bytes = b"", headers: dict | None = None):
        self.send_response(status)
        for name, value in {"Content-Length": len(body), **(headers or {})}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Process(ThreadingHTTPServer):
    """One run of a function's `bootstrap`, from its start to its end, with its Runtime API."""

    daemon_threads = True

    def __init__(self, code: Path, variables: dict[str, str]):
        super().__init__(("127.0.0.1", 0), RuntimeApi)
        self.lock = threading.Lock()
        self.ready: Future[None] = Future()
        self.inbox: queue.SimpleQueue[dict | None] = queue.SimpleQueue()
        self.request_id: str | None = None
        self.outcome: Future[bytes] = Future()
        self.lines: list[str] = []
        try:
            self.process = subprocess.Popen(
                [code / "bootstrap"],
                cwd=code,
                env={
                    **variables,
                    "AWS_LAMBDA_RUNTIME_API": "%s:%d" % self.server_address,
                    "LAMBDA_TASK_ROOT": str(code),
                },
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            )
        except OSError as error:
            self.server_close()
            raise FunctionError.of("Runtime.InvalidEntrypoint", str(error)) from error
        threading.Thread(target=self.serve_forever, daemon=True).start()
        threading.Thread(target=self.follow, daemon=True).start()

    def follow(self):
        """Reads the process's output until the process ends, then settles what waits for it."""
        for line in self.process.stdout:
            self.lines.append(line)
        code = self.process.wait()
        how = f"signal {-code}" if code < 0 else f"exit status {code}"
        ended = FunctionError.of(
            "Runtime.ExitError", f"RequestId: {self.request_id} Error: Runtime exited with error: {how}"
        )
        self.settle_ready(ended)
        self.settle(ended)
        self.inbox.put(None)
        self.shutdown()
        self.server_close()

    def settle_ready(self, error: FunctionError | None):
        self._settle(self.ready, error)

    def settle(self, outcome: bytes | FunctionError):
        self._settle(self.outcome, outcome)

    def _settle(self, future: Future, outcome):
        # The first result counts: an answer that was sent is valid, even if the process died after it.
        with self.lock:
            if future.done():
                return
            if isinstance(outcome, FunctionError):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)

    def runs(self) -> bool:
        return self.process.poll() is None

    def kill(self):
        self.process.kill()
        self.process.wait()

    def invoke(self, invocation: dict[str, str], timeout_seconds: int) -> bytes:
        """Returns the function's answer, or raises the error that Lambda would answer in its place."""
        request_id = invocation["invoke-id"]
        with self.lock:
            self.request_id = request_id
            self.outcome = Future()
        self.lines.append(f"START RequestId: {request_id} Version: $LATEST\n")
        deadline_ms = int((time.time() + timeout_seconds) * 1000)
        self.inbox.put({**invocation, "deadline-ms": deadline_ms})
        if not self.runs():  # It may have ended before this invocation was there to be settled.
            self.settle(FunctionError.of("Runtime.ExitError", f"RequestId: {request_id} Error: Runtime exited"))
        try:
            return self.outcome.result(timeout_seconds)
        except TimeoutError:
            self.kill()
            message = f"RequestId: {request_id} Error: Task timed out after {timeout_seconds:.2f} seconds"
            raise FunctionError.of("Sandbox.Timedout", message) from None
        finally:
            self.lines.append(f"END RequestId: {request_id}\n")


class ProcessExecutor(RuntimeExecutor):
    """An execution environment. As on AWS, if its process has ended, the next invocation starts another."""

    def __init__(self, id: str, function_version: FunctionVersion) -> None:
        super().__init__(id, function_version)
        self.variables: dict[str, str] = {}
        self.process: Process | None = None
        self.stopped = False

    def start(self, env_vars: dict[str, str]) -> None:
        self.variables = {name: str(value) for name, value in env_vars.items()}
        self.variables["PATH"] = "/usr/local/bin:/usr/bin:/bin"
        try:
            self._start()
        except FunctionError as error:
            raise StatusErrorException("The function did not start.", error.answer) from error

    def _start(self) -> Process:
        if self.stopped:
            raise FunctionError.of("Sandbox.Failure", "The execution environment has ended")
        code = self.function_version.config.code.get_unzipped_code_location()
        self.process = Process(code, self.variables)
        try:
            self.process.ready.result(INIT_SECONDS)
        except FunctionError:
            self.process.kill()
            raise
        except TimeoutError:
            self.process.kill()
            raise FunctionError.of("Sandbox.Timedout", f"Not ready after {INIT_SECONDS} seconds") from None
        return self.process

    def stop(self) -> None:
        self.stopped = True
        if self.process:
            self.process.kill()

    def invoke(self, payload: dict[str, str]) -> InvocationResult:
        try:
            process = self.process if self.process and self.process.runs() else self._start()
            answer, is_error = process.invoke(payload, self.function_version.config.timeout), False
        except FunctionError as error:
            answer, is_error = error.answer, True
        logs = self.get_logs()
        if self.process:
            self.process.lines.clear()
        return InvocationResult(payload["invoke-id"], answer, is_error, logs)

    def get_logs(self) -> str:
        return "".join(self.process.lines) if self.process else ""

    def get_address(self) -> str:
        return "127.0.0.1"

    def get_endpoint_from_executor(self) -> str:
        return "127.0.0.1"

    def get_runtime_endpoint(self) -> str:
        return ""  # For LocalStack's own init, which runs in its containers.

    @classmethod
    def prepare_version(cls, function_version: FunctionVersion) -> None:
        runtime = function_version.config.runtime
        if not runtime or not runtime.startswith("provided."):
            raise NotImplementedError(f"Runtime {runtime}: only provided.* runs as a process here.")
        function_version.config.code.prepare_for_execution()

    @classmethod
    def cleanup_version(cls, function_version: FunctionVersion) -> None:
        pass
