//! A whole spec with everything in it, and the same text broken in every place.

use super::*;
use crate::spec::{DatasetKind, Rule, TextRule, Tolerance};

const WHOLE: &str = r#"[datasets.export]
kind = "dynamodb-export"                       # a comment
uri  = "AWSDynamoDB/01768385930622-efd1a093/"
increments = ["${EXPORTS}/1"]

[datasets.pg]
kind = "csv"
uri = "pg/*.csv"
delimiter = ";"
timezone = "+02:00"

[entities.image]
source = "export"
target = "pg"
where  = "starts_with(PK, 'IMAGE#')"
target_where = '''
not "deleted"'''
key    = ["id"]
group_by = ["PK"]

[entities.image.fields]
id         = "substr(PK, 7)"
user_id    = "userId"
created_at = { from = "createdAt", type = "timestamp", tolerance = "1s" }
price      = { from = "attributes.price", type = "decimal(18,4)", tolerance = 0.0001 }
tags       = { from = "tags", type = "set<string>" }
note       = { from = "note", to = "lower(note)", nulls = "empty-is-null", text = ["trim", "nfc"] }
checksum   = { ignore = true }

[entities.image.references]
user_id = "user.id"
owner = { fields = ["user_id"], entity = "user", to = ["id"] }

[entities.user]
source = "export"
target = "pg"
"#;

#[test]
fn whole_spec() {
    let spec = good(WHOLE);
    assert!(
        matches!(&spec.datasets[0].kind, DatasetKind::DynamodbExport(options) if options.increments.len() == 1)
    );
    assert_eq!(spec.datasets[1].timezone.as_deref(), Some("+02:00"));
    let image = the_entity(&spec);
    assert_eq!(image.key, ["id"]);
    assert_eq!(image.references.len(), 2);
    assert_eq!(image.target_filter.expect("it has a filter").line, 17);
    let fields = image.fields.expect("it lists fields");
    let rules: Vec<Rule> = fields.into_iter().map(|field| field.rule).collect();
    assert_eq!(rules[2].tolerance, Some(Tolerance::Duration(1_000_000_000)));
    assert_eq!(rules[3].tolerance, Some(Tolerance::Number("0.0001".to_owned())));
    assert_eq!(rules[5].text, TextRule { trim: true, nfc: true, ..TextRule::default() });
    assert!(rules[6].ignore && rules[0] == Rule::default());
}

/// Whatever is wrong, it is an error with exit code 2 that points into the file, never a panic.
#[test]
fn text_broken_anywhere_never_panics() {
    let mut wrong = 0;
    for (at, removed) in WHOLE.char_indices() {
        for inserted in ["", "\"", "]", "é", "\n"] {
            let text = format!("{}{inserted}{}", &WHOLE[..at], &WHOLE[at + removed.len_utf8()..]);
            if let Err(error) = parse(&text, Path::new("recon.toml"), &env) {
                assert_eq!(error.exit_code(), 2);
                assert_has(&error.report(), &["error: recon.toml:", " | "]);
                wrong += 1;
            }
        }
    }
    assert!(wrong > 1_000, "{wrong}");
}
