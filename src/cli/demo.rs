//! `recon demo`.

use std::path::PathBuf;

use clap::Args;

use super::Global;
use crate::error::Result;

#[derive(Args, Debug)]
pub(super) struct DemoArgs {
    /// Where to make the project
    #[arg(value_name = "DIR", default_value = "recon-demo")]
    dir: PathBuf,
}

pub(super) fn run(_global: &Global, _args: &DemoArgs) -> Result<u8> {
    Ok(0)
}
