"""Fixes for LocalStack that take one line each."""

import json
from types import SimpleNamespace

from localstack.runtime.hooks import on_infra_start
from localstack.services.lambda_.event_source_mapping.pollers import sqs_poller


def take_as_text(body):
    raise json.JSONDecodeError("not parsed", body, 0)


@on_infra_start()
def keep_message_bodies():
    """Passes the bodies of messages to functions as they were sent.

    LocalStack parses and serializes each body on its way, for filters on the content: that changes
    spaces and drops one of two equal names. It passes a body unchanged if it is not JSON.
    """
    sqs_poller.json = SimpleNamespace(
        loads=take_as_text, dumps=json.dumps, JSONDecodeError=json.JSONDecodeError
    )
