//! The two sides of the demonstration on disk: a full DynamoDB export with its manifests, and the migrated table as CSV.

use std::fs;
use std::io::Write;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use md5::{Digest, Md5};
use serde_json::{Value as Json, json};

use super::records::{Image, Plant, USERS, extras, images};
use crate::error::{Context, Result};
use crate::reconcile::report::csv::{CsvFile, Style};

const EXPORT_ID: &str = "01735689600000-5eed0001";
/// DynamoDB's names are random: 26 characters of base32.
const DATA_FILES: [&str; 4] = [
    "aq3vkzq7dm4srxpy2o6hjt5wfe",
    "fyw6n2xk4u7qhcdzrb3mjl5tia",
    "mz5l3hv7gwq2ksoytx4cdn6jau",
    "x4tq7bz2rjo5ylwmvk3hen6cdi",
];

/// Writes the export into a folder as DynamoDB lays it out in its bucket.
/// Source: <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport.Output.html>
pub(super) fn write_export(folder: &Path) -> Result<()> {
    let home = folder.join("AWSDynamoDB").join(EXPORT_ID);
    make_folder(&home.join("data"))?;
    write(&home.join("_started"), b"")?;
    let mut parts: Vec<Vec<Json>> = vec![Vec::new(); DATA_FILES.len()];
    for (n, item) in images().map(|image| image_item(&image)).chain((1..=USERS).map(user_item)).enumerate() {
        parts[n % DATA_FILES.len()].push(item);
    }
    let mut manifest = String::new();
    for (items, name) in parts.iter().zip(DATA_FILES) {
        let text: String = items.iter().map(|item| format!("{}\n", json!({ "Item": item }))).collect();
        let bytes = gzip(&text)?;
        write(&home.join("data").join(format!("{name}.json.gz")), &bytes)?;
        let raw = Md5::digest(&bytes);
        let line = json!({
            "itemCount": items.len(),
            "md5Checksum": STANDARD.encode(raw),
            "etag": format!("{:x}-1", Md5::digest(raw)),
            "dataFileS3Key": format!("AWSDynamoDB/{EXPORT_ID}/data/{name}.json.gz"),
        });
        manifest.push_str(&format!("{line}\n"));
    }
    let items = parts.iter().map(Vec::len).sum();
    write_manifest(&home, "manifest-files", &manifest)?;
    write_manifest(&home, "manifest-summary", &summary(items).to_string())
}

fn summary(items: usize) -> Json {
    let table = "arn:aws:dynamodb:eu-central-1:111122223333:table/Images";
    json!({
        "version": "2020-06-30",
        "exportArn": format!("{table}/export/{EXPORT_ID}"),
        "startTime": "2025-01-01T00:00:00.000Z",
        "endTime": "2025-01-01T00:05:12.000Z",
        "tableArn": table,
        "tableId": "5eed0001-0000-4000-8000-000000000001",
        "exportTime": "2025-01-01T00:00:00.000Z",
        "s3Bucket": "recon-demo",
        "s3Prefix": null,
        "s3SseAlgorithm": "AES256",
        "s3SseKmsKeyId": null,
        "manifestFilesS3Key": format!("AWSDynamoDB/{EXPORT_ID}/manifest-files.json"),
        "billedSizeBytes": 0,
        "itemCount": items,
        "outputFormat": "DYNAMODB_JSON",
    })
}

fn image_item(image: &Image) -> Json {
    let mut item = json!({
        "PK": { "S": format!("IMAGE#{}", image.id()) },
        "SK": { "S": "META" },
        "userId": { "S": user_id(image.user) },
        "mimeType": { "S": image.mime_type },
        "width": { "N": image.width.to_string() },
        "height": { "N": image.height.to_string() },
        "byteSize": { "N": image.byte_size.to_string() },
        "attributes": { "M": { "price": { "N": image.price_text() } } },
        "tags": { "SS": image.tags },
        "createdAt": { "S": format!("{:.3}", image.created()) },
        "views": { "N": image.views.to_string() },
    });
    if let Some(note) = &image.note {
        item["note"] = json!({ "S": note });
    }
    item
}

fn user_item(number: u32) -> Json {
    json!({
        "PK": { "S": format!("USER#{}", user_id(number)) },
        "SK": { "S": "PROFILE" },
        "email": { "S": format!("{}@example.com", user_id(number)) },
    })
}

fn user_id(number: u32) -> String {
    format!("user-{number:03}")
}

/// Writes the target as the migration is said to have left it: every value in another notation, in another order, and
/// with everything that is planted.
pub(super) fn write_target(path: &Path) -> Result<()> {
    let header = [
        "id",
        "user_id",
        "mime_type",
        "width",
        "height",
        "byte_size",
        "price",
        "tags",
        "created_at",
        "note",
        "views",
    ];
    let mut file = CsvFile::create(path, &Style::default(), header)?;
    let mut rows: Vec<Image> = images().chain(extras()).collect();
    rows.reverse();
    for image in rows {
        let row = target_row(&image);
        let times = match image.plant() {
            Some(Plant::Missing) => 0,
            Some(Plant::Twice) => 2,
            _ => 1,
        };
        for _ in 0..times {
            file.row(row.iter().map(Option::as_deref))?;
        }
    }
    file.finish()
}

fn target_row(image: &Image) -> Vec<Option<String>> {
    const HOUR_MS: i64 = 3_600_000;
    let plant = image.plant();
    let has = |wanted: Plant| plant == Some(wanted);
    let height = if has(Plant::Height) { 1 } else { image.height };
    let byte_size = image.byte_size - u64::from(has(Plant::Digit));
    let price = image.price + if has(Plant::Price) { 100 } else { 0 };
    let price = match plant {
        Some(Plant::Cast) => "n/a".to_owned(),
        _ => format!("{}.{:04}", price / 10_000, price % 10_000),
    };
    let tags: Vec<&str> = image.tags.iter().rev().copied().collect();
    let created_ms = match plant {
        Some(Plant::Hour) => image.created_ms + HOUR_MS,
        Some(Plant::Tolerated) => image.created_ms - image.created_ms.rem_euclid(1_000),
        _ => image.created_ms,
    };
    let created = Image { created_ms, ..image.clone() }.created();
    let note = image.note.clone().filter(|_| !has(Plant::Null));
    vec![
        Some(image.id()),
        Some(user_id(image.user)),
        Some(image.mime_type.to_owned()),
        Some(image.width.to_string()),
        Some(height.to_string()),
        Some(byte_size.to_string()),
        Some(price),
        Some(json!(tags).to_string()),
        // As PostgreSQL writes a timestamptz.
        Some(created.strftime("%Y-%m-%d %H:%M:%S%.3f+00").to_string()),
        note,
        Some((image.views + image.number % 7).to_string()),
    ]
}

/// Compresses without a time or a name in the header, so that the same text gives the same bytes.
fn gzip(text: &str) -> Result<Vec<u8>> {
    let fail = || "cannot compress the demonstration's export".to_owned();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).or_failed(fail)?;
    encoder.finish().or_failed(fail)
}

fn write_manifest(folder: &Path, name: &str, text: &str) -> Result<()> {
    write(&folder.join(format!("{name}.json")), text.as_bytes())?;
    let digest = STANDARD.encode(Md5::digest(text.as_bytes()));
    write(&folder.join(format!("{name}.md5")), digest.as_bytes())
}

/// Makes a folder with those above it.
pub(super) fn make_folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path).or_failed(|| format!("cannot make the folder {}", path.display()))
}

/// Writes a file.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).or_failed(|| format!("cannot write {}", path.display()))
}
