//! moto, which speaks S3 (and does not check credentials until it is told to).

use std::process::Command;
use std::sync::LazyLock;

use super::{Server, data_folder, free_port, place, start};

static SERVER: LazyLock<Server> = LazyLock::new(|| {
    let (folder, port) = (data_folder(None), free_port());
    let mut command = Command::new(place("RECON_TEST_MOTO"));
    command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
    start(command, folder, port)
});

/// `http://127.0.0.1:PORT`.
pub(crate) fn endpoint() -> String {
    format!("http://127.0.0.1:{}", SERVER.port)
}
