//! `retrace man`

use std::path::{Path, PathBuf};

use clap::Command;
use clap_mangen::Man;
use retrace_files::write_whole;
use serde_json::json;

use super::Exit;
use crate::arguments;
use crate::errors::Failure;
use crate::terminal::{Terminal, Tone, count};

/// Write the manual pages into a directory
///
/// Writes `retrace.1` and one page per verb, such as `retrace-verify.1`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  retrace man ~/.local/share/man/man1 && man retrace-verify
  retrace man . && man ./retrace.1")]
pub(crate) struct Pages {
    /// The directory; it is created if it does not exist
    dir: PathBuf,
}

impl Pages {
    pub(crate) fn run(&self, terminal: &Terminal) -> Result<Exit, Failure> {
        let mut command = arguments::command().disable_help_subcommand(true);
        command.build();
        let mut pages = Vec::new();
        write(command, &self.dir, &mut pages)?;
        terminal.result("man/1", &json!({"pages": pages}), |out| {
            pages.iter().try_for_each(|page| writeln!(out, "{page}"))
        })?;
        terminal.say(Tone::Good, "wrote", count(pages.len(), "page"));
        Ok(Exit::Holds)
    }
}

/// Writes the page of a command, and those of its subcommands; adds their paths to the list.
fn write(command: Command, directory: &Path, pages: &mut Vec<String>) -> Result<(), Failure> {
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        write(verb.clone(), directory, pages)?;
    }
    let page = Man::new(command);
    let path = directory.join(page.get_filename());
    let mut text = Vec::new();
    page.render(&mut text).map_err(Failure::Output)?;
    write_whole(&path, &text)?;
    pages.push(path.display().to_string());
    Ok(())
}
