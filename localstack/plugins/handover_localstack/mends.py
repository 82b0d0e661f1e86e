"""What LocalStack gets wrong, where one line puts it right."""

import json
from types import SimpleNamespace

from localstack.runtime.hooks import on_infra_start
from localstack.services.lambda_.event_source_mapping.pollers import sqs_poller


def take_as_text(body):
    raise json.JSONDecodeError("not to be read", body, 0)


@on_infra_start()
def keep_message_bodies():
    """Functions get the bodies of messages as they were sent.

    LocalStack reads and writes them anew on their way, for filters on their content: spaces move, and
    of a name that occurs twice one is lost. What is no JSON it leaves alone.
    """
    sqs_poller.json = SimpleNamespace(
        loads=take_as_text, dumps=json.dumps, JSONDecodeError=json.JSONDecodeError
    )
