//! Objects in S3, and in what speaks its protocol: which there are, and what the store says of them.
//! Source: <https://docs.aws.amazon.com/AmazonS3/latest/API/>

use std::path::{Path, PathBuf};

use aws_sdk_s3::Client;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::config::{Builder, Region, RequestChecksumCalculation, ResponseChecksumValidation};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::primitives::DateTime;
use aws_sdk_s3::types::{ChecksumMode, RequestPayer};

use super::object::{Object, ObjectReader};
use super::{Folder, Glob, Stamp, Unit, is_in_folder, none_of_the_kind, not_there};
use crate::error::{Error, Result};
use crate::spec::Storage;
use crate::store::aws::{self, Refused};
use crate::store::net::block_on;

/// Where nobody names a region: stores that are not AWS take any, and AWS answers from here in which one the bucket is.
const REGION: &str = "us-east-1";

/// A connection to object storage.
#[derive(Clone, Debug)]
pub(super) struct S3 {
    pub(super) client: Client,
    pub(super) payer: Option<RequestPayer>,
    unsigned: bool,
}

/// An object, or what keys begin with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) bucket: String,
    pub(super) key: String,
}

impl Place {
    /// Reads `s3://BUCKET/KEY`.
    pub(super) fn of(uri: &str) -> Self {
        let rest = uri.strip_prefix("s3://").unwrap_or(uri);
        let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
        Self { bucket: bucket.to_owned(), key: key.to_owned() }
    }

    pub(super) fn of_path(path: &Path) -> Self {
        Self::of(&path.to_string_lossy())
    }

    /// The key as that of a folder: it ends in a slash, but for the bucket itself.
    fn folder(&self) -> String {
        match self.key.trim_end_matches('/') {
            "" => String::new(),
            key => format!("{key}/"),
        }
    }
}

impl S3 {
    pub(super) fn new(storage: &Storage) -> Self {
        let (region, endpoint) = (storage.region.as_deref(), storage.endpoint.as_deref());
        let config = block_on(aws::config(region, endpoint, storage.unsigned));
        let mut builder = Builder::from(&config)
            .force_path_style(storage.path_style)
            // Whole objects are held against their checksums here, ranges cannot be; and not every store knows the newer ones.
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
        if config.region().is_none() {
            builder = builder.region(Region::from_static(REGION));
        }
        let payer = storage.requester_pays.then_some(RequestPayer::Requester);
        Self { client: Client::from_conf(builder.build()), payer, unsigned: storage.unsigned }
    }

    /// See [`super::Files::list`].
    pub(super) fn list(&self, uri: &str, extensions: &[&str]) -> Result<Vec<Unit>> {
        let place = Place::of(uri);
        if !place.key.is_empty()
            && !place.key.ends_with('/')
            && let Some(unit) = self.file(Path::new(uri))?
        {
            return Ok(vec![unit]);
        }
        if let Some(special) = place.key.find(['*', '?', '[']) {
            return self.matching(uri, &place, special, extensions);
        }
        let prefix = place.folder();
        let below = self.below(&Place { key: prefix.clone(), ..place.clone() }, None)?.files;
        if below.is_empty() {
            return Err(not_there(uri));
        }
        let is_wanted = |key: &str| is_in_folder(&key[prefix.len()..], extensions);
        let files: Vec<Unit> =
            below.into_values().filter(|unit| is_wanted(&Place::of_path(&unit.path).key)).collect();
        if files.is_empty() { Err(none_of_the_kind(uri, extensions)) } else { Ok(files) }
    }

    fn matching(&self, uri: &str, place: &Place, special: usize, extensions: &[&str]) -> Result<Vec<Unit>> {
        let wanted = Glob::new(&place.key)?;
        // Only what lies below the part without special characters is listed.
        let prefix = place.key[..special].rfind('/').map_or("", |at| &place.key[..=at]);
        let below = self.below(&Place { bucket: place.bucket.clone(), key: prefix.to_owned() }, None)?;
        let files: Vec<Unit> = below
            .files
            .into_values()
            .filter(|unit| wanted.takes(&Place::of_path(&unit.path).key, extensions))
            .collect();
        if files.is_empty() {
            return Err(Error::failed(format!("no object matches {uri}"))
                .help("try what comes before the first `*` with `aws s3 ls`"));
        }
        Ok(files)
    }

    /// See [`super::Files::file`].
    pub(super) fn file(&self, path: &Path) -> Result<Option<Unit>> {
        let (place, name) = (Place::of_path(path), path.display().to_string());
        let head = block_on(aws::patiently(&name, async || self.head(&place, &name, None).await))?;
        Ok(head.map(|head| unit(path, head.content_length(), head.e_tag(), head.last_modified())))
    }

    /// What the store says of an object; nothing where there is none.
    pub(super) async fn head(
        &self,
        place: &Place,
        name: &str,
        checksums: Option<ChecksumMode>,
    ) -> Result<Option<HeadObjectOutput>, Refused> {
        let request = self.client.head_object().bucket(&place.bucket).key(&place.key);
        let request = request.set_checksum_mode(checksums).set_request_payer(self.payer.clone());
        let error = match request.send().await {
            Ok(head) => return Ok(Some(head)),
            Err(error) if error.as_service_error().is_some_and(|e| e.is_not_found()) => return Ok(None),
            Err(error) => error,
        };
        if !is_refusal(&error) {
            return Err(self.refused(name, error));
        }
        // An answer to HEAD has no body, so the reason is in that to GET alone.
        let request = self.client.get_object().bucket(&place.bucket).key(&place.key).range("bytes=0-0");
        match request.set_request_payer(self.payer.clone()).send().await {
            Err(reason) if is_refusal(&reason) => Err(self.refused(name, reason)),
            _ => Err(self.refused(name, error)),
        }
    }

    /// A request that did not go through.
    pub(super) fn refused<E>(&self, name: &str, error: SdkError<E, HttpResponse>) -> Refused
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        if self.unsigned { Refused::unsigned(name, error) } else { Refused::new(name, error) }
    }

    /// See [`super::Files::folder`].
    pub(super) fn folder(&self, path: &Path) -> Result<Option<Folder>> {
        let place = Place::of_path(path);
        let folder = self.below(&Place { key: place.folder(), ..place }, Some("/"))?;
        Ok((!folder.files.is_empty() || !folder.folders.is_empty()).then_some(folder))
    }

    /// What has keys that begin like this, page by page; with a delimiter only what lies directly there.
    fn below(&self, place: &Place, delimiter: Option<&str>) -> Result<Folder> {
        let bucket = &place.bucket;
        let name = format!("s3://{bucket}/{}", place.key);
        let (mut folder, mut token) = (Folder::default(), None);
        loop {
            let page = block_on(aws::patiently(&name, async || {
                let request = self.client.list_objects_v2().bucket(bucket).prefix(&place.key);
                let request = request.set_delimiter(delimiter.map(str::to_owned));
                let request =
                    request.set_continuation_token(token.clone()).set_request_payer(self.payer.clone());
                request.send().await.map_err(|e| self.refused(&name, e))
            }))?;
            for object in page.contents() {
                // A key that ends in a slash is a folder that some tool made visible.
                let Some(key) = object.key().filter(|key| !key.ends_with('/')) else { continue };
                let path = PathBuf::from(format!("s3://{bucket}/{key}"));
                let unit = unit(&path, object.size(), object.e_tag(), object.last_modified());
                folder.files.insert(path.into_os_string(), unit);
            }
            for prefix in page.common_prefixes().iter().filter_map(|p| p.prefix()) {
                let prefix = prefix.trim_end_matches('/');
                folder.folders.push(PathBuf::from(format!("s3://{bucket}/{prefix}")));
            }
            token = page.next_continuation_token().map(str::to_owned);
            match (&token, page.is_truncated()) {
                (Some(_), _) => {}
                (None, Some(true)) => {
                    let what = format!("{name}: the listing ends before its end");
                    return Err(
                        Error::failed(what).help("the store does not know ListObjectsV2, which recon needs")
                    );
                }
                (None, _) => return Ok(folder),
            }
        }
    }

    /// The object of a unit.
    pub(super) fn object(&self, unit: &Unit) -> Object {
        Object::new(self.clone(), Place::of_path(&unit.path), etag(&unit.stamp), unit.bytes)
    }

    /// See [`super::Files::open`].
    pub(super) fn open(&self, unit: &Unit) -> Result<ObjectReader> {
        self.object(unit).whole()
    }
}

/// Whether a request was refused rather than not understood or not found.
fn is_refusal<E>(error: &SdkError<E, HttpResponse>) -> bool {
    error.raw_response().is_some_and(|answer| matches!(answer.status().as_u16(), 400 | 403))
}

/// See [`super::Files::would_list`].
pub(super) fn would_list(uri: &str, extensions: &[&str], object: &Path) -> bool {
    let (place, object) = (Place::of(uri), Place::of_path(object));
    if place.bucket != object.bucket {
        return false;
    }
    match place.key.contains(['*', '?', '[']) {
        true => Glob::new(&place.key).is_ok_and(|glob| glob.takes(&object.key, extensions)),
        false => object.key.strip_prefix(&place.folder()).is_some_and(|key| is_in_folder(key, extensions)),
    }
}

fn unit(path: &Path, size: Option<i64>, etag: Option<&str>, modified: Option<&DateTime>) -> Unit {
    let bytes = size.and_then(|size| u64::try_from(size).ok()).unwrap_or(0);
    let modified = modified.map_or(0, DateTime::secs);
    let stamp = Stamp(format!("{bytes}:{modified}:{}", etag.unwrap_or_default()));
    Unit { path: path.to_path_buf(), stamp, bytes, expected: None, file: None, window: 0, is_live: false }
}

/// The entity tag in a stamp that [`unit`] made.
fn etag(stamp: &Stamp) -> String {
    stamp.0.splitn(3, ':').nth(2).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_is_a_bucket_and_a_key() {
        let place = |uri| {
            let Place { bucket, key } = Place::of(uri);
            (bucket, key)
        };
        assert_eq!(place("s3://b"), ("b".to_owned(), String::new()));
        assert_eq!(place("s3://b/"), ("b".to_owned(), String::new()));
        assert_eq!(place("s3://b//a/c d.csv"), ("b".to_owned(), "/a/c d.csv".to_owned()));
        assert_eq!(Place::of("s3://b/a").folder(), "a/");
        assert_eq!(Place::of("s3://b/a/").folder(), "a/");
        assert_eq!(Place::of("s3://b").folder(), "");
    }

    #[test]
    fn a_stamp_keeps_the_entity_tag() {
        let modified = DateTime::from_secs(7);
        let unit = unit(Path::new("s3://b/a"), Some(5), Some("\"a:b\""), Some(&modified));
        assert_eq!((unit.bytes, etag(&unit.stamp)), (5, "\"a:b\"".to_owned()));
    }
}
