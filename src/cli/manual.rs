//! What shells and `man` are told of the command line.

use std::fs;
use std::path::PathBuf;

use clap::{Args, CommandFactory};

use super::{Cli, print};
use crate::error::{Context, Result};

#[derive(Args, Debug)]
pub(super) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: clap_complete::Shell,
}

#[derive(Args, Debug)]
pub(super) struct ManArgs {
    /// Write recon.1 and a page for each command into this folder [default: recon.1 to stdout]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Prints the script that completes commands, options and their values.
pub(super) fn completions(args: &CompletionsArgs) -> Result<u8> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "recon", &mut script);
    print(&String::from_utf8_lossy(&script))
}

/// Prints or writes the manual pages.
pub(super) fn man(args: &ManArgs) -> Result<u8> {
    let Some(folder) = &args.out else {
        let mut page = Vec::new();
        clap_mangen::Man::new(Cli::command())
            .render(&mut page)
            .or_failed(|| "cannot make the page".to_owned())?;
        return print(&String::from_utf8_lossy(&page));
    };
    let fail = || format!("cannot write {}", folder.display());
    fs::create_dir_all(folder).or_failed(fail)?;
    clap_mangen::generate_to(Cli::command(), folder).or_failed(fail)?;
    print(&format!("{}: man -l {0}/recon.1", folder.display()))
}
