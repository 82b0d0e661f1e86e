//! Probes of AWS: one for each behaviour that Handover relies on. A probe asserts what AWS documents, and
//! runs against the AWS that the environment names, local or real. `HANDOVER_LOCAL` says which one that is.
//! Where a local AWS is known to differ, `tests/skips.toml` lists the probe, and the probe has to fail.

mod dynamodb;
mod function_urls;
mod iam;
mod kinesis;
mod mappings;
mod page;
mod signed;
mod skips;
mod sqs;
mod streams;
mod world;

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use world::World;

/// A behaviour that Handover relies on.
struct Promise {
    /// The name of the probe.
    name: &'static str,
    what: &'static str,
    /// The page on which AWS documents it, below <https://docs.aws.amazon.com>.
    page: &'static str,
}

/// Makes each row a test, and all rows a table by service.
macro_rules! promises {
    ($($service:literal { $($name:ident, $what:literal, $page:literal, $module:ident;)* })*) => {
        const PROMISES: &[(&str, &[Promise])] = &[$(($service, &[$(
            Promise { name: stringify!($name), what: $what, page: $page },
        )*]),)*];

        $($(
            #[tokio::test]
            async fn $name() {
                probe(stringify!($name), async |world| $module::$name(world).await).await;
            }
        )*)*
    };
}

promises! {
    "DynamoDB" {
        a_conditional_put_wins_once,
            "Of several concurrent conditional puts of one key exactly one succeeds, and the others get its item.",
            "amazondynamodb/latest/APIReference/API_PutItem.html", dynamodb;
        a_transaction_is_all_or_nothing,
            "A transaction is all or nothing. The reasons of a cancelled one are in the order of its actions; that of a failed condition has the item.",
            "amazondynamodb/latest/APIReference/API_TransactWriteItems.html", dynamodb;
        a_transaction_checks_one_item_and_deletes_another,
            "A transaction can check an item that it does not change, and delete another on a condition.",
            "amazondynamodb/latest/APIReference/API_TransactWriteItems.html", dynamodb;
        a_repeated_transaction_has_no_second_effect,
            "A transaction repeated with its token succeeds without a second effect.",
            "amazondynamodb/latest/developerguide/transaction-apis.html", dynamodb;
        a_token_belongs_to_one_content,
            "Another transaction with a used token fails with IdempotentParameterMismatch.",
            "amazondynamodb/latest/developerguide/transaction-apis.html", dynamodb;
        no_concurrent_transaction_is_lost,
            "Of concurrent transactions on one item, no successful one is lost.",
            "amazondynamodb/latest/developerguide/transaction-apis.html", dynamodb;
        concurrent_transactions_conflict,
            "Of concurrent transactions on one item, some are cancelled with TransactionConflict.",
            "amazondynamodb/latest/developerguide/transaction-apis.html", dynamodb;
        each_statement_has_its_own_outcome,
            "In a batch of statements each has an outcome of its own: success, DuplicateItem, or ConditionalCheckFailed with the item.",
            "amazondynamodb/latest/APIReference/API_BatchExecuteStatement.html", dynamodb;
        a_statement_can_mark,
            "A PartiQL UPDATE sets nested paths, removes, and takes what WHERE has beside the key as its condition.",
            "amazondynamodb/latest/developerguide/ql-reference.update.html", dynamodb;
        a_statement_condition_can_have_an_or,
            "The condition of a PartiQL UPDATE can have an OR.",
            "amazondynamodb/latest/developerguide/ql-operators.html", dynamodb;
        an_item_above_400_kb_is_refused,
            "An item can have 400 KB; a larger one is refused.",
            "amazondynamodb/latest/developerguide/Constraints.html", dynamodb;
        a_consistent_read_sees_what_was_written,
            "A consistent read sees every write that was acknowledged before.",
            "amazondynamodb/latest/developerguide/HowItWorks.ReadConsistency.html", dynamodb;
    }
    "DynamoDB Streams" {
        every_write_appears_once_in_order,
            "Every write of an item appears once, in order, with the old and the new image.",
            "amazondynamodb/latest/developerguide/Streams.html", streams;
        a_statements_write_appears,
            "A write by PartiQL appears like any other.",
            "amazondynamodb/latest/developerguide/Streams.html", streams;
        a_transactions_writes_appear,
            "The writes of a transaction appear, one record for each item.",
            "amazondynamodb/latest/developerguide/transaction-apis.html", streams;
        a_put_that_changes_nothing_does_not_appear,
            "A put that changes nothing does not appear.",
            "amazondynamodb/latest/developerguide/Streams.html", streams;
        a_change_can_be_read_again,
            "Changes that were read can be read again, from TRIM_HORIZON.",
            "amazondynamodb/latest/APIReference/API_streams_GetShardIterator.html", streams;
    }
    "Kinesis" {
        records_of_a_key_are_in_one_shard_in_order,
            "Records of one partition key are in one shard, in the order of their puts.",
            "kinesis/latest/APIReference/API_PutRecord.html", kinesis;
        put_records_answers_by_position,
            "PutRecords answers for each record at its position.",
            "kinesis/latest/APIReference/API_PutRecords.html", kinesis;
        more_than_500_records_are_refused,
            "PutRecords refuses more than 500 records.",
            "kinesis/latest/APIReference/API_PutRecords.html", kinesis;
        a_record_above_1_mib_is_refused,
            "A record can have 1 MiB; a larger one is refused.",
            "streams/latest/dev/service-sizes-and-limits.html", kinesis;
        a_split_shard_can_still_be_read,
            "After a split the parent's records can still be read, and the parent has an end.",
            "streams/latest/dev/kinesis-using-sdk-java-after-resharding.html", kinesis;
    }
    "SQS" {
        a_message_that_is_not_deleted_is_redelivered,
            "A message that is not deleted is redelivered after its visibility time-out, with a receive count that is one higher.",
            "AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html", sqs;
        a_message_received_too_often_is_a_dead_letter,
            "After maxReceiveCount receives a message goes to the dead-letter queue with its body and its attributes.",
            "AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-dead-letter-queues.html", sqs;
        the_visibility_of_a_message_can_be_changed,
            "ChangeMessageVisibility sets when a received message is redelivered.",
            "AWSSimpleQueueService/latest/APIReference/API_ChangeMessageVisibility.html", sqs;
        a_delayed_message_is_not_delivered_early,
            "A message sent with DelaySeconds is not delivered earlier.",
            "AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-timers.html", sqs;
        a_message_may_have_1_mib,
            "A message can have 1 MiB; a larger one is refused.",
            "AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html", sqs;
        a_message_keeps_its_time_of_sending,
            "A message keeps its SentTimestamp when it is received again.",
            "AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html", sqs;
        dead_letters_can_be_moved_to_a_named_queue,
            "StartMessageMoveTask moves dead letters to the queue that it names.",
            "AWSSimpleQueueService/latest/APIReference/API_StartMessageMoveTask.html", sqs;
    }
    "Lambda's mappings" {
        only_reported_messages_are_redelivered,
            "From SQS, only the messages that the function reported as failed are redelivered.",
            "lambda/latest/dg/services-sqs-errorhandling.html", mappings;
        a_body_arrives_byte_for_byte,
            "From SQS, a body arrives byte for byte as it was sent.",
            "lambda/latest/dg/with-sqs.html", mappings;
        a_batch_is_retried_from_its_lowest_failure,
            "From Kinesis, a batch is retried from the lowest sequence number that the function reported; nothing is skipped.",
            "lambda/latest/dg/services-kinesis-batchfailurereporting.html", mappings;
        a_batch_is_given_up_as_metadata,
            "From Kinesis, after MaximumRetryAttempts a batch goes to the on-failure queue as metadata, and the shard moves on.",
            "lambda/latest/dg/kinesis-on-failure-destination.html", mappings;
        bisect_gives_up_the_poison_record_alone,
            "From Kinesis, BisectBatchOnFunctionError splits a failing batch until the poison record is given up alone.",
            "lambda/latest/dg/kinesis-on-failure-destination.html", mappings;
        batches_of_a_shard_run_concurrently,
            "From Kinesis, with a ParallelizationFactor several batches of one shard run concurrently, and those of one key in order.",
            "lambda/latest/dg/with-kinesis.html", mappings;
        a_filter_passes_only_what_matches,
            "From a DynamoDB stream, a filter on the new image passes what matches, and nothing else.",
            "lambda/latest/dg/with-ddb-filtering.html", mappings;
        a_failed_batch_of_changes_is_retried_in_order,
            "From a DynamoDB stream, a batch is retried from the lowest failure, in order.",
            "lambda/latest/dg/services-ddb-batchfailurereporting.html", mappings;
    }
    "Lambda's function URLs" {
        the_url_of_a_stack_can_be_called,
            "The attribute FunctionUrl of a stack's resource is the function's URL, as GetFunctionUrlConfig returns it.",
            "AWSCloudFormation/latest/TemplateReference/aws-resource-lambda-url.html", function_urls;
        a_request_without_a_right_signature_is_refused,
            "With AWS_IAM, a request is answered with 403 if it is not signed, or with another secret, or for another service, or if it was changed since.",
            "lambda/latest/dg/urls-invocation.html", function_urls;
        a_request_signed_long_ago_is_refused,
            "A request that was signed 20 minutes ago is answered with 403.",
            "IAM/latest/UserGuide/reference_sigv.html", function_urls;
        a_caller_without_permission_is_refused,
            "With AWS_IAM, a caller whose policies do not allow the call is answered with 403.",
            "lambda/latest/dg/urls-auth.html", function_urls;
        a_function_is_told_who_called,
            "With AWS_IAM, the event has the caller in requestContext.authorizer.iam; the userId of a role's session is ROLE_ID:SESSION_NAME.",
            "lambda/latest/dg/urls-invocation.html", function_urls;
        an_open_url_tells_no_caller,
            "With NONE, a request without a signature reaches the function, and the event has no caller.",
            "lambda/latest/dg/urls-invocation.html", function_urls;
        a_function_gets_the_request_as_it_was_sent,
            "The event has the path and the query as they were sent, the query decoded too, repeated headers and parameters joined by commas, cookies as a list, and a binary body as base64.",
            "lambda/latest/dg/urls-invocation.html", function_urls;
    }
    "IAM" {
        a_call_that_the_role_does_not_allow_is_refused,
            "A function can make the calls that its role allows, and no others.",
            "lambda/latest/dg/lambda-intro-execution-role.html", iam;
    }
}

/// The AWS to probe: the name of a local one, or `None` for AWS itself. AWS costs money, so it has to be
/// named explicitly.
fn local() -> Option<String> {
    let name = std::env::var("HANDOVER_LOCAL").unwrap_or_default();
    let known = name == "aws" || skips::LOCALS.iter().any(|(local, _)| *local == name);
    assert!(known, "HANDOVER_LOCAL has to be `ministack`, `localstack` or `aws`");
    let is_local = std::env::var_os("AWS_ENDPOINT_URL").is_some();
    assert_eq!(
        is_local,
        name != "aws",
        "AWS_ENDPOINT_URL has to be set for a local AWS, and only then; HANDOVER_LOCAL is {name}"
    );
    Some(name).filter(|name| name != "aws")
}

/// Runs a probe. If it is listed for this local AWS, it has to fail.
async fn probe(name: &str, probe: impl AsyncFnOnce(&World)) {
    let local = local();
    let skip = local.as_ref().and_then(|local| skips::all().into_iter().find(|skip| skip.is(name, local)));
    // AWS takes a minute to enable a mapping. A probe that is listed may fail by waiting for so long in vain.
    let (limit_s, patience_s) = match (&local, &skip) {
        (None, _) => (600, 240),
        (Some(_), None) => (240, 120),
        (Some(_), Some(_)) => (120, 40),
    };
    let world = World::connect(Duration::from_secs(patience_s)).await;
    let run = async {
        let run = tokio::time::timeout(Duration::from_secs(limit_s), probe(&world));
        run.await.unwrap_or_else(|_| panic!("not within {limit_s} s"));
    };
    let result = AssertUnwindSafe(run).catch_unwind().await;
    world.clean_up().await;
    match (result, skip) {
        (Ok(()), None) => (),
        (Err(panic), None) => std::panic::resume_unwind(panic),
        (Err(panic), Some(skip)) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or_default();
            let (on, as_listed) = (&skip.on, text.contains(&skip.fails_with));
            assert!(as_listed, "{name} fails on {on}, but not with `{}`: {text}", skip.fails_with);
            println!("fails on {on}, as tests/skips.toml says: {}", skip.behaviour)
        }
        (Ok(()), Some(skip)) => {
            panic!("{name} is listed in tests/skips.toml for {}, but passes: remove the entry", skip.on)
        }
    }
}
