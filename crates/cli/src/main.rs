//! The binary `retrace`.

use std::process::ExitCode;

fn main() -> ExitCode {
    retrace_cli::run(None)
}
