//! The pages of `docs/guide` are correct: every command in them is run here, and prints what they show.
//!
//! A page is a Markdown file. Its fenced blocks called `console` contain commands, each after `$ `, and their output
//! on both streams; its blocks called `sh` are commands whose output does not matter. All blocks of a page are one
//! session of one shell, which begins in a directory where the clone is called `retrace`. Blocks with other names are
//! not run, and have no commands in them.
//!
//! In shown output `…` matches any text on its line, and a line that is only `…` any number of lines. A command ends
//! with exit code 0, unless the next one is `echo $?`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::retrace;

/// The mark for text that may differ.
const ANY: &str = "…";
/// A mark that the shell writes before each command's output; no command prints it.
const MARK: &str = "\u{1e}";

fn guide() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide")
}

/// A command of a page: its position, its text, and the expected output; `None` in a block `sh`.
#[derive(Debug, PartialEq, Eq)]
struct Step {
    line: usize,
    typed: String,
    shown: Option<Vec<String>>,
}

/// The commands of a page, in order.
fn steps(page: &str) -> Result<Vec<Step>, String> {
    let mut steps: Vec<Step> = Vec::new();
    let mut block: Option<&str> = None;
    for (at, text) in page.lines().enumerate() {
        let line = at + 1;
        match (block, text.strip_prefix("```")) {
            (Some(_), Some("")) => block = None,
            (None, Some("")) => return Err(format!("line {line}: a block without a name")),
            (None, Some(name)) => {
                block = Some(name);
                if name == "sh" {
                    steps.push(Step { line, typed: String::new(), shown: None });
                }
            }
            (Some("sh"), _) => {
                let typed = &mut steps.last_mut().unwrap().typed;
                *typed += text;
                *typed += "\n";
            }
            (Some("console"), _) => match (text.strip_prefix("$ "), steps.last_mut()) {
                (Some(typed), _) => steps.push(Step { line, typed: typed.to_owned() + "\n", shown: Some(Vec::new()) }),
                (None, Some(Step { shown: Some(shown), .. })) => shown.push(text.to_owned()),
                (None, _) => return Err(format!("line {line}: a console begins with `$ `")),
            },
            (Some(name), _) if text.starts_with("$ ") || text.starts_with("retrace ") => {
                return Err(format!("line {line}: a command in a block {name:?}, which nobody runs"));
            }
            _ => {}
        }
    }
    match block {
        Some(_) => Err("the last block has no end".to_owned()),
        None => Ok(steps),
    }
}

/// Whether a line matches the shown one.
fn line_matches(shown: &str, line: &str) -> bool {
    let mut parts = shown.split(ANY);
    let Some(mut rest) = line.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// Whether all lines match the shown ones.
fn matches(shown: &[String], lines: &[&str]) -> bool {
    match (shown, lines) {
        ([], _) => lines.is_empty(),
        ([any, rest @ ..], _) if any == ANY => (0..=lines.len()).any(|from| matches(rest, &lines[from..])),
        ([first, rest @ ..], [line, lines @ ..]) => line_matches(first, line) && matches(rest, lines),
        (_, []) => false,
    }
}

/// Runs all commands in `directory`; returns the exit code and output of each.
fn run(steps: &[Step], directory: &Path) -> Vec<(i32, String)> {
    // The exit code is kept when the mark is printed, so that `echo $?` shows that of the command before it.
    let script: String = steps
        .iter()
        .map(|step| format!("{}guide_code=$?\nprintf '{MARK}%d\\n' $guide_code\n(exit $guide_code)\n", step.typed))
        .collect();
    let binary = PathBuf::from(env!("CARGO_BIN_EXE_retrace"));
    let path = std::env::join_paths(
        [binary.parent().unwrap().to_owned()]
            .into_iter()
            .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
    );
    let mut shell = Command::new("sh");
    for (name, value) in retrace().get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell.env("PATH", path.unwrap()).current_dir(directory).stdin(Stdio::null());
    let output = shell.args(["-c", &format!("exec 2>&1\n{script}")]).output().unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    let mut before = output.as_str();
    let mut ran = Vec::new();
    while let Some((printed, rest)) = before.split_once(MARK) {
        let (code, rest) = rest.split_once('\n').unwrap();
        ran.push((code.parse().unwrap(), printed.to_owned()));
        before = rest;
    }
    assert_eq!(ran.len(), steps.len(), "the shell gave up:\n{output}");
    ran
}

/// Whether a line reports progress, which a verb on a slow machine prints after some seconds: `training small: 104 of
/// 120 steps, 2 seconds left, loss 1.2`.
fn is_progress(line: &str) -> bool {
    let amounts = line.split_once(": ").and_then(|(_, rest)| rest.split_once(" of "));
    let left = [" second left", " seconds left", " minute left", " minutes left"];
    amounts.is_some_and(|(done, rest)| {
        done.starts_with(|c: char| c.is_ascii_digit()) && left.iter().any(|left| rest.contains(left))
    })
}

/// Runs a page, and compares its shown output with the actual output.
fn hold(name: &str) {
    let steps = steps(&fs::read_to_string(guide().join(name)).unwrap()).unwrap_or_else(|e| panic!("{name}, {e}"));
    assert!(steps.iter().any(|step| step.typed.starts_with("retrace ")), "{name} has no command");
    let directory = tempfile::tempdir().unwrap();
    let example = directory.path().join("retrace/docs/guide/example");
    copy(&guide().join("example"), &example);
    let ran = run(&steps, directory.path());
    let mut wrong = Vec::new();
    for (at, (step, (code, printed))) in steps.iter().zip(&ran).enumerate() {
        let lines: Vec<&str> = printed.lines().filter(|line| !is_progress(line)).collect();
        let told = *code == 0 || steps.get(at + 1).is_some_and(|next| next.typed == "echo $?\n");
        let as_shown = step.shown.as_ref().is_none_or(|shown| matches(shown, &lines));
        if !told || !as_shown {
            let Step { line, typed, .. } = step;
            wrong.push(format!("docs/guide/{name}, line {line}: {typed}exit code {code}; it prints:\n{printed}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        match path.is_dir() {
            true => copy(&path, &to),
            false => drop(fs::copy(&path, &to).unwrap()),
        }
    }
}

#[test]
fn check() {
    hold("check.md");
}

#[test]
fn publish() {
    hold("publish.md");
}

#[test]
fn replay() {
    hold("replay.md");
}

#[test]
fn audit() {
    hold("audit.md");
}

#[test]
fn query() {
    hold("query.md");
}

#[test]
fn report() {
    hold("report.md");
}

/// Every page is one of those above, and the first page names it.
#[test]
fn no_page_is_left_out() {
    let pages = fs::read_dir(guide()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let pages: BTreeSet<String> = pages.filter(|name| name.ends_with(".md") && name != "README.md").collect();
    let known = ["audit.md", "check.md", "publish.md", "query.md", "replay.md", "report.md"].map(str::to_owned);
    assert_eq!(pages, BTreeSet::from(known));
    let first = fs::read_to_string(guide().join("README.md")).unwrap();
    assert_eq!(steps(&first), Ok(vec![]));
    for page in pages {
        assert!(first.contains(&format!("]({page})")), "README.md does not name {page}");
    }
}

/// Links to files of the project have existing targets.
#[test]
fn links_lead_to_files() {
    for entry in fs::read_dir(guide()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "md") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next()) {
            let there = link.starts_with("https://") || link.is_empty() || guide().join(link).exists();
            assert!(there, "{}: {link} is not there", path.display());
        }
    }
}

/// The comparison does not accept different output.
#[test]
fn shown_output_is_held_to_the_letter() {
    let page = "text\n```console\n$ a\none\n$ b\n```\n```sh\ncat > f <<'END'\n$ x\nEND\n```\n```sql\nselect 1\n```\n";
    let step = |line, typed: &str, shown: Option<&[&str]>| Step {
        line,
        typed: typed.to_owned(),
        shown: shown.map(|lines| lines.iter().map(|line| (*line).to_owned()).collect()),
    };
    let expected =
        vec![step(3, "a\n", Some(&["one"])), step(5, "b\n", Some(&[])), step(7, "cat > f <<'END'\n$ x\nEND\n", None)];
    assert_eq!(steps(page), Ok(expected));
    for page in ["```\n```\n", "```text\nretrace seal .\n```\n", "```console\n", "```console\nno command\n```\n"] {
        assert!(steps(page).is_err(), "{page}");
    }

    for (shown, printed, same) in [
        ("a\nb", "a\nb", true),
        ("a\nb", "a\nb\nc", false),
        ("a\nb", "a", false),
        ("a\n…\nd", "a\nb\nc\nd", true),
        ("a\n…", "a", true),
        ("…\na", "b", false),
        ("root b3:…", "root b3:0123", true),
        ("root b3:…", "root sha256:0123", false),
        ("…: 3 of … steps", "x: 3 of 4 steps", true),
        ("…: 3 of … steps", "x: 3 of 4 stepss", false),
        ("ab…ba", "aba", false),
        ("", "", true),
        ("", "a", false),
    ] {
        let shown: Vec<String> = shown.lines().map(str::to_owned).collect();
        let lines: Vec<&str> = printed.lines().filter(|line| !is_progress(line)).collect();
        assert_eq!(matches(&shown, &lines), same, "{shown:?} {printed:?}");
    }

    let directory = tempfile::tempdir().unwrap();
    let steps = steps("```console\n$ cd / && false\n$ echo $?\n$ pwd\n```\n").unwrap();
    let ran = run(&steps, directory.path());
    assert_eq!(ran, [(1, String::new()), (0, "1\n".to_owned()), (0, "/\n".to_owned())]);
}
