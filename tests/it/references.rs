//! References: on the source, on the target, and from one to the other, in `diff`, alone, and in `validate`.

use serde_json::{Value as Json, json};

use crate::project::{Project, Ran, write_export};
use crate::servers::postgres::Database;

const SPEC: &str = r#"
[datasets.users]
kind = "csv"
uri = "users.csv"
[datasets.images]
kind = "csv"
uri = "images.csv"
[datasets.new_users]
kind = "jsonl"
uri = "users.jsonl"
[datasets.new_images]
kind = "jsonl"
uri = "images.jsonl"
[entities.image]
source = "images"
target = "new_images"
key = ["id"]
[entities.image.fields]
id = { type = "int" }
user = { from = "owner", type = "int" }
[entities.image.references]
user = "user.id"
[entities.user]
source = "users"
target = "new_users"
key = ["id"]
[entities.user.fields]
id = { type = "int" }
"#;

/// Ids of users and pairs of images (id, owner) as CSV and as JSON lines.
fn write(
    project: &Project,
    users: &[&str],
    images: &[(&str, &str)],
    new_users: &[&str],
    new_images: &[(&str, &str)],
) {
    let rows = |ids: &[&str]| ids.iter().map(|id| format!("{id}\n")).collect::<String>();
    let pairs =
        |all: &[(&str, &str)]| all.iter().map(|(id, owner)| format!("{id},{owner}\n")).collect::<String>();
    let number = |text: &str| if text.is_empty() { "null".to_owned() } else { text.to_owned() };
    project.write("users.csv", format!("id\n{}", rows(users)));
    project.write("images.csv", format!("id,owner\n{}", pairs(images)));
    let line = |id: &&str| format!("{{\"id\":{id}}}\n");
    project.write("users.jsonl", new_users.iter().map(line).collect::<String>());
    let line = |(id, owner): &(&str, &str)| format!("{{\"id\":{id},\"user\":{}}}\n", number(owner));
    project.write("images.jsonl", new_images.iter().map(line).collect::<String>());
}

fn diff(project: &Project, args: &[&str]) -> Ran {
    project.recon(&[&["diff", "--out", "out"], args].concat())
}

/// The rows of `orphans.csv`, without its header.
fn orphans(project: &Project) -> Vec<String> {
    project.read("out/orphans.csv").lines().skip(1).map(str::to_owned).collect()
}

fn of(project: &Project, entity: &str, name: &str) -> Json {
    project.summary("out")["entities"][entity]["references"][name].clone()
}

#[test]
fn on_the_source_on_the_target_and_across() {
    let project = Project::new();
    project.write("recon.toml", SPEC);
    // 3 refers to nobody on either side; 4's user did not arrive, and 4 did; 5's user did not arrive, nor did 5; 6 refers to nobody.
    let images = [("1", "1"), ("3", "9"), ("4", "2"), ("5", "2"), ("6", ""), ("10", "01")];
    let new = [("1", "1"), ("3", "9"), ("4", "2"), ("6", ""), ("10", "1")];
    write(&project, &["1", "2"], &images, &["1"], &new);
    assert_eq!(project.recon(&["stage"]).code, 0);
    let ran = diff(&project, &["--references"]);
    let want =
        ["image,3,user,9,source", "image,5,user,2,target", "image,3,user,9,target", "image,4,user,2,target"];
    assert_eq!((ran.code, orphans(&project)), (1, want.map(str::to_owned).to_vec()), "{ran:?}");
    let counts = of(&project, "image", "user");
    assert_eq!(
        [&counts["source_orphans"], &counts["target_orphans"], &counts["left_behind"]],
        [1, 2, 1],
        "{counts}"
    );
    assert_eq!(counts["checked"], true);
    assert!(
        ran.stdout.contains("image.user  refers to no user: 1 in the source, 2 in the target, 1 left behind"),
        "{}",
        ran.stdout
    );
    assert!(project.read("out/orphans.csv").starts_with("entity,id,field,value,missing_in\n"));
    // In a diff beside everything else, whose counts stay what they are.
    let ran = diff(&project, &[]);
    assert_eq!(
        (ran.code, orphans(&project), of(&project, "image", "user")),
        (1, want.map(str::to_owned).to_vec(), counts),
        "{ran:?}"
    );
    let said = &project.summary("out")["entities"]["image"];
    assert_eq!([&said["source_rows"], &said["matched"], &said["missing"]], [6, 5, 1], "{said}");
    assert!(!project.path("home/tmp/references").exists(), "nothing of the work is left");
}

#[test]
fn orphans_alone_make_a_diff_end_with_1() {
    let project = Project::new();
    project.write("recon.toml", SPEC);
    write(&project, &["1"], &[("1", "1"), ("2", "7")], &["1"], &[("1", "1"), ("2", "7")]);
    assert_eq!(project.recon(&["stage"]).code, 0);
    let ran = diff(&project, &[]);
    assert_eq!((ran.code, orphans(&project).len()), (1, 2), "{ran:?}");
    assert!(
        ran.stdout.contains("equal, but records refer to what is not there")
            && ran.stdout.contains("orphans.csv"),
        "{}",
        ran.stdout
    );
    write(&project, &["1", "7"], &[("1", "1"), ("2", "7")], &["1", "7"], &[("1", "1"), ("2", "7")]);
    assert_eq!(project.recon(&["stage"]).code, 0);
    let ran = diff(&project, &[]);
    assert_eq!((ran.code, orphans(&project)), (0, Vec::new()), "{ran:?}");
    assert_eq!(diff(&project, &["--references"]).code, 0);
}

#[test]
fn what_is_not_known_is_incomplete() {
    let project = Project::new();
    project.write("recon.toml", SPEC);
    let all = [("1", "1")];
    write(&project, &["1"], &all, &["1"], &all);
    // The entity that is referred to is not asked about, and one side of it is not staged.
    assert_eq!(project.recon(&["stage", "-e", "image"]).code, 0);
    let ran = diff(&project, &["-e", "image"]);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(
        ran.stdout
            .contains("image.user  references not checked: entity `user`: dataset `new_users` is not staged"),
        "{}",
        ran.stdout
    );
    let ran = project.recon(&["validate", "-e", "image"]);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(
        ran.stdout.contains("not checked: reference user: entity `user`: dataset `users` is not staged"),
        "{}",
        ran.stdout
    );
    assert_eq!(project.recon(&["stage"]).code, 0);
    assert_eq!(diff(&project, &["-e", "image"]).code, 0);
    assert_eq!(project.recon(&["validate", "-e", "image"]).code, 0);
    // A row of the parents that did not parse may be the one that is missing.
    project.write("users.csv", "id\n\"1\"x\n1\n");
    assert_eq!(project.recon(&["stage"]).code, 3);
    let ran = diff(&project, &["--references"]);
    assert_eq!(
        (ran.code, of(&project, "image", "user")["reason"].clone()),
        (3, json!("1 rows of dataset `users` did not parse")),
        "{ran:?}"
    );
    // And one whose key does not cast.
    project.write("users.csv", "id\n1\none\n");
    assert_eq!(project.recon(&["stage"]).code, 0);
    let ran = diff(&project, &["--references"]);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(
        ran.stdout.contains("1 records of entity `user` in the source have no readable id"),
        "{}",
        ran.stdout
    );
}

const TREE: &str = r#"
[datasets.a]
kind = "csv"
uri = "a.csv"
[datasets.b]
kind = "csv"
uri = "b.csv"
[entities.node]
source = "a"
target = "a"
key = ["tenant", "id"]
[entities.node.references]
up = { fields = ["tenant", "parent"], entity = "node" }
leaf = { fields = ["leaf"], entity = "leaf" }
[entities.leaf]
source = "b"
target = "b"
key = ["id"]
[entities.leaf.references]
owner = { fields = ["tenant", "node"], entity = "node", to = ["tenant", "id"] }
"#;

#[test]
fn composite_to_itself_and_in_circles() {
    let project = Project::new();
    project.write("recon.toml", TREE);
    // Parts are never joined into one text; a NULL in any part means no reference; one record may be its own parent.
    let nodes = "tenant,id,parent,leaf\na|b,c,,\na,b|c,,l\na,x,x,l2\n\"\",e,e,\n";
    let children = "a|b,d,b|c,\na,q,b|c,\n,z,b|c,\na,w,\"\",\n\"\",v,e,\n";
    project.write("a.csv", format!("{nodes}{children}"));
    project.write("b.csv", "id,tenant,node\nl,a,x\nm,a|b,x\nn,,x\n");
    assert_eq!(project.recon(&["stage"]).code, 0);
    let ran = diff(&project, &["--references"]);
    let source: Vec<String> = orphans(&project).into_iter().filter(|row| row.ends_with(",source")).collect();
    let want = [
        "node,a,w,up,\"[\"\"a\"\",\"\"\"\"]\",source",
        "node,a,x,leaf,l2,source",
        "node,a|b,d,up,\"[\"\"a|b\"\",\"\"b|c\"\"]\",source",
        "leaf,m,,owner,\"[\"\"a|b\"\",\"\"x\"\"]\",source",
    ];
    assert_eq!((ran.code, source), (1, want.map(str::to_owned).to_vec()), "{ran:?}");
    assert_eq!(of(&project, "node", "up")["source_orphans"], 2);
    // In `validate` they are errors of their records.
    let ran = project.recon(&["validate", "--out", "out"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let failures = project.read("out/failures.csv");
    assert!(failures.contains("node,a|b,d,validate,permanent,reference,up,"), "{failures}");
    assert!(failures.contains("no record of `node` has this (tenant, id): "), "{failures}");
    assert_eq!(project.summary("out")["entities"]["node"]["references"], json!({ "up": 2, "leaf": 1 }));
    let ran = project.recon(&["validate", "--target", "--out", "out"]);
    assert_eq!(ran.code, 1, "{ran:?}");
}

#[test]
fn keys_are_typed_and_documents_may_lack_them() {
    let project = Project::new();
    let item = |kind: &str, id: &str, rest: &str| {
        format!("{{\"Item\":{{\"pk\":{{\"S\":\"{kind}#{id}\"}}{rest}}}}}\n")
    };
    let lines = item("USER", "1", ",\"n\":{\"N\":\"1.0\"}")
        + &item("USER", "2", ",\"n\":{\"S\":\"2\"}")
        + &item("IMAGE", "1", ",\"by\":{\"N\":\"1\"}")
        + &item("IMAGE", "2", ",\"by\":{\"S\":\"1\"}")
        + &item("IMAGE", "3", ",\"by\":{\"S\":\"2\"}")
        + &item("IMAGE", "4", ",\"by\":{\"NULL\":true}")
        + &item("IMAGE", "5", "");
    let folder = write_export(&project.path(""), 0, &lines);
    let entity = |name: &str, kind: &str, field: &str| {
        format!(
            "[entities.{name}]\nsource = \"a\"\ntarget = \"a\"\nwhere = \"starts_with(pk, '{kind}#')\"\n\
             target_where = \"starts_with(pk, '{kind}#')\"\nkey = [\"pk\"]\n[entities.{name}.fields]\npk = \"pk\"\n{field} = \"{field}\"\n"
        )
    };
    project.write(
        "recon.toml",
        format!(
            "[datasets.a]\nkind = \"dynamodb-export\"\nuri = \"{folder}\"\n{}",
            entity("image", "IMAGE", "by")
        ) + "[entities.image.references]\nby = \"user.n\"\n"
            + &entity("user", "USER", "n"),
    );
    assert_eq!(project.recon(&["stage"]).code, 0);
    let ran = diff(&project, &["--references"]);
    // The number 1 is 1.0, and the text is none; NULL and absent refer to nothing.
    assert_eq!((ran.code, orphans(&project)[0].as_str()), (1, "image,IMAGE#2,by,1,source"), "{ran:?}");
    assert_eq!(of(&project, "image", "by")["source_orphans"], 1);
}

#[test]
fn what_can_never_meet_is_refused() {
    let project = Project::new();
    project.write(
        "recon.toml",
        SPEC.replace(
            "user = { from = \"owner\", type = \"int\" }",
            "user = { from = \"owner\", type = \"string\" }",
        ),
    );
    write(&project, &["1"], &[("1", "1")], &["1"], &[]);
    assert_eq!(project.recon(&["stage"]).code, 0);
    let ran = diff(&project, &["--references"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(
        ran.stderr.contains("`user` is read as string, and `user.id` as int")
            && ran.stderr.contains("give both the same `type`"),
        "{}",
        ran.stderr
    );
    project.write("recon.toml", SPEC.replace("user = \"user.id\"", "user = \"usr.id\""));
    let ran = diff(&project, &["--references"]);
    assert!(ran.code == 2 && ran.stderr.contains("did you mean `user`?"), "{ran:?}");
    project.write("recon.toml", SPEC.split("[entities.image.references]").next().expect("text"));
    let ran = diff(&project, &["--references"]);
    assert!(ran.code == 2 && ran.stderr.contains("none of the entities has references"), "{ran:?}");
}

#[test]
fn what_is_redacted_is_in_no_report() {
    let project = Project::new();
    project.write("recon.toml", SPEC);
    write(&project, &["1"], &[("1", "77777")], &["1"], &[("1", "77777")]);
    assert_eq!(project.recon(&["stage"]).code, 0);
    for more in [&["--references"][..], &[]] {
        let ran = diff(&project, &[&["--redact", "user"], more].concat());
        let text = project.read("out/orphans.csv") + &ran.stdout;
        assert!(ran.code == 1 && !text.contains("77777") && text.contains("redacted:"), "{text}");
    }
    let ran = diff(&project, &["--redact", "usr", "--references"]);
    assert_eq!(ran.code, 2, "{ran:?}");
}

#[test]
fn tables_refer_to_each_other() {
    let database = Database::new(
        "create table users (id uuid primary key); create table images (id int primary key, owner uuid);
         insert into users values ('11111111-1111-1111-1111-111111111111');
         insert into images values (1, '11111111-1111-1111-1111-111111111111'), (2, '22222222-2222-2222-2222-222222222222'), (3, null)",
    );
    let project = Project::new();
    let url = "kind = \"postgres\"\nurl = \"${DATABASE_URL}\"\n";
    project.write(
        "recon.toml",
        format!(
            "[datasets.users]\n{url}table = \"users\"\n[datasets.images]\n{url}table = \"images\"\n\
             [datasets.old_users]\nkind = \"csv\"\nuri = \"users.csv\"\n[datasets.old_images]\nkind = \"csv\"\nuri = \"images.csv\"\n\
             [entities.image]\nsource = \"old_images\"\ntarget = \"images\"\nkey = [\"id\"]\n[entities.image.references]\nowner = \"user.id\"\n\
             [entities.user]\nsource = \"old_users\"\ntarget = \"users\"\nkey = [\"id\"]\n"
        ),
    );
    // A UUID is one whatever its case.
    project.write(
        "users.csv",
        "id\n11111111-1111-1111-1111-111111111111\nAAAAAAAA-1111-1111-1111-111111111111\n",
    );
    project.write(
        "images.csv",
        "id,owner\n1,11111111-1111-1111-1111-111111111111\n3,\n4,aaaaaaaa-1111-1111-1111-111111111111\n",
    );
    let recon = |args: &[&str]| project.recon_with(args, &[("DATABASE_URL", &database.url)]);
    assert_eq!(recon(&["stage"]).code, 0);
    let ran = recon(&["diff", "--references", "--out", "out"]);
    let want = [
        "image,4,owner,aaaaaaaa-1111-1111-1111-111111111111,target",
        "image,2,owner,22222222-2222-2222-2222-222222222222,target",
    ];
    assert_eq!((ran.code, orphans(&project)), (1, want.map(str::to_owned).to_vec()), "{ran:?}");
}
