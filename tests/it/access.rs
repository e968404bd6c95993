//! Ways into live stores: TLS, passwords and services, and what is said where there is no way in.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::project::{Project, Ran};
use crate::servers::tls::Certificates;
use crate::servers::{Server, dynamodb, free_port, mariadb, postgres};

/// Stages a query or a table, and returns what became of it and the number of rows.
fn stage(kind: &str, url: &str, what: &str, environment: &[(&str, &str)]) -> (Ran, Option<u64>) {
    let project = Project::new();
    let spec = format!(
        "[datasets.a]\nkind = \"{kind}\"\nurl = \"{url}\"\n{what}\n\n[entities.row]\nsource = \"a\"\ntarget = \"a\"\nkey = [\"k\"]\n"
    );
    project.write("recon.toml", spec);
    let ran = project.recon_with(&["stage", "--format", "json", "-v", "-v"], environment);
    let rows = serde_json::from_str::<serde_json::Value>(&ran.stdout).ok();
    let rows = rows.and_then(|facts| facts["datasets"]["a"]["rows"].as_u64());
    for secret in ["s3cret", "wr0ng"] {
        assert!(!ran.stdout.contains(secret) && !ran.stderr.contains(secret), "{url}: {}", ran.stderr);
        assert_eq!(files_with(secret, &project.path("home")), Vec::<String>::new(), "{url}");
    }
    (ran, rows)
}

/// The files in a folder that hold a text.
fn files_with(text: &str, folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files_with(text, &path));
        } else if fs::read(&path).is_ok_and(|b| b.windows(text.len()).any(|w| w == text.as_bytes())) {
            found.push(path.display().to_string());
        }
    }
    found
}

/// Variables and their values.
type Environment<'a> = Vec<(&'a str, &'a str)>;

/// What is expected: rows, or an exit code and words.
type Expected = Result<u64, (i32, &'static str)>;

#[track_caller]
fn expect(kind: &str, url: &str, what: &str, environment: &[(&str, &str)], expected: Expected) {
    let (ran, rows) = stage(kind, url, what, environment);
    match expected {
        Ok(wanted) => {
            assert_eq!((ran.code, rows), (0, Some(wanted)), "{url} {environment:?}: {}", ran.stderr)
        }
        Err((code, words)) => {
            assert_eq!(ran.code, code, "{url} {environment:?}: {}", ran.stderr);
            for word in words.split(" … ") {
                assert!(ran.stderr.contains(word), "{url} {environment:?}: no `{word}` in {}", ran.stderr);
            }
        }
    }
}

/// One row where the session is encrypted, none where it is not.
const IS_TLS_IN_POSTGRES: &str =
    "query = \"select 1 as k from pg_stat_ssl where pid = pg_backend_pid() and ssl\"";
const IS_TLS_IN_MARIADB: &str = "query = \"select 1 as k from information_schema.session_status where variable_name = 'Ssl_cipher' and variable_value <> ''\"";

/// A PostgreSQL with TLS whose role `reader` has the password `s3cret`; everybody else is trusted.
fn guarded(certificates: &Certificates) -> Server {
    let hba = certificates.path("hba");
    let lines = "host all reader all scram-sha-256\nhost all all all trust\nlocal all all trust\n";
    fs::write(&hba, lines).expect("a file");
    let setting = |name: &str, file: &str| format!("{name}={}", certificates.path(file).display());
    let server = postgres::begin(
        free_port(),
        &[
            "ssl=on",
            &setting("ssl_cert_file", "server.pem"),
            &setting("ssl_key_file", "server.key"),
            &setting("hba_file", "hba"),
        ],
    );
    let url = format!("postgres://postgres@127.0.0.1:{}/postgres", server.port);
    postgres::psql(
        &url,
        "create role reader login password 's3cret'; create table t (k int primary key); \
        insert into t values (1), (2); grant select on t to reader; create table secret (k int)",
    );
    server
}

#[test]
fn postgres_is_reached_by_tls_as_libpq_would() {
    let certificates = Certificates::new("postgres");
    let server = guarded(&certificates);
    let path = |name: &str| certificates.path(name).display().to_string();
    let (ca, other) = (path("ca.pem"), path("other.pem"));
    let tls = Err((4, "127.0.0.1 … cannot connect … check sslmode and sslrootcert"));
    let untrusted = Err((4, "localhost … cannot connect … check sslmode and sslrootcert"));
    for (host, query, expected) in [
        ("127.0.0.1", "sslmode=disable".to_owned(), Ok(0)),
        ("127.0.0.1", String::new(), Ok(1)),
        ("127.0.0.1", "sslmode=require".to_owned(), Ok(1)),
        ("127.0.0.1", format!("sslmode=require&sslrootcert={ca}"), Ok(1)),
        ("127.0.0.1", format!("sslmode=require&sslrootcert={other}"), tls),
        ("127.0.0.1", format!("sslmode=verify-ca&sslrootcert={ca}"), Ok(1)),
        ("127.0.0.1", format!("sslmode=verify-ca&sslrootcert={other}"), tls),
        ("127.0.0.1", "sslmode=verify-ca".to_owned(), tls),
        ("localhost", format!("sslmode=verify-full&sslrootcert={ca}"), Ok(1)),
        ("localhost", format!("sslmode=verify-full&sslrootcert={other}"), untrusted),
        ("127.0.0.1", format!("sslmode=verify-full&sslrootcert={ca}"), tls),
        ("127.0.0.1", format!("sslmode=verify-full&sslrootcert={}", path("none.pem")), tls),
        (
            "127.0.0.1",
            "sslmod=verify-full".to_owned(),
            Err((2, "unknown parameter `sslmod` … did you mean `sslmode`?")),
        ),
        ("127.0.0.1", "sslmode=verify".to_owned(), Err((2, "cannot be read"))),
    ] {
        let url = format!("postgres://postgres@{host}:{}/postgres?{query}", server.port);
        expect("postgres", &url, IS_TLS_IN_POSTGRES, &[], expected);
    }
    let url = format!("postgres://postgres@localhost:{}/postgres", server.port);
    let full = ("PGSSLMODE", "verify-full");
    expect("postgres", &url, IS_TLS_IN_POSTGRES, &[full, ("PGSSLROOTCERT", &ca)], Ok(1));
    expect("postgres", &url, IS_TLS_IN_POSTGRES, &[full, ("PGSSLROOTCERT", &other)], untrusted);
    let misspelt = Err((2, "PGSSLMODE is `verify`, which is no mode of TLS … verify-full"));
    expect("postgres", &url, IS_TLS_IN_POSTGRES, &[("PGSSLMODE", "verify")], misspelt);
}

#[test]
fn postgres_takes_the_password_from_where_libpq_does() {
    let certificates = Certificates::new("postgres");
    let server = guarded(&certificates);
    let (port, folder) = (server.port.to_string(), tempfile::tempdir().unwrap());
    let file = |name: &str, text: String| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path.display().to_string()
    };
    let pgpass = file(".pgpass", format!("127.0.0.1:{port}:*:reader:s3cret\n"));
    let service = format!("host=127.0.0.1\nport={port}\nuser=reader\ndbname=postgres\n");
    let services = file("services", format!("# two\n[shop]\n{service}password=s3cret\n\n[bare]\n{service}"));
    let (url, home) =
        (format!("postgres://reader@127.0.0.1:{port}/postgres"), folder.path().display().to_string());
    let refused = Err((4, "postgres://reader@127.0.0.1 … cannot connect … check user and password"));
    let cases: Vec<(String, Environment<'_>, Expected)> = vec![
        (url.replace("reader@", "reader:s3cret@"), vec![], Ok(2)),
        (url.replace("reader@", "reader:wr0ng@"), vec![], refused),
        (format!("{url}?password=wr0ng"), vec![], refused),
        (url.clone(), vec![("PGPASSWORD", "s3cret")], Ok(2)),
        (url.clone(), vec![("PGPASSWORD", "wr0ng")], refused),
        (url.clone(), vec![("PGPASSFILE", &pgpass)], Ok(2)),
        (url.clone(), vec![("HOME", &home)], Ok(2)),
        (
            "postgres://".to_owned(),
            vec![
                ("HOME", &home),
                ("PGHOST", "127.0.0.1"),
                ("PGPORT", &port),
                ("PGUSER", "reader"),
                ("PGDATABASE", "postgres"),
            ],
            Ok(2),
        ),
        ("postgres:///?service=shop".to_owned(), vec![("PGSERVICEFILE", &services)], Ok(2)),
        (
            "postgres://".to_owned(),
            vec![("PGSERVICEFILE", &services), ("PGSERVICE", "shop"), ("PGUSER", "nobody")],
            Ok(2),
        ),
        ("postgres:///?service=bare&password=s3cret".to_owned(), vec![("PGSERVICEFILE", &services)], Ok(2)),
        (
            "postgres:///?service=shp".to_owned(),
            vec![("PGSERVICEFILE", &services)],
            Err((2, "no connection service `shp` is defined … looked for [shp] in")),
        ),
    ];
    for (url, environment, expected) in cases {
        expect("postgres", &url, "table = \"t\"", &environment, expected);
    }
    let secret = format!("postgres://reader:s3cret@127.0.0.1:{port}/postgres");
    let table = "public.secret may not be read … grant select on \"public\".\"secret\"";
    expect("postgres", &secret, "table = \"secret\"", &[], Err((4, table)));
    expect(
        "postgres",
        &secret,
        "query = \"select * from secret\"",
        &[],
        Err((4, "permission denied … grant select")),
    );
    let unknown = "postgres://me:s3cret@nowhere.invalid/db";
    expect(
        "postgres",
        unknown,
        "table = \"t\"",
        &[],
        Err((4, "dataset `a` … me@nowhere.invalid/db: cannot connect … can be reached")),
    );
}

#[test]
fn mariadb_is_reached_by_tls_as_its_own_clients_would() {
    let certificates = Certificates::new("nobody");
    let path = |name: &str| certificates.path(name).display().to_string();
    let (ca, other) = (path("ca.pem"), path("other.pem"));
    let (certificate, key) = (path("server.pem"), path("server.key"));
    let server =
        mariadb::begin(free_port(), &[&format!("--ssl-cert={certificate}"), &format!("--ssl-key={key}")]);
    let tls = Err((4, "127.0.0.1 … cannot connect … check ssl-mode and ssl-ca"));
    for (host, query, expected) in [
        ("127.0.0.1", String::new(), Ok(1)),
        ("127.0.0.1", "ssl-mode=DISABLED".to_owned(), Ok(0)),
        ("127.0.0.1", "ssl-mode=REQUIRED".to_owned(), Ok(1)),
        ("127.0.0.1", format!("ssl-ca={other}"), tls),
        ("127.0.0.1", "ssl-mode=VERIFY_CA".to_owned(), tls),
        ("127.0.0.1", format!("ssl-mode=VERIFY_CA&ssl-ca={ca}"), Ok(1)),
        ("127.0.0.1", format!("ssl-mode=VERIFY_IDENTITY&ssl-ca={ca}"), tls),
        ("localhost", format!("ssl-mode=VERIFY_IDENTITY&ssl-ca={ca}"), Ok(1)),
        (
            "127.0.0.1",
            format!("ssl-mode=VERIFY_CA&ssl-ca={}", path("none.pem")),
            Err((4, "cannot connect … none.pem")),
        ),
        ("127.0.0.1", "ssl-mode=SOMETIMES".to_owned(), Err((2, "is no ssl-mode … VERIFY_IDENTITY"))),
        (
            "127.0.0.1",
            "sslmode=REQUIRED".to_owned(),
            Err((2, "unknown parameter `sslmode` … did you mean `ssl-mode`?")),
        ),
    ] {
        let url = format!("mysql://root@{host}:{}/mysql?{query}", server.port);
        expect("mysql", &url, IS_TLS_IN_MARIADB, &[], expected);
    }
    let without = mariadb::Database::new("select 1");
    expect("mysql", &format!("{}?ssl-mode=REQUIRED", without.url), IS_TLS_IN_MARIADB, &[], tls);
    let unknown = "mysql://me:s3cret@nowhere.invalid/db";
    expect(
        "mysql",
        unknown,
        "table = \"t\"",
        &[],
        Err((4, "dataset `a` … me@nowhere.invalid/db: cannot connect … can be reached")),
    );
}

#[test]
fn mariadb_says_which_privilege_is_missing() {
    let database = mariadb::Database::new(
        "create table t (k int primary key); create table secret (k int); \
         create or replace user grantee@'127.0.0.1' identified by 's3cret'; grant select on t to grantee@'127.0.0.1'",
    );
    let url = database.url.replace("root@", "grantee:s3cret@");
    expect("mysql", &url, "table = \"t\"", &[], Ok(0));
    expect(
        "mysql",
        &url,
        "table = \"secret\"",
        &[],
        Err((4, "cannot read secret … denied … grant select on")),
    );
    expect("mysql", &url, "query = \"select * from secret\"", &[], Err((4, "denied … grant select on")));
}

#[test]
fn dynamodb_names_what_was_tried_for_credentials() {
    let project = Project::new();
    let spec = format!(
        "[datasets.a]\nkind = \"dynamodb\"\ntable = \"none\"\nregion = \"eu-central-1\"\nendpoint = \"{}\"\n\n\
         [entities.row]\nsource = \"a\"\ntarget = \"a\"\nkey = [\"k\"]\n",
        dynamodb::endpoint()
    );
    project.write("recon.toml", &spec);
    let none = [
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("AWS_CONFIG_FILE", "config"),
        ("AWS_SHARED_CREDENTIALS_FILE", "credentials"),
    ];
    project.write("config", "[profile shop]\nregion = eu-central-1\n");
    project.write("credentials", "[shop]\naws_access_key_id = a\naws_secret_access_key = s3cret\n");
    let with = |more: &[(&str, &str)]| project.recon_with(&["stage", "-v", "-v"], &[&none, more].concat());
    let nobody = with(&[]);
    assert_eq!(nobody.code, 4, "{}", nobody.stderr);
    assert!(
        nobody.stderr.contains("no credentials were found; tried: environment, profile"),
        "{}",
        nobody.stderr
    );
    // A profile is found, and the table is not.
    let shop = with(&[("AWS_PROFILE", "shop")]);
    assert!(shop.code == 4 && shop.stderr.contains("ResourceNotFoundException"), "{}", shop.stderr);
    assert!(!shop.stderr.contains("s3cret"), "{}", shop.stderr);
    let gone = with(&[("AWS_PROFILE", "shp")]);
    assert_eq!(gone.code, 4, "{}", gone.stderr);
    assert!(gone.stderr.contains("`shp`") && gone.stderr.contains("credentials"), "{}", gone.stderr);
    project.write("recon.toml", spec.replace("127.0.0.1", "nowhere.invalid"));
    let unknown = with(&[("AWS_PROFILE", "shop")]);
    assert_eq!(unknown.code, 4, "{}", unknown.stderr);
    assert!(unknown.stderr.contains("check that the endpoint is there"), "{}", unknown.stderr);
}
