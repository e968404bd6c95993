//! recon as a user runs it: the real binary, in a folder of its own, and what it says with everything redacted that
//! differs from run to run.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::rc::Rc;

use tempfile::TempDir;

/// What a command said.
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A folder in which commands are run.
pub(crate) struct Shell {
    folder: Rc<TempDir>,
    below: PathBuf,
}

impl Shell {
    pub(crate) fn new() -> Self {
        Self { folder: Rc::new(TempDir::new().expect("a temporary folder")), below: PathBuf::new() }
    }

    /// The same with a folder below it as the current one.
    pub(crate) fn inside(&self, name: &str) -> Self {
        Self { folder: Rc::clone(&self.folder), below: self.below.join(name) }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().components().chain(self.below.components()).collect()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().expect("below the folder")).expect("folders");
        fs::write(path, text).expect("a file");
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    /// Runs `recon ARGS`, the arguments split at spaces.
    pub(crate) fn recon(&self, args: &str) -> Said {
        let output = Command::new(env!("CARGO_BIN_EXE_recon"))
            .args(args.split_whitespace())
            .current_dir(self.path())
            .env_remove("COLUMNS")
            .env_remove("RECON_LOG")
            // A recon that is installed must make no difference.
            .env("PATH", "")
            .stdin(Stdio::null())
            .output()
            .expect("recon starts");
        Said {
            code: output.status.code().expect("recon exits"),
            stdout: String::from_utf8(output.stdout).expect("UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }

    /// A transcript of commands, for a golden file.
    pub(crate) fn transcript(&self, commands: &[&str]) -> String {
        let mut out = String::new();
        for args in commands {
            let said = self.recon(args);
            out.push_str(&format!("$ recon {args}\n{}{}exit {}\n\n", said.stdout, said.stderr, said.code));
        }
        self.redacted(&out)
    }

    /// The text with ids, times and this folder's path replaced by words.
    pub(crate) fn redacted(&self, text: &str) -> String {
        let text = text
            .replace(env!("CARGO_BIN_EXE_recon"), "[recon]")
            .replace(&self.folder.path().display().to_string(), "[folder]");
        let mut out = String::new();
        let mut rest = text.as_str();
        while let Some(first) = rest.chars().next() {
            let before = out.chars().last().is_none_or(|c| !c.is_ascii_alphanumeric());
            let found = REDACTED.iter().find_map(|(shape, word)| Some((matching(shape, rest)?, *word)));
            match found.filter(|_| before) {
                Some((bytes, word)) => {
                    out.push_str(word);
                    rest = &rest[bytes..];
                }
                None => {
                    out.push(first);
                    rest = &rest[first.len_utf8()..];
                }
            }
        }
        out
    }
}

/// Shapes of what is redacted: `9` is a digit, `x` a hex digit, `~` a word of letters, anything else itself.
const REDACTED: [(&str, &str); 3] = [
    ("99999999-999999999-~-xxxx", "[run]"),
    ("9999-99-99T99:99:99.999Z", "[time]"),
    ("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "[digest]"),
];

/// How many bytes at the beginning of a text have the shape.
fn matching(shape: &str, text: &str) -> Option<usize> {
    let mut at = 0;
    let bytes = text.as_bytes();
    for wanted in shape.bytes() {
        let fits = |byte: &u8| match wanted {
            b'9' => byte.is_ascii_digit(),
            b'x' => byte.is_ascii_hexdigit(),
            other => *byte == other,
        };
        if wanted == b'~' {
            at += bytes[at..].iter().take_while(|b| b.is_ascii_lowercase()).count();
        } else {
            bytes.get(at).filter(|b| fits(b))?;
            at += 1;
        }
    }
    Some(at)
}

#[test]
fn only_what_differs_from_run_to_run_is_redacted() {
    let shell = Shell::new();
    let text = "in 20261121-120216427-diff-d8cf, since 2026-11-21T12:02:19.315Z; 20261121 rows, 12:02";
    assert_eq!(shell.redacted(text), "in [run], since [time]; 20261121 rows, 12:02");
}
