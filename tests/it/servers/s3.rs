//! moto, which speaks S3 (and does not check credentials until it is told to).

use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use super::{Server, data_folder, free_port, place, run, start};

static SERVER: LazyLock<Server> = LazyLock::new(|| begin(free_port()));

/// A server of one's own; what it holds goes with it.
pub(crate) fn begin(port: u16) -> Server {
    let mut command = Command::new(place("RECON_TEST_MOTO"));
    command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
    start(command, data_folder(None), port)
}

/// `http://127.0.0.1:PORT`.
pub(crate) fn endpoint() -> String {
    format!("http://127.0.0.1:{}", SERVER.port)
}

/// Its port on 127.0.0.1.
pub(crate) fn port() -> u16 {
    SERVER.port
}

/// What recon needs in its environment to reach it; the metadata service of a cloud machine is not asked.
pub(crate) const ENVIRONMENT: [(&str, &str); 3] =
    [("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test"), ("AWS_EC2_METADATA_DISABLED", "true")];

/// Without one, objects that are there cannot be replaced; what it says is not checked.
const SIGNATURE: &str = "Authorization: AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0";

/// Makes a bucket with objects on another server.
pub(crate) fn fill(endpoint: &str, bucket: &str, objects: &[(&str, &str)]) {
    let send =
        |words: &[&str]| run(Command::new("curl").args(["-sSf", "-H", SIGNATURE, "-X", "PUT"]).args(words));
    send(&[&format!("{endpoint}/{bucket}")]);
    for (key, text) in objects {
        send(&["-H", "Content-Type: text/csv", "--data-binary", text, &format!("{endpoint}/{bucket}/{key}")]);
    }
}

/// Makes a bucket; all tests share the server, so each needs names of its own.
pub(crate) fn bucket(name: &str) {
    run(Command::new("curl").args(["-sSf", "-H", SIGNATURE, "-X", "PUT", &format!("{}/{name}", endpoint())]));
}

/// Puts an object, with more headers where a test needs them (`name: value`).
pub(crate) fn put(bucket: &str, key: &str, bytes: impl AsRef<[u8]>, headers: &[&str]) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("object");
    std::fs::write(&file, bytes).expect("a file");
    let mut curl = Command::new("curl");
    curl.args(["-sSf", "-H", SIGNATURE, "-g", "-T"]).arg(file);
    for header in headers {
        curl.args(["-H", header]);
    }
    run(curl.arg(format!("{}/{bucket}/{key}", endpoint())));
}

/// An object's bytes.
pub(crate) fn get(bucket: &str, key: &str) -> Vec<u8> {
    let url = format!("{}/{bucket}/{key}", endpoint());
    let output = Command::new("curl").args(["-sSf", "-H", SIGNATURE, &url]).output().expect("curl runs");
    assert!(output.status.success(), "{url}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Puts many small objects over one connection.
pub(crate) fn put_all(bucket: &str, objects: &[(String, String)]) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut config = String::new();
    for (i, (key, text)) in objects.iter().enumerate() {
        let file = folder.path().join(i.to_string());
        std::fs::write(&file, text).expect("a file");
        let url = format!("{}/{bucket}/{key}", endpoint());
        config.push_str(&format!("upload-file = \"{}\"\nurl = \"{url}\"\n", file.display()));
    }
    let list = folder.path().join("list");
    std::fs::write(&list, config).expect("a file");
    run(Command::new("curl").args(["-sSf", "-H", SIGNATURE, "-K"]).arg(list));
}

/// Puts every file of a folder under the same path.
pub(crate) fn put_folder(bucket: &str, folder: &Path) {
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let key = path.strip_prefix(folder).expect("below the folder").display().to_string();
                put(bucket, &key, std::fs::read(&path).expect("a file"), &[]);
            }
        }
    }
}

/// A dataset of a spec that lies there.
pub(crate) fn dataset(name: &str, kind: &str, uri: &str) -> String {
    dataset_at(&endpoint(), name, kind, uri)
}

/// The same, reached by another endpoint.
pub(crate) fn dataset_at(endpoint: &str, name: &str, kind: &str, uri: &str) -> String {
    format!(
        "[datasets.{name}]\nkind = \"{kind}\"\nuri = \"{uri}\"\nendpoint = \"{endpoint}\"\npath_style = true\n\n"
    )
}
