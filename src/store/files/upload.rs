//! Writing objects: at once, or in parts where they are large.

use std::io::{Read, Take};
use std::path::Path;

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};

use super::s3::{Place, S3};
use crate::error::Context;
use crate::store::aws::{self, Refused};
use crate::store::net::block_on;

/// So many bytes go in one request. S3 takes 10,000 parts, so an object of 312 GiB.
const PART_BYTES: u64 = 32 << 20;

type Sent<T = ()> = Result<T, Refused>;

impl S3 {
    fn write(&self, object: &Path, bytes: Vec<u8>) -> Sent {
        let (place, name) = (Place::of_path(object), object.display().to_string());
        block_on(aws::insist(&name, async || {
            let request = self.client.put_object().bucket(&place.bucket).key(&place.key);
            let request = request.body(ByteStream::from(bytes.clone())).set_request_payer(self.payer.clone());
            request.send().await.map(|_| ()).map_err(|e| self.refused(&name, e))
        }))
    }

    /// See [`super::Files::remove`].
    pub(super) fn remove(&self, object: &Path) -> Sent {
        let (place, name) = (Place::of_path(object), object.display().to_string());
        block_on(aws::insist(&name, async || {
            let request = self.client.delete_object().bucket(&place.bucket).key(&place.key);
            let request = request.set_request_payer(self.payer.clone());
            request.send().await.map(|_| ()).map_err(|e| self.refused(&name, e))
        }))
    }

    /// Writes so many bytes. Until the last one has arrived, the object is what it was.
    pub(super) fn send(&self, mut from: impl Read, bytes: u64, object: &Path) -> Sent {
        let fail = || format!("cannot read what goes to {}", object.display());
        let mut next = || {
            let mut part = Vec::new();
            let mut piece: Take<_> = from.by_ref().take(PART_BYTES);
            piece.read_to_end(&mut part).or_failed(fail).map_err(Refused::for_good).map(|_| part)
        };
        if bytes <= PART_BYTES {
            return self.write(object, next()?);
        }
        let (place, name) = (Place::of_path(object), object.display().to_string());
        let upload = block_on(aws::insist(&name, async || {
            let request = self.client.create_multipart_upload().bucket(&place.bucket).key(&place.key);
            let request = request.set_request_payer(self.payer.clone());
            request.send().await.map_err(|e| self.refused(&name, e))
        }))?;
        let id = upload.upload_id().unwrap_or_default();
        let sent = self.send_parts(&place, &name, id, &mut next);
        if sent.is_err() {
            // What is not finished costs the bucket's owner; where this fails too, the first error is the one to show.
            let abort = self.client.abort_multipart_upload().bucket(&place.bucket).key(&place.key);
            let _ = block_on(abort.upload_id(id).set_request_payer(self.payer.clone()).send());
        }
        sent
    }

    fn send_parts(
        &self,
        place: &Place,
        name: &str,
        upload: &str,
        next: &mut impl FnMut() -> Sent<Vec<u8>>,
    ) -> Sent {
        let mut parts = Vec::new();
        for number in 1.. {
            let bytes = next()?;
            if bytes.is_empty() {
                break;
            }
            let sent = block_on(aws::insist(name, async || {
                let request = self.client.upload_part().bucket(&place.bucket).key(&place.key);
                let request =
                    request.upload_id(upload).part_number(number).body(ByteStream::from(bytes.clone()));
                let request = request.set_request_payer(self.payer.clone());
                request.send().await.map_err(|e| self.refused(name, e))
            }))?;
            let part =
                CompletedPart::builder().part_number(number).set_e_tag(sent.e_tag().map(str::to_owned));
            parts.push(part.build());
        }
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        block_on(aws::insist(name, async || {
            let request = self.client.complete_multipart_upload().bucket(&place.bucket).key(&place.key);
            let request = request.upload_id(upload).multipart_upload(parts.clone());
            let request = request.set_request_payer(self.payer.clone());
            request.send().await.map(|_| ()).map_err(|e| self.refused(name, e))
        }))
    }
}
