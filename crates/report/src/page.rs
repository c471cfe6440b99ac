//! A release's page: one HTML file that needs nothing else.

use maud::{DOCTYPE, Markup, PreEscaped, html};
use retrace_spec::foreign::shown_lines;

use crate::ReportError;
use crate::numbers::grouped;
use crate::release::{Checked, ReleaseReport, Verification};
use crate::sections::{Colours, cleaned, contamination, losses, made, metrics, scaling_law, section};

/// The page.
///
/// # Errors
/// If a chart cannot be drawn.
pub fn release_page(report: &ReleaseReport) -> Result<String, ReportError> {
    let checked = &report.checked;
    let colours = Colours::new(report);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (checked.name) " · release report" }
                style { (PreEscaped(include_str!("style.css"))) }
            }
            body {
                header {
                    p.eyebrow { "Release report" }
                    h1 { (checked.name) }
                    @if let Some(root) = &checked.root {
                        p.root { span { "Root digest" } " " code { (root) } }
                    }
                }
                main {
                    (outcome(checked))
                    (made(report))
                    @if !report.losses.is_empty() { (losses(&report.losses, &colours)?) }
                    @if !report.metrics.is_empty() { (metrics(&report.metrics, &colours)?) }
                    @if let Some(scaling) = &report.scaling { (scaling_law(scaling, &colours)?) }
                    @if let Some(cleaning) = &checked.cleaning { (cleaned(cleaning)) }
                    @if !report.contamination.is_empty() { (contamination(&report.contamination)) }
                    (again(checked))
                }
                footer { p { "Made by retrace from the release's own tables. The page itself is not sealed." } }
            }
        }
    };
    // Inside a page the SVG needs no name space, and so the page names no other place at all.
    let page = page.into_string().replace(" xmlns=\"http://www.w3.org/2000/svg\"", "");
    // Tags are escaped above, name by name; what hides or turns text is, here, in all of it.
    Ok(shown_lines(&page).into_owned())
}

/// How a check ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mood {
    Holds,
    Found,
    Open,
}

struct Check {
    mood: Mood,
    what: String,
    detail: Markup,
}

fn outcome(checked: &Checked) -> Markup {
    let checks = checks(checked);
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
                @for check in &checks {
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

fn checks(checked: &Checked) -> Vec<Check> {
    let mut checks = Vec::new();
    checks.push(match &checked.comparison {
        None => Check {
            mood: Mood::Open,
            what: "Not compared with a published release.".to_owned(),
            detail: html! { p { "Whether these are the released bytes is not known from this page." } },
        },
        Some(comparison) => {
            let lists =
                [("differ", &comparison.different), ("missing", &comparison.missing), ("extra", &comparison.extra)];
            let all = comparison.identical + (comparison.different.len() + comparison.missing.len()) as u64;
            let same = lists.iter().all(|(_, paths)| paths.is_empty());
            let what = match same {
                true => format!("All {} artifacts are identical to the published release.", grouped(all)),
                false => format!(
                    "{} of {} artifacts are identical to the published release.",
                    grouped(comparison.identical),
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
    checks.push(match &checked.verification {
        None => {
            Check { mood: Mood::Open, what: "Files not verified against the manifest.".to_owned(), detail: html! {} }
        }
        Some(verification) => verified(verification),
    });
    if checked.replays.is_empty() {
        checks.push(Check {
            mood: Mood::Open,
            what: "No training step was computed again.".to_owned(),
            detail: html! { p { "That the runs produced these checkpoints is claimed, not shown." } },
        });
    }
    for replay in &checked.replays {
        let steps = replay.to.saturating_sub(replay.from);
        let stretch = format!("steps {} to {} of {}", replay.from + 1, replay.to, replay.run);
        let same = replay.differences.is_empty();
        let compared = match replay.checkpoints {
            1 => "1 checkpoint".to_owned(),
            n => format!("{} checkpoints", grouped(n)),
        };
        checks.push(match same {
            true => Check {
                mood: Mood::Holds,
                what: format!("Training {stretch} again gave the same bits."),
                detail: html! {
                    p { "All " (grouped(steps)) " losses, gradient norms and states in the journal, and " (compared) ", are the same." }
                },
            },
            false => Check {
                mood: Mood::Found,
                what: format!("Training {stretch} again gave other bits."),
                detail: html! { ul.findings { @for difference in &replay.differences { li { (difference) } } } },
            },
        });
    }
    checks
}

fn verified(verification: &Verification) -> Check {
    let Verification { verified, skipped, findings } = verification;
    let not_covered = html! {
        @if *skipped > 0 { p { "The manifest does not cover " (skipped) @if *skipped == 1 { " path" } @else { " paths" } ", and says so." } }
    };
    if findings.is_empty() {
        let what = format!("All {} sealed files have the bytes that the manifest says.", grouped(*verified));
        return Check {
            mood: Mood::Holds,
            what,
            detail: html! { p { "None is missing, and there is no other." } (not_covered) },
        };
    }
    let what = format!(
        "{} files have the bytes that the manifest says; {} {} not as sealed.",
        grouped(*verified),
        grouped(findings.len() as u64),
        if findings.len() == 1 { "is" } else { "are" }
    );
    let detail = html! {
        ul.findings {
            @for finding in findings.iter().take(SHOWN) {
                li { code { (finding.path) } " " strong { (finding.verdict) } @if !finding.diagnosis.is_empty() { ": " (finding.diagnosis) } }
            }
            @if findings.len() > SHOWN { li { "and " (findings.len() - SHOWN) " more" } }
        }
        (not_covered)
    };
    Check { mood: Mood::Found, what, detail }
}

/// Findings that are listed before the rest is only counted.
const SHOWN: usize = 20;

fn some(paths: &[String]) -> Markup {
    html! {
        @for (at, path) in paths.iter().take(SHOWN).enumerate() {
            @if at > 0 { ", " }
            code { (path) }
        }
        @if paths.len() > SHOWN { " and " (paths.len() - SHOWN) " more" }
    }
}

fn again(checked: &Checked) -> Markup {
    let lead = html! { "In the release's directory, on any machine:" };
    let body = html! {
        pre {
            code {
                "retrace verify manifest.yaml" @if checked.root.is_some() { " --root ROOT" } "\n"
                @for replay in &checked.replays {
                    "retrace replay manifest.yaml --step train-" (replay.run) " --from " (replay.from) " --to " (replay.to) "\n"
                }
                "retrace query \"SELECT * FROM artifacts ORDER BY path\" .\n"
            }
        }
        @if let Some(root) = &checked.root {
            p { "ROOT is the root digest that was published. This page says " code.long { (root) } "; take it from somewhere that you trust." }
        }
    };
    section("again", "Check it yourself", &lead, &body)
}
