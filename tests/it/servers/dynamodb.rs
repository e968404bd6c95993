//! DynamoDB Local, in memory. It takes any credentials; tables are shared, so each test needs names of its own.

use std::process::Command;
use std::sync::LazyLock;

use super::{Server, data_folder, free_port, place, start};

static SERVER: LazyLock<Server> = LazyLock::new(|| {
    let (folder, port) = (data_folder(None), free_port());
    let mut command = Command::new("java");
    command
        .args(["-Xmx1g", "-Djava.library.path=./DynamoDBLocal_lib", "-jar", "DynamoDBLocal.jar"])
        .args(["-inMemory", "-sharedDb", "-disableTelemetry", "-port", &port.to_string()])
        .current_dir(place("RECON_TEST_DYNAMODB"));
    start(command, folder, port)
});

/// `http://127.0.0.1:PORT`.
pub(crate) fn endpoint() -> String {
    format!("http://127.0.0.1:{}", SERVER.port)
}

/// What recon needs in its environment to reach it.
pub(crate) const ENVIRONMENT: [(&str, &str); 3] =
    [("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test"), ("AWS_REGION", "eu-central-1")];
