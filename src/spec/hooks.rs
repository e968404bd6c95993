//! `[hooks]`: commands that are told how a run goes.

/// What is run when; each is given one JSON object on stdin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hooks {
    /// When the run begins or goes on.
    pub on_start: Option<HookCommand>,
    /// After each unit that was staged, and each batch that was written.
    pub on_unit: Option<HookCommand>,
    /// At most once a second while it goes on.
    pub on_progress: Option<HookCommand>,
    /// When it is over, however it ended.
    pub on_complete: Option<HookCommand>,
}

impl Hooks {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A command as the spec gives it; nothing is put in or taken away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HookCommand {
    /// A text for `sh -c`.
    Shell(String),
    /// A program and its arguments.
    Program(Vec<String>),
}
