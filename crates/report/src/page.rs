//! A release's page: one HTML file that needs nothing else.

use std::collections::BTreeMap;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use retrace_manifest::{Verdict, Verification};
use retrace_spec::RelPath;
use retrace_spec::foreign::shown_lines;

use crate::ReportError;
use crate::command::option;
use crate::exposure;
use crate::figure;
use crate::numbers::grouped;
use crate::release::{Checked, CheckedReplay, Part};
use crate::scaling::scaling_section;
use crate::sections::{self, Colours, made, section};

/// The page: the results of the checks, if there are any, and the sections.
///
/// # Errors
/// If a chart cannot be drawn.
pub fn page(title: &str, checked: Option<&Checked<'_>>, parts: &[Part]) -> Result<String, ReportError> {
    let colours = Colours::new(parts);
    let sections = parts.iter().map(|part| shown(part, &colours)).collect::<Result<Vec<_>, _>>()?;
    let root = html! {
        @if let Some(checked) = checked {
            p.root { span { "Root digest" } " " code { (checked.manifest.root) } }
        }
    };
    let main = html! {
        @if let Some(checked) = checked { (outcome(&checks(checked))) (made(checked.manifest)) }
        @for section in &sections { (section) }
        @if let Some(checked) = checked { (again(checked)) }
    };
    let footer = html! {
        "Made by retrace from the release's own files."
        @if checked.is_some() { " It tells of the manifest, so that the manifest does not cover it." }
    };
    let style = if parts.iter().any(|part| matches!(part, Part::Figures(_))) { figure::STYLE } else { "" };
    Ok(document("Release report", title, style, &root, &main, &footer))
}

/// A complete page: `kind` is what it is, in two words, `style` is added to that of all pages, and `head` comes below the
/// title.
pub(crate) fn document(kind: &str, title: &str, style: &str, head: &Markup, main: &Markup, footer: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · " (kind.to_lowercase()) }
                style { (PreEscaped(include_str!("style.css"))) (PreEscaped(style)) }
            }
            body {
                header {
                    p.eyebrow { (kind) }
                    h1 { (title) }
                    (head)
                }
                main { (main) }
                footer { p { (footer) } }
            }
        }
    };
    // Inside a page the SVG needs no name space, and without one the page contains no other address.
    let page = page.into_string().replace(" xmlns=\"http://www.w3.org/2000/svg\"", "");
    // What scrolls can be reached by the keyboard. In texts, `<` is escaped.
    let page = page
        .replace("<div class=\"scroll", "<div tabindex=\"0\" class=\"scroll")
        .replace("<pre>", "<pre tabindex=\"0\">");
    let page = with_own_ids(&page);
    // Tags are escaped above, name by name; invisible and direction-changing characters are escaped here, in the
    // complete text.
    shown_lines(&page).into_owned()
}

/// The page with an id of its own for each section: two sections of a page can have one title.
fn with_own_ids(page: &str) -> String {
    const BEGIN: &str = "<section id=\"";
    let mut parts = page.split(BEGIN);
    let mut out = parts.next().unwrap_or_default().to_owned();
    let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
    for part in parts {
        let (id, rest) = part.split_once('"').unwrap_or((part, ""));
        let number = seen.entry(id).or_insert(0);
        *number += 1;
        let again = if *number > 1 { format!("-{number}") } else { String::new() };
        out += &format!("{BEGIN}{id}{again}\"{rest}");
    }
    out
}

fn shown(part: &Part, colours: &Colours) -> Result<Markup, ReportError> {
    match part {
        Part::Training(losses) => sections::losses(losses, colours),
        Part::Evaluation(metrics) => sections::metrics(metrics, colours),
        Part::Scaling(report) => scaling_section(report, |run| colours.of(run)),
        Part::Cleaning(cleaning) => Ok(sections::cleaned(cleaning)),
        Part::Contamination(benchmarks) => Ok(sections::contamination(benchmarks)),
        Part::Figures(figures) => figure::shown(figures, colours, false),
        Part::Exposure(exposures) => exposure::section(exposures),
    }
}

/// The result of a check.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Holds,
    Found,
    Open,
}

/// A check: its result, in a sentence, and what else there is to say.
pub(crate) struct Check {
    pub(crate) mood: Mood,
    pub(crate) what: String,
    pub(crate) detail: Markup,
}

/// The results of all checks, below a line that sums them up.
pub(crate) fn outcome(checks: &[Check]) -> Markup {
    let count = |mood| checks.iter().filter(|check| check.mood == mood).count();
    let (held, found) = (count(Mood::Holds), count(Mood::Found));
    let (mood, headline) = match (held, found) {
        (0, 0) => (Mood::Open, "Nothing was checked yet.".to_owned()),
        (_, 0) => (Mood::Holds, "Everything that was checked holds.".to_owned()),
        (_, 1) => (Mood::Found, "One check found a difference.".to_owned()),
        (_, found) => (Mood::Found, format!("{found} checks found differences.")),
    };
    html! {
        section #outcome class={ "outcome " (class(mood)) } {
            p.headline { (headline) }
            ul.checks {
                @for check in checks {
                    li class=(class(check.mood)) {
                        span.sign aria-hidden="true" { (sign(check.mood)) }
                        div {
                            p.what { (check.what) }
                            (check.detail)
                        }
                    }
                }
            }
        }
    }
}

const fn class(mood: Mood) -> &'static str {
    match mood {
        Mood::Holds => "holds",
        Mood::Found => "found",
        Mood::Open => "open",
    }
}

const fn sign(mood: Mood) -> &'static str {
    match mood {
        Mood::Holds => "✓",
        Mood::Found => "✗",
        Mood::Open => "–",
    }
}

fn checks(checked: &Checked<'_>) -> Vec<Check> {
    let mut checks = Vec::new();
    checks.push(match checked.comparison {
        None => Check {
            mood: Mood::Open,
            what: "Not compared with a published release.".to_owned(),
            detail: html! { p { "Whether these are the released bytes is not known from this page." } },
        },
        Some(comparison) => {
            let lists =
                [("differ", &comparison.different), ("missing", &comparison.missing), ("extra", &comparison.extra)];
            let identical = comparison.identical.len() as u64;
            let all = identical + (comparison.different.len() + comparison.missing.len()) as u64;
            let same = lists.iter().all(|(_, paths)| paths.is_empty());
            let what = match same {
                true => format!("All {} artifacts are identical to the published release.", grouped(all)),
                false => format!(
                    "{} of {} artifacts are identical to the published release.",
                    grouped(identical),
                    grouped(all)
                ),
            };
            let detail = match same {
                true => html! { p { "Made here, byte for byte what was made there." } },
                false => html! {
                    @for (what, paths) in lists.iter().filter(|(_, paths)| !paths.is_empty()) {
                        p { (paths.len()) " " (what) ": " (some(paths)) }
                    }
                },
            };
            Check { mood: if same { Mood::Holds } else { Mood::Found }, what, detail }
        }
    });
    checks.push(match checked.verification {
        None => {
            Check { mood: Mood::Open, what: "Files not verified against the manifest.".to_owned(), detail: html! {} }
        }
        Some(verification) => verified(verification, checked.manifest.ignored.len()),
    });
    if checked.replays.is_empty() {
        checks.push(Check {
            mood: Mood::Open,
            what: "No training step was computed again.".to_owned(),
            detail: html! { p { "That the runs produced these checkpoints is claimed, not shown." } },
        });
    }
    for CheckedReplay { step: id, engine, replay } in checked.replays {
        let (from, to) = (replay.from.get(), replay.to.get());
        let steps = to.saturating_sub(from);
        let stretch = format!("steps {} to {to} of {id}", from + 1);
        let same = replay.findings.is_empty();
        let compared = match replay.checkpoints.len() as u64 {
            1 => "1 checkpoint".to_owned(),
            n => format!("{} checkpoints", grouped(n)),
        };
        checks.push(match same {
            true => Check {
                mood: Mood::Holds,
                what: format!("Computing {stretch} again gave the same bits."),
                detail: html! {
                    p { "All " (grouped(steps)) " losses, gradient norms and states in the journal, and " (compared) ", are the same. The engine was " (engine) "." }
                },
            },
            false => Check {
                mood: Mood::Found,
                what: format!("Computing {stretch} again gave other bits."),
                detail: html! { ul.findings { @for finding in &replay.findings { li { (finding) } } } },
            },
        });
    }
    checks
}

pub(crate) fn verified(verification: &Verification, skipped: usize) -> Check {
    let verified = verification.counts().get(&Verdict::Verified).copied().unwrap_or(0) as u64;
    let findings: Vec<_> = verification.findings().collect();
    let not_covered = html! {
        @if skipped > 0 { p { "The manifest does not cover " (skipped) @if skipped == 1 { " path" } @else { " paths" } ", and says so." } }
    };
    if findings.is_empty() && verification.checkpoints.is_empty() {
        let what = format!("All {} sealed files have the bytes that the manifest says.", grouped(verified));
        return Check {
            mood: Mood::Holds,
            what,
            detail: html! { p { "None is missing, and there is no other." } (not_covered) },
        };
    }
    let mut what = format!(
        "{} files have the bytes that the manifest says; {} {} not as sealed.",
        grouped(verified),
        grouped(findings.len() as u64),
        if findings.len() == 1 { "is" } else { "are" }
    );
    if !verification.checkpoints.is_empty() {
        what.push_str(" Files of a checkpoint contradict each other.");
    }
    let detail = html! {
        ul.findings {
            @for finding in findings.iter().take(SHOWN) {
                li { code { (finding.path) } " " strong { (format!("{:?}", finding.verdict).to_lowercase()) } @if !finding.diagnosis.is_empty() { ": " (finding.diagnosis) } }
            }
            @if findings.len() > SHOWN { li { "and " (findings.len() - SHOWN) " more" } }
            @for finding in verification.checkpoints.iter().take(SHOWN) { li { code { (finding.path) } ": " (finding.what) } }
        }
        (not_covered)
    };
    Check { mood: Mood::Found, what, detail }
}

/// The number of findings that are listed; the rest is only counted.
const SHOWN: usize = 20;

fn some(paths: &[RelPath]) -> Markup {
    html! {
        @for (at, path) in paths.iter().take(SHOWN).enumerate() {
            @if at > 0 { ", " }
            code { (path) }
        }
        @if paths.len() > SHOWN { " and " (paths.len() - SHOWN) " more" }
    }
}

fn again(checked: &Checked<'_>) -> Markup {
    let lead = html! { "In the release's directory, on any machine:" };
    let body = html! {
        pre {
            code {
                "retrace verify manifest.yaml --root ROOT\n"
                @for CheckedReplay { step, engine, replay } in checked.replays {
                    "retrace replay manifest.yaml " (option("--step", step)) " --from " (replay.from) " --to " (replay.to) " --engine " (engine) "\n"
                }
                "retrace query \"SELECT * FROM artifacts ORDER BY path\" .\n"
            }
        }
        p { "ROOT is the root digest that was published. This page says " code.long { (checked.manifest.root) } "; take it from somewhere that you trust." }
    };
    section("again", "Check it yourself", &lead, &body)
}
