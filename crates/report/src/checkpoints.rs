//! The metrics and training losses of runs over tokens, and the differences between runs at the same number of tokens.

use std::collections::BTreeMap;

use retrace_query::{Answer, Session};

use crate::ReportError;
use crate::figure::{Asked, Drawing, Figures, LINES, Names, Told, count, quoted};
use crate::plot::Scale;
use crate::release::MetricOfRun;

/// So many metrics have a figure.
const METRICS: usize = 60;

/// The tokens of the longest run are divided into so many parts; a point of the training loss is the mean over one.
const PARTS: u64 = 200;

/// Which metrics and runs are shown, and how runs are compared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choice {
    /// Metrics, as `TASK/METRIC` or either of the two; `*` matches any text. All, if there are none.
    pub metrics: Vec<String>,
    /// Runs; all, if there are none. The others are compared with the first.
    pub runs: Vec<String>,
    /// Whether a run without a value at a number of tokens is interpolated between its neighbours.
    pub interpolate: bool,
}

/// A run of a release, and its name: with the release's, if two releases have a run of this name.
#[derive(Debug, Clone, PartialEq, Eq)]
struct RunOf {
    release: String,
    run: String,
    name: String,
}

impl Choice {
    /// The figures of the tables `metrics` and `train_log`, as far as they are there.
    ///
    /// # Errors
    /// If a table lacks a column, or a chosen run or metric does not exist.
    pub fn figures(&self, session: &Session) -> Result<Vec<Figures>, ReportError> {
        let tables = ["metrics", "train_log"].into_iter().filter(|table| session.has(table)).collect::<Vec<_>>();
        let runs = self.runs(session, &tables)?;
        let mut names = Names::default();
        let mut all = Vec::new();
        if tables.contains(&"metrics") {
            all.extend(self.of_metrics(session, &runs, &mut names)?);
        }
        if tables.contains(&"train_log") {
            all.extend(of_losses(session, &runs, &self.condition(), &mut names)?);
        }
        Ok(all)
    }

    /// The chosen runs in their order, or all in order of their names.
    fn runs(&self, session: &Session, tables: &[&str]) -> Result<Vec<RunOf>, ReportError> {
        let mut found: Vec<(String, String)> = Vec::new();
        for table in tables {
            let rows = session.run(&format!("select distinct release, run from {table} order by run, release"))?;
            found.extend(rows.texts("release")?.into_iter().zip(rows.texts("run")?));
        }
        found.sort_by(|a, b| (&a.1, &a.0).cmp(&(&b.1, &b.0)));
        found.dedup();
        let place = |run: &str| self.runs.iter().position(|chosen| chosen == run);
        if let Some(name) = self.runs.iter().find(|name| !found.iter().any(|(_, run)| run == *name)) {
            let mut known: Vec<String> = found.into_iter().map(|(_, run)| run).collect();
            known.dedup();
            return Err(ReportError::NoSuch { what: "run", name: name.clone(), known });
        }
        if !self.runs.is_empty() {
            found.retain(|(_, run)| place(run).is_some());
            found.sort_by_key(|(_, run)| place(run));
        }
        let shared = |run: &str| found.iter().filter(|(_, other)| other == run).count() > 1;
        let named = |(release, run): &(String, String)| RunOf {
            release: release.clone(),
            run: run.clone(),
            name: if shared(run) { format!("{release} {run}") } else { run.clone() },
        };
        Ok(found.iter().map(named).collect())
    }

    /// The condition of SQL that selects the runs.
    fn condition(&self) -> String {
        match self.runs.as_slice() {
            [] => String::new(),
            runs => {
                let runs: Vec<String> = runs.iter().map(|run| quoted(run)).collect();
                format!(" and run in ({})", runs.join(", "))
            }
        }
    }

    fn of_metrics(&self, session: &Session, runs: &[RunOf], names: &mut Names) -> Result<Vec<Figures>, ReportError> {
        let condition = self.condition();
        let listed = session.run(&format!(
            "select task, metric, shots from metrics where true{condition} group by task, metric, shots \
             order by task, metric, shots"
        ))?;
        let all: Vec<(String, String)> = listed.texts("task")?.into_iter().zip(listed.texts("metric")?).collect();
        let matches = |pattern: &str, (task, metric): &(String, String)| {
            let both = format!("{task}/{metric}");
            [task, metric, &both].into_iter().any(|text| wildcard(pattern, text))
        };
        if let Some(pattern) = self.metrics.iter().find(|pattern| !all.iter().any(|of| matches(pattern, of))) {
            let known = all.iter().map(|(task, metric)| format!("{task}/{metric}")).collect();
            return Err(ReportError::NoSuch { what: "metric", name: pattern.clone(), known });
        }
        let (mut values, mut differences) = (Vec::new(), Vec::new());
        let mut further = 0;
        for (of, shots) in all.iter().zip(listed.numbers("shots")?) {
            if !self.metrics.is_empty() && !self.metrics.iter().any(|pattern| matches(pattern, of)) {
                continue;
            }
            if values.len() == METRICS {
                further += 1;
                continue;
            }
            let metric = MetricOf { task: &of.0, metric: &of.1, shots, runs: &condition };
            let (figure, points) = metric.over_tokens(session, runs, names)?;
            values.push(figure);
            if let [first, _, ..] = runs {
                differences.push(metric.differences(session, runs, first, points, self.interpolate, names)?);
            }
        }
        let mut left_out = Vec::new();
        if further > 0 {
            let metrics = if further == 1 { "metric is" } else { "metrics are" };
            left_out.push(format!("{further} further {metrics} left out; choose metrics with a pattern."));
        }
        // Also of runs and metrics that were not chosen.
        let odd = session.run("select count(*) as odd from metrics where not (value - value = 0)")?.numbers("odd")?;
        let non_finite = odd.first().copied().flatten().unwrap_or(0);
        let drawn: u64 = values.iter().map(|figure| figure.non_finite).sum();
        if let elsewhere @ 1.. = non_finite.saturating_sub(drawn) {
            left_out.push(not_drawn(elsewhere));
        }
        let about = "The values of each checkpoint, as the table metrics has them.".to_owned();
        let mut figures = vec![Figures { title: "Metrics".to_owned(), about, figures: values, left_out, non_finite }];
        if let [first, _, ..] = runs {
            let how = match self.interpolate {
                true => "Where that run has no checkpoint, its value is interpolated linearly between its neighbours.",
                false => "Only checkpoints at the same number of tokens are compared; nothing is interpolated.",
            };
            let about = format!("Each run less the run {}, after the same number of tokens. {how}", first.name);
            let title = "Metrics compared".to_owned();
            figures.push(Figures { title, about, figures: differences, left_out: Vec::new(), non_finite: 0 });
        }
        figures.retain(|figures| !figures.figures.is_empty());
        Ok(figures)
    }
}

fn not_drawn(number: u64) -> String {
    format!("Not finite, and in no figure: {}.", count(number, "value"))
}

/// Whether `text` matches a pattern in which `*` matches any text.
fn wildcard(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or("")) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

/// A metric of the chosen runs.
struct MetricOf<'a> {
    task: &'a str,
    metric: &'a str,
    shots: Option<u64>,
    runs: &'a str,
}

impl MetricOf<'_> {
    fn title(&self) -> String {
        let shots = self.shots.map_or_else(String::new, |shots| format!(", {shots}-shot"));
        format!("{} {}{shots}", self.task, self.metric)
    }

    fn condition(&self) -> String {
        let shots = self.shots.map_or_else(|| "shots is null".to_owned(), |shots| format!("shots = {shots}"));
        let (task, metric, runs) = (quoted(self.task), quoted(self.metric), self.runs);
        format!("task = {task} and metric = {metric} and {shots}{runs}")
    }

    /// The values of all runs, and the number of those that have tokens.
    fn over_tokens(
        &self,
        session: &Session,
        runs: &[RunOf],
        names: &mut Names,
    ) -> Result<(crate::Figure, Vec<MetricOfRun>), ReportError> {
        let sql = format!(
            "select release, run, step, tokens, value, stderr\nfrom metrics\nwhere {}\norder by release, run, tokens, step",
            self.condition()
        );
        let asked = Asked::of(session, sql)?;
        let (lines, mut told) = lines(&asked.answer, runs, "value", Some("stderr"))?;
        told.caption = errors_in_words(&lines);
        let repeated: usize = lines.iter().map(|line| line.points.len() - distinct(line)).sum();
        if repeated > 0 {
            let what = count(repeated as u64, "value");
            told.left_out.push(format!("{what} at tokens at which the run has another value: all are drawn."));
        }
        let drawing = drawn(self.metric, Scale::Linear, None, &lines, &mut told);
        Ok((asked.figure(names.of(&self.title()), self.title(), drawing, told)?, lines))
    }

    /// The values of the runs less those of the `first`.
    fn differences(
        &self,
        session: &Session,
        runs: &[RunOf],
        first: &RunOf,
        points: Vec<MetricOfRun>,
        interpolate: bool,
        names: &mut Names,
    ) -> Result<crate::Figure, ReportError> {
        let (condition, release, run) = (self.condition(), quoted(&first.release), quoted(&first.run));
        // A value that was imported twice is one.
        let points_sql = format!(
            "with points as (\n  select release, run, tokens, avg(value) as value, avg(stderr) as stderr\n  \
             from metrics\n  where {condition} and tokens is not null\n  group by release, run, tokens\n)"
        );
        let the_first = format!("r.release = {release} and r.run = {run}");
        let others = format!("not (p.release = {release} and p.run = {run})");
        let sql = match interpolate {
            false => format!(
                "{points_sql}\nselect p.release, p.run, p.tokens, p.value, r.value as reference, p.value - r.value as difference,\n  \
                 sqrt(p.stderr * p.stderr + r.stderr * r.stderr) as stderr\nfrom points as p join points as r on p.tokens = r.tokens\n\
                 where {the_first} and {others}\norder by p.release, p.run, p.tokens"
            ),
            true => format!(
                "{points_sql},\ncompared as (\n  select p.release, p.run, p.tokens, p.value, interpolate(r.tokens, r.value, p.tokens) as reference\n  \
                 from points as p cross join points as r\n  where {the_first} and {others}\n  group by p.release, p.run, p.tokens, p.value\n)\n\
                 select release, run, tokens, value, reference, value - reference as difference\nfrom compared\n\
                 where reference is not null\norder by release, run, tokens"
            ),
        };
        let asked = Asked::of(session, sql)?;
        let stderr = (!interpolate).then_some("stderr");
        let (lines, mut told) = lines(&asked.answer, runs, "difference", stderr)?;
        told.caption = match interpolate {
            true => "An interpolated value has no standard error.".to_owned(),
            false => errors_in_words(&lines),
        };
        if lines.iter().flat_map(|line| &line.errors).any(|error| error.is_finite()) {
            told.caption += " It takes the runs as independent; on the same items, the error is mostly smaller.";
        }
        let others = points.iter().filter(|line| line.run != first.name).map(distinct).sum::<usize>();
        let repeated: usize = points.iter().map(|line| line.points.len() - distinct(line)).sum();
        if repeated > 0 {
            let what = count(repeated as u64, "value");
            told.left_out.push(format!("Averaged: {what} with another value of the same run at the same tokens."));
        }
        let alone = others.saturating_sub(asked.answer.rows());
        if alone > 0 {
            let what = count(alone as u64, "checkpoint");
            told.left_out.push(match interpolate {
                true => format!("Not compared: {what} outside the tokens of {}.", first.name),
                false => format!("Not compared: {what} at tokens where {} has none.", first.name),
            });
        }
        let title = format!("{} less {}", self.title(), first.name);
        let drawing = drawn("difference", Scale::Linear, Some((0.0, "no difference")), &lines, &mut told);
        asked.figure(names.of(&format!("compared {}", self.title())), title, drawing, told)
    }
}

/// The number of different numbers of tokens on a line.
fn distinct(line: &MetricOfRun) -> usize {
    let mut tokens: Vec<u64> = line.points.iter().map(|point| point.0.to_bits()).collect();
    tokens.sort_unstable();
    tokens.dedup();
    tokens.len()
}

fn errors_in_words(lines: &[MetricOfRun]) -> String {
    let errors = || lines.iter().flat_map(|line| &line.errors);
    let (all, unknown) = (errors().count() as u64, errors().filter(|error| !error.is_finite()).count() as u64);
    match unknown {
        0 if all == 0 => String::new(),
        0 => "Bars are one standard error.".to_owned(),
        _ if unknown == all => "No standard error is known.".to_owned(),
        _ => format!("Bars are one standard error; it is unknown for {unknown} of {}.", count(all, "point")),
    }
}

/// The rows as lines, in the order of the runs. Rows without tokens, and values that are not finite, are left out.
fn lines(
    rows: &Answer,
    runs: &[RunOf],
    value: &str,
    stderr: Option<&str>,
) -> Result<(Vec<MetricOfRun>, Told), ReportError> {
    let mut told = Told::default();
    let mut found: BTreeMap<(String, String), MetricOfRun> = BTreeMap::new();
    let mut without = 0;
    let errors = stderr.map(|stderr| rows.floats(stderr)).transpose()?;
    let names = rows.texts("release")?.into_iter().zip(rows.texts("run")?);
    let numbers = rows.floats("tokens")?.into_iter().zip(rows.floats(value)?);
    for (at, (of, (tokens, value))) in names.zip(numbers).enumerate() {
        if !value.is_finite() {
            told.non_finite += 1;
        } else if !tokens.is_finite() {
            without += 1;
        } else {
            let empty = || MetricOfRun { run: String::new(), points: Vec::new(), errors: Vec::new() };
            let line = found.entry(of).or_insert_with(empty);
            line.points.push((tokens, value));
            line.errors.extend(errors.as_ref().and_then(|errors| errors.get(at)));
        }
    }
    if told.non_finite > 0 {
        told.left_out.push(format!("Left out, because not finite: {}.", count(told.non_finite, "value")));
    }
    if without > 0 {
        told.left_out.push(format!("Left out: {} without a number of tokens.", count(without, "checkpoint")));
    }
    let line = |of: &RunOf| {
        let line = found.remove(&(of.release.clone(), of.run.clone()))?;
        Some(MetricOfRun { run: of.name.clone(), ..line })
    };
    Ok((runs.iter().filter_map(line).collect(), told))
}

/// The first lines, as many as can be told apart.
fn drawn(
    label: &str,
    scale: Scale,
    mark: Option<(f64, &'static str)>,
    lines: &[MetricOfRun],
    told: &mut Told,
) -> Option<Drawing> {
    if lines.len() > LINES {
        told.left_out.push(format!("Only the first {LINES} of {} runs are drawn.", lines.len()));
    }
    let lines: Vec<MetricOfRun> = lines.iter().take(LINES).cloned().collect();
    let on = |value: f64| scale == Scale::Linear || value > 0.0;
    let any = lines.iter().flat_map(|line| &line.points).any(|point| on(point.1));
    any.then(|| Drawing::Lines { label: label.to_owned(), scale, mark, lines })
}

/// The training loss, as means over equal parts of the tokens, which are the same for all runs. No part is smaller than a
/// step. A mean stands at the mean of the tokens of its steps.
fn of_losses(
    session: &Session,
    runs: &[RunOf],
    condition: &str,
    names: &mut Names,
) -> Result<Option<Figures>, ReportError> {
    let known = format!("from train_log where loss is not null{condition}");
    // A number less itself is 0 if it is finite.
    let finite = format!("{known} and tokens is not null and loss - loss = 0");
    let odd = session.run(&format!("select count(*) as odd {known} and not (loss - loss = 0)"))?.numbers("odd")?;
    let without = session.run(&format!("select count(*) as n {known} and tokens is null"))?.numbers("n")?;
    // Of each run: its first and last tokens, and the numbers of its steps and of their different tokens.
    let spans = session.run(&format!(
        "select min(tokens) as first, max(tokens) as last, count(*) as steps, count(distinct tokens) as places {finite} \
         group by release, run order by release, run"
    ))?;
    let numbers = |column: &str| -> Result<Vec<u64>, ReportError> {
        Ok(spans.numbers(column)?.into_iter().map(Option::unwrap_or_default).collect())
    };
    let (firsts, lasts) = (numbers("first")?, numbers("last")?);
    let (steps, places) = (numbers("steps")?, numbers("places")?);
    let Some(most) = lasts.iter().copied().max() else {
        return Ok(None);
    };
    let step = |((first, last), places): ((&u64, &u64), &u64)| (last - first).div_ceil(places.saturating_sub(1).max(1));
    let longest = firsts.iter().zip(&lasts).zip(&places).map(step).max().unwrap_or(1);
    let width = most.div_ceil(PARTS).max(longest).max(1);
    let parts = format!(
        "select release, run, part, avg(tokens) as tokens, count(*) as steps, avg(loss) as loss\n\
         from (select release, run, tokens, cast(tokens as bigint) / {width} as part, loss {finite})\n\
         group by release, run, part"
    );
    let mut told = Told { non_finite: odd.first().copied().flatten().unwrap_or(0), ..Told::default() };
    if told.non_finite > 0 {
        told.left_out.push(format!("Left out: {} whose loss is not finite.", count(told.non_finite, "step")));
    }
    if let Some(without @ 1..) = without.first().copied().flatten() {
        told.left_out.push(format!("Left out: {} without a number of tokens.", count(without, "step")));
    }
    let repeated: u64 = steps.iter().zip(&places).map(|(steps, places)| steps - places).sum();
    if let repeated @ 1.. = repeated {
        let what = count(repeated, "step");
        told.left_out.push(format!("Averaged: {what} at tokens at which the run has another step."));
    }
    let mean = match width {
        1 => String::new(),
        width => {
            format!("Each point is the mean over the steps in {}, at the mean of their tokens.", count(width, "token"))
        }
    };
    let everywhere =
        session.run("select count(*) as odd from train_log where not (loss - loss = 0)")?.numbers("odd")?;
    let non_finite = everywhere.first().copied().flatten().unwrap_or(0);
    let elsewhere = non_finite.saturating_sub(told.non_finite);
    let asked = Asked::of(session, format!("{parts}\norder by release, run, tokens"))?;
    let (lines_of_loss, more) = lines(&asked.answer, runs, "loss", None)?;
    told.left_out.extend(more.left_out);
    told.caption.clone_from(&mean);
    let drawing = drawn("nats a token", Scale::Log, None, &lines_of_loss, &mut told);
    let mut figures = vec![asked.figure(names.of("training loss"), "Training loss".to_owned(), drawing, told)?];
    if let [first, _, ..] = runs {
        let (release, run) = (quoted(&first.release), quoted(&first.run));
        let sql = format!(
            "with parts as (\n  {parts}\n)\nselect p.release, p.run, p.part, p.tokens, p.loss, r.loss as reference, p.loss - r.loss as difference\n\
             from parts as p join parts as r on p.part = r.part\n\
             where r.release = {release} and r.run = {run} and not (p.release = {release} and p.run = {run})\n\
             order by p.release, p.run, p.tokens"
        );
        let asked = Asked::of(session, sql)?;
        let (lines, mut told) = lines(&asked.answer, runs, "difference", None)?;
        let others = lines_of_loss.iter().filter(|line| line.run != first.name).map(distinct).sum::<usize>();
        let alone = others.saturating_sub(asked.answer.rows());
        if alone > 0 {
            let what = count(alone as u64, "point");
            told.left_out.push(format!("Not compared: {what} in parts where {} has none.", first.name));
        }
        told.caption = mean;
        let drawing = drawn("nats a token", Scale::Linear, Some((0.0, "no difference")), &lines, &mut told);
        let title = format!("Training loss less {}", first.name);
        figures.push(asked.figure(names.of("compared training loss"), title, drawing, told)?);
    }
    let about = "The losses of the table train_log, of all runs after the same number of tokens.".to_owned();
    let left_out = if elsewhere > 0 { vec![not_drawn(elsewhere)] } else { Vec::new() };
    Ok(Some(Figures { title: "Training loss".to_owned(), about, figures, left_out, non_finite }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_any_text_at_a_star() {
        for (pattern, text, expected) in [
            ("acc", "acc", true),
            ("acc", "acc_norm", false),
            ("acc*", "acc_norm", true),
            ("*/acc", "arc/easy/acc", true),
            ("arc*/*norm", "arc_easy/acc_norm", true),
            ("a*b*c", "abc", true),
            ("a*a", "a", false),
            ("*", "", true),
            ("", "x", false),
        ] {
            assert_eq!(wildcard(pattern, text), expected, "{pattern} {text}");
        }
    }
}
