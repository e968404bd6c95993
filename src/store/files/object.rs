//! Reading an object: in ranges, some of them ahead of the reader, each again where the connection broke; the whole of it
//! is held against the checksum that the store has.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Read};

use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::primitives::AggregatedBytes;
use aws_sdk_s3::types::{ChecksumMode, ChecksumType, ServerSideEncryption};
use aws_smithy_checksums::ChecksumAlgorithm;
use aws_smithy_checksums::http::HttpChecksum;
use bytes::Bytes;
use md5::{Digest, Md5};
use tokio::task::JoinHandle;

use super::changed;
use super::s3::{Place, S3};
use crate::error::{Error, Result};
use crate::store::aws::{self, Patience, Refused};
use crate::store::net::{block_on, spawn};

/// One request's bytes: large enough that its latency does not count.
const RANGE_BYTES: u64 = 4 << 20;
/// Requests under way for one object, so at most 16 MiB of it are in memory.
const AHEAD: usize = 4;

/// An object as it was when it was listed.
#[derive(Clone, Debug)]
pub(crate) struct Object {
    s3: S3,
    place: Place,
    etag: String,
    bytes: u64,
}

impl Object {
    pub(super) fn new(s3: S3, place: Place, etag: String, bytes: u64) -> Self {
        Self { s3, place, etag, bytes }
    }

    /// Its size.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    fn name(&self) -> String {
        format!("s3://{}/{}", self.place.bucket, self.place.key)
    }

    /// A part of it.
    ///
    /// # Errors
    /// A request that does not get through; an object that changed since it was listed.
    pub(super) fn range(&self, start: u64, length: u64) -> Result<Bytes> {
        block_on(self.get(start, length))
    }

    async fn get(&self, start: u64, length: u64) -> Result<Bytes> {
        if length == 0 {
            return Ok(Bytes::new());
        }
        let name = self.name();
        let mut patience = Patience::with(&name);
        let bytes = loop {
            match self.ask(&name, start, start + length - 1).await {
                Ok(bytes) => break bytes,
                Err(refused) => patience.wait(refused).await?,
            }
        };
        if bytes.len() as u64 == length {
            return Ok(bytes);
        }
        let what = format!("{name}: {} bytes came where {length} were asked for", bytes.len());
        Err(Error::failed(what).help("is the endpoint one that knows ranges of S3 objects?"))
    }

    async fn ask(&self, name: &str, first: u64, last: u64) -> Result<Bytes, Refused> {
        let request = self.s3.client.get_object().bucket(&self.place.bucket).key(&self.place.key);
        let request = request
            .range(format!("bytes={first}-{last}"))
            .if_match(&self.etag)
            .set_request_payer(self.s3.payer.clone());
        let answer = request.send().await.map_err(|e| match e.raw_response() {
            Some(answer) if answer.status().as_u16() == 412 => Refused::for_good(changed(name.as_ref())),
            _ => self.s3.refused(name, e),
        })?;
        let body = answer.body.collect().await;
        body.map(AggregatedBytes::into_bytes).map_err(|e| Refused::broken(name, e))
    }

    /// Reads all of it and holds it against its checksum.
    ///
    /// # Errors
    /// A store that cannot be reached.
    pub(super) fn whole(self) -> Result<ObjectReader> {
        let name = self.name();
        let head = block_on(aws::patiently(&name, async || {
            self.s3.head(&self.place, &name, Some(ChecksumMode::Enabled)).await
        }))?;
        let head = head.ok_or_else(|| Error::failed(format!("{name} is gone")))?;
        let checksum = Checksum::of(&head, &self.place.bucket);
        if checksum.is_none() {
            tracing::debug!("{name}: the store has no checksum of the whole object");
        }
        let mut reader = self.from(0);
        reader.checksum = checksum;
        Ok(reader)
    }

    /// Reads it from a byte on.
    pub(super) fn from(self, start: u64) -> ObjectReader {
        ObjectReader {
            object: self,
            next: start,
            ahead: VecDeque::new(),
            current: Bytes::new(),
            checksum: None,
        }
    }
}

/// What the store says of an object's bytes.
enum Checksum {
    /// A checksum of the whole object: its name, what was computed so far, and its value in base64.
    Stored(&'static str, Box<dyn HttpChecksum>, String),
    /// An entity tag that is the MD5 of the bytes, in hex.
    Md5(Box<Md5>, String),
}

impl Checksum {
    /// The checksum that an object's head holds, if it is one of the whole object.
    /// Source: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html>
    fn of(head: &HeadObjectOutput, bucket: &str) -> Option<Self> {
        let is_whole = head.checksum_type() != Some(&ChecksumType::Composite);
        let stored = [
            (ChecksumAlgorithm::Crc64Nvme, head.checksum_crc64_nvme()),
            (ChecksumAlgorithm::Crc32, head.checksum_crc32()),
            (ChecksumAlgorithm::Crc32c, head.checksum_crc32_c()),
            (ChecksumAlgorithm::Sha256, head.checksum_sha256()),
            (ChecksumAlgorithm::Sha1, head.checksum_sha1()),
        ];
        let found = stored.into_iter().find_map(|(algorithm, value)| Some((algorithm, value?)));
        if let Some((algorithm, value)) = found
            // That of an upload in parts is a checksum of checksums, and says so.
            && is_whole
            && !value.contains('-')
        {
            return Some(Self::Stored(algorithm.as_str(), algorithm.into_impl(), value.to_owned()));
        }
        let etag = head.e_tag()?.trim_matches('"');
        // What is encrypted by other keys, and directory buckets, have tags that are no digest.
        let is_md5 = etag.len() == 32
            && etag.bytes().all(|b| b.is_ascii_hexdigit())
            && matches!(head.server_side_encryption(), None | Some(ServerSideEncryption::Aes256))
            && head.sse_customer_algorithm().is_none()
            && !bucket.ends_with("--x-s3");
        is_md5.then(|| Self::Md5(Box::default(), etag.to_ascii_lowercase()))
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Stored(_, state, _) => state.update(bytes),
            Self::Md5(state, _) => state.update(bytes),
        }
    }

    /// What is wrong, if anything.
    fn differs(self) -> Option<String> {
        let (name, found, said) = match self {
            Self::Stored(name, state, said) => {
                let found = state.header_value();
                (name, found.to_str().unwrap_or_default().to_owned(), said)
            }
            Self::Md5(state, said) => ("MD5", hex(&state.finalize()), said),
        };
        (found != said).then(|| format!("its {name} is {found}, the store says {said}"))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An object's bytes in order.
pub(crate) struct ObjectReader {
    object: Object,
    next: u64,
    ahead: VecDeque<JoinHandle<Result<Bytes>>>,
    current: Bytes,
    checksum: Option<Checksum>,
}

impl fmt::Debug for ObjectReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectReader").field("object", &self.object).field("next", &self.next).finish()
    }
}

impl ObjectReader {
    /// Sends the requests that may be under way.
    fn ask(&mut self) {
        while self.ahead.len() < AHEAD && self.next < self.object.bytes {
            let (start, object) = (self.next, self.object.clone());
            let length = RANGE_BYTES.min(object.bytes - start);
            self.next += length;
            self.ahead.push_back(spawn(async move { object.get(start, length).await }));
        }
    }

    fn end(&mut self) -> io::Result<usize> {
        match self.checksum.take().and_then(Checksum::differs) {
            None => Ok(0),
            Some(how) => Err(io::Error::other(
                Error::failed(format!("{} did not arrive as it is stored: {how}", self.object.name()))
                    .help("run the same command again; if it stays so, the object is damaged"),
            )),
        }
    }
}

impl Read for ObjectReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.current.is_empty() {
            self.ask();
            let Some(first) = self.ahead.pop_front() else { return self.end() };
            self.current = block_on(first).map_err(io::Error::other)?.map_err(io::Error::other)?;
            if let Some(checksum) = &mut self.checksum {
                checksum.update(&self.current);
            }
            self.ask();
        }
        let n = buffer.len().min(self.current.len());
        buffer[..n].copy_from_slice(&self.current.split_to(n));
        Ok(n)
    }
}

impl Drop for ObjectReader {
    fn drop(&mut self) {
        self.ahead.iter().for_each(JoinHandle::abort);
    }
}
