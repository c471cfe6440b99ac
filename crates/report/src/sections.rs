//! The parts of the page about the release itself: how it was made, and the results.

use maud::{Markup, PreEscaped, html};
use retrace_spec::Manifest;

use crate::ReportError;
use crate::figure::Figures;
use crate::numbers::{brief, grouped, percent, round, size};
use crate::plot::{Axis, Chart, Mark, Scale, Series, Style};
use crate::release::{Cleaning, Loss, MetricOverTokens, Part, kinds, steps};

mod contamination;

pub(crate) use contamination::contamination;

/// The colour of each run, the same in every chart: by size, then by name.
pub(crate) struct Colours(Vec<String>);

impl Colours {
    pub(crate) fn new(parts: &[Part]) -> Self {
        let mut runs: Vec<String> = Vec::new();
        let mut add = |run: &String| {
            if !runs.contains(run) {
                runs.push(run.clone());
            }
        };
        for part in parts {
            match part {
                Part::Training(losses) => losses.iter().for_each(|loss| add(&loss.run)),
                Part::Evaluation(metrics) => {
                    metrics.iter().flat_map(|metric| &metric.runs).for_each(|of| add(&of.run));
                }
                Part::Figures(all) => all.iter().flat_map(Figures::runs).for_each(&mut add),
                Part::Scaling(report) => {
                    report.points.rows().iter().filter_map(|point| point.run.as_ref()).for_each(&mut add);
                }
                Part::Cleaning(_) | Part::Contamination(_) | Part::Exposure(_) => {}
            }
        }
        Self(runs)
    }

    pub(crate) fn of(&self, run: &str) -> usize {
        self.0.iter().position(|name| name == run).unwrap_or(self.0.len())
    }
}

pub(crate) fn section(id: &str, title: &str, lead: &Markup, body: &Markup) -> Markup {
    html! {
        section id=(id) {
            h2 { (title) }
            p.lead { (lead) }
            (body)
        }
    }
}

pub(crate) fn made(manifest: &Manifest) -> Markup {
    let (kinds, steps) = (kinds(manifest), steps(manifest));
    let files: u64 = kinds.iter().map(|kind| kind.files).sum();
    let bytes: u64 = kinds.iter().map(|kind| kind.bytes).sum();
    let lead = html! {
        (grouped(files)) " sealed files, " (size(bytes)) "."
        @if !steps.is_empty() {
            " Each step is written down with the document that says how it was done, what it read and what it made; every file by its digest."
        }
    };
    let body = html! {
        @if !steps.is_empty() {
            div.scroll {
                table {
                    thead { tr { th { "Step" } th.slim { "Did" } th { "As said in" } th.num { "Read" } th.num { "Made" } th.num.slim { "Numerics" } } }
                    tbody {
                        @for step in &steps {
                            tr {
                                td { strong { (step.id) } }
                                td.slim { (step.kind) }
                                td {
                                    @if step.config.is_empty() { "–" } @else { span.path { (step.config) } }
                                    @if !step.digest.is_empty() { " " code.digest title=(step.digest) { (brief(&step.digest)) } }
                                }
                                td.num { (grouped(step.inputs)) }
                                td.num { (grouped(step.outputs)) }
                                td.num.slim { @if let Some(version) = step.numerics { (version) } @else { "–" } }
                            }
                        }
                    }
                }
            }
        }
        @if !kinds.is_empty() {
            dl.kinds {
                @for kind in &kinds {
                    div { dt { (kind.kind) } dd { (grouped(kind.files)) span { (size(kind.bytes)) } } }
                }
            }
        }
    };
    section("made", "How it was made", &lead, &body)
}

pub(crate) fn figure(chart: &Chart, caption: &Markup) -> Result<Markup, ReportError> {
    Ok(html! {
        figure {
            figcaption { strong { (chart.title) } (caption) }
            (PreEscaped(chart.svg()?))
        }
    })
}

pub(crate) fn axis(label: &str, scale: Scale) -> Axis {
    Axis { label: label.to_owned(), scale, whole: false }
}

fn run_label(run: &str, params: Option<u64>) -> String {
    params.map_or_else(|| run.to_owned(), |params| format!("{run} {}", round(params as f64)))
}

pub(crate) fn losses(losses: &[Loss], colours: &Colours) -> Result<Markup, ReportError> {
    let mut marks: Vec<(String, f64)> = Vec::new();
    for (name, at) in losses.iter().flat_map(|loss| &loss.phases) {
        if !marks.iter().any(|(other, there)| other == name && (there - at).abs() <= f64::EPSILON * at) {
            marks.push((name.clone(), *at));
        }
    }
    let series = losses.iter().map(|loss| Series {
        label: run_label(&loss.run, loss.params),
        points: loss.points.clone(),
        errors: Vec::new(),
        style: Style::Line,
        colour: colours.of(&loss.run),
    });
    let chart = Chart {
        title: "Training loss".to_owned(),
        x: axis("tokens", Scale::Linear),
        y: axis("nats a token", Scale::Log),
        series: series.collect(),
        marks: marks.iter().map(|(name, at)| Mark::X(*at, name.clone())).collect(),
    };
    let lead = html! { "The loss of every step, before its update, as the journals have it." };
    let caption = html! {
        @if !marks.is_empty() { " A dashed line marks where a phase begins." }
    };
    let rows = html! {
        div.scroll {
            table {
                thead { tr { th { "Run" } th.num { "Parameters" } th.num { "Steps" } th.num { "Tokens" } th.num { "Last loss" } } }
                tbody {
                    @for loss in losses {
                        @if let Some((tokens, last)) = loss.points.last() {
                            tr {
                                td { strong { (loss.run) } }
                                td.num { @if let Some(params) = loss.params { (grouped(params)) } @else { "–" } }
                                td.num { (grouped(loss.points.len() as u64)) }
                                td.num { (grouped(*tokens as u64)) }
                                td.num { (format!("{last:.3}")) }
                            }
                        }
                    }
                }
            }
        }
    };
    let body = html! { div.figures.beside { (figure(&chart, &caption)?) (rows) } };
    Ok(section("loss", "Training", &lead, &body))
}

pub(crate) fn metrics(metrics: &[MetricOverTokens], colours: &Colours) -> Result<Markup, ReportError> {
    // The length-normalised accuracy is in the table; its charts would show the same twice.
    let charted = |of: &&MetricOverTokens| {
        of.metric != "acc_norm" || !metrics.iter().any(|other| other.task == of.task && other.metric == "acc")
    };
    let mut figures = Vec::new();
    for of in metrics.iter().filter(charted) {
        let series = of.runs.iter().map(|run| Series {
            label: run.run.clone(),
            points: run.points.clone(),
            errors: if run.errors.iter().all(|error| error.is_nan()) { Vec::new() } else { run.errors.clone() },
            style: Style::Both,
            colour: colours.of(&run.run),
        });
        let (name, better) = match of.metric.as_str() {
            "bits_per_byte" => ("bits per byte", "lower is better"),
            "acc" => ("accuracy", "higher is better"),
            "acc_norm" => ("accuracy by character", "higher is better"),
            other => (other, ""),
        };
        let chart = Chart {
            title: of.task.clone(),
            x: axis("tokens", Scale::Linear),
            // The first checkpoint's high value would leave too little space for the others.
            y: axis(name, if of.metric == "bits_per_byte" { Scale::Log } else { Scale::Linear }),
            series: series.collect(),
            marks: of.chance.iter().map(|chance| Mark::Y(*chance, "a guess".to_owned())).collect(),
        };
        let barred = chart.series.iter().any(|series| !series.errors.is_empty());
        let caption = html! {
            " " (name) @if !better.is_empty() { ", " (better) }
            @if barred { "; bars are one standard error" }
        };
        figures.push(figure(&chart, &caption)?);
    }
    let lead = html! { "The scores of each checkpoint." };
    let body = html! {
        div.figures { @for figure in &figures { (figure) } }
        (last_values(metrics, colours))
    };
    Ok(section("metrics", "Evaluation", &lead, &body))
}

/// The last checkpoint's values: one row per metric, one column per run.
fn last_values(metrics: &[MetricOverTokens], colours: &Colours) -> Markup {
    let runs: Vec<&String> = colours
        .0
        .iter()
        .filter(|run| metrics.iter().any(|metric| metric.runs.iter().any(|of| of.run == **run)))
        .collect();
    html! {
        div.scroll {
            table {
                caption { "At each run's last checkpoint" }
                thead { tr { th { "Task" } th { "Metric" } @for run in &runs { th.num { (run) } } th.num { "A guess" } } }
                tbody {
                    @for metric in metrics {
                        tr {
                            td { (metric.task) }
                            td { code { (metric.metric) } }
                            @for run in &runs {
                                td.num {
                                    @let of = metric.runs.iter().find(|of| of.run == **run);
                                    @if let Some((value, error)) = of.and_then(|of| Some((of.points.last()?.1, of.errors.last()?))) {
                                        (format!("{value:.3}"))
                                        @if error.is_finite() { span.error { " ± " (format!("{error:.3}")) } }
                                    } @else { "–" }
                                }
                            }
                            td.num { @if let Some(chance) = metric.chance { (format!("{chance:.3}")) } @else { "–" } }
                        }
                    }
                }
            }
        }
    }
}

pub(crate) fn cleaned(cleaning: &Cleaning) -> Markup {
    let Cleaning { documents, kept, cut, dropped } = cleaning;
    let share = |count: u64| if *documents == 0 { 0.0 } else { count as f64 / *documents as f64 };
    let lead = html! {
        (grouped(*kept)) " of " (grouped(*documents)) " documents were kept (" (percent(share(*kept))) "). Every other one is in the ledger, with the rule that dropped it and what the rule saw."
        @if *cut > 0 {
            " Of the kept ones " (grouped(*cut)) " had items of benchmarks in their text, and were cut; the ledger says where."
        }
    };
    let row = |name: &str, count: u64, class: &str| {
        html! {
            tr class=(class) {
                td { (name) }
                td.num { (grouped(count)) }
                td.num { (percent(share(count))) }
                td.bar { span style=(format!("width:{:.2}%", 100.0 * share(count))) {} }
            }
        }
    };
    let body = html! {
        div.scroll {
            table {
                thead { tr { th { "Rule" } th.num { "Documents" } th.num { "Share" } td.bar {} } }
                tbody {
                    @for (rule, count) in dropped { (row(&rule.replace('_', " "), *count, "")) }
                    (row("kept", *kept, "total"))
                }
            }
        }
    };
    section("cleaning", "Cleaning", &lead, &body)
}
