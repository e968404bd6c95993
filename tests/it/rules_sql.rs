//! The SQL of tolerances against the same rule on two values, and what every statement under `queries/` must have.

use std::fs;
use std::path::{Path, PathBuf};

use recon::mapping::rules::tolerance::{Beside, beside, predicate, within};
use recon::spec::{Rule, Tolerance};
use recon::value::time::{Interval, Moment};
use recon::value::{Number, Value};

use crate::random::Random;

const ROUNDS: usize = 120;
const PAIRS: usize = 60;

/// A rule, the scale of its values beside the hash, and a source of values.
struct Case {
    rule: Rule,
    scale: u32,
    value: fn(&mut Random, &Rule, Option<&Value<'static>>) -> Value<'static>,
}

#[test]
fn what_sql_takes_for_near_is_near() {
    let mut random = Random::seeded();
    let engine = duckdb::Connection::open_in_memory().expect("an engine");
    for round in 0..ROUNDS {
        let case = case(&mut random);
        let pairs: Vec<[Value<'static>; 2]> = (0..PAIRS)
            .map(|_| {
                let source = (case.value)(&mut random, &case.rule, None);
                let target = (case.value)(&mut random, &case.rule, Some(&source));
                [source, target]
            })
            .collect();
        let answers = ask(&engine, &case, &pairs);
        for ([source, target], said) in pairs.iter().zip(answers) {
            // Whether it is NULL or absent is in the row's hash, not beside it.
            let both_empty = source.is_null() && target.is_null();
            let exact = both_empty || source.same(target) || within(&case.rule, source, target);
            let what =
                || format!("round {round}, {:?} at scale {}: {source:?} {target:?}", case.rule, case.scale);
            assert!(!said || exact, "SQL takes for near what is not, {} ({random})", what());
            let narrow = [source, target].iter().all(|v| beside(v, case.scale).wide.is_none());
            if narrow && case.rule.relative.is_none() {
                assert_eq!(said, exact, "SQL and the rule differ, {} ({random})", what());
            }
        }
    }
}

/// What the engine says of each pair.
fn ask(engine: &duckdb::Connection, case: &Case, pairs: &[[Value<'static>; 2]]) -> Vec<bool> {
    let ty = format!("decimal(38, {})", case.scale);
    let mut sql = String::new();
    for (name, side) in [("s", 0), ("t", 1)] {
        let rows: Vec<String> = pairs
            .iter()
            .enumerate()
            .map(|(i, pair)| {
                let Beside { scaled, wide } = beside(&pair[side], case.scale);
                let scaled = scaled.map_or("null".to_owned(), |n| {
                    format!("'{}'", Number::from_scaled(n, case.scale as i32))
                });
                let wide = wide.map_or("null".to_owned(), |text| format!("'{text}'"));
                format!("({i}, {scaled}::{ty}, {wide}::varchar)")
            })
            .collect();
        let rows = rows.join(", ");
        sql.push_str(&format!(
            "create or replace temp table {name} as select * from (values {rows}) as v(i, t0, w0);\n"
        ));
    }
    engine.execute_batch(&sql).unwrap_or_else(|e| panic!("{e}\n{sql}"));
    let query = format!("select {} from s join t using (i) order by i", predicate(&case.rule, 0, case.scale));
    let mut statement = engine.prepare(&query).unwrap_or_else(|e| panic!("{e}\n{query}"));
    let rows = statement.query_map([], |row| row.get::<_, bool>(0)).expect("rows");
    rows.collect::<Result<_, _>>().unwrap_or_else(|e| panic!("{e}\n{query}"))
}

fn case(random: &mut Random) -> Case {
    let mut rule = Rule::default();
    if random.one_in(3) {
        let ns = [0, 1, 999_999_999, 1_500_000_000, 86_400_000_000_000][random.below(5)];
        rule.tolerance = Some(Tolerance::Duration(ns));
        return Case { rule, scale: 9, value: time };
    }
    let limits = ["0", "0.5", "1", "0.000000001", "0.0000000015", "1e20", "12345.678", "1e-40", "1e60"];
    let shares = ["0", "0.1", "1e-9", "0.000001", "1", "2", "1e-300", "1e-5000", "1e5000"];
    if !random.one_in(3) {
        rule.tolerance = Some(Tolerance::Number(limits[random.below(limits.len())].to_owned()));
    }
    if rule.tolerance.is_none() || random.one_in(3) {
        rule.relative = Some(shares[random.below(shares.len())].to_owned());
    }
    Case { rule, scale: [0, 2, 9, 18, 38][random.below(5)], value: number }
}

/// A number: plain, at a border of the rule's from another, or beyond what is stored; NULL; a float.
fn number(random: &mut Random, rule: &Rule, near: Option<&Value<'static>>) -> Value<'static> {
    let parse = |text: &str| Number::parse(text).expect("a number");
    if let (Some(Value::Number(other)), true) = (near, random.below(3) > 0) {
        let limit = match (&rule.tolerance, &rule.relative) {
            (Some(Tolerance::Number(text)), _) => parse(text),
            (_, Some(share)) if share.len() < 6 => parse(share).times(&other.abs()),
            _ => parse("0"),
        };
        let step = parse(["0", "0", "0.000000001", "-0.000000001", "1", "1e-38", "-1e-38"][random.below(7)]);
        let moved = other.minus(&limit).minus(&step);
        return Value::Number(if random.one_in(2) { moved } else { moved.minus(&moved).minus(&moved) });
    }
    let texts = [
        "0",
        "1",
        "-1",
        "0.5",
        "100",
        "99999999999999999999",
        "4e28",
        "39999999999999999999999999999",
        "40000000000000000000000000000",
        "-4e37",
        "39999999999999999999999999999999999999",
        "1e38",
        "1e100",
        "1e-9",
        "1e-10",
        "1.0000000001",
        "0.00000000000000000000000000000000000001",
        "123456789.123456789",
        "1234567890123456789012345678901234567890123",
        "-0.1",
        "12345.678",
        "3.4e-20",
    ];
    match random.below(12) {
        0 => Value::Null,
        1 => Value::Absent,
        2 => Value::Float64(
            [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.1, -0.0, 1e300, 5e-324][random.below(7)],
        ),
        // A field is of one width, and what is no number is a double: only finite singles meet doubles.
        3 => Value::Float32([0.1, 16_777_216.0, -0.0][random.below(3)]),
        _ => Value::Number(parse(texts[random.below(texts.len())])),
    }
}

/// A moment, a date, a time of day or an interval; a pair is of one kind.
fn time(random: &mut Random, rule: &Rule, near: Option<&Value<'static>>) -> Value<'static> {
    let Some(Tolerance::Duration(limit)) = rule.tolerance else { unreachable!("times have a duration") };
    let step = limit * [-1, 0, 1][random.below(3)] + [-1, 0, 0, 1][random.below(4)];
    let moment = |random: &mut Random, at: i128| match random.below(10) {
        0 => Moment::Infinity,
        1 => Moment::NegInfinity,
        _ => Moment::At(at),
    };
    let kind = match near {
        None => random.below(5),
        Some(Value::Timestamp { .. }) => 0,
        Some(Value::Date(_)) => 1,
        Some(Value::Time(_)) => 2,
        Some(Value::Interval(_)) => 3,
        Some(_) => 4,
    };
    let start = match near {
        Some(Value::Timestamp { at: Moment::At(ns), .. }) => *ns,
        Some(Value::Time(ns)) => i128::from(*ns),
        _ => [0, 1_700_000_000_000_000_000, -1, 40_000_000_000_000_000_000_000_000_000_000_000_000]
            [random.below(4)],
    };
    match kind {
        _ if random.one_in(10) => Value::Null,
        0 => Value::Timestamp { at: moment(random, start.saturating_add(step)), zoned: true },
        1 => {
            let days = random.below(3) as i128;
            Value::Date(moment(random, days))
        }
        2 => Value::Time((start.saturating_add(step)).rem_euclid(86_400_000_000_000) as i64),
        3 => Value::Interval(Interval {
            months: random.below(2) as i64,
            days: random.below(2) as i64,
            micros: [0, 1, 1_500_000, 86_400_000_000][random.below(4)],
        }),
        _ => Value::Absent,
    }
}

#[test]
fn every_statement_is_used_and_says_what_it_is() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut statements, mut sources) = (Vec::new(), Vec::new());
    files(&root.join("queries"), &mut statements);
    files(&root.join("src"), &mut sources);
    let code: String = sources.iter().map(|path| fs::read_to_string(path).expect("a source file")).collect();
    assert!(!statements.is_empty());
    for path in statements {
        let name = path.strip_prefix(root).expect("it was found there").display().to_string();
        let text = fs::read_to_string(&path).expect("a statement");
        assert!(name.ends_with(".sql"), "{name} is no SQL");
        assert!(name.to_lowercase() == name, "{name} is not lowercase");
        assert!(
            text.starts_with("-- ") && text.lines().next().is_some_and(|l| l.len() > 12),
            "{name} has no header"
        );
        assert!(code.contains(&format!("{name}\")")), "{name} is used nowhere");
    }
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}
