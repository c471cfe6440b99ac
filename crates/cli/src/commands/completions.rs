//! `retrace completions`

use clap::{Command, ValueHint};
use clap_complete::{Shell, generate};

use super::Exit;
use crate::arguments;
use crate::errors::Failure;
use crate::terminal::stream;

/// Print a completion script for a shell
///
/// The script completes verbs, options and file names, and goes to standard output. Load it in the
/// shell's start-up file, or write it to the shell's directory of completions.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  source <(retrace completions bash)              a line in ~/.bashrc
  retrace completions zsh > ~/.zfunc/_retrace     with ~/.zfunc in fpath
  retrace completions fish > ~/.config/fish/completions/retrace.fish")]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(&self) -> Result<Exit, Failure> {
        let mut script = Vec::new();
        generate(self.shell, &mut with_file_names(arguments::command()), "retrace", &mut script);
        stream(|out| out.write_all(&script))?;
        Ok(Exit::Holds)
    }
}

/// The command, with every path declared as a file name for shells: for other paths, bash would end the word at white
/// space, and not continue into a directory.
fn with_file_names(command: Command) -> Command {
    let command = command.mut_args(|argument| match argument.get_value_hint() {
        ValueHint::AnyPath => argument.value_hint(ValueHint::FilePath),
        _ => argument,
    });
    command.mut_subcommands(with_file_names)
}
