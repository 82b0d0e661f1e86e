"""Lambda's function URLs. LocalStack alone asks for no signature, and its addresses need a name server of its own.

`function_urls`, in the folder of the scripts, has AWS's rules. LocalStack enforces no IAM: whoever signs rightly may call.
"""

import os

import function_urls
from localstack.aws.accounts import get_account_id_from_access_key_id
from localstack.http import Response
from localstack.http.request import get_raw_path
from localstack.runtime.hooks import on_infra_start
from localstack.services.lambda_ import provider, urlrouter
from localstack.services.lambda_.invocation.models import lambda_stores
from moto.iam.models import iam_backends
from moto.sts.models import sts_backends

# The call that a request's environment has, from the route to the event.
CALL = "handover.call"
url_config, event_for_lambda_url = provider.FunctionUrlConfig, urlrouter.event_for_lambda_url
Router = urlrouter.FunctionUrlRouter
register_routes, invoke = Router.register_routes, Router.handle_lambda_url_invocation


def credential_of(key):
    account = get_account_id_from_access_key_id(key)
    if key == os.environ["AWS_ACCESS_KEY_ID"]:
        secret = os.environ["AWS_SECRET_ACCESS_KEY"]
        return function_urls.Credential(secret, None, account, f"arn:aws:iam::{account}:root", account)
    if role := sts_backends[account]["aws"].get_assumed_role_from_access_key(key):
        secret, token = role.secret_access_key, role.session_token
        return function_urls.Credential(secret, token, account, role.arn, role.user_id)
    for user in iam_backends[account]["aws"].users.values():
        for known in user.access_keys:
            if known.access_key_id == key and known.status == "Active":
                return function_urls.Credential(known.secret_access_key, None, account, user.arn, user.id)
    return None


def find(url_id):
    """The account, the region and the configuration of a URL."""
    for account, stores in lambda_stores.items():
        for region, store in stores.items():
            for function in store.functions.values():
                for config in function.function_url_configs.values():
                    if config.url_id.lower() == url_id.lower():
                        return account, region, config
    return None


def handle_lambda_url_invocation(self, request, api_id, region="us-east-1", **_):
    if found := find(api_id):
        account, region, config = found
        headers, query = list(request.headers.items()), request.query_string.decode("latin-1")
        sent = function_urls.Request(request.method, get_raw_path(request), query, headers, request.get_data())
        iam = None
        if config.auth_type == "AWS_IAM":
            try:
                iam = function_urls.caller(sent, region, credential_of)
            except function_urls.Refused as refused:
                status, headers, body = function_urls.answer(refused)
                return Response(body, status, headers)
        request.environ[CALL] = {"request": sent, "iam": iam, "account": account, "region": region}
    return invoke(self, request, api_id, region)


def event(api_id, request):
    return function_urls.correct(event_for_lambda_url(api_id, request), url_id=api_id, **request.environ[CALL])


def register_more_routes(self):
    if not self.registered:
        for path in "<api_id>", "<api_id>/", "<api_id>/<path:path>":
            self.router.add(function_urls.PREFIX + path, endpoint=self.handle_lambda_url_invocation)
    register_routes(self)


@on_infra_start()
def serve_function_urls():
    provider.FunctionUrlConfig = lambda url_id, url, **rest: url_config(
        url_id=url_id, url=function_urls.local_url(url_id), **rest
    )
    Router.register_routes = register_more_routes
    Router.handle_lambda_url_invocation = handle_lambda_url_invocation
    urlrouter.event_for_lambda_url = event
