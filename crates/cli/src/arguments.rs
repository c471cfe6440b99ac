//! The command line: its arguments, and what to do with them.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::sync::LazyLock;

use clap::{ColorChoice, CommandFactory, FromArgMatches, Parser};
use retrace_numerics::isa::{self, Isa};
use retrace_spec::foreign::{excerpt, shown};

use crate::cluster::{self, Cluster};
use crate::commands::{Exit, Verb};
use crate::environment::Environment;
use crate::errors::{Failure, render};
use crate::terminal::Terminal;

static VERSION: LazyLock<String> =
    LazyLock::new(|| format!("{} (numerics version {})", env!("CARGO_PKG_VERSION"), retrace_numerics::VERSION));

const MORE: &str = "\
Exit codes: 0 success, 1 a finding, 2 an error.
Results go to standard output, everything else to standard error.
`retrace help VERB` shows examples.";

/// Check a fully open language model: its files, its training run, and the claims about it
#[derive(Debug, Parser)]
#[command(name = "retrace", version = VERSION.as_str(), after_help = MORE, max_term_width = 100)]
#[command(subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
struct Arguments {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    verb: Verb,
}

/// The options of every verb.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Options of every verb")]
pub(crate) struct Global {
    /// Print one JSON document with sorted keys; it names its schema
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Write only errors to standard error
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// When to use colour
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: ColorChoice,
    /// Use N threads instead of one per core; the results are the same
    #[arg(long, global = true, value_name = "N", visible_alias = "jobs")]
    pub(crate) threads: Option<NonZeroUsize>,
}

/// The command with all verbs and arguments.
pub(crate) fn command() -> clap::Command {
    Arguments::command()
}

/// Reads the arguments, runs the verb, and returns the exit code.
///
/// `cluster` is the support for clusters, if this binary was built with it.
pub(crate) fn run(cluster: Option<&dyn Cluster>) -> Exit {
    let mut command = Arguments::command();
    if let Some(color) = color_before_parsing() {
        command = command.color(color);
    }
    let parsed = command.clone().try_get_matches().and_then(|matches| Arguments::from_arg_matches(&matches));
    let Arguments { global, verb } = match parsed {
        Ok(arguments) => arguments,
        Err(error) if error.use_stderr() => {
            // If standard error is closed, the message cannot be shown.
            let _ = in_shown_words(command, error).print();
            return Exit::Failed;
        }
        Err(help) => {
            // clap's own output uses the requested colours.
            let printed = help.print().and_then(|()| io::stdout().flush());
            return match printed {
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                    let _ = io::stderr().write_all(render(&Failure::Output(error), false, false).as_bytes());
                    Exit::Failed
                }
                _ => Exit::Holds,
            };
        }
    };
    let environment = Environment::read();
    let terminal = Terminal::new(&global, &environment);
    let done = match (verb.asks_a_cluster(), cluster) {
        (true, None) => cluster::hand_over(),
        _ => prepare(&global, &environment).and_then(|()| verb.run(cluster, &terminal)),
    };
    match done {
        Ok(exit) => exit,
        Err(failure) => terminal.fail(&failure),
    }
}

/// The error for the same arguments with untrusted characters escaped, because clap repeats them.
fn in_shown_words(command: clap::Command, error: clap::Error) -> clap::Error {
    let given: Vec<_> = std::env::args_os().collect();
    let shown: Vec<_> = given.iter().map(|argument| sayable(argument)).collect();
    if shown.iter().zip(&given).all(|(shown, given)| given == shown.as_str()) {
        return error;
    }
    let said = command.clone().try_get_matches_from(shown);
    let said = said.and_then(|matches| Arguments::from_arg_matches(&matches)).err();
    said.unwrap_or_else(|| {
        let what = format!("cannot read an argument: {}", sayable(error.to_string().as_ref()));
        command.clone().error(error.kind(), what)
    })
}

/// The part of an argument that can be repeated in a message.
fn sayable(argument: &OsStr) -> String {
    excerpt(&shown(&argument.to_string_lossy())).into_owned()
}

/// The value of `--color`, for help and usage errors, which occur before the arguments are parsed.
fn color_before_parsing() -> Option<ColorChoice> {
    let words = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
    let mut words = words.skip_while(|word| !word.starts_with("--color"));
    let first = words.next()?;
    let value = first.strip_prefix("--color=").map(str::to_owned).or_else(|| words.next())?;
    clap::ValueEnum::from_str(&value, false).ok()
}

/// More threads than any machine has cores: starting tens of thousands would take minutes, or never end.
const MOST_THREADS: usize = 4096;

/// Applies the settings of the process: threads, and the kernels' instruction set.
fn prepare(global: &Global, environment: &Environment) -> Result<(), Failure> {
    if let Some(threads) = global.threads {
        if threads.get() > MOST_THREADS {
            let what = format!("{threads} threads are more than {MOST_THREADS}");
            return Err(Failure::usage(what, "give a smaller --threads; more threads than cores are no faster"));
        }
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.get()).build_global();
        pool.map_err(|e| Failure::usage(format!("cannot start {threads} threads: {e}"), "give a smaller --threads"))?;
    }
    if let Some(name) = &environment.isa {
        let here: Vec<_> = Isa::ALL.into_iter().filter(|isa| isa.is_here()).map(Isa::name).collect();
        if !Isa::from_name(name).is_some_and(isa::force) {
            let what = format!("RETRACE_ISA is {name:?}, which is not an instruction set of this processor");
            return Err(Failure::usage(what, &format!("set it to one of {}, or unset it", here.join(", "))));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_well_formed() {
        Arguments::command().debug_assert();
    }
}
