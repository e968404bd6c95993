//! Certificates for the servers, made by openssl: an authority, a server's certificate for the name `localhost` alone, and an
//! authority that has nothing to do with it.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::{data_folder, is_root, run};

/// A folder of certificates that the servers' users may read.
pub(crate) struct Certificates(TempDir);

impl Certificates {
    /// New ones, valid for two days. The server's key belongs to `owner`.
    pub(crate) fn new(owner: &str) -> Self {
        let certificates = Self(data_folder(None));
        for name in ["ca", "other"] {
            certificates.openssl(&format!(
                "req -x509 {KEY} -keyout {name}.key -out {name}.pem -subj /CN={name} -days 2"
            ));
        }
        certificates.openssl(&format!("req {KEY} -keyout server.key -out server.csr -subj /CN=server"));
        std::fs::write(certificates.path("names"), "subjectAltName=DNS:localhost\n").expect("a file");
        certificates.openssl(
            "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out server.pem -days 2 -extfile names",
        );
        let key = certificates.path("server.key");
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).expect("a file of ours");
        if is_root() {
            run(Command::new("chown").arg(owner).arg(key));
        }
        certificates
    }

    /// `ca.pem`, `other.pem`, `server.pem` or `server.key`.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        Path::new(self.0.path()).join(name)
    }

    fn openssl(&self, args: &str) {
        run(Command::new("openssl").args(args.split(' ')).current_dir(self.0.path()));
    }
}

const KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
