//! `recon init`: from two locations a `recon.toml` that works as it is, with what speaks for each line of it.
//!
//! Both sides are looked at (`sample`), in the way in which they will be staged. From that follow the entities (`find`, `split`),
//! the columns that correspond (`mapping`) and the key (`key`); `write` makes the text of it.

mod find;
mod key;
mod location;
mod mapping;
mod sample;
mod show;
mod split;
mod write;

use clap::Args;

use self::find::{Given, find};
use self::location::{Around, Location};
use self::sample::Sampler;
use super::{Format, Global, print};
use crate::error::{Error, Result};
use crate::query::identifier;
use crate::spec;

/// Rows of each dataset that are looked at.
const ROWS_MAX: u64 = 100_000;

#[derive(Args, Debug)]
pub(super) struct InitArgs {
    /// Where the records come from
    #[arg(value_name = "SOURCE")]
    source: String,
    /// Where they are after the migration
    #[arg(value_name = "TARGET")]
    target: String,
    /// The source's table, as SQL spells it: images, public."Odd Name"
    #[arg(long, value_name = "TABLE")]
    source_table: Option<String>,
    /// The target's table
    #[arg(long, value_name = "TABLE")]
    target_table: Option<String>,
    /// The region of DynamoDB tables and of s3:// locations
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
    /// Another endpoint than the region's own
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
}

pub(super) fn run(global: &Global, args: &InitArgs) -> Result<u8> {
    if !global.entity.is_empty() {
        return Err(Error::usage("`recon init` finds the entities itself: it takes no --entity"));
    }
    if global.spec.symlink_metadata().is_ok() {
        return Err(write::is_there(&global.spec));
    }
    let own = |name: &str| std::env::var(name).ok();
    let (region, endpoint) = (args.region.as_deref(), args.endpoint.as_deref());
    let around = Around { spec: &global.spec, region, endpoint, env: &own };
    let source = Location::find(&args.source, "RECON_SOURCE_URL", &around).map_err(|e| e.of("the source"))?;
    let target = Location::find(&args.target, "RECON_TARGET_URL", &around).map_err(|e| e.of("the target"))?;
    let secrets: Vec<&(&str, String)> = [&source.secret, &target.secret].into_iter().flatten().collect();
    let env = |name: &str| {
        let given = secrets.iter().find(|(variable, _)| *variable == name);
        given.map(|(_, value)| value.clone()).or_else(|| own(name))
    };
    let sampler = Sampler::new(global, ROWS_MAX)?;
    let open = |name: &str, location: &Location, options: &[(&str, &str)]| {
        let table = write::dataset_table(name, location, options);
        let text = format!("{table}\n[entities.x]\nsource = {0}\ntarget = {0}\n", write::toml_text(name));
        let mut spec = spec::parse(&text, &global.spec, &env).map_err(|e| e.of("what would be written"))?;
        Ok(spec.datasets.remove(0))
    };
    let sides = [
        Given { word: "source", location: &source, table: args.source_table.as_deref() },
        Given { word: "target", location: &target, table: args.target_table.as_deref() },
    ];
    let found = find(&sides[0], &sides[1], &sampler, &open)?;
    let text = write::text(&found, &source.shown, &target.shown);
    // Whatever names the data have: what is written is a spec.
    spec::parse(&text, &global.spec, &env)
        .map_err(|e| e.of("a defect of recon: what it found makes no spec"))?;
    write::create(&global.spec, &text)?;
    match global.format {
        Format::Json => print(&show::json(global, &found))?,
        Format::Text => print(&show::text(global, &found))?,
    };
    Ok(if found.entities.iter().any(show::is_open) { 3 } else { 0 })
}

/// A name as the spec's SQL has to spell it.
fn sql_name(name: &str) -> String {
    if write::is_plain(name) { name.to_owned() } else { identifier(name) }
}
