//! An AWS that answers as a test says, for what a deployed stack does not do when it is wanted.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use handover::dynamodb::types::AttributeValue;
use serde_json::{Value, json};

/// What a call is answered with: its status and its body.
pub type Answer = (u16, Value);

/// A scripted AWS, and the calls that were made to it.
pub struct Aws {
    endpoint: String,
    calls: Arc<Mutex<Vec<Call>>>,
}

struct Call {
    name: String,
    access_key: String,
    body: Value,
}

impl Aws {
    /// One that answers each call, by its name and its body.
    pub fn new(answer: impl Fn(&str, &Value) -> Answer + Send + Sync + 'static) -> Aws {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let (calls, answer) = (Arc::<Mutex<Vec<_>>>::default(), Arc::new(answer));
        let made = calls.clone();
        // It ends with the process of the tests.
        thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                let (made, answer) = (made.clone(), answer.clone());
                thread::spawn(move || serve(connection, &made, &*answer));
            }
        });
        Aws { endpoint, calls }
    }

    /// The command against this AWS, with its output piped, or to this file.
    pub fn handover(&self, arguments: &[&str], stdout: Stdio) -> Output {
        self.start(arguments, stdout).wait_with_output().unwrap()
    }

    /// Starts the command.
    pub fn start(&self, arguments: &[&str], stdout: Stdio) -> Child {
        self.command(arguments).stdout(stdout).spawn().unwrap()
    }

    /// The command, with its output piped.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_handover"));
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let variables = [
            ("AWS_ENDPOINT_URL", &*self.endpoint),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "a"),
            ("AWS_SECRET_ACCESS_KEY", "b"),
            ("HANDOVER_STACK", "scripted"),
        ];
        command.env_clear().envs(variables);
        command
    }

    /// The access key of each call.
    pub fn access_keys(&self) -> Vec<String> {
        self.calls.lock().unwrap().iter().map(|call| call.access_key.clone()).collect()
    }

    /// The bodies of the calls of this name.
    pub fn calls(&self, name: &str) -> Vec<Value> {
        let calls = self.calls.lock().unwrap();
        calls.iter().filter(|call| call.name == name).map(|call| call.body.clone()).collect()
    }
}

/// Answers the calls of a connection.
fn serve(connection: TcpStream, made: &Mutex<Vec<Call>>, answer: &dyn Fn(&str, &Value) -> Answer) {
    let mut input = BufReader::new(connection.try_clone().unwrap());
    let mut connection = connection;
    while let Some(call) = call(&mut input) {
        let (status, answered) = answer(&call.name, &call.body);
        made.lock().unwrap().push(call);
        let answered = answered.to_string();
        let head = format!("HTTP/1.1 {status} -\r\ncontent-length: {}\r\n\r\n", answered.len());
        if connection.write_all((head + &answered).as_bytes()).is_err() {
            return;
        }
    }
}

/// The next call of a connection.
fn call(input: &mut impl BufRead) -> Option<Call> {
    let (mut headers, mut request) = (HashMap::<String, String>::new(), String::new());
    input.read_line(&mut request).ok()?;
    loop {
        let mut line = String::new();
        if input.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            line => {
                headers.extend(line.split_once(": ").map(|(name, of)| (name.to_lowercase(), of.to_owned())))
            }
        }
    }
    let length = headers.get("content-length").map_or(Ok(0), |length| length.parse()).ok()?;
    let mut body = vec![0; length];
    input.read_exact(&mut body).ok()?;
    let name = match headers.get("x-amz-target") {
        Some(target) => target.rsplit('.').next()?.to_owned(),
        // Lambda has no names of calls.
        None => {
            request.split(['?', ' ']).take(2).collect::<Vec<_>>().join(" ").trim_end_matches('/').to_owned()
        }
    };
    let (_, credential) = headers["authorization"].split_once("Credential=")?;
    let access_key = credential.split('/').next()?.to_owned();
    Some(Call { name, access_key, body: serde_json::from_slice(&body).unwrap_or_default() })
}

/// An item as DynamoDB answers with it.
pub fn item(item: &HashMap<String, AttributeValue>) -> Value {
    item.iter().map(|(name, value)| (name.clone(), attribute(value))).collect()
}

fn attribute(value: &AttributeValue) -> Value {
    match value {
        AttributeValue::S(text) => json!({ "S": text }),
        AttributeValue::N(number) => json!({ "N": number }),
        AttributeValue::Bool(is_true) => json!({ "BOOL": is_true }),
        AttributeValue::M(map) => json!({ "M": item(map) }),
        AttributeValue::L(list) => json!({ "L": list.iter().map(attribute).collect::<Vec<_>>() }),
        other => panic!("a record has no {other:?}"),
    }
}
