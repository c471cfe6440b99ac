//! The page of a report of scaling laws.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use maud::{Markup, html};
use retrace_analysis::scaling::{
    Compared, LawName, LawReport, Options, Parabola, Point, Points, Prediction, Report, Resampling, Tested, parabolas,
};
use retrace_spec::recipe::ParamsUnit;

use crate::ReportError;
use crate::numbers::{grouped, percent, round};
use crate::page::document;
use crate::plot::{Bar, Bars, Chart, Mark, Scale, Series, Style};
use crate::sections::{axis, figure, loss_unit, section};

/// The links to the data have the colour of the text around them.
const STYLE: &str = "a { color: inherit; }\n";

/// A page and the data of its charts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScalingPage {
    /// The page, one HTML file.
    pub html: String,
    /// The points of each chart as CSV, by the name of the file.
    pub data: BTreeMap<String, String>,
}

/// The page of `report`, which was made from `points`. `made` says with which arguments.
///
/// # Errors
/// If a chart cannot be drawn.
pub fn scaling_page(
    title: &str,
    report: &Report,
    points: &Points,
    options: &Options,
    made: &str,
) -> Result<ScalingPage, ReportError> {
    let mut charts = Charts { data: BTreeMap::new() };
    let sections = [
        laws(report),
        charts.of_points(report, points)?,
        charts.of_fit(report, points)?,
        charts.of_budgets(points, options)?,
        frontier(report),
        predictions(report),
        charts.of_tests(report)?,
        again(made),
    ];
    let head = html! {
        p.lead {
            (grouped(report.points as u64)) " points of " (grouped(report.runs as u64)) " runs. N counts "
            (params_unit(report.params_unit)) "; the loss is in " (report.loss_unit.map_or("an unknown unit", loss_unit)) "."
            @if report.along_runs > 0 {
                " " (grouped(report.along_runs as u64)) " points are not the last of their run."
            }
        }
    };
    let main = html! { @for section in &sections { (section) } };
    let footer = html! { "Made by retrace. The same points and arguments give the same page." };
    Ok(ScalingPage { html: document("Scaling report", title, STYLE, &head, &main, &footer), data: charts.data })
}

const fn params_unit(unit: Option<ParamsUnit>) -> &'static str {
    match unit {
        Some(ParamsUnit::Total) => "all parameters, embeddings too",
        Some(ParamsUnit::NonEmbedding) => "the parameters without embeddings",
        None => "parameters of an unknown unit",
    }
}

/// A number of a law, in four digits.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if (0.001..100_000.0).contains(&size) => {
            let places = (3 - libm::floor(libm::log10(size)) as i32).clamp(0, 6) as usize;
            format!("{value:.places$}")
        }
        _ => format!("{value:.3e}"),
    }
}

fn between([low, high]: [f64; 2]) -> String {
    format!("{} to {}", number(low), number(high))
}

/// The form of a law, as its paper has it.
const fn form(law: LawName) -> &'static str {
    match law {
        LawName::Kaplan => "L = [(N_c/N)^(α_N/α_D) + D_c/D]^α_D",
        LawName::Hoffmann1 => "N_opt = G_N C^a, D_opt = G_D C^b, from the least loss at each C",
        LawName::Hoffmann2 => "N_opt = G_N C^a, D_opt = G_D C^b, from parabolas at equal C",
        LawName::Hoffmann3 => "L = E + A/N^α + B/D^β",
        LawName::Neo => "L = E + A/N^α + B/D^β − d ln D",
        LawName::DataConstrained => "L = E + A/N'^α + B/D'^β, N' and D' lower for repeated tokens",
        LawName::TwoStep => "L = E + A/N^α + B/D^β on the task; accuracy = a/(1 + exp(−k (L − L₀))) + b",
        LawName::VariableProjection => "L = E + A/N^α + B/D^β, least squares on L",
        LawName::Bounded => "L = E + (L₀ − E) h/(1 + h), h = a/N^α + b/T^β + c N^γ/D^δ",
    }
}

fn laws(report: &Report) -> Markup {
    let lead = html! { "Each law is fitted by the procedure of its paper, unless the arguments below say otherwise." };
    let body = html! { @for law in &report.laws { (one_law(law)) } };
    section("laws", "Laws", &lead, &body)
}

fn one_law(law: &LawReport) -> Markup {
    html! {
        div.benchmark {
            h3 { (law.law.name()) }
            p { (form(law.law)) }
            @match &law.failed {
                Some(why) => p.law { "Not fitted: " (why) "." },
                None => (fitted(law)),
            }
        }
    }
}

fn fitted(law: &LawReport) -> Markup {
    let intervals = !law.intervals.is_empty();
    html! {
        div.scroll {
            table {
                thead { tr { th { "Parameter" } th.num { "Value" } @if intervals { th.num { "Interval" } } } }
                tbody {
                    @for name in law.law.parameters() {
                        @if let Some(value) = law.parameters.get(*name) {
                            tr {
                                td { (name) }
                                td.num { (number(*value)) }
                                @if intervals {
                                    td.num { @if let Some(interval) = law.intervals.get(*name) { (between(*interval)) } @else { "–" } }
                                }
                            }
                        }
                    }
                }
            }
        }
        p {
            (grouped(law.points as u64)) " points of " (grouped(law.sizes as u64)) " sizes. "
            @if let Some(objective) = law.objective { "Objective " (format!("{objective:.6e}")) ". " }
            @if let Some(r2) = law.r2 { "R² " (format!("{r2:.4}")) ", over the points that were fitted. " }
            @if let Some(starts) = law.starts {
                (grouped(starts.reached as u64)) " of " (grouped(starts.tried as u64)) " starts reached the best optimum"
                @if starts.converged { ", and it converged. " } @else { ", and it did not converge. " }
            }
            @if let Some(found) = law.bootstrap {
                "Intervals hold " (percent(found.bootstrap.level)) " of " (grouped(found.bootstrap.samples as u64))
                " bootstrap samples by " (by(found.bootstrap.by)) ", seed " (found.bootstrap.seed)
                @if found.failed > 0 { "; " (grouped(found.failed as u64)) " samples gave no law and are left out" }
                "."
            }
        }
        @if !law.warnings.is_empty() {
            p { "Read it with care:" }
            ul.findings { @for told in &law.warnings { li { (told.text) } } }
        }
    }
}

const fn by(resampling: Resampling) -> &'static str {
    match resampling {
        Resampling::Run => "run",
        Resampling::Case => "point",
        Resampling::Parametric => "new losses around the law",
    }
}

/// The first law that was fitted and says a loss.
fn first_with_loss(report: &Report) -> Option<&LawReport> {
    report.laws.iter().find(|law| law.failed.is_none() && law.law.has_loss())
}

/// Charts, and the data of those that were drawn.
struct Charts {
    data: BTreeMap<String, String>,
}

impl Charts {
    /// A chart with its caption, and its points as CSV.
    fn draw(&mut self, name: &str, chart: &Chart, caption: &str) -> Result<Markup, ReportError> {
        let file = format!("{name}.csv");
        let drawn = figure(chart, &html! { " " (caption) br; small { "Data: " a href=(file) { (file) } } })?;
        self.data.insert(file, csv(chart));
        Ok(drawn)
    }

    fn of_points(&mut self, report: &Report, points: &Points) -> Result<Markup, ReportError> {
        let unit = report.loss_unit.map_or("loss", loss_unit);
        let mut series = by_size(points, |p| (p.compute(), p.loss));
        let mut caption = "Points by size.";
        if let Some((law, fit)) = first_with_loss(report).and_then(|law| Some((law, &law.fitted.as_ref()?.fit))) {
            let best = law.frontier.iter().map(|at| (at.best.compute, fit.loss(at.best.params, at.best.tokens)));
            let best: Vec<(f64, f64)> = best.filter(|(_, loss)| loss.is_finite()).collect();
            if best.len() > 1 {
                caption = "Points by size; the dashed line is the least loss for a compute by the first law, two powers of ten beyond the points.";
                let colour = series.len();
                series.push(Series {
                    label: law.law.name().to_owned(),
                    points: best,
                    errors: Vec::new(),
                    style: Style::Dashed,
                    colour,
                });
            }
        }
        let chart = Chart {
            title: "Loss by compute".to_owned(),
            x: axis("training compute, floating-point operations", Scale::Log),
            y: axis(unit, Scale::Log),
            series,
            marks: Vec::new(),
        };
        let mut figures = vec![self.draw("loss-by-compute", &chart, caption)?];
        if let Some(contours) = contours(report, points) {
            let caption = "Curves of equal loss by the first law, the points, and the best size for each compute.";
            figures.push(self.draw("contours", &contours, caption)?);
        }
        let lead = html! { "What was fitted." };
        Ok(section("points", "Points", &lead, &html! { div.figures { @for figure in &figures { (figure) } } }))
    }

    fn of_fit(&mut self, report: &Report, points: &Points) -> Result<Markup, ReportError> {
        let mut figures = Vec::new();
        let with_loss = report.laws.iter().filter(|law| law.law.has_loss()).filter_map(|law| law.fitted.as_ref());
        let series: Vec<Series> = with_loss
            .enumerate()
            .map(|(colour, fitted)| Series {
                label: fitted.fit.law.name().to_owned(),
                points: points
                    .rows()
                    .iter()
                    .map(|p| (p.compute(), 100.0 * libm::log(p.loss / fitted.fit.loss_at(p))))
                    .filter(|(_, missed)| missed.is_finite())
                    .collect(),
                errors: Vec::new(),
                style: Style::Points,
                colour,
            })
            .filter(|series| !series.points.is_empty())
            .collect();
        if !series.is_empty() {
            let chart = Chart {
                title: "Residuals".to_owned(),
                x: axis("training compute, floating-point operations", Scale::Log),
                y: axis("observed above the law, %", Scale::Linear),
                series,
                marks: vec![Mark::Y(0.0, "law".to_owned())],
            };
            figures.push(self.draw("residuals", &chart, "100 times ln(observed / law).")?);
        }
        if let Some(law) = report.laws.iter().find(|law| law.fitted.as_ref().is_some_and(|f| f.samples.len() > 1)) {
            for (at, name) in law.law.parameters().iter().enumerate() {
                let Some(chart) = posterior(law, name, at) else { continue };
                let file = format!("samples-{}", name.replace('_', "-"));
                figures.push(self.draw(&file, &chart, "Its values over the bootstrap samples.")?);
            }
        }
        let lead = html! { "How well the laws follow the points, and how far their parameters are determined." };
        Ok(section("fit", "Fit", &lead, &html! { div.figures { @for figure in &figures { (figure) } } }))
    }

    fn of_budgets(&mut self, points: &Points, options: &Options) -> Result<Markup, ReportError> {
        let found = parabolas(points, options);
        if found.is_empty() {
            return Ok(html! {});
        }
        let chart = parabolas_chart(&found);
        let drawn = self.draw("isoflop", &chart, "Points of equal compute, and the parabola through each group.")?;
        let body = html! {
            div.figures.beside {
                (drawn)
                div.scroll {
                    table {
                        thead { tr { th.num { "Compute" } th.num { "Points" } th.num { "Best size" } th.num { "Loss there" } } }
                        tbody {
                            @for parabola in &found {
                                tr {
                                    td.num { (format!("{:.2e}", parabola.compute)) }
                                    td.num { (parabola.points.len()) }
                                    td.num { (round(parabola.params)) }
                                    td.num { (number(parabola.loss)) }
                                }
                            }
                        }
                    }
                }
            }
        };
        let lead = html! { "Groups of points whose computes are within a factor of " (options.isoflop) ", of three or more sizes." };
        Ok(section("isoflop", "Equal compute", &lead, &body))
    }

    fn of_tests(&mut self, report: &Report) -> Result<Markup, ReportError> {
        let tested = |Compared { law, tested, .. }: &Compared| Some((*law, tested.clone()?));
        let all: Vec<(LawName, Tested)> = report.compared.iter().filter_map(tested).collect();
        let rolling: Vec<Series> = report
            .laws
            .iter()
            .filter(|law| !law.rolling.is_empty())
            .enumerate()
            .map(|(colour, law)| Series {
                label: law.law.name().to_owned(),
                points: law.rolling.iter().map(|test| (test.factor, 100.0 * test.error)).collect(),
                errors: Vec::new(),
                style: Style::Both,
                colour,
            })
            .collect();
        let mut figures = Vec::new();
        if !all.is_empty() {
            let bars = Bars {
                title: "Error on held-out compute".to_owned(),
                label: "error of the loss, %".to_owned(),
                bars: all
                    .iter()
                    .map(|(law, test)| Bar { label: law.name().to_owned(), value: 100.0 * test.error, error: None })
                    .collect(),
            };
            let mut data = String::from("law,points held out,compute factor,error,bias,error of fitted points\n");
            for (law, test) in &all {
                let Tested { held, factor, error, bias, error_kept } = test;
                let _ = writeln!(data, "{},{held},{factor},{error},{bias},{error_kept}", law.name());
            }
            let file = "held-out.csv";
            self.data.insert(file.to_owned(), data);
            figures.push(html! {
                figure {
                    figcaption {
                        strong { (bars.title) } " The root mean square over the runs of the largest computes, which were not fitted."
                        br; small { "Data: " a href=(file) { (file) } }
                    }
                    (maud::PreEscaped(bars.svg()?))
                }
            });
        }
        if !rolling.is_empty() {
            let chart = Chart {
                title: "Extrapolation".to_owned(),
                x: axis("compute, times the largest that was fitted", Scale::Log),
                y: axis("error of the loss, %", Scale::Linear),
                series: rolling,
                marks: Vec::new(),
            };
            figures.push(self.draw(
                "extrapolation",
                &chart,
                "The law fitted below a cut of compute, tested above it.",
            )?);
        }
        let lead = html! { "How well a law foretells points that it was not fitted to. R² on fitted points says nothing of this." };
        let body = html! {
            div.figures { @for figure in &figures { (figure) } }
            div.scroll {
                table {
                    thead { tr { th { "Law" } th { "Test" } th.num { "Held out" } th.num { "Compute, times" } th.num { "Error" } th.num { "Bias" } th.num { "Error on fitted" } } }
                    tbody {
                        @for Compared { law, tested, failed } in &report.compared {
                            @match tested {
                                Some(test) => (row(*law, "largest computes", test)),
                                None => tr { td { (law.name()) } td colspan="6" { "not tested: " (failed.clone().unwrap_or_default()) } },
                            }
                        }
                        @for law in &report.laws {
                            @if let Some(test) = &law.without_largest { (row(law.law, "largest models", test)) }
                        }
                    }
                }
            }
        };
        Ok(section("tests", "Held-out points", &lead, &body))
    }
}

fn row(law: LawName, what: &str, test: &Tested) -> Markup {
    html! {
        tr {
            td { (law.name()) }
            td { (what) }
            td.num { (test.held) }
            td.num { (number(test.factor)) }
            td.num { (percent(test.error)) }
            td.num { (percent(test.bias)) }
            td.num { (percent(test.error_kept)) }
        }
    }
}

/// The points in at most six groups of sizes.
fn by_size(points: &Points, place: impl Fn(&Point) -> (f64, f64)) -> Vec<Series> {
    const GROUPS: usize = 6;
    let mut sizes: Vec<f64> = points.rows().iter().map(|p| p.params).collect();
    sizes.sort_by(f64::total_cmp);
    sizes.dedup();
    let groups = sizes.len().min(GROUPS);
    let group = |params: f64| {
        let rank = sizes.partition_point(|size| *size < params);
        rank * groups / sizes.len().max(1)
    };
    (0..groups)
        .map(|at| {
            let of = || points.rows().iter().filter(|p| group(p.params) == at);
            let least = of().map(|p| p.params).fold(f64::INFINITY, f64::min);
            let most = of().map(|p| p.params).fold(0.0, f64::max);
            let label = match least == most {
                true => round(least),
                false => format!("{} to {}", round(least), round(most)),
            };
            Series { label, points: of().map(&place).collect(), errors: Vec::new(), style: Style::Points, colour: at }
        })
        .collect()
}

/// Curves of equal loss over N and D, with the points and the frontier.
fn contours(report: &Report, points: &Points) -> Option<Chart> {
    const LEVELS: usize = 6;
    const PLACES: u32 = 48;
    let law = first_with_loss(report)?;
    let fit = &law.fitted.as_ref()?.fit;
    let ends = |of: fn(&Point) -> f64| {
        let values = points.rows().iter().map(of);
        (values.clone().fold(f64::INFINITY, f64::min), values.fold(0.0, f64::max))
    };
    let ((n_low, n_high), (d_low, d_high), (low, high)) = (ends(|p| p.params), ends(|p| p.tokens), ends(|p| p.loss));
    let mut series = Vec::new();
    for level in 1..=LEVELS {
        let loss = low * libm::pow(high / low, (level as f64 - 0.5) / LEVELS as f64);
        let at = |place: u32| {
            let params = n_low / 2.0 * libm::pow(4.0 * n_high / n_low, f64::from(place) / f64::from(PLACES - 1));
            // The loss falls with tokens: by bisection of ln D.
            let (mut least, mut most) = (libm::log(d_low / 4.0), libm::log(d_high * 4.0));
            let above = |tokens: f64| fit.loss(params, libm::exp(tokens)) > loss;
            if !above(least) || above(most) {
                return None;
            }
            for _ in 0..60 {
                let middle = 0.5 * (least + most);
                if above(middle) { least = middle } else { most = middle }
            }
            Some((params, libm::exp(0.5 * (least + most))))
        };
        let curve: Vec<(f64, f64)> = (0..PLACES).filter_map(at).collect();
        if curve.len() > 1 {
            series.push(Series {
                label: number(loss),
                points: curve,
                errors: Vec::new(),
                style: Style::Line,
                colour: 5,
            });
        }
    }
    let dots = points.rows().iter().map(|p| (p.params, p.tokens)).collect();
    series.push(Series { label: String::new(), points: dots, errors: Vec::new(), style: Style::Points, colour: 0 });
    let inside =
        |(n, d): &(f64, f64)| (n_low / 2.0..=n_high * 2.0).contains(n) && (d_low / 4.0..=d_high * 4.0).contains(d);
    let best: Vec<(f64, f64)> = law.frontier.iter().map(|at| (at.best.params, at.best.tokens)).filter(inside).collect();
    if best.len() > 1 {
        series.push(Series {
            label: "best".to_owned(),
            points: best,
            errors: Vec::new(),
            style: Style::Dashed,
            colour: 1,
        });
    }
    Some(Chart {
        title: "Loss over size and data".to_owned(),
        x: axis("parameters", Scale::Log),
        y: axis("tokens", Scale::Log),
        series,
        marks: Vec::new(),
    })
}

/// The parameter's bootstrap samples, counted in 30 equal parts of the range of the middle 99 %.
fn posterior(law: &LawReport, name: &str, at: usize) -> Option<Chart> {
    const PARTS: usize = 30;
    let fitted = law.fitted.as_ref()?;
    let mut values: Vec<f64> =
        fitted.samples.iter().filter_map(|s| s.get(at).copied()).filter(|v| v.is_finite()).collect();
    values.sort_by(f64::total_cmp);
    let end = |part: f64| values.get((part * (values.len().saturating_sub(1)) as f64) as usize).copied();
    let (low, high) = (end(0.005)?, end(0.995)?);
    if high <= low {
        return None;
    }
    let width = (high - low) / PARTS as f64;
    let mut counts = [0u32; PARTS];
    for value in values.iter().filter(|value| (low..=high).contains(*value)) {
        counts[(((value - low) / width) as usize).min(PARTS - 1)] += 1;
    }
    let points = counts.iter().enumerate().map(|(k, n)| (low + (k as f64 + 0.5) * width, f64::from(*n))).collect();
    let mut marks = Vec::new();
    if let Some(value) = law.parameters.get(name) {
        marks.push(Mark::X(*value, number(*value)));
    }
    Some(Chart {
        title: format!("{}: {name}", law.law.name()),
        x: axis(name, Scale::Linear),
        y: axis("samples", Scale::Linear),
        series: vec![Series { label: String::new(), points, errors: Vec::new(), style: Style::Line, colour: 0 }],
        marks,
    })
}

fn parabolas_chart(found: &[Parabola]) -> Chart {
    const PLACES: u32 = 32;
    let mut series = Vec::new();
    for (colour, parabola) in found.iter().enumerate() {
        let (Some((first, _)), Some((last, _))) = (parabola.points.first(), parabola.points.last()) else { continue };
        let at = |place: u32| first * libm::pow(last / first, f64::from(place) / f64::from(PLACES - 1));
        let curve = (0..PLACES).map(|place| (at(place), parabola.loss_at(at(place)))).collect();
        let line = Series { label: String::new(), points: curve, errors: Vec::new(), style: Style::Dashed, colour };
        let label = format!("{:.0e}", parabola.compute);
        let points =
            Series { label, points: parabola.points.clone(), errors: Vec::new(), style: Style::Points, colour };
        series.extend([line, points]);
    }
    Chart {
        title: "Loss by size at equal compute".to_owned(),
        x: axis("parameters", Scale::Log),
        y: axis("loss", Scale::Linear),
        series,
        marks: Vec::new(),
    }
}

fn frontier(report: &Report) -> Markup {
    let with: Vec<&LawReport> = report.laws.iter().filter(|law| !law.frontier.is_empty()).collect();
    if with.is_empty() {
        return html! {};
    }
    let body = html! {
        div.scroll {
            table {
                thead { tr { th { "Law" } th.num { "Compute" } th.num { "Parameters" } th.num { "Tokens" } th.num { "Tokens per parameter" } } }
                tbody {
                    @for law in &with {
                        @for at in &law.frontier {
                            tr {
                                td { (law.law.name()) }
                                td.num { (format!("{:.0e}", at.best.compute)) }
                                td.num { (round(at.best.params)) @if let Some(i) = at.intervals { span.error { " " (round(i.params[0])) " to " (round(i.params[1])) } } }
                                td.num { (round(at.best.tokens)) @if let Some(i) = at.intervals { span.error { " " (round(i.tokens[0])) " to " (round(i.tokens[1])) } } }
                                td.num { (number(at.best.tokens_per_param)) @if let Some(i) = at.intervals { span.error { " " (between(i.tokens_per_param)) } } }
                            }
                        }
                    }
                }
            }
        }
    };
    let lead = html! { "The size and the number of tokens with the least loss for a training compute of 6 N D. The last two rows of a law are beyond the points." };
    section("frontier", "Compute-optimal models", &lead, &body)
}

fn predictions(report: &Report) -> Markup {
    let all: Vec<&Prediction> = report.laws.iter().flat_map(|law| &law.predictions).flatten().collect();
    if all.is_empty() {
        return html! {};
    }
    let interval = |interval: Option<[f64; 2]>| interval.map_or_else(|| "–".to_owned(), between);
    let body = html! {
        div.scroll {
            table {
                thead { tr { th { "Law" } th.num { "Parameters" } th.num { "Tokens" } th.num { "Loss" } th.num { "Of the law" } th.num { "Of a run" } } }
                tbody {
                    @for of in &all {
                        tr {
                            td { (of.law.name()) }
                            td.num { (round(of.params)) }
                            td.num { (round(of.tokens)) }
                            td.num { @if let Some(loss) = of.loss { (number(loss)) } @else { "–" } }
                            td.num { (interval(of.loss_interval)) }
                            td.num { (interval(of.run_interval)) }
                        }
                        @for warning in &of.warnings { tr { td colspan="6" { (warning) } } }
                    }
                }
            }
        }
    };
    let lead = html! { "What the laws say of models that were not trained. The interval of a run is what its loss is compared with later." };
    section("predictions", "Predictions", &lead, &body)
}

fn again(made: &str) -> Markup {
    let lead = html! { "The points and these arguments made this page, on any machine:" };
    section("again", "Make it yourself", &lead, &html! { pre { code { (made) } } })
}

/// The points of a chart as CSV.
fn csv(chart: &Chart) -> String {
    let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let mut out = format!("series,{},{}\n", quoted(&chart.x.label), quoted(&chart.y.label));
    for series in &chart.series {
        for (x, y) in &series.points {
            let _ = writeln!(out, "{},{x},{y}", quoted(&series.label));
        }
    }
    out
}
