//! What can go wrong, and what the process exits with.
//!
//! Every error carries its kind (hence its exit code), a lowercase fragment that follows "failed to …" or stands
//! alone, optionally the next step for the user, and its cause as `source()`. A message names dataset, file, line,
//! column or key where there is one, and never holds a secret.

use std::error::Error as StdError;
use std::fmt;
use std::io;

/// The result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// How an error ends the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The command line or the spec is wrong: exit 2.
    Usage,
    /// Interrupted, or something could not be compared: exit 3.
    Incomplete,
    /// It could not be done (connection, corrupt input, disk full, another runner): exit 4.
    Failed,
}

/// An error with its kind, its place in words, its cause and the next step.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    help: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// A wrong command line or spec (exit 2).
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, message)
    }

    /// Work that was cut short (exit 3).
    pub fn incomplete(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Incomplete, message)
    }

    /// Work that could not be done (exit 4).
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Failed, message)
    }

    fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), help: None, source: None }
    }

    /// Adds the cause, printed on a line of its own.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Adds the next step for the user.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Puts what the error is about before its message, as in "dataset `a`: …".
    #[must_use]
    pub fn of(mut self, what: &str) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }

    /// How this error ends the process.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The next step, where there is one.
    pub fn help_text(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// The exit code of the process.
    pub fn exit_code(&self) -> u8 {
        match self.kind {
            ErrorKind::Usage => 2,
            ErrorKind::Incomplete => 3,
            ErrorKind::Failed => 4,
        }
    }

    /// The whole report for a terminal: message, chain of causes, next step.
    pub fn report(&self) -> String {
        let mut text = format!("error: {}", self.message);
        let (mut cause, mut said) = (self.source(), self.message.clone());
        while let Some(error) = cause {
            let words = error.to_string();
            // Many errors repeat the words of their cause.
            if !said.contains(&words) {
                text.push_str(&format!("\n  caused by: {words}"));
                said = words;
            }
            cause = error.source();
        }
        if let Some(help) = &self.help {
            text.push_str(&format!("\n  help: {help}"));
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|e| e as &(dyn StdError + 'static))
    }
}

/// Turns a foreign error into ours, with the words that say what was being done.
pub trait Context<T> {
    /// Makes the failure an exit-4 error whose message is `message()` and whose cause is the foreign error.
    fn or_failed(self, message: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<Box<dyn StdError + Send + Sync>>> Context<T> for std::result::Result<T, E> {
    fn or_failed(self, message: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|e| match ours(e.into()) {
            Ok(own) => own,
            Err(foreign) => Error::failed(message()).caused_by(foreign),
        })
    }
}

/// An error of this crate that came through somebody else's `Read`: it names its place itself.
fn ours(
    error: Box<dyn StdError + Send + Sync>,
) -> std::result::Result<Error, Box<dyn StdError + Send + Sync>> {
    let error = error.downcast::<io::Error>()?;
    match error.get_ref().is_some_and(|inner| inner.is::<Error>()) {
        true => error.into_inner().expect("looked at above").downcast::<Error>().map(|own| *own),
        false => Err(error),
    }
}
