//! The local AWS: who has no key of its run does not get in, since a function that is deployed there runs as a
//! program of this machine.

use std::net::TcpStream;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use aws_sdk_lambda::config::Credentials;
use aws_sdk_lambda::error::ProvideErrorMetadata;

use crate::world::{is_not_run, root};

#[tokio::test]
async fn the_well_known_keys_are_refused() {
    if is_not_run("tests/stack/local.rs: the_well_known_keys_are_refused") {
        return;
    }
    let aws = handover::aws::config().unwrap().load().await;
    for key in ["test", "000000000000"] {
        let keys = Credentials::new(key, "test", None, None, "well-known");
        let config = aws_sdk_lambda::config::Builder::from(&aws).credentials_provider(keys).build();
        let refused = aws_sdk_lambda::Client::from_conf(config).list_functions().send().await.unwrap_err();
        assert_eq!(refused.code(), Some("UnrecognizedClientException"), "{key}");
    }
}

/// All of 127.0.0.0/8 is this machine, and a server that listens on every interface answers on each of it.
#[test]
fn it_listens_on_one_address_alone() {
    let endpoint = std::env::var("AWS_ENDPOINT_URL").unwrap();
    let (_, port) = endpoint.rsplit_once(':').unwrap();
    TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    TcpStream::connect(format!("127.0.0.2:{port}")).unwrap_err();
}

/// What is built for this machine is in `.local/`. Where no build for AWS has written its architecture, SAM deploys
/// nothing.
#[test]
fn a_build_for_this_machine_is_not_deployed_to_aws() {
    let folder = root().join("target/nothing-built");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(folder.join("infra")).unwrap();
    for file in [
        "template.yaml",
        "infra/core.yaml",
        "infra/destination.yaml",
        "infra/samconfig.toml",
        "infra/dev.yaml",
    ] {
        std::fs::copy(root().join(file), folder.join(file)).unwrap();
    }
    let mut sam = Command::new(root().join(".local/venv/bin/sam"));
    sam.args(["deploy", "--config-file", "infra/samconfig.toml", "--config-env", "dev"]).current_dir(&folder);
    sam.env("SAM_CLI_TELEMETRY", "0").env("__SAM_CLI_APP_DIR", root().join(".local/sam"));
    let output = sam.output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(
        !output.status.success() && errors.contains("target/lambda/architecture.yaml was not found"),
        "{errors}"
    );
}

#[test]
fn its_folder_is_private() {
    let mode = std::fs::metadata(root().join(".local")).unwrap().mode();
    assert_eq!(mode & 0o777, 0o700);
}

/// `localstack/isolated` where no namespace can be made, whatever this machine allows.
#[test]
fn localstack_does_not_start_open_to_the_network() {
    const WITHOUT_NAMESPACES: &str = "
import os, runpy, sys
vars(os).pop('unshare', None)
runpy.run_path(sys.argv.pop(1), run_name='__main__')
";
    let start = |open: Option<&str>| {
        let mut isolated = Command::new(root().join(".local/venv/bin/python"));
        isolated.args(["-c", WITHOUT_NAMESPACES]).arg(root().join("localstack/isolated"));
        isolated.args(["1", "2", "echo", "started"]).env_remove("LOCALSTACK_OPEN_TO_THE_NETWORK");
        isolated.envs(open.map(|value| ("LOCALSTACK_OPEN_TO_THE_NETWORK", value)));
        let output = isolated.output().unwrap();
        let [said, errors] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        (output.status.success(), said.contains("started"), errors)
    };
    for open in [None, Some(""), Some("no")] {
        let (succeeded, started, errors) = start(open);
        assert!(!succeeded && !started, "{open:?}");
        assert!(errors.contains("LOCALSTACK_OPEN_TO_THE_NETWORK=yes"), "{errors}");
    }
    assert_eq!(start(Some("yes")), (true, true, String::new()));
}
