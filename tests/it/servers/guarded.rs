//! moto of one's own that checks signatures and permissions, for S3 and DynamoDB. (DynamoDB Local and the common moto take
//! whatever credentials there are.)

use std::process::Command;

use serde_json::{Value, json};

use super::{Server, data_folder, free_port, place, run, start};

/// The server, with a bucket `vault` that holds `a.csv`, and a table `vault`.
pub(crate) struct Guarded {
    server: Server,
}

/// An access key: its id and its secret.
pub(crate) type Key = (String, String);

impl Guarded {
    /// A server that from now on lets only users in who were made before.
    pub(crate) fn new(users: &[(&str, &[&str])]) -> (Self, Vec<Key>) {
        let (folder, port) = (data_folder(None), free_port());
        let mut command = Command::new(place("RECON_TEST_MOTO"));
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        let guarded = Self { server: start(command, folder, port) };
        guarded.curl("s3", &["-X", "PUT", &format!("{}/vault", guarded.endpoint())]);
        let object = format!("{}/vault/a.csv", guarded.endpoint());
        guarded
            .curl("s3", &["-X", "PUT", "-H", "Content-Type: text/csv", "--data-binary", "k\n1\n", &object]);
        let table = json!({
            "TableName": "vault", "BillingMode": "PAY_PER_REQUEST",
            "KeySchema": [{ "AttributeName": "k", "KeyType": "HASH" }],
            "AttributeDefinitions": [{ "AttributeName": "k", "AttributeType": "N" }],
        });
        guarded.dynamodb("CreateTable", &table);
        guarded.dynamodb("PutItem", &json!({ "TableName": "vault", "Item": { "k": { "N": "1" } } }));
        let keys = users.iter().map(|(name, allowed)| guarded.user(name, allowed)).collect();
        let reset = format!("{}/moto-api/reset-auth", guarded.endpoint());
        run(Command::new("curl").args(["-sSf", "-H", "Content-Type: text/plain", "-d", "0", &reset]));
        (guarded, keys)
    }

    /// `http://127.0.0.1:PORT`.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.server.port)
    }

    /// A user who may do this, and the user's key.
    fn user(&self, name: &str, allowed: &[&str]) -> Key {
        self.iam(&[("Action", "CreateUser"), ("UserName", name)]);
        let statement = json!([{ "Effect": "Allow", "Action": allowed, "Resource": "*" }]);
        let policy = json!({ "Version": "2012-10-17", "Statement": statement }).to_string();
        let policy = ("PolicyDocument", policy.as_str());
        self.iam(&[("Action", "PutUserPolicy"), ("UserName", name), ("PolicyName", "own"), policy]);
        let key = self.iam(&[("Action", "CreateAccessKey"), ("UserName", name)]);
        let part = |tag: &str| {
            let rest = key.split(&format!("<{tag}>")).nth(1).unwrap_or_else(|| panic!("no {tag} in {key}"));
            rest.split('<').next().expect("a text has a first part").to_owned()
        };
        (part("AccessKeyId"), part("SecretAccessKey"))
    }

    fn iam(&self, form: &[(&str, &str)]) -> String {
        let fields: Vec<String> = form.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut args = vec!["--data-urlencode", "Version=2010-05-08"];
        args.extend(fields.iter().flat_map(|field| ["--data-urlencode", field.as_str()]));
        let endpoint = self.endpoint();
        args.push(&endpoint);
        self.curl("iam", &args)
    }

    fn dynamodb(&self, operation: &str, body: &Value) {
        let target = format!("X-Amz-Target: DynamoDB_20120810.{operation}");
        let (body, endpoint) = (body.to_string(), self.endpoint());
        let kind = "Content-Type: application/x-amz-json-1.0";
        self.curl("dynamodb", &["-H", &target, "-H", kind, "-d", &body, &endpoint]);
    }

    /// Asks a service before the server looks at signatures.
    fn curl(&self, service: &str, args: &[&str]) -> String {
        let signature = format!(
            "Authorization: AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/{service}/aws4_request, SignedHeaders=host, Signature=0"
        );
        run(Command::new("curl").args(["-sSf", "-H", &signature]).args(args))
    }
}
