//! The charts of a report of scaling laws, and the tables beside them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use retrace_analysis::scaling::{Compared, LawReport, Parabola, Point, Points, Report, Tested, parabolas};
use retrace_spec::recipe::scaling::LawName;

use super::block::{Block, Drawing, Figure, Section, Table};
use super::{loss_unit, number, quoted};
use crate::numbers::{percent, round};
use crate::plot::{Bar, Bars, Chart, Mark, Scale, Series, Style};
use crate::sections::axis;

/// The first law that was fitted, says a loss, and has the exponents of a law.
fn first_with_loss(report: &Report) -> Option<&LawReport> {
    report.laws.iter().find(|law| law.is_plausible() && law.law.has_loss())
}

/// A chart with its points as CSV.
fn figure(name: &str, chart: Chart, caption: &'static str) -> Figure {
    let mut csv = format!("series,{},{}\n", quoted(&chart.x.label), quoted(&chart.y.label));
    for series in &chart.series {
        for (x, y) in &series.points {
            let _ = writeln!(csv, "{},{x},{y}", quoted(&series.label));
        }
    }
    Figure { name: name.to_owned(), drawing: Drawing::Chart(chart), caption, csv }
}

/// A series without error bars.
fn series(label: impl Into<String>, points: Vec<(f64, f64)>, style: Style, colour: usize) -> Series {
    Series { label: label.into(), points, errors: Vec::new(), style, colour }
}

const COMPUTE: &str = "training compute, floating-point operations";

pub(super) fn points(report: &Report) -> Section {
    let unit = report.points.loss_unit().map_or("loss", loss_unit);
    let mut all = by_size(&report.points, |p| (p.compute(), p.loss));
    let mut caption = "Points by size.";
    if let Some(law) = first_with_loss(report) {
        let best = law.frontier.iter().map(|at| at.best);
        let best: Vec<(f64, f64)> =
            best.filter_map(|best| Some((best.compute, law.loss(best.params, best.tokens)?))).collect();
        if best.len() > 1 {
            caption = "Points by size; the dashed line is the least loss for a compute by the first law, two powers of ten beyond the points.";
            all.push(series(law.law.name(), best, Style::Dashed, all.len()));
        }
    }
    let chart = Chart {
        title: "Loss by compute".to_owned(),
        x: axis(COMPUTE, Scale::Log),
        y: axis(unit, Scale::Log),
        series: all,
        marks: Vec::new(),
    };
    let mut figures = vec![figure("loss-by-compute", chart, caption)];
    if let Some(contours) = contours(report) {
        let caption = "Curves of equal loss by the first law, the points, and the best size for each compute.";
        figures.push(figure("contours", contours, caption));
    }
    let lead = "What was fitted.".to_owned();
    Section { id: "points", title: "Points", lead, blocks: vec![Block::Figures(figures)] }
}

pub(super) fn fit(report: &Report) -> Option<Section> {
    let mut figures = Vec::new();
    let missed = |law: &LawReport| -> Vec<(f64, f64)> {
        let missed = |p: &Point| Some((p.compute(), 100.0 * libm::log(p.loss / law.loss_at(p)?)));
        report.points.rows().iter().filter_map(missed).filter(|(_, missed)| missed.is_finite()).collect()
    };
    let with_loss = report.fitted().filter(|law| law.law.has_loss()).enumerate();
    let all: Vec<Series> = with_loss
        .map(|(colour, law)| series(law.law.name(), missed(law), Style::Points, colour))
        .filter(|series| !series.points.is_empty())
        .collect();
    if !all.is_empty() {
        let chart = Chart {
            title: "Residuals".to_owned(),
            x: axis(COMPUTE, Scale::Log),
            y: axis("observed above the law, %", Scale::Linear),
            series: all,
            marks: vec![Mark::Y(0.0, "law".to_owned())],
        };
        figures.push(figure("residuals", chart, "100 times ln(observed / law)."));
    }
    if let Some(law) = report.laws.iter().find(|law| law.samples.len() > 1) {
        for (at, name) in law.law.parameters().iter().enumerate() {
            let Some(chart) = posterior(law, name, at) else { continue };
            // Names that differ only in case are one file on some disks.
            let file = format!("samples-{}-{}", at + 1, name.replace('_', "-"));
            figures.push(figure(&file, chart, "Its values over the bootstrap samples."));
        }
    }
    let mut lead = "How well the laws follow the points, and how far their parameters are determined.".to_owned();
    let mut drawn = report.laws.iter().filter(|law| law.samples.len() > 1);
    if let (Some(law), Some(_)) = (drawn.next(), drawn.next()) {
        lead +=
            &format!(" Bootstrap samples are drawn for {} alone; the table above has the intervals of all.", law.law);
    }
    (!figures.is_empty()).then(|| Section { id: "fit", title: "Fit", lead, blocks: vec![Block::Figures(figures)] })
}

pub(super) fn isoflop(report: &Report) -> Option<Section> {
    let options = &report.request.fit;
    let found = parabolas(&report.points, options);
    if found.is_empty() {
        return None;
    }
    let mut table = Table::new(&[], &["Compute", "Points", "Best size", "Loss there"]);
    for of in &found {
        table.row([format!("{:.2e}", of.compute), of.points.len().to_string(), round(of.params), number(of.loss)]);
    }
    let caption = "Points of equal compute, and the parabola through each group.";
    let drawn = figure("isoflop", parabolas_chart(&found), caption);
    let factor = options.isoflop;
    let lead = format!("Groups of points whose computes are within a factor of {factor}, of three or more sizes.");
    let blocks = vec![Block::Beside(drawn, vec![Block::Table(table)])];
    Some(Section { id: "isoflop", title: "Equal compute", lead, blocks })
}

pub(super) fn tests(report: &Report) -> Section {
    let tested = |Compared { law, tested, .. }: &Compared| Some((*law, tested.clone()?));
    let all: Vec<(LawName, Tested)> = report.compared.iter().filter_map(tested).collect();
    let mut figures = Vec::new();
    if !all.is_empty() {
        let bar = |(law, test): &(LawName, Tested)| Bar {
            label: law.name().to_owned(),
            value: 100.0 * test.error,
            error: None,
        };
        let bars = Bars {
            title: "Error on held-out compute".to_owned(),
            label: "error of the loss, %".to_owned(),
            bars: all.iter().map(bar).collect(),
        };
        let mut csv = String::from("law,points held out,compute factor,error,bias,error of fitted points\n");
        for (law, Tested { held, factor, error, bias, error_kept }) in &all {
            let _ = writeln!(csv, "{},{held},{factor},{error},{bias},{error_kept}", law.name());
        }
        let caption = "The root mean square over the runs of the largest computes, which were not fitted.";
        figures.push(Figure { name: "held-out".to_owned(), drawing: Drawing::Bars(bars), caption, csv });
    }
    let rolling: Vec<Series> = report
        .laws
        .iter()
        .filter(|law| !law.rolling.is_empty())
        .enumerate()
        .map(|(colour, law)| {
            let points = law.rolling.iter().map(|test| (test.factor, 100.0 * test.error)).collect();
            series(law.law.name(), points, Style::Points, colour)
        })
        .collect();
    if !rolling.is_empty() {
        let chart = Chart {
            title: "Extrapolation".to_owned(),
            x: axis("compute, times the largest that was fitted", Scale::Log),
            y: axis("error of the loss, %", Scale::Linear),
            series: rolling,
            marks: Vec::new(),
        };
        figures.push(figure(
            "extrapolation",
            chart,
            "Each point is the law fitted below a cut of compute and tested above it.",
        ));
    }
    let numbers = ["Held out", "Compute, times", "Error", "Bias", "Error on fitted"];
    let mut table = Table::new(&["Law", "Test"], &numbers);
    let row = |law: LawName, what: &str, test: &Tested| {
        [
            law.name().to_owned(),
            what.to_owned(),
            test.held.to_string(),
            number(test.factor),
            percent(test.error),
            percent(test.bias),
            percent(test.error_kept),
        ]
    };
    let mut untested = Vec::new();
    for Compared { law, tested, failed } in &report.compared {
        match tested {
            Some(test) => table.row(row(*law, "largest computes", test)),
            None => untested.push(format!("{law} was not tested: {}.", failed.as_deref().unwrap_or_default())),
        }
    }
    for law in &report.laws {
        if let Some(test) = &law.without_largest {
            table.row(row(law.law, "largest models", test));
        }
    }
    let lead = "How well a law foretells points that it was not fitted to. R² on fitted points says nothing of this.";
    let mut blocks = Vec::new();
    if !figures.is_empty() {
        blocks.push(Block::Figures(figures));
    }
    if !table.is_empty() {
        blocks.push(Block::Table(table));
    }
    if !untested.is_empty() {
        blocks.push(Block::List(untested));
    }
    Section { id: "tests", title: "Held-out points", lead: lead.to_owned(), blocks }
}

/// The points in at most six groups of sizes, the smallest first.
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
            series(label, of().map(&place).collect(), Style::Points, at)
        })
        .collect()
}

/// The points of each run over tokens, with the first law as a dashed line; points without a run by their size.
/// `colour` gives each run its colour.
pub(super) fn by_run(report: &Report, colour: impl Fn(&str) -> usize) -> Figure {
    const PLACES: u32 = 48;
    /// A run's name, its parameters, and its (tokens, loss).
    type OfRun = (String, f64, Vec<(f64, f64)>);
    let mut runs: BTreeMap<usize, OfRun> = BTreeMap::new();
    for (point, run) in report.points.rows().iter().zip(report.points.clusters()) {
        let name = point.run.clone().unwrap_or_default();
        let of = runs.entry(*run).or_insert_with(|| (name, point.params, Vec::new()));
        of.2.push((point.tokens, point.loss));
    }
    let law = first_with_loss(report);
    let mut all = Vec::new();
    if runs.values().all(|(name, ..)| name.is_empty()) {
        all = by_size(&report.points, |p| (p.tokens, p.loss));
    }
    for (name, params, points) in runs.into_values().filter(|(name, ..)| !name.is_empty()) {
        let colour = colour(&name);
        if let (Some(law), Some((first, _)), Some((last, _))) = (law, points.first(), points.last()) {
            let ratio = libm::log(last / first);
            let at = |n: u32| first * libm::exp(ratio * f64::from(n) / f64::from(PLACES - 1));
            let curve = (0..PLACES).filter_map(|n| Some((at(n), law.loss(params, at(n))?))).collect();
            all.push(series("", curve, Style::Dashed, colour));
        }
        all.push(series(format!("{name} {}", round(params)), points, Style::Points, colour));
    }
    let chart = Chart {
        title: "Loss by size and data".to_owned(),
        x: axis("tokens", Scale::Log),
        y: axis(report.points.loss_unit().map_or("loss", loss_unit), Scale::Linear),
        series: all,
        marks: Vec::new(),
    };
    let caption = if law.is_some() { "Points are what was fitted, dashed lines the first law." } else { "" };
    figure("loss-by-tokens", chart, caption)
}

/// Curves of equal loss over N and D, with the points and the frontier.
fn contours(report: &Report) -> Option<Chart> {
    const LEVELS: usize = 6;
    const PLACES: u32 = 48;
    let (law, points) = (first_with_loss(report)?, &report.points);
    let ends = |of: fn(&Point) -> f64| {
        let values = points.rows().iter().map(of);
        (values.clone().fold(f64::INFINITY, f64::min), values.fold(0.0, f64::max))
    };
    let ((n_low, n_high), (d_low, d_high), (low, high)) = (ends(|p| p.params), ends(|p| p.tokens), ends(|p| p.loss));
    let mut all = Vec::new();
    for level in 1..=LEVELS {
        let loss = low * libm::pow(high / low, (level as f64 - 0.5) / LEVELS as f64);
        let at = |place: u32| {
            let params = n_low / 2.0 * libm::pow(4.0 * n_high / n_low, f64::from(place) / f64::from(PLACES - 1));
            // The loss falls with tokens: by bisection of ln D.
            let (mut least, mut most) = (libm::log(d_low / 4.0), libm::log(d_high * 4.0));
            let above = |tokens: f64| law.loss(params, libm::exp(tokens)).is_some_and(|there| there > loss);
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
            all.push(series(number(loss), curve, Style::Line, 5));
        }
    }
    let dots = points.rows().iter().map(|p| (p.params, p.tokens)).collect();
    all.push(series("", dots, Style::Points, 0));
    let inside =
        |(n, d): &(f64, f64)| (n_low / 2.0..=n_high * 2.0).contains(n) && (d_low / 4.0..=d_high * 4.0).contains(d);
    let best: Vec<(f64, f64)> = law.frontier.iter().map(|at| (at.best.params, at.best.tokens)).filter(inside).collect();
    if best.len() > 1 {
        all.push(series("best", best, Style::Dashed, 1));
    }
    Some(Chart {
        title: "Loss over size and data".to_owned(),
        x: axis("parameters", Scale::Log),
        y: axis("tokens", Scale::Log),
        series: all,
        marks: Vec::new(),
    })
}

/// The parameter's bootstrap samples, counted in 30 equal parts of the range of the middle 99 %.
fn posterior(law: &LawReport, name: &str, at: usize) -> Option<Chart> {
    const PARTS: usize = 30;
    let mut values: Vec<f64> =
        law.samples.iter().filter_map(|s| s.get(at).copied()).filter(|v| v.is_finite()).collect();
    values.sort_by(f64::total_cmp);
    let end = |part: f64| values.get((part * (values.len().saturating_sub(1)) as f64) as usize).copied();
    let (low, high) = (end(0.005)?, end(0.995)?);
    let width = (high - low) / PARTS as f64;
    if !(width.is_finite() && width > 0.0) {
        return None;
    }
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
        series: vec![series("", points, Style::Line, 0)],
        marks,
    })
}

fn parabolas_chart(found: &[Parabola]) -> Chart {
    const PLACES: u32 = 32;
    let mut all = Vec::new();
    for (colour, parabola) in found.iter().enumerate() {
        let (Some((first, _)), Some((last, _))) = (parabola.points.first(), parabola.points.last()) else { continue };
        let at = |place: u32| first * libm::pow(last / first, f64::from(place) / f64::from(PLACES - 1));
        let curve = (0..PLACES).map(|place| (at(place), parabola.loss_at(at(place)))).collect();
        all.push(series("", curve, Style::Dashed, colour));
        all.push(series(format!("{:.0e}", parabola.compute), parabola.points.clone(), Style::Points, colour));
    }
    Chart {
        title: "Loss by size at equal compute".to_owned(),
        x: axis("parameters", Scale::Log),
        y: axis("loss", Scale::Linear),
        series: all,
        marks: Vec::new(),
    }
}
