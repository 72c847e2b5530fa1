//! `apns-edge completions` and `apns-edge man`: writes completion scripts and man pages.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

use crate::exit::Exit;
use crate::failure::Failure;

/// Print a completion script for a shell
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Write a man page for each command
#[derive(Debug, Args)]
pub(crate) struct Man {
    /// The folder for the pages
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    output: PathBuf,
}

impl Completions {
    /// Runs the command.
    pub(crate) fn run(&self) -> Result<Exit, Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut crate::command(), "apns-edge", &mut script);
        std::io::Write::write_all(&mut std::io::stdout(), &script).map_err(Failure::Output)?;
        Ok(Exit::Done)
    }
}

impl Man {
    /// Runs the command.
    pub(crate) fn run(&self) -> Result<Exit, Failure> {
        let at_fault = |fault| Failure::File {
            path: self.output.clone(),
            fault,
        };
        std::fs::create_dir_all(&self.output).map_err(at_fault)?;
        clap_mangen::generate_to(crate::command(), &self.output).map_err(at_fault)?;
        Ok(Exit::Done)
    }
}
