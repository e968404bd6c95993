//! DynamoDB and S3 that go away in the middle of a staging and come back.

use serde_json::{Value, json};

use super::process::{Ended, Held, recon, run};
use super::stores::project;
use crate::servers::{dynamodb, free_port, s3};

const STAGE: [&str; 5] = ["stage", "--threads", "1", "--format", "json"];

#[test]
fn a_dynamodb_that_restarts_in_the_middle_is_named_and_the_staging_goes_on_later() {
    let server = dynamodb::begin(tempfile::tempdir().expect("a folder"), free_port());
    let port = server.port;
    let endpoint = format!("http://127.0.0.1:{port}");
    let ask = |operation: &str, body: &Value| dynamodb::ask_at(&endpoint, operation, body);
    let table = json!({
        "TableName": "restarted", "BillingMode": "PAY_PER_REQUEST",
        "KeySchema": [{ "AttributeName": "k", "KeyType": "HASH" }],
        "AttributeDefinitions": [{ "AttributeName": "k", "AttributeType": "N" }],
    });
    ask("CreateTable", &table);
    for n in 0..40 {
        ask("PutItem", &json!({ "TableName": "restarted", "Item": { "k": { "N": n.to_string() } } }));
    }
    let place =
        format!("table = \"restarted\"\nregion = \"eu-central-1\"\nendpoint = \"{endpoint}\"\nsegments = 4");
    let project = project("dynamodb", &place);
    let (folder, home) = (project.path(), project.path().join("home"));
    let command = |args: &[&str]| {
        let mut command = recon(folder, &home, args);
        command.envs(dynamodb::ENVIRONMENT);
        command
    };
    let held = Held::of("stage.after-ledger", command(&STAGE));
    let data = server.crash();
    let words = [
        "dataset `a`: ",
        "DynamoDB table restarted",
        "the endpoint is there",
        "what was staged stays staged",
    ];
    held.go_on().exits(4).says(&words);
    let _again = dynamodb::begin(data, port);
    let resumed = Ended::of(&mut command(&STAGE)).exits(0);
    assert_eq!((resumed.sum("units"), resumed.sum("units_read"), resumed.sum("rows")), (4, 3, 40));
    let diff = Ended::of(&mut command(&["diff", "--format", "json"])).exits(0);
    assert_eq!(diff.json()["entities"]["row"]["matched"], 40);
}

#[test]
fn an_s3_that_restarts_in_the_middle_is_named_and_the_staging_goes_on_later() {
    let server = s3::begin(free_port());
    let port = server.port;
    let endpoint = format!("http://127.0.0.1:{port}");
    let objects = [("in/1.csv", "k\n1\n"), ("in/2.csv", "k\n2\n"), ("in/3.csv", "k\n3\n")];
    s3::fill(&endpoint, "restarted", &objects);
    let project = project(
        "csv",
        &format!("uri = \"s3://restarted/in/\"\nendpoint = \"{endpoint}\"\npath_style = true"),
    );
    let (folder, home) = (project.path(), project.path().join("home"));
    let command = |args: &[&str]| {
        let mut command = recon(folder, &home, args);
        command.envs(s3::ENVIRONMENT);
        command
    };
    let held = Held::of("stage.after-ledger", command(&STAGE));
    drop(server.crash());
    held.go_on().exits(4).says(&["dataset `a`: ", "s3://restarted/in/", "stays staged"]);
    // Its objects come back as others, since it knows only when they came: they are read anew.
    let _again = s3::begin(port);
    s3::fill(&endpoint, "restarted", &objects);
    let resumed = Ended::of(&mut command(&STAGE)).exits(0);
    assert_eq!((resumed.sum("units"), resumed.sum("rows")), (3, 3));
    assert_eq!(
        run(folder, &home, &["diff", "--format", "json"]).exits(0).json()["entities"]["row"]["matched"],
        3
    );
}
