# shellcheck shell=bash disable=SC2034,SC2154
# What is deployed to the local AWS from this repository, for lib.sh.

STACK=${STACK:-handover}
# Copied for the deployment with their folders. SAM deploys the first; the others are nested in it.
templates=(template.yaml infra/core.yaml infra/destination.yaml infra/api.yaml)
# Files that each function has beside its binary.
packed=("$root"/infra/*.routes.json)
event_sources=$target/debug/event-sources
event_sources_from="Build it: make build"

# Where the tests serve a provider of payments and mail.
provider=127.0.0.1:$((PORT + 1000))

stack_environment() {
    export HANDOVER_PROVIDER=$provider HANDOVER_PROVIDER_TOKEN=${HANDOVER_PROVIDER_TOKEN:-$(random 16)}
}

# Sets `parameters`.
stack_parameters() {
    local token
    # It is known by the ARN that it gets.
    token=$({ aws_text secretsmanager describe-secret --secret-id "$STACK-provider-token" --query ARN ||
        aws_text secretsmanager create-secret --name "$STACK-provider-token" --query ARN \
            --secret-string "$HANDOVER_PROVIDER_TOKEN"; } 2>"$logs/deploy.log") ||
        die_with_log deploy "The secret with the provider's token could not be created."
    parameters=("file://$root/infra/local.yaml" "Architecture=$architecture"
        "PaymentProviderUrl=http://$provider" "PaymentProviderTokenSecretArn=$token"
        "ReceiptProviderUrl=http://$provider" "ReceiptProviderTokenSecretArn=$token")
}
