//! Credentials for DynamoDB and S3 that are wrong, expired, or not allowed to read: what is said of them, and what is not.

use std::path::Path;

use crate::project::{Project, Ran};
use crate::servers::guarded::Guarded;
use crate::servers::proxy::{ALWAYS, Answer, Body, HttpProxy};
use crate::servers::{dynamodb, s3};

const ENTITY: &str = "[entities.row]\nsource = \"a\"\ntarget = \"a\"\nkey = [\"k\"]\n";

/// Nothing but what a test gives.
const NOTHING: [(&str, &str); 3] = [
    ("AWS_EC2_METADATA_DISABLED", "true"),
    ("AWS_CONFIG_FILE", "config"),
    ("AWS_SHARED_CREDENTIALS_FILE", "credentials"),
];

/// A spec whose only dataset is a bucket's object or a table.
fn spec(kind: &str, endpoint: &str, name: &str) -> String {
    match kind {
        "s3" => s3::dataset_at(endpoint, "a", "csv", &format!("s3://{name}/a.csv")) + ENTITY,
        _ => format!(
            "[datasets.a]\nkind = \"dynamodb\"\ntable = \"{name}\"\nregion = \"us-east-1\"\nendpoint = \"{endpoint}\"\nsegments = 1\n\n{ENTITY}"
        ),
    }
}

/// Stages, and looks for secrets in everything that came out of it.
#[track_caller]
fn stage(project: &Project, environment: &[(&str, &str)], secrets: &[&str]) -> Ran {
    let ran = project.recon_with(&["stage", "-v", "-v"], &[&NOTHING, environment].concat());
    for secret in secrets {
        assert!(!ran.stdout.contains(secret) && !ran.stderr.contains(secret), "{}", ran.stderr);
        assert!(!is_in(secret, &project.path("home")), "the home holds {secret}");
    }
    ran
}

fn is_in(text: &str, folder: &Path) -> bool {
    let mut entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.any(|path| match path.is_dir() {
        true => is_in(text, &path),
        false => std::fs::read(&path).is_ok_and(|b| b.windows(text.len()).any(|w| w == text.as_bytes())),
    })
}

#[track_caller]
fn says(ran: &Ran, words: &[&str]) {
    assert_eq!(ran.code, 4, "{}", ran.stderr);
    for word in words {
        assert!(ran.stderr.contains(word), "no `{word}` in {}", ran.stderr);
    }
}

/// The server computes the signatures itself and knows what each user may do. Where it refuses, it speaks S3's own words; for
/// DynamoDB it answers in XML, of which only the status can be told.
#[test]
fn a_store_that_checks_credentials_lets_only_those_in_that_may_read() {
    let reads: &[&str] = &["s3:*", "dynamodb:DescribeTable", "dynamodb:Scan"];
    let (server, keys) = Guarded::new(&[("reader", reads), ("nobody", &["iam:GetUser"])]);
    let [(id, secret), (nobody, nobodys)] =
        [&keys[0], &keys[1]].map(|(id, secret)| (id.as_str(), secret.as_str()));
    let wrong = "wr0ngwr0ngwr0ngwr0ngwr0ngwr0ngwr0ng";
    let secrets = [secret, nobodys, wrong];
    let key = |id, secret| [("AWS_ACCESS_KEY_ID", id), ("AWS_SECRET_ACCESS_KEY", secret)];
    for (kind, place) in [("s3", "s3://vault/a.csv"), ("dynamodb", "DynamoDB table vault")] {
        let project = Project::new();
        project.write("recon.toml", spec(kind, &server.endpoint(), "vault"));
        project.write(
            "credentials",
            format!(
                "[shop]\naws_access_key_id = {id}\naws_secret_access_key = {wrong}\n\n[good]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n"
            ),
        );
        let good = stage(&project, &key(id, secret), &secrets);
        assert_eq!(good.code, 0, "{kind}: {}", good.stderr);
        let good = stage(&project, &[("AWS_PROFILE", "good")], &secrets);
        assert_eq!(good.code, 0, "{kind}: {}", good.stderr);
        let environment = "used: AWS_ACCESS_KEY_ID of the environment";
        let told = |s3: &'static str| if kind == "s3" { s3 } else { "AccessDenied" };
        let ran = stage(&project, &key(id, wrong), &secrets);
        says(&ran, &[place, told("SignatureDoesNotMatch"), told("are not accepted"), environment]);
        let ran = stage(&project, &key("AKIAUNKNOWN000000000", wrong), &secrets);
        says(&ran, &[place, told("InvalidAccessKeyId"), told("are not accepted"), environment]);
        let ran = stage(&project, &key(nobody, nobodys), &secrets);
        says(&ran, &[place, "AccessDenied", "do not allow this", environment]);
        let ran = stage(&project, &[("AWS_PROFILE", "shop")], &secrets);
        let chain = "tried: environment, profile `shop` (AWS_PROFILE)";
        says(&ran, &[place, told("SignatureDoesNotMatch"), chain]);
        // What the environment has goes before the profile.
        let both = [&key(id, wrong)[..], &[("AWS_PROFILE", "good")]].concat();
        says(&stage(&project, &both, &secrets), &[environment, "which goes before the profile `good`"]);
    }
}

/// What DynamoDB of AWS says of a signature that is not the right one: the whole request, session token included.
const REFUSED_SIGNATURE: &str = "The request signature we calculated does not match the signature you provided. Check your AWS \
    Secret Access Key and signing method. Consult the service documentation for details.\n\nThe Canonical String for this \
    request should have been\n'POST\n/\n\nhost:dynamodb.us-east-1.amazonaws.com\nx-amz-security-token:s3ss10nt0ken\n";

/// The servers on loopback know no sessions that expire, and DynamoDB Local no credentials at all: here the proxy answers with
/// what AWS's own services send.
#[test]
fn what_aws_itself_says_of_credentials_is_said_with_the_next_step() {
    dynamodb::table_of_numbers("refusing", 1);
    s3::bucket("refusing");
    s3::put("refusing", "a.csv", "k\n1\n", &[]);
    let expired = "the credentials have expired: renew them";
    let refused = "the credentials are not accepted";
    let denied = "the credentials do not allow this";
    for (kind, status, name, message, help) in [
        (
            "dynamodb",
            400,
            "ExpiredTokenException",
            "The security token included in the request is expired",
            expired,
        ),
        (
            "dynamodb",
            400,
            "UnrecognizedClientException",
            "The security token included in the request is invalid.",
            refused,
        ),
        ("dynamodb", 400, "InvalidSignatureException", REFUSED_SIGNATURE, refused),
        ("dynamodb", 400, "AccessDeniedException", "User: arn:aws:iam::1:user/x is not authorized", denied),
        ("s3", 400, "ExpiredToken", "The provided token has expired.", expired),
        ("s3", 400, "InvalidToken", "The provided token is malformed or otherwise invalid.", refused),
        (
            "s3",
            403,
            "InvalidAccessKeyId",
            "The AWS Access Key Id you provided does not exist in our records.",
            refused,
        ),
        ("s3", 403, "SignatureDoesNotMatch", "The request signature we calculated does not match", refused),
        (
            "s3",
            403,
            "AccessDenied",
            "User: arn:aws:iam::1:user/x is not authorized to perform: s3:GetObject",
            denied,
        ),
        (
            "s3",
            403,
            "RequestTimeTooSkewed",
            "The difference between the request time and the current time",
            "clock",
        ),
    ] {
        let operations: &[&str] =
            if kind == "s3" { &["HeadObject", "GetObject"] } else { &["DescribeTable"] };
        let answer =
            |to: &&'static str| Answer { to, requests: ALWAYS, status, body: Body::Error(name, message) };
        let port = if kind == "s3" { s3::port() } else { dynamodb::port() };
        let proxy = HttpProxy::to(port, operations.iter().map(answer).collect());
        let project = Project::new();
        project.write("recon.toml", spec(kind, &proxy.endpoint, "refusing"));
        project.write(
            "credentials",
            "[shop]\naws_access_key_id = AKIA\naws_secret_access_key = s3cret\naws_session_token = s3ss10nt0ken\n",
        );
        let ran = stage(&project, &[("AWS_PROFILE", "shop")], &["s3cret", "s3ss10nt0ken"]);
        let first = message.lines().next().expect("a line");
        says(&ran, &["refusing", name, first, help]);
        let chain = "tried: environment, profile `shop` (AWS_PROFILE), web identity";
        assert!(help == "clock" || ran.stderr.contains(chain), "{}", ran.stderr);
        // What cannot get better is not tried again.
        assert!(operations.iter().all(|operation| proxy.seen(operation) == 1), "{kind} {name}");
    }
}

#[test]
fn what_is_read_without_a_signature_is_not_a_matter_of_credentials() {
    s3::bucket("closed");
    s3::put("closed", "a.csv", "k\n1\n", &[]);
    let project = Project::new();
    let spec = spec("s3", &s3::endpoint(), "closed")
        .replace("path_style = true", "path_style = true\nunsigned = true");
    let ran = |project: &Project| stage(project, &[("AWS_PROFILE", "shop")], &[]);
    project.write("recon.toml", &spec);
    let closed = ran(&project);
    says(&closed, &["s3://closed/a.csv", "AccessDenied", "requests are not signed (`unsigned`)"]);
    assert!(!closed.stderr.contains("shop"), "{}", closed.stderr);
}
