//! Which stack, Region, profile, endpoint and proxy the command takes.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::close::denied;
use crate::scripted::Aws;
use crate::{command, text, unique};

/// A file that is removed at the end of the test.
pub struct File(PathBuf);

impl File {
    pub fn new(content: &str) -> File {
        let path = std::env::temp_dir().join(unique("handover"));
        std::fs::write(&path, content).unwrap();
        File(path)
    }

    pub fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// What `status` of a notification that was never sent says, with these arguments, and with the variables of the
/// environment so changed.
fn error(arguments: &[&str], variables: &[(&str, Option<&str>)]) -> String {
    let mut command = command(&[arguments, &["status", "never-sent"]].concat());
    set(&mut command, variables);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    text(&output.stderr).to_owned()
}

fn set(command: &mut Command, variables: &[(&str, Option<&str>)]) {
    for (name, value) in variables {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
}

#[test]
fn a_stack_is_never_guessed() {
    for stack in [None, Some("")] {
        let expected = "error[no-stack]: no stack is named: add --stack NAME, or set HANDOVER_STACK (for a local AWS, source its `.local/env`)\n";
        assert_eq!(error(&[], &[("HANDOVER_STACK", stack)]), expected);
    }
}

#[test]
fn the_region_and_the_profile_are_those_of_the_command_line() {
    let config =
        File::new("[profile other]\nregion = eu-west-3\naws_access_key_id = a\naws_secret_access_key = b\n");
    let config = config.0.to_str();
    let variables = [("AWS_REGION", None), ("AWS_DEFAULT_REGION", None), ("AWS_CONFIG_FILE", config)];
    let none = error(&[], &variables);
    assert!(none.starts_with("error[no-region]: no Region is named: add --region NAME"), "{none}");
    for arguments in [&["--profile", "other"][..], &["--region", "us-east-1"]] {
        let found = error(arguments, &variables);
        assert!(!found.contains("no Region is named"), "{arguments:?}: {found}");
    }
}

#[test]
fn a_profile_that_is_named_comes_before_the_keys_in_the_environment() {
    let config = File::new("[profile other]\naws_access_key_id = of-profile\naws_secret_access_key = b\n");
    let aws = Aws::new(|call, _| denied(call));
    let mut command = aws.command(&["--profile", "other", "status", "never-sent"]);
    let output = command.env("AWS_CONFIG_FILE", &config.0).output().unwrap();
    let errors = text(&output.stderr);
    assert!(errors.contains("with the profile `other`"), "{errors}");
    assert!(aws.access_keys().iter().all(|key| key == "of-profile"), "{:?}", aws.access_keys());
}

#[test]
fn a_profile_that_does_not_exist_is_named_with_the_files() {
    let config = File::new("[profile other]\nregion = eu-west-3\n");
    let path = config.0.to_str().unwrap();
    let absent = [("AWS_CONFIG_FILE", Some(path)), ("AWS_SHARED_CREDENTIALS_FILE", None)];
    let expected =
        format!("error[no-profile]: there is no profile `absent` in {path} or ~/.aws/credentials\n");
    assert_eq!(error(&["--profile", "absent"], &absent), expected);
}

#[test]
fn a_profile_may_take_its_credentials_from_a_process() {
    let [id, secret] =
        ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"].map(|name| std::env::var(name).unwrap());
    let credentials =
        File::new(&format!(r#"{{"Version": 1, "AccessKeyId": "{id}", "SecretAccessKey": "{secret}"}}"#));
    let config =
        File::new(&format!("[profile other]\ncredential_process = cat {}\n", credentials.0.display()));
    let found = error(&["--profile", "other"], &[("AWS_CONFIG_FILE", config.0.to_str())]);
    assert!(found.contains("there is no record of `never-sent`"), "{found}");
}

#[test]
fn an_endpoint_that_is_no_url_is_named_and_an_empty_one_is_not_set() {
    let no_url = error(&[], &[("AWS_ENDPOINT_URL", Some("localhost:4566"))]);
    assert!(no_url.contains("the environment variable AWS_ENDPOINT_URL is not a URL"), "{no_url}");
    let empty_of_service = error(&[], &[("AWS_ENDPOINT_URL_DYNAMODB", Some(""))]);
    assert!(empty_of_service.contains("there is no record of"), "{empty_of_service}");
    // So it is AWS itself, which cannot be reached through a proxy that is not there: the discard port.
    let proxy = [("AWS_ENDPOINT_URL", Some("")), ("HTTPS_PROXY", Some("http://127.0.0.1:9"))];
    let empty = error(&[], &proxy);
    assert!(empty.contains("AWS in us-east-1 does not answer"), "{empty}");
}

#[test]
fn an_empty_endpoint_leaves_that_of_the_profile() {
    let [id, secret, endpoint] = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"]
        .map(|name| std::env::var(name).unwrap());
    let keys = format!("aws_access_key_id = {id}\naws_secret_access_key = {secret}");
    let config = File::new(&format!(
        "[profile all]\n{keys}\nendpoint_url = {endpoint}\n\
         [profile one]\n{keys}\nservices = local\n[services local]\ndynamodb =\n  endpoint_url = {endpoint}\n"
    ));
    for variable in ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_DYNAMODB"] {
        for profile in ["all", "one"] {
            let variables =
                [("AWS_ENDPOINT_URL", None), (variable, Some("")), ("AWS_CONFIG_FILE", config.0.to_str())];
            let found = error(&["--profile", profile], &variables);
            assert!(found.contains("there is no record of"), "{variable}, {profile}: {found}");
        }
    }
}

#[test]
fn calls_go_through_the_proxy_except_to_what_needs_none() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = format!("http://{}", listener.local_addr().unwrap());
    let mut through = command(&["status", "1"]);
    set(&mut through, &[("AWS_ENDPOINT_URL", Some("http://aws.invalid")), ("HTTP_PROXY", Some(&proxy))]);
    let mut through = through.spawn().unwrap();
    let mut request = String::new();
    BufReader::new(listener.accept().unwrap().0).read_line(&mut request).unwrap();
    assert_eq!(request, "POST http://aws.invalid/ HTTP/1.1\r\n");
    through.kill().unwrap();
    through.wait().unwrap();

    let direct = error(&[], &[("HTTP_PROXY", Some("http://127.0.0.1:9")), ("NO_PROXY", Some("127.0.0.1"))]);
    assert!(direct.contains("there is no record of"), "{direct}");
}

#[test]
fn a_stack_of_an_earlier_release_is_told_by_its_tables() {
    let message = "The provided key element does not match the schema";
    let invalid = json!({ "__type": "com.amazon.coral.validate#ValidationException", "message": message });
    let aws = Aws::new(move |_, _| (400, invalid.clone()));
    let output = aws.handover(&["status", "1", "--source", "s"], Stdio::piped());
    let error = text(&output.stderr);
    assert!(error.starts_with("error[invalid]") && error.contains("earlier release"), "{error}");
}

#[test]
fn an_error_names_the_endpoint_that_does_not_answer() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_handover"));
    // Nothing listens on port 9, the discard port.
    let output =
        command.args(["status", "1"]).env("AWS_ENDPOINT_URL", "http://127.0.0.1:9").output().unwrap();
    assert!(text(&output.stderr).contains("http://127.0.0.1:9 does not answer"), "{output:?}");
}
