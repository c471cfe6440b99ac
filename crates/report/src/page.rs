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
    let page = with_own_ids(&with_named_boxes(&page));
    // Tags are escaped above, name by name; invisible and direction-changing characters are escaped here, in the
    // complete text.
    shown_lines(&page).into_owned()
}

/// The page in which what scrolls can be reached by the keyboard, and is read aloud with a name of its own: the caption of
/// its table, or else the heading above it. In texts, `<` is escaped.
fn with_named_boxes(page: &str) -> String {
    const HEADINGS: [(&str, &str); 5] = [
        ("<h1>", "</h1>"),
        ("<h2>", "</h2>"),
        ("<h3>", "</h3>"),
        ("<figcaption>", "</figcaption>"),
        ("<summary>", "</summary>"),
    ];
    let (mut out, mut copied, mut heading) = (String::new(), 0, String::new());
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    for (at, _) in page.match_indices('<') {
        let from = page.get(at..).unwrap_or_default();
        if let Some((_, end)) = HEADINGS.iter().find(|(begin, _)| from.starts_with(begin)) {
            heading = words(from.split(end).next().unwrap_or_default());
        }
        let code = from.starts_with("<pre>");
        if !code && !from.starts_with("<div class=\"scroll") {
            continue;
        }
        let table = from.split("</table>").next().unwrap_or_default();
        let caption = table.split_once("<caption>").and_then(|(_, rest)| rest.split_once("</caption>"));
        let name = match caption {
            _ if code => format!("Code: {heading}"),
            Some((caption, _)) => words(caption),
            None => heading.clone(),
        };
        let number = seen.entry(name.clone()).or_insert(0);
        *number += 1;
        let again = if *number > 1 { format!(" ({number})") } else { String::new() };
        let after = at + "<pre".len();
        out += page.get(copied..after).unwrap_or_default();
        out += &format!(" tabindex=\"0\" role=\"region\" aria-label=\"{name}{again}\"");
        copied = after;
    }
    out + page.get(copied..).unwrap_or_default()
}

/// The text of a piece of a page, without its tags.
fn words(piece: &str) -> String {
    let texts = piece.split('<').enumerate().map(|(at, text)| match text.split_once('>') {
        Some((_, text)) if at > 0 => text,
        _ => text,
    });
    texts.collect::<String>().replace('"', "&quot;").split_whitespace().collect::<Vec<_>>().join(" ")
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::{INK, MARK_TEXT, SERIES_TEXT};

    #[test]
    fn boxes_have_names_of_their_own() {
        let page = "<h2>A <b>&lt;x&gt;</b></h2><div class=\"scroll\"><table><td></table></div>\
            <div class=\"scroll tall\"><table><caption>C</caption></table></div><pre>x</pre><div class=\"scroll\"></div>";
        let expected = "<h2>A <b>&lt;x&gt;</b></h2>\
            <div tabindex=\"0\" role=\"region\" aria-label=\"A &lt;x&gt;\" class=\"scroll\"><table><td></table></div>\
            <div tabindex=\"0\" role=\"region\" aria-label=\"C\" class=\"scroll tall\"><table><caption>C</caption></table></div>\
            <pre tabindex=\"0\" role=\"region\" aria-label=\"Code: A &lt;x&gt;\">x</pre>\
            <div tabindex=\"0\" role=\"region\" aria-label=\"A &lt;x&gt; (2)\" class=\"scroll\"></div>";
        assert_eq!(with_named_boxes(page), expected);
    }

    /// Relative luminance and contrast as WCAG 2.2 defines them.
    fn contrast(one: &str, other: &str) -> f64 {
        let luminance = |hex: &str| {
            let digits: String =
                hex.trim_start_matches('#').chars().flat_map(|c| vec![c; if hex.len() == 4 { 2 } else { 1 }]).collect();
            let channel = |at: usize| f64::from(u8::from_str_radix(&digits[at..at + 2], 16).unwrap()) / 255.0;
            let linear = |c: f64| if c <= 0.04045 { c / 12.92 } else { libm::pow((c + 0.055) / 1.055, 2.4) };
            0.2126 * linear(channel(0)) + 0.7152 * linear(channel(2)) + 0.0722 * linear(channel(4))
        };
        let (one, other) = (luminance(one), luminance(other));
        (one.max(other) + 0.05) / (one.min(other) + 0.05)
    }

    /// The colours that `css` sets after `from`, up to the next brace.
    fn colours<'a>(css: &'a str, from: &str) -> BTreeMap<&'a str, &'a str> {
        let (_, rest) = css.split_once(from).unwrap();
        let block = rest.split('}').next().unwrap().rsplit('{').next().unwrap();
        let all = block.split(';').filter_map(|line| line.trim().trim_start_matches('{').trim().split_once(':'));
        all.map(|(name, value)| (name.trim(), value.trim())).filter(|(_, value)| value.starts_with('#')).collect()
    }

    #[test]
    fn every_text_has_a_contrast_of_4_5_with_its_ground() {
        // The definition's own examples: black on white, and a grey that just fails.
        assert!((contrast("#000", "#ffffff") - 21.0).abs() < 1e-9 && contrast("#777777", "#ffffff") < 4.5);
        assert!(contrast("#767676", "#ffffff") >= 4.5);
        let css = include_str!("style.css");
        let grounds = |text: &str| match text {
            "--good" => vec!["--page", "--card", "--good-soft"],
            "--bad" => vec!["--page", "--card", "--bad-soft"],
            "--ink" | "--soft" | "--open" => vec!["--page", "--card", "--good-soft", "--bad-soft"],
            _ => vec!["--page"],
        };
        let texts = [
            "--ink",
            "--soft",
            "--good",
            "--bad",
            "--open",
            "--axis",
            "--s1",
            "--t2",
            "--s3",
            "--s4",
            "--t5",
            "--s6",
            "--marktext",
        ];
        for theme in
            [":root {", ":root:not([data-theme=\"light\"]) {", "\n:root[data-theme=\"dark\"] {", "@media print {"]
        {
            let colours = colours(css, theme);
            for text in texts {
                for ground in grounds(text) {
                    let ratio = contrast(colours[text], colours[ground]);
                    assert!(ratio >= 4.5, "{theme} {text} on {ground}: {ratio:.2}");
                }
            }
        }
        // A chart by itself is on white.
        for text in SERIES_TEXT.iter().chain([&INK, &MARK_TEXT]) {
            assert!(contrast(text, "#FFFFFF") >= 4.5, "{text}");
            assert!(css.contains(&format!("svg [fill=\"{text}\"]")), "{text} has a colour in the dark theme");
        }
    }
}
