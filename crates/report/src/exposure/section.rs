//! The section of the page.

use maud::{Markup, html};
use retrace_analysis::exposure::{Arrangements, Comparison, Effect, Group, Interval, LeakedItem, NotCompared};
use retrace_spec::Step;

use super::tables::{FIRST, LAST, checkpoints, effects, items, tests, why};
use super::{Exposed, Exposures, Score};
use crate::ReportError;
use crate::contamination::DataTable;
use crate::numbers::{grouped, three_digits};
use crate::plot::{Chart, Mark, Scale, Series, Style};
use crate::sections::{axis, figure, section as whole_section};

/// Leaked items that are listed; the others are in the data.
const LISTED: usize = 60;
/// Exposures of an item that are listed.
const STEPS: usize = 4;

pub(crate) fn section(exposures: &Exposures) -> Result<Markup, ReportError> {
    let lead = html! {
        "A run has seen a leaked item when a sequence of a batch had tokens of a document that leaks it. The data order says at which steps. A score can rise or fall after a leak: no direction is assumed."
    };
    let benchmarks = exposures.exposed.iter().map(one).collect::<Result<Vec<_>, _>>()?;
    let body = html! {
        @if exposures.exposed.is_empty() {
            p { "No run saw a leaked item of a benchmark for which there are scores." }
        } @else {
            (all_tests(exposures))
        }
        @for benchmark in &benchmarks { (benchmark) }
        @if !exposures.unexposed.is_empty() {
            p.words { "No leaked item was in a batch of: " (exposures.unexposed.join(", ")) "." }
        }
        @if !exposures.unsearched.is_empty() {
            p.words { "Not known, because the search does not name the run: " (exposures.unsearched.join(", ")) "." }
        }
        @for (run, shards) in &exposures.partly_searched {
            p.words { (grouped(*shards)) " shards of " (run) " were not searched: items that count as clean, or as not seen, may have leaked there." }
        }
        @if exposures.without_tokens > 0 {
            p.words { "Left out: " (grouped(exposures.without_tokens)) " checkpoints with scores, because the table " code { "checkpoints" } " does not say after how many tokens." }
        }
    };
    Ok(whole_section("exposure", "What leaks changed", &lead, &body))
}

/// The tests of all benchmarks, and how to read them.
fn all_tests(exposures: &Exposures) -> Markup {
    let drawn = exposures.exposed.iter().flat_map(effects).find_map(|(_, effect)| match effect.arrangements {
        Arrangements::Drawn(drawn) => Some(drawn),
        Arrangements::All(_) => None,
    });
    html! {
        div.scroll {
            table {
                caption { "Leaked items against clean ones" }
                thead { tr {
                    th { "Benchmark" } th { "Run" } th { "Compared" } th.num { "Leaked / clean" } th.num { "Change" }
                    th.num { "95 % interval" } th.num.slim { "Rose / fell" } th.num { "p" } th.num { "p (Holm)" }
                } }
                tbody {
                    @for of in &exposures.exposed {
                        @for (compared, effect) in effects(of) {
                            tr {
                                td { (of.benchmark) }
                                td { (of.run) }
                                td { (compared) }
                                td.num { (grouped(effect.leaked as u64)) " / " (grouped(effect.clean as u64)) }
                                td.num { strong { (signed(effect.mean)) } }
                                td.num { (ends(effect.interval)) }
                                td.num.slim { (grouped(effect.rose as u64)) " / " (grouped(effect.fell as u64)) }
                                td.num { (probability(effect.p)) }
                                td.num { (probability(effect.p_adjusted)) }
                            }
                        }
                    }
                }
            }
        }
        ul.words {
            li { strong { "Change. " } "From the last checkpoint before an item was first seen to the " (FIRST) ", or to the " (LAST) ": the item's change less the mean change of the clean items between the same two checkpoints; the mean over items. Against a twin, a run without the leak: the item's score less that in the twin, at the last equal number of tokens, less the mean of the same for clean items." }
            li { strong { "p. " } "Two-sided: which items leaked, and when, is shuffled among the items of the benchmark"
                @if let Some(drawn) = drawn { ", " (grouped(drawn)) " times, or in every way if there are fewer" } @else { ", in every way" }
                ". Holm's p takes account of the several benchmarks of a run. The interval (Welch) is for the mean change." }
            li { strong { "Limit. " } "Leaked items are no random sample of a benchmark. If a model gets better at them for another reason, this comparison takes that for the leak. A twin compares each item with itself, and is the stronger test." }
            li { "Clean are the items without a leak: one of which a piece or only the answer was found is among them." }
        }
        (data("Tests", &tests(exposures)))
        (data("Scores by checkpoint", &checkpoints(exposures)))
    }
}

fn one(of: &Exposed) -> Result<Markup, ReportError> {
    let mut figures = vec![scores(of)?];
    figures.extend(against_twin(of)?);
    Ok(html! {
        div.benchmark {
            h3 { (of.benchmark) ", " (of.run) }
            @for sentence in said(of) { p { (sentence) } }
            div.figures { @for figure in &figures { (figure) } }
            (by_checkpoint(of))
            (listed(of))
            (data("Items", &items(of)))
        }
    })
}

/// The unit of a score.
const fn unit(score: Score) -> &'static str {
    match score {
        Score::Correct => "accuracy",
        Score::LogLikelihood => "log-likelihood, nats an item",
    }
}

/// The result in sentences.
fn said(of: &Exposed) -> Vec<String> {
    let Comparison { leaked, clean, first, .. } = &of.comparison;
    let compared = first.as_ref().map_or(0, |effect| effect.leaked);
    let all = leaked.len() + clean;
    let mut sentences = vec![format!(
        "{} of {} items leak; {} can be compared before and after.",
        grouped(leaked.len() as u64),
        grouped(all as u64),
        grouped(compared as u64)
    )];
    let mut reasons: Vec<NotCompared> = leaked.iter().filter_map(|item| item.not_compared).collect();
    reasons.sort_unstable();
    let reasons = reasons.chunk_by(|a, b| a == b).filter_map(|same| Some((*same.first()?, same.len())));
    sentences
        .extend(reasons.map(|(reason, count)| format!("Not compared: {}, {}.", grouped(count as u64), why(reason))));
    sentences.extend(effects(of).into_iter().map(|(compared, effect)| outcome(&compared, effect)));
    sentences
}

fn outcome(compared: &str, effect: &Effect) -> String {
    let where_to = match compared {
        FIRST | LAST => format!("To the {compared}"),
        _ => format!("At the end, {compared}"),
    };
    if effect.p_adjusted > 0.05 {
        return format!("{where_to}: no change that the test tells from chance.");
    }
    let direction = if effect.mean > 0.0 { "rose" } else { "fell" };
    format!("{where_to}: leaked items {direction} by {} against clean items.", three_digits(effect.mean.abs()))
}

/// The mean score of each kind of item over tokens.
fn scores(of: &Exposed) -> Result<Markup, ReportError> {
    type Kind = fn(&retrace_analysis::exposure::AtCheckpoint) -> Option<Group>;
    let kinds: [(&str, Kind); 3] = [("clean", |at| at.clean), ("seen", |at| at.seen), ("not seen", |at| at.unseen)];
    let series = kinds.into_iter().enumerate().map(|(colour, (label, kind))| {
        let groups: Vec<(f64, Group)> = of
            .comparison
            .checkpoints
            .iter()
            .filter_map(|at| Some((at.checkpoint.tokens.get() as f64, kind(at)?)))
            .collect();
        Series {
            label: if groups.is_empty() { String::new() } else { label.to_owned() },
            points: groups.iter().map(|(tokens, group)| (*tokens, group.mean)).collect(),
            errors: groups.iter().map(|(_, group)| group.stderr.unwrap_or(f64::NAN)).collect(),
            style: Style::Both,
            colour,
        }
    });
    let chart = Chart {
        title: format!("{}, {}", of.benchmark, of.run),
        x: axis("tokens", Scale::Linear),
        y: axis(unit(of.score), Scale::Linear),
        series: series.collect(),
        marks: exposures_at(&of.comparison),
    };
    let caption = html! {
        ": clean items, leaked items that the run had seen by then, and leaked items that it had not. Bars are one standard error. Ticks at the bottom are exposures. The items differ, so compare how the lines run, not how high."
    };
    figure(&chart, &caption)
}

/// The tokens at which leaked items were seen, between checkpoints by their steps.
fn exposures_at(comparison: &Comparison) -> Vec<Mark> {
    let known: Vec<(f64, f64)> = comparison
        .checkpoints
        .iter()
        .map(|at| (at.checkpoint.step.get() as f64, at.checkpoint.tokens.get() as f64))
        .collect();
    let mut steps: Vec<Step> = comparison.leaked.iter().flat_map(|item| item.exposures.iter().copied()).collect();
    steps.sort_unstable();
    steps.dedup();
    let at = |step: Step| {
        let step = step.get() as f64;
        let (from, to) = known.windows(2).find_map(|two| match two {
            [from, to] if (from.0..=to.0).contains(&step) => Some((from, to)),
            _ => None,
        })?;
        Some(Mark::Tick(from.1 + (step - from.0) / (to.0 - from.0) * (to.1 - from.1)))
    };
    steps.into_iter().filter_map(at).collect()
}

/// The difference from the twin over tokens.
fn against_twin(of: &Exposed) -> Result<Option<Markup>, ReportError> {
    let Some((twin, comparison)) = &of.twin else { return Ok(None) };
    let shown = |at: &retrace_analysis::exposure::TwinAt| {
        let half = at.interval.map_or(f64::NAN, |of| (of.high - of.low) / 2.0);
        Some(((at.checkpoint.tokens.get() as f64, at.difference?), half))
    };
    let (points, errors): (Vec<_>, Vec<_>) = comparison.checkpoints.iter().filter_map(shown).unzip();
    if points.is_empty() {
        return Ok(Some(
            html! { p.words { (twin) " has no checkpoint at the same number of tokens as one that had seen a leak." } },
        ));
    }
    let series = Series { label: String::new(), points, errors, style: Style::Both, colour: 1 };
    let chart = Chart {
        title: format!("{}, {} less {twin}", of.benchmark, of.run),
        x: axis("tokens", Scale::Linear),
        y: axis(unit(of.score), Scale::Linear),
        series: vec![series],
        marks: std::iter::once(Mark::Y(0.0, "none".to_owned())).chain(exposures_at(&of.comparison)).collect(),
    };
    let caption = html! {
        ": how much more a leaked item that was seen has gained on the twin, which never saw it, than a clean item has. Bars are 95 % intervals."
    };
    figure(&chart, &caption).map(Some)
}

fn by_checkpoint(of: &Exposed) -> Markup {
    let cell = |group: Option<Group>| {
        html! {
            @if let Some(group) = group {
                (three_digits(group.mean))
                @if let Some(error) = group.stderr { span.error { " ± " (three_digits(error)) } }
                small { " " (grouped(group.items as u64)) }
            } @else { "–" }
        }
    };
    let difference = |value: Option<f64>, interval: Option<Interval>| {
        html! {
            @if let Some(value) = value { (signed(value)) @if interval.is_some() { span.error { " " (ends(interval)) } } } @else { "–" }
        }
    };
    html! {
        div.scroll {
            table {
                caption { "By checkpoint: " (unit(of.score)) ", mean ± standard error, and items" }
                thead { tr {
                    th.num { "Step" } th.num { "Clean" } th.num { "Seen" } th.num { "Not seen" } th.num { "Seen − clean" }
                    @if let Some((twin, _)) = &of.twin { th.num { "Gain on " (twin) } }
                } }
                tbody {
                    @for at in &of.comparison.checkpoints {
                        tr {
                            td.num { (grouped(at.checkpoint.step.get())) }
                            td.num { (cell(at.clean)) }
                            td.num { (cell(at.seen)) }
                            td.num { (cell(at.unseen)) }
                            td.num { (difference(at.difference, at.interval)) }
                            @if let Some((_, twin)) = &of.twin {
                                @let there = twin.checkpoints.iter().find(|there| there.checkpoint.step == at.checkpoint.step);
                                td.num { (difference(there.and_then(|at| at.difference), there.and_then(|at| at.interval))) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The leaked items, with the steps at which they were seen.
fn listed(of: &Exposed) -> Markup {
    let leaked = &of.comparison.leaked;
    html! {
        div.scroll {
            table {
                caption {
                    @if leaked.len() > LISTED { "The first " (LISTED) " of " (grouped(leaked.len() as u64)) " leaked items" } @else { "Leaked items" }
                }
                thead { tr { th { "Item" } th { "Seen at steps" } th.num { "Before" } th.num { "After" } th.num { "Last" } th.num { "Change" } th.num { "To the last" } } }
                tbody { @for item in leaked.iter().take(LISTED) { (row(item)) } }
            }
        }
    }
}

fn row(item: &LeakedItem) -> Markup {
    let at = |at: Option<(Step, f64)>| {
        html! { @if let Some((step, score)) = at { (three_digits(score)) small { " " (grouped(step.get())) } } @else { "–" } }
    };
    let change = |change: Option<f64>| html! { @if let Some(change) = change { (signed(change)) } @else { "–" } };
    let steps: Vec<String> = item.exposures.iter().take(STEPS).map(|step| grouped(step.get())).collect();
    html! {
        tr {
            td { (item.item) @if let Some(reason) = item.not_compared { br; small { (why(reason)) } } }
            td {
                (steps.join(", "))
                @if item.exposures.len() > STEPS { " and " (grouped((item.exposures.len() - STEPS) as u64)) " more" }
                @if steps.is_empty() { "–" }
            }
            td.num { (at(item.before)) }
            td.num { (at(item.after)) }
            td.num { (at(item.last)) }
            td.num { (change(item.change)) }
            td.num { (change(item.last_change)) }
        }
    }
}

/// A table as text, to be copied.
fn data(name: &str, table: &DataTable) -> Markup {
    html! { details.data { summary { (name) " as CSV" } pre { (table.csv()) } } }
}

fn signed(value: f64) -> String {
    let text = three_digits(value.abs());
    match value {
        _ if text.chars().all(|c| matches!(c, '0' | '.')) => text,
        value if value < 0.0 => format!("−{text}"),
        _ => format!("+{text}"),
    }
}

fn ends(interval: Option<Interval>) -> String {
    interval.map_or_else(|| "–".to_owned(), |of| format!("{} to {}", signed(of.low), signed(of.high)))
}

fn probability(p: f64) -> String {
    if p < 0.001 { format!("{p:.1e}") } else { format!("{p:.3}") }
}
