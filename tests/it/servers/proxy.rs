//! A proxy between recon and a server that does what bad networks and busy services do. What it does is scripted by counts of
//! bytes and requests, never by chance.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads"));

/// What befalls the bytes that a server sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// They arrive.
    Nothing,
    /// Each piece of them is held back so long.
    Late(Duration),
    /// After so many, the connection on which they come is reset.
    Reset(u64),
    /// After so many, the connection on which they come ends, as if there were no more.
    End(u64),
    /// After so many, nothing arrives on the connection on which they come, nor does it end.
    Silence(u64),
}

/// What the network does now, and how many bytes came since it does.
type State = Arc<Mutex<(Fault, u64)>>;

/// A proxy that knows nothing of what it carries.
pub(crate) struct Proxy {
    /// Its port on 127.0.0.1.
    pub(crate) port: u16,
    state: State,
}

impl Proxy {
    /// A proxy to a port of 127.0.0.1, without fault yet.
    pub(crate) fn to(server: u16) -> Self {
        let state: State = Arc::new(Mutex::new((Fault::Nothing, 0)));
        let shared = Arc::clone(&state);
        let port = serve(move |client| {
            let state = Arc::clone(&shared);
            async move { carry(client, server, &state).await }
        });
        Self { port, state }
    }

    /// From now on this happens; bytes are counted from here, over all connections.
    pub(crate) fn set(&self, fault: Fault) {
        *self.state.lock().expect("nobody panics here") = (fault, 0);
    }
}

/// Listens, and gives each connection to `handle`.
fn serve<F, R>(handle: F) -> u16
where
    F: Fn(TcpStream) -> R + Send + 'static,
    R: Future<Output = std::io::Result<()>> + Send + 'static,
{
    let listener = RUNTIME.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
    let port = listener.local_addr().expect("a bound port").port();
    RUNTIME.spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            // One side that goes away ends the connection, which is all there is to do.
            RUNTIME.spawn(handle(client));
        }
    });
    port
}

async fn carry(client: TcpStream, server: u16, state: &State) -> std::io::Result<()> {
    let server = TcpStream::connect(("127.0.0.1", server)).await?;
    let (mut from_client, to_client) = client.into_split();
    let (from_server, mut to_server) = server.into_split();
    let upward = RUNTIME.spawn(async move {
        let _ = tokio::io::copy(&mut from_client, &mut to_server).await;
    });
    let (to_client, cut) = downward(from_server, to_client, state).await?;
    match cut {
        Some(Fault::Silence(_)) => std::future::pending().await,
        Some(Fault::Reset(_)) => {
            to_client.as_ref().set_zero_linger()?;
            upward.abort();
            let _ = upward.await;
            // Dropped, it would say goodbye first.
            to_client.forget();
        }
        _ => upward.abort(),
    }
    Ok(())
}

/// Carries what the server sends, until it or the script ends that; says which of the two.
async fn downward(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    state: &State,
) -> std::io::Result<(OwnedWriteHalf, Option<Fault>)> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let n = from.read(&mut buffer).await?;
        if n == 0 {
            return Ok((to, None));
        }
        let (fault, before) = {
            let mut state = state.lock().expect("nobody panics here");
            let before = state.1;
            state.1 += n as u64;
            (state.0, before)
        };
        match fault {
            Fault::Late(pause) => tokio::time::sleep(pause).await,
            Fault::Reset(at) | Fault::End(at) | Fault::Silence(at) => {
                // The one connection on which the count is reached.
                if before <= at && at < before + n as u64 {
                    to.write_all(&buffer[..(at - before) as usize]).await?;
                    return Ok((to, Some(fault)));
                }
            }
            Fault::Nothing => {}
        }
        to.write_all(&buffer[..n]).await?;
    }
}

/// An answer of the proxy's own in place of the server's.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// To which operation, by AWS's name for it.
    pub(crate) to: &'static str,
    /// To which of its requests, from 0.
    pub(crate) requests: Range<u64>,
    /// The status.
    pub(crate) status: u16,
    /// What it says.
    pub(crate) body: Body,
}

/// What an answer says.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Body {
    /// An error's name and message, as the service sends them.
    Error(&'static str, &'static str),
    /// This text.
    Text(&'static str),
}

/// To all requests.
pub(crate) const ALWAYS: Range<u64> = 0..u64::MAX;

/// A proxy of the protocols of DynamoDB and S3 that answers some requests itself.
pub(crate) struct HttpProxy {
    /// `http://127.0.0.1:PORT`.
    pub(crate) endpoint: String,
    seen: Arc<Mutex<BTreeMap<String, u64>>>,
    answers: Arc<Mutex<Vec<Answer>>>,
}

impl HttpProxy {
    /// A proxy to a port of 127.0.0.1.
    pub(crate) fn to(server: u16, answers: Vec<Answer>) -> Self {
        let seen = Arc::new(Mutex::new(BTreeMap::new()));
        let answers = Arc::new(Mutex::new(answers));
        let shared = (Arc::clone(&seen), Arc::clone(&answers));
        let port = serve(move |client| {
            let (seen, answers) = shared.clone();
            async move { answer(client, server, &seen, &answers).await }
        });
        Self { endpoint: format!("http://127.0.0.1:{port}"), seen, answers }
    }

    /// From now on the server answers everything.
    pub(crate) fn step_aside(&self) {
        self.answers.lock().expect("nobody panics here").clear();
    }

    /// How often an operation was asked for.
    pub(crate) fn seen(&self, operation: &str) -> u64 {
        self.seen.lock().expect("nobody panics here").get(operation).copied().unwrap_or(0)
    }
}

/// One request, one answer, and the connection ends.
async fn answer(
    mut client: TcpStream,
    server: u16,
    seen: &Mutex<BTreeMap<String, u64>>,
    answers: &Mutex<Vec<Answer>>,
) -> std::io::Result<()> {
    let Some((head, body)) = request(&mut client).await? else { return Ok(()) };
    let operation = operation(&head);
    let number = {
        let mut seen = seen.lock().expect("nobody panics here");
        let count = seen.entry(operation.to_owned()).or_insert(0);
        *count += 1;
        *count - 1
    };
    let is_meant = |answer: &&Answer| answer.to == operation && answer.requests.contains(&number);
    let own = answers.lock().expect("nobody panics here").iter().find(is_meant).cloned();
    match own {
        Some(answer) => client.write_all(answer.text(&head).as_bytes()).await?,
        None => {
            let mut server = TcpStream::connect(("127.0.0.1", server)).await?;
            let lines: Vec<&str> =
                head.lines().filter(|line| !line.to_lowercase().starts_with("connection:")).collect();
            let head = format!("{}\r\nConnection: close\r\n\r\n", lines.join("\r\n"));
            server.write_all(head.as_bytes()).await?;
            server.write_all(&body).await?;
            tokio::io::copy(&mut server, &mut client).await?;
        }
    }
    client.shutdown().await
}

/// What a request asks for: DynamoDB says it in a header, in S3 it follows from the method.
fn operation(head: &str) -> &str {
    if let Some(target) = header(head, "x-amz-target") {
        return target.rsplit('.').next().unwrap_or(target);
    }
    match head.split(' ').next() {
        Some("HEAD") => "HeadObject",
        Some("GET") if head.lines().next().is_some_and(|line| line.contains("list-type=2")) => {
            "ListObjectsV2"
        }
        Some("GET") => "GetObject",
        other => other.unwrap_or_default(),
    }
}

impl Answer {
    /// The whole answer to a request with this head.
    fn text(&self, head: &str) -> String {
        let is_dynamodb = header(head, "x-amz-target").is_some();
        let body = match self.body {
            Body::Text(text) => text.to_owned(),
            Body::Error(name, message) if is_dynamodb => {
                let kind = format!("com.amazonaws.dynamodb.v20120810#{name}");
                serde_json::json!({ "__type": kind, "message": message }).to_string()
            }
            Body::Error(name, message) => format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{name}</Code><Message>{message}</Message></Error>"
            ),
        };
        // An answer to HEAD has no body.
        let body = if head.starts_with("HEAD ") { String::new() } else { body };
        let kind = if is_dynamodb { "application/x-amz-json-1.0" } else { "application/xml" };
        let (status, length) = (self.status, body.len());
        format!(
            "HTTP/1.1 {status} scripted\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        )
    }
}

/// A request's head, without its last empty line, and its body; nothing where the client only looked whether somebody is there.
async fn request(client: &mut TcpStream) -> std::io::Result<Option<(String, Vec<u8>)>> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            break end;
        }
        if client.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
    };
    let mut body = bytes.split_off(end + 4);
    bytes.truncate(end);
    let head = String::from_utf8(bytes).expect("a head is ASCII");
    let length: usize = header(&head, "content-length").map_or(0, |n| n.parse().expect("a length"));
    while body.len() < length {
        if client.read_buf(&mut body).await? == 0 {
            return Ok(None);
        }
    }
    Ok(Some((head, body)))
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(n, _)| n.eq_ignore_ascii_case(name))
        .map(|(_, v)| v.trim())
}
