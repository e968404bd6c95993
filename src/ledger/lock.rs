//! The lock of a home: who holds it may write, and only the lock itself says whether somebody does.
//!
//! The words in its file say who that is. They may be those of a process that is long gone, so they count only while the lock is
//! held, and a process id in them only where that very process has the lock's file open.

use std::fs::{self, File, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use super::{Ledger, now};
use crate::error::{Context, Error, Result};
use crate::fault;

/// Who holds a home.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The words in the lock's file: `recon COMMAND, since TIME, process ID, epoch EPOCH`.
    pub words: String,
    /// The command.
    pub command: String,
    /// The process.
    pub process: u32,
}

impl Holder {
    /// Reads the words; `None` where they are not whole, as for an instant while they are written.
    fn parse(words: &str) -> Option<Self> {
        let (command, rest) = words.trim().strip_prefix("recon ")?.split_once(", since ")?;
        let (_, rest) = rest.split_once(", process ")?;
        let (process, _epoch) = rest.split_once(", epoch ")?;
        let process = process.parse().ok().filter(|id| *id > 1)?;
        Some(Self { words: words.trim().to_owned(), command: command.to_owned(), process })
    }

    /// Whether that process is alive and has the home's lock open, so that it is no other that has got the same id since. Where the
    /// system does not show what a process has open (only Linux does), this is not known, and `None`.
    pub fn is_process(&self, home: &Path) -> Option<bool> {
        use std::os::unix::fs::MetadataExt;
        let of = |path: &Path| fs::metadata(path).ok().map(|facts| (facts.dev(), facts.ino()));
        let lock = of(&home.join("lock"))?;
        if !Path::new("/proc/self/fd").exists() {
            return None;
        }
        let open = fs::read_dir(format!("/proc/{}/fd", self.process)).into_iter().flatten().flatten();
        Some(open.into_iter().any(|entry| of(&entry.path()) == Some(lock)))
    }
}

impl Ledger {
    /// The words of who holds the home, where somebody does.
    pub fn holder(home: &Path) -> Option<String> {
        let file = File::open(home.join("lock")).ok()?;
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => fs::read_to_string(home.join("lock")).ok(),
            _ => None,
        }
    }

    /// Who holds the home, where somebody does: with the command and the process. Words that are not whole are read again for a
    /// moment; what is never whole was written by an earlier recon.
    ///
    /// # Errors
    /// Words that nobody understands.
    pub fn holding(home: &Path) -> Result<Option<Holder>> {
        for _ in 0..LOCK_TRIES {
            match Self::holder(home) {
                None => return Ok(None),
                Some(words) => match Holder::parse(&words) {
                    Some(holder) => return Ok(Some(holder)),
                    None => std::thread::sleep(LOCK_PAUSE),
                },
            }
        }
        Err(Error::failed(format!("{} is held, but it does not say by whom", home.join("lock").display()))
            .help("an earlier recon may hold it; stop it where it was started"))
    }
}

/// How often the lock is tried: somebody who only asks who holds it (`recon status`) has it for an instant.
const LOCK_TRIES: u32 = 10;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

fn try_lock(file: &File) -> Result<(), TryLockError> {
    for _ in 1..LOCK_TRIES {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            other => return other,
        }
    }
    file.try_lock()
}

/// Takes the home for this process, and says in the lock's file who has it.
pub(super) fn take_lock(path: &Path, command: &str, epoch: &str) -> Result<File> {
    let fail = || format!("cannot lock {}", path.display());
    let mut file =
        File::options().read(true).write(true).create(true).truncate(false).open(path).or_failed(fail)?;
    match try_lock(&file) {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let _ = file.read_to_string(&mut holder);
            return Err(Error::failed(format!(
                "{} is held by another run: {}",
                path.display(),
                holder.trim()
            ))
            .help("wait until it ends (`recon status` shows it), or use another --home"));
        }
        Err(TryLockError::Error(e)) => return Err(Error::failed(fail()).caused_by(e)),
    }
    // Written over what is there and cut afterwards, so that whoever is refused meanwhile never reads an empty file.
    let holder = format!("recon {command}, since {}, process {}, epoch {epoch}", now(), std::process::id());
    file.seek(SeekFrom::Start(0)).or_failed(fail)?;
    file.write_all(holder.as_bytes()).or_failed(fail)?;
    file.set_len(holder.len() as u64).or_failed(fail)?;
    fault::point("ledger.locked");
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_holder_are_read_only_whole() {
        let holder = Holder::parse("recon spot-check, since 2024-01-01T00:00:00Z, process 42, epoch 0f")
            .expect("whole");
        assert_eq!((holder.command.as_str(), holder.process), ("spot-check", 42));
        for torn in [
            "",
            "recon stage, since x",
            "recon stage, since x, process 42",
            "recon a, since b, process 1, epoch c",
        ] {
            assert_eq!(Holder::parse(torn), None, "{torn}");
        }
    }

    #[test]
    fn a_process_is_the_holder_only_where_it_has_the_lock_open() {
        let home = tempfile::tempdir().expect("a folder");
        assert_eq!(Ledger::holding(home.path()).expect("no lock"), None);
        let file = take_lock(&home.path().join("lock"), "stage", "e").expect("free");
        let holder = Ledger::holding(home.path()).expect("whole").expect("held");
        assert_eq!(holder.process, std::process::id());
        assert_eq!(holder.is_process(home.path()), Some(true));
        // The same id in the lock of another home is another's.
        let other = tempfile::tempdir().expect("a folder");
        fs::write(other.path().join("lock"), &holder.words).expect("a file");
        assert_eq!(holder.is_process(other.path()), Some(false));
        assert_eq!(Ledger::holding(other.path()).expect("whole"), None, "nobody holds it");
        drop(file);
        assert_eq!(Ledger::holding(home.path()).expect("whole"), None);
    }
}
