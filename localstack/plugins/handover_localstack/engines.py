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
    """Passes requests on to dynoxide, and makes its answers look like those of DynamoDB Local.

    What differs are the ARNs; its shard iterators are no ARNs, as which LocalStack parses them; and
    its PartiQL takes names on the right of SET without quotes only: "open"="open"-1.
    """

    def __call__(self, context, service_request=None):
        request = {**(service_request or context.service_request)}
        if arn := request.get("StreamArn"):
            request["StreamArn"] = arn.replace(LOCAL, DYNOXIDE)
        if iterator := request.get("ShardIterator"):
            request["ShardIterator"] = iterator.removeprefix(LOCAL)
        if statements := request.get("Statements"):
            request["Statements"] = [
                {**it, "Statement": QUOTED_TERM.sub(r"=\1\2", it["Statement"])} for it in statements
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
    TMP_THREADS.append(thread)  # Those LocalStack ends when it ends.
    thread.start()
    return thread


@on_infra_start()
def use_dynoxide():
    """Serves DynamoDB with dynoxide, where LocalStack would download DynamoDB Local and a JVM.

    It keeps everything in memory, and is not started again after a crash: its tables would be gone.
    """
    server.DynamodbServer.do_start_thread = start_dynoxide
    server.AwsRequestProxy = DynoxideProxy


@on_infra_start()
def keep_children():
    """Leaves engines in LocalStack's process group, so that whoever ends the group ends them.

    LocalStack gives each a session of its own on Linux and macOS; killed, it would leave them behind.
    """
    run.is_linux = run.is_mac_os = lambda: False
