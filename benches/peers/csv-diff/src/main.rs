//! Compares two CSV files by their first column, byte by byte, on a pool of threads, and prints how many records differ.
//!
//!     csv-diff-peer SOURCE TARGET THREADS

use std::error::Error;
use std::fs::File;
use std::sync::Arc;

use csv_diff::csv::Csv;
use csv_diff::csv_diff::CsvByteDiffBuilder;
use csv_diff::diff_row::DiffByteRecord;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [source, target, threads] = arguments.as_slice() else {
        return Err("wants SOURCE TARGET THREADS".into());
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.parse()?).build()?;
    let differ =
        CsvByteDiffBuilder::new().primary_key_columns([0]).rayon_thread_pool(Arc::new(pool)).build()?;
    let (mut missing, mut extra, mut mismatched) = (0_u64, 0_u64, 0_u64);
    for record in differ.diff(Csv::with_reader(File::open(source)?), Csv::with_reader(File::open(target)?)) {
        match record? {
            DiffByteRecord::Delete(_) => missing += 1,
            DiffByteRecord::Add(_) => extra += 1,
            DiffByteRecord::Modify { .. } => mismatched += 1,
        }
    }
    println!(r#"{{"missing": {missing}, "extra": {extra}, "mismatched": {mismatched}}}"#);
    Ok(())
}
