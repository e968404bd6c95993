//! DynamoDB Local, in memory. It takes any credentials; tables are shared, so each test needs names of its own.

use std::process::Command;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Server, data_folder, free_port, place, start};

/// How long a server may take from listening to answering.
const PATIENCE: Duration = Duration::from_secs(60);

static SERVER: LazyLock<Server> = LazyLock::new(|| serve(data_folder(None), free_port(), &["-inMemory"]));

/// A server of one's own whose tables outlive it, over the data of an earlier one.
pub(crate) fn begin(folder: TempDir, port: u16) -> Server {
    let path = folder.path().display().to_string();
    serve(folder, port, &["-dbPath", &path])
}

fn serve(folder: TempDir, port: u16, more: &[&str]) -> Server {
    let mut command = Command::new("java");
    command
        .env("LD_LIBRARY_PATH", place("RECON_TEST_DYNAMODB").join("DynamoDBLocal_lib"))
        .args(["-Xmx1g", "-jar", "DynamoDBLocal.jar"])
        .args(["-sharedDb", "-disableTelemetry", "-port", &port.to_string()])
        .args(more)
        .current_dir(place("RECON_TEST_DYNAMODB"));
    let server = start(command, folder, port);
    // It listens before it answers.
    let answers = || {
        let mut ask = Command::new("curl");
        ask.args(["-s", "-o", "/dev/null", "--max-time", "5", &format!("http://127.0.0.1:{port}")]);
        ask.status().is_ok_and(|status| status.success())
    };
    let began = Instant::now();
    while !answers() {
        assert!(began.elapsed() < PATIENCE, "DynamoDB Local listens on port {port}, but does not answer");
        std::thread::sleep(Duration::from_millis(50));
    }
    server
}

/// `http://127.0.0.1:PORT`.
pub(crate) fn endpoint() -> String {
    format!("http://127.0.0.1:{}", SERVER.port)
}

/// Its port on 127.0.0.1.
pub(crate) fn port() -> u16 {
    SERVER.port
}

/// Asks by the HTTP interface; no signature is checked.
pub(crate) fn ask(operation: &str, body: &Value) -> Value {
    ask_at(&endpoint(), operation, body)
}

/// Asks the table's streams.
pub(crate) fn ask_streams(operation: &str, body: &Value) -> Value {
    let operation = format!("DynamoDBStreams_20120810.{operation}");
    let answer = post(&endpoint(), &operation, body);
    answer.unwrap_or_else(|answer| panic!("{operation} {body}: {answer}"))
}

/// The same of another server.
pub(crate) fn ask_at(endpoint: &str, operation: &str, body: &Value) -> Value {
    try_ask(endpoint, operation, body).unwrap_or_else(|answer| panic!("{operation} {body}: {answer}"))
}

/// The same; an error is what the server says.
pub(crate) fn try_ask(endpoint: &str, operation: &str, body: &Value) -> Result<Value, Value> {
    post(endpoint, &format!("DynamoDB_20120810.{operation}"), body)
}

fn post(endpoint: &str, operation: &str, body: &Value) -> Result<Value, Value> {
    // An item may be longer than an argument.
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), body.to_string()).expect("a file");
    let output = Command::new("curl")
        .args(["-sS", "-X", "POST", endpoint])
        .args(["-H", &format!("X-Amz-Target: {operation}")])
        .args(["-H", "Content-Type: application/x-amz-json-1.0"])
        .args(["-H", "Authorization: AWS4-HMAC-SHA256 Credential=test/20260101/eu-central-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0"])
        .args(["--data-binary", &format!("@{}", file.path().display())])
        .output()
        .expect("curl runs");
    let answer: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&output.stderr)));
    if answer.get("__type").is_some() { Err(answer) } else { Ok(answer) }
}

/// Makes a table with a key of these attributes (name and type, the partition key first).
pub(crate) fn table(name: &str, key: &[(&str, &str)]) {
    let kinds = ["HASH", "RANGE"];
    let schema: Vec<Value> = key
        .iter()
        .zip(kinds)
        .map(|((name, _), kind)| json!({ "AttributeName": name, "KeyType": kind }))
        .collect();
    let types: Vec<Value> =
        key.iter().map(|(name, ty)| json!({ "AttributeName": name, "AttributeType": ty })).collect();
    let table = json!({
        "TableName": name, "BillingMode": "PAY_PER_REQUEST", "KeySchema": schema, "AttributeDefinitions": types,
    });
    ask("CreateTable", &table);
}

/// Makes a table of items whose key `k` is a number, from 0 on.
pub(crate) fn table_of_numbers(name: &str, items: usize) {
    table(name, &[("k", "N")]);
    for n in 0..items {
        ask("PutItem", &json!({ "TableName": name, "Item": { "k": { "N": n.to_string() } } }));
    }
}

/// What recon needs in its environment to reach it.
pub(crate) const ENVIRONMENT: [(&str, &str); 3] =
    [("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test"), ("AWS_REGION", "eu-central-1")];
