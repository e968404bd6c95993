//! `[hooks]`: commands that are not empty.

use super::Checker;
use crate::spec::hooks::{HookCommand, Hooks};
use crate::spec::raw::{At, RawCommand, RawHooks};

impl Checker<'_> {
    pub(super) fn hooks(&mut self, raw: Option<&RawHooks>) -> Hooks {
        let Some(raw) = raw else { return Hooks::default() };
        Hooks {
            on_start: self.command("on_start", raw.on_start.as_ref()),
            on_unit: self.command("on_unit", raw.on_unit.as_ref()),
            on_progress: self.command("on_progress", raw.on_progress.as_ref()),
            on_complete: self.command("on_complete", raw.on_complete.as_ref()),
        }
    }

    fn command(&mut self, name: &str, at: Option<&At<RawCommand>>) -> Option<HookCommand> {
        let at = at?;
        let program = match &at.value {
            RawCommand::Shell(text) => text,
            RawCommand::Program(words) => words.first().map_or("", String::as_str),
        };
        if program.trim().is_empty() {
            let help = "write [\"PROGRAM\", \"ARGUMENT\", …], or one string for the shell";
            self.report(&at.span, format!("`{name}` names no command"), help);
            return None;
        }
        if matches!(&at.value, RawCommand::Program(words) if words.iter().any(|word| word.contains('\0')))
            || program.contains('\0')
        {
            self.report(&at.span, format!("`{name}` holds a NUL, which no command can"), "take it out");
            return None;
        }
        Some(match &at.value {
            RawCommand::Shell(text) => HookCommand::Shell(text.clone()),
            RawCommand::Program(words) => HookCommand::Program(words.clone()),
        })
    }
}
