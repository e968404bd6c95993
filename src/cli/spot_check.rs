//! `recon spot-check`: random records, read afresh from both stores, side by side.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::afresh::{self, Afresh};
use super::show::{as_json, as_text};
use super::watch::Watch;
use super::{Ended, Format, Global, in_run, print};
use crate::error::{Error, Result};
use crate::event::Progress;
use crate::ledger::{Ledger, random_id};
use crate::reconcile::diff::Bench;
use crate::reconcile::report;
use crate::reconcile::report::spot_check::write;
use crate::reconcile::report::terminal::thousands;
use crate::reconcile::show::{Found, sample, show_all};
use crate::spec::Entity;
use crate::warehouse::Warehouse;

#[derive(Args, Debug)]
pub(super) struct SpotCheckArgs {
    /// How many records of each entity
    #[arg(short = 'n', long = "number", value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    count: u32,
    /// The same seed picks the same records of the same stage [default: another one each time]
    #[arg(long)]
    seed: Option<u64>,
}

struct Done {
    found: Vec<Found>,
    remarks: Vec<String>,
    seed: u64,
    path: PathBuf,
}

pub(super) fn run(global: &Global, args: &SpotCheckArgs) -> Result<u8> {
    let Ended { code, result: done, .. } = execute(global, args)?;
    if global.format == Format::Json {
        print(&as_json(&done.found))?;
        return Ok(code);
    }
    print(&as_text(&done.found))?;
    for remark in done.remarks.iter().filter(|_| !global.quiet) {
        eprintln!("warning: {remark}");
    }
    let equal = done.found.iter().filter(|(_, _, shown)| shown.verdict == "matched").count() as u64;
    let all = done.found.len() as u64;
    print(&format!(
        "{} of {} records are equal (seed {}); all values: {}",
        thousands(equal),
        thousands(all),
        done.seed,
        done.path.display()
    ))?;
    Ok(code)
}

fn execute(global: &Global, args: &SpotCheckArgs) -> Result<Ended<Done>> {
    let spec = global.load_spec()?;
    let ledger = global.staged_ledger("spot-check")?;
    let progress = Arc::new(Progress::default());
    let entities: Vec<&Entity> = global.entities(&spec).into_iter().filter(|e| !e.key.is_empty()).collect();
    if entities.is_empty() {
        return Err(Error::usage("no entity has a key by which a record could be found"));
    }
    let seed = args.seed.unwrap_or_else(|| {
        u64::from_str_radix(random_id().split('-').next_back().unwrap_or_default(), 16).unwrap_or(0)
    });
    in_run(&ledger, "spot-check", &spec.digest, &Watch::default(), &progress, |run_id| {
        let warehouse = Warehouse::open(ledger.home(), global.threads(), global.engine_memory())?;
        warehouse.stop_with(&progress)?;
        let bench = Bench::new(&spec, &warehouse, &ledger, global.threads(), &progress)?;
        let mut afresh = Afresh::new(global, &bench, &progress)?;
        let (mut found, mut remarks) = (Vec::new(), Vec::new());
        for entity in &entities {
            found.extend(check(&mut afresh, entity, &ledger, args.count, seed, &mut remarks)?);
        }
        afresh::clear(ledger.home())?;
        let folder = ledger.home().join("runs").join(run_id);
        let path = folder.join("spot-check.csv");
        report::begin(&folder)?;
        write(&path, &entities, &found)?;
        let code = exit_code(&found, &remarks);
        Ok(Ended { code, folder: Some(folder), result: Done { found, remarks, seed, path } })
    })
}

/// Random records of an entity, as their stores have them now.
fn check(
    afresh: &mut Afresh<'_>,
    entity: &Entity,
    ledger: &Ledger,
    count: u32,
    seed: u64,
    remarks: &mut Vec<String>,
) -> Result<Vec<Found>> {
    let bench = afresh.bench;
    let side = |name: &str| {
        let dataset = bench.spec.dataset(name).expect("the spec was checked");
        super::diff::staged(ledger, bench.warehouse, dataset)
    };
    let (entity, source) = bench.fold(entity, side(&entity.source)?)?;
    let (entity, target) = (&*entity, side(&entity.target)?);
    let sides = [&source, &target];
    let ways = afresh.ways(entity, sides)?;
    let mut remark = |words: &str| remarks.push(format!("entity `{}`: {words}", entity.name));
    if !ways.reach[1] {
        ways.remarks.iter().for_each(|words| remark(words));
        return Ok(Vec::new());
    }
    if let Some(proof) = &sides[0].proof {
        let rows = thousands(proof.rows());
        remark(&format!(
            "{rows} rows that the stores proved equal are not staged (--changed-only), and none of them is picked"
        ));
    }
    let picked = sample(bench, entity, sides, count, seed)?;
    let reachable = |record: &[Option<i64>; 2]| match record {
        [Some(_), None] => ways.reach[2],
        [None, Some(_)] => ways.reach[3],
        _ => true,
    };
    let wanted = picked.len();
    let picked: Vec<_> = picked.into_iter().filter(reachable).collect();
    if picked.len() < wanted {
        let (left, why) = (thousands((wanted - picked.len()) as u64), ways.remarks.join("; "));
        remark(&format!(
            "{left} of {} picked records are on one side only and were not looked up: {why}",
            thousands(wanted as u64)
        ));
    }
    let read = match afresh.read(entity, sides, &ways, &picked)? {
        Ok(read) => read,
        Err(why) => {
            remark(&why);
            return Ok(Vec::new());
        }
    };
    let shown = show_all(&read.bench(bench), entity, [&read.sides[0], &read.sides[1]])?;
    let there = shown.iter().filter(|(_, shown)| shown.verdict != "unknown").count();
    if there < read.asked {
        remark(&format!(
            "{} of {} picked records are not shown: they are on neither side any longer, or could not be read when they were staged",
            read.asked - there,
            read.asked
        ));
    }
    Ok(shown.into_iter().map(|(key, shown)| (entity.name.clone(), key, shown)).collect())
}

fn exit_code(found: &[Found], remarks: &[String]) -> u8 {
    let incomplete = |found: &Found| {
        let (_, _, shown) = found;
        shown.verdict == "unchecked" || shown.fields.iter().any(|f| f.verdict.starts_with("not compared"))
    };
    if found.is_empty() || !remarks.is_empty() || found.iter().any(incomplete) {
        return 3;
    }
    u8::from(found.iter().any(|(_, _, shown)| shown.verdict != "matched"))
}
