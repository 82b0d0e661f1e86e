"""The engines that LocalStack starts beside itself."""

import logging
import os
import re

from localstack.aws.forwarder import AwsRequestProxy
from localstack.runtime.hooks import on_infra_start
from localstack.services.dynamodb import server
from localstack.utils import run
from localstack.utils.common import TMP_THREADS
from localstack.utils.run import ShellCommandThread

LOG = logging.getLogger(__name__)

# How the ARNs of DynamoDB Local begin, which LocalStack knows, and those of dynoxide.
LOCAL, DYNOXIDE = "arn:aws:dynamodb:ddblocal:000000000000:", "arn:aws:dynamodb:dynoxide:000000000000:"

QUOTED_TERM = re.compile(r'="(\w+)"([+-])')


class DynoxideProxy(AwsRequestProxy):
    """Passes requests to dynoxide, and makes its answers look like those of DynamoDB Local.

    Three things differ: the ARNs; the shard iterators, which LocalStack parses as ARNs and which are
    none; and PartiQL, which takes a name on the right of SET only without quotes ("open"="open"-1).
    """

    def __call__(self, context, service_request=None):
        request = {**(service_request or context.service_request)}
        if arn := request.get("StreamArn"):
            request["StreamArn"] = arn.replace(LOCAL, DYNOXIDE)
        if iterator := request.get("ShardIterator"):
            request["ShardIterator"] = iterator.removeprefix(LOCAL)
        if statements := request.get("Statements"):
            request["Statements"] = [
                {**statement, "Statement": QUOTED_TERM.sub(r"=\1\2", statement["Statement"])}
                for statement in statements
            ]
        return as_local(super().__call__(context, request))


def as_local(answer):
    if isinstance(answer, list):
        return [as_local(part) for part in answer]
    if not isinstance(answer, dict):
        return answer
    answer = {name: as_local(part) for name, part in answer.items()}
    for name in "TableArn", "LatestStreamArn", "StreamArn", "IndexArn":
        if isinstance(arn := answer.get(name), str):
            answer[name] = arn.replace(DYNOXIDE, LOCAL)
    for name in "ShardIterator", "NextShardIterator":
        if isinstance(iterator := answer.get(name), str):
            answer[name] = LOCAL + iterator
    return answer


def start_dynoxide(local: server.DynamodbServer) -> ShellCommandThread:
    thread = ShellCommandThread(
        [os.environ["DYNOXIDE"], "--host", "127.0.0.1", "--port", str(local.port)],
        log_listener=lambda line, **_: LOG.info(line.rstrip()),
        name="dynoxide",
    )
    TMP_THREADS.append(thread)  # LocalStack ends these threads when it ends.
    thread.start()
    return thread


@on_infra_start()
def use_dynoxide():
    """Serves DynamoDB with dynoxide. LocalStack alone would download DynamoDB Local and a JVM.

    dynoxide keeps everything in memory. It is not started again after a crash, because its tables
    would be gone.
    """
    server.DynamodbServer.do_start_thread = start_dynoxide
    server.AwsRequestProxy = DynoxideProxy


@on_infra_start()
def keep_children():
    """Leaves engines in LocalStack's process group, so that ending the group ends them.

    On Linux and macOS LocalStack starts each in a session of its own. If LocalStack is killed, such an
    engine keeps running.
    """
    run.is_linux = run.is_mac_os = lambda: False
