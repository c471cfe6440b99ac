//! The lines of a table or a history: values by name, of which a mapping or convention says the meaning.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt::Display;

use crate::mapping::{Column, Plan};
use crate::rows::{Input, LONGEST_NAME, Problem, Rows};
use crate::scalars::{CALLS, Log, Logged, Meaning, Measured, task_and_metric};
use crate::value::{Value, is_non_finite, seconds, whole};

/// A column and the text in it.
pub(crate) type Cell<'a> = (usize, &'a str);

/// The text in a column of a line.
fn cell<'a>(cells: &[Cell<'a>], column: usize) -> Option<&'a str> {
    let at = cells.binary_search_by_key(&column, |(at, _)| *at).ok()?;
    cells.get(at).map(|(_, text)| *text)
}

/// The lines of a table or a history, each with values by name. All lines are looked at before the first is read.
pub(crate) struct History<'a> {
    names: &'a [String],
    /// What a name is called in problems: a column, a key.
    word: &'static str,
    columns: Vec<Column>,
    /// For each column, how many cells are numbers, less those that are not.
    votes: Vec<i64>,
    run: Option<usize>,
    calls: Option<usize>,
    /// The columns of steps, the one to take first.
    steps: Vec<usize>,
    epoch: Option<usize>,
    has_steps: bool,
    /// The last epoch of each run, if all are whole numbers and none stands again.
    epochs: Option<HashMap<String, u64>>,
    /// The columns that are the step of a row, and those that count differently there.
    taken: BTreeSet<usize>,
    not_taken: BTreeSet<usize>,
    /// The runs in which wandb's count of its calls is not the trainer's step.
    not_by_calls: HashSet<String>,
    /// For each run, how many rows have that count and no other step.
    only_calls: HashMap<String, usize>,
    /// For each run, how many rows have another step beside that count.
    other_steps: HashMap<String, usize>,
    /// The runs of which few rows have another step: the count of calls is the step of all their rows.
    by_calls: HashSet<String>,
    log: Log,
}

impl<'a> History<'a> {
    /// Of lines with these names, of which `calls` is wandb's count of its calls.
    pub(crate) fn new(plan: &Plan, names: &'a [String], word: &'static str, calls: &str, rows: &mut Rows) -> Self {
        let (columns, problems) = plan.columns(names);
        problems.into_iter().for_each(|problem| rows.problem(problem));
        let place = |wanted: &Column| columns.iter().position(|column| column == wanted);
        let of_steps = |at: &usize| columns.get(*at) == Some(&Column::Scalar(Meaning::Step));
        let is_calls = |at: &usize| names.get(*at).is_some_and(|name| name == calls);
        let (calls, mut steps): (Vec<_>, Vec<_>) = (0..names.len()).filter(of_steps).partition(is_calls);
        steps.sort_by_key(|at| names.get(*at).map(|name| (Meaning::rank(name), name)));
        let calls = calls.first().copied();
        let (run, epoch) = (place(&Column::Run), place(&Column::Scalar(Meaning::Epoch)));
        let votes = vec![0; columns.len()];
        Self {
            names,
            word,
            columns,
            votes,
            run,
            calls,
            steps,
            epoch,
            has_steps: false,
            epochs: Some(HashMap::new()),
            taken: BTreeSet::new(),
            not_taken: BTreeSet::new(),
            not_by_calls: HashSet::new(),
            only_calls: HashMap::new(),
            other_steps: HashMap::new(),
            by_calls: HashSet::new(),
            log: Log::default(),
        }
    }

    /// Which columns are text by themselves, whose cells need not be numbers.
    pub(crate) fn is_text(&self, at: usize) -> bool {
        let time = Column::Scalar(Meaning::Time);
        let column = self.columns.get(at);
        column == Some(&time) || matches!(column, Some(Column::Run | Column::Task | Column::Metric | Column::Claim))
    }

    /// Looks at a line, whose cells are in the order of the columns, before any is read.
    pub(crate) fn look(&mut self, run: &str, cells: &[Cell<'_>]) {
        for (at, text) in cells {
            if let Some(vote) = self.votes.get_mut(*at) {
                let is_time = self.columns.get(*at) == Some(&Column::Scalar(Meaning::Time));
                let fits = if is_time { seconds(text).is_some() } else { text.parse::<f64>().is_ok() };
                *vote += if fits { 1 } else { -1 };
            }
        }
        let run = self.run.and_then(|at| cell(cells, at)).unwrap_or(run);
        let step = |at: usize| cell(cells, at).and_then(whole);
        let calls = self.calls.and_then(step);
        let others: Vec<(usize, u64)> = self.steps.iter().filter_map(|at| Some((*at, step(*at)?))).collect();
        self.has_steps |= calls.is_some() || !others.is_empty();
        let rank = |at: usize| self.names.get(at).map(|name| (Meaning::rank(name), name));
        if let Some((at, taken)) = others.iter().min_by_key(|(at, _)| rank(*at)) {
            self.taken.insert(*at);
            self.not_taken.extend(others.iter().filter(|(_, step)| step != taken).map(|(at, _)| *at));
            if calls.is_some_and(|calls| calls != *taken) && !self.not_by_calls.contains(run) {
                self.not_by_calls.insert(run.to_owned());
            }
        }
        if calls.is_some() {
            let counted = if others.is_empty() { &mut self.only_calls } else { &mut self.other_steps };
            match counted.get_mut(run) {
                Some(rows) => *rows += 1,
                None => drop(counted.insert(run.to_owned(), 1)),
            }
        }
        if let Some(text) = self.epoch.and_then(|at| cell(cells, at)) {
            let last = self.epochs.as_ref().and_then(|epochs| epochs.get(run)).copied();
            match (whole(text), &mut self.epochs) {
                (Some(epoch), Some(epochs)) if last.is_none_or(|last| last < epoch) => {
                    epochs.insert(run.to_owned(), epoch);
                }
                _ => self.epochs = None,
            }
        }
    }

    /// Decides what all lines say together.
    pub(crate) fn looked(&mut self, rows: &mut Rows) {
        let name = |at: usize| self.names.get(at).map_or("", String::as_str);
        for (column, vote) in self.columns.iter_mut().zip(&self.votes) {
            // A column in which most cells are not numbers is text.
            if *vote < 0 && matches!(column, Column::Measure { .. } | Column::Scalar(Meaning::Time)) {
                *column = Column::Skipped;
            }
        }
        // A row that a user logged with a step of its own does not take the steps of the many that have none.
        let few = |run: &&String| self.other_steps.get(*run) < self.only_calls.get(*run);
        self.by_calls = self.not_by_calls.iter().filter(few).cloned().collect();
        self.not_by_calls.retain(|run| !self.by_calls.contains(run));
        if !self.by_calls.is_empty() {
            let count =
                |rows: &HashMap<String, usize>| self.by_calls.iter().filter_map(|run| rows.get(run)).sum::<usize>();
            let (other, only) = (count(&self.other_steps), count(&self.only_calls));
            let calls = self.calls.map_or(CALLS, name);
            rows.note(Problem::whole(format!(
                "the step is `{calls}`, as {only} rows have no other; what else counts steps in {other} rows is a metric"
            )));
        }
        let calls = self.calls.filter(|_| !self.not_by_calls.is_empty());
        let not_taken: Vec<usize> = self.not_taken.iter().copied().chain(calls).collect();
        if !not_taken.is_empty() {
            let quoted = |at: &usize| format!("`{}`", name(*at));
            let taken = self.taken.iter().map(quoted).collect::<Vec<_>>().join(" or ");
            let others = not_taken.iter().map(quoted).collect::<Vec<_>>().join(" and ");
            let said =
                if not_taken.len() > 1 { "which count differently, are" } else { "which counts differently, is" };
            rows.note(Problem::whole(format!("the step is {taken}; {others}, {said} not used")));
        }
        let without: usize = self.not_by_calls.iter().filter_map(|run| self.only_calls.get(run)).sum();
        if without > 0 {
            let calls = self.calls.map_or(CALLS, name);
            rows.note(Problem::whole(format!("rows with only `{calls}`, and so without a step: {without}")));
        }
        if self.has_steps {
            return;
        }
        let by_epochs = self.epochs.as_ref().is_some_and(|epochs| !epochs.is_empty());
        let is_training = |column: &Column| {
            matches!(column, Column::Scalar(Meaning::Loss | Meaning::LearningRate | Meaning::GradNorm))
        };
        let trains = self.columns.iter().zip(&self.votes).any(|(column, votes)| *votes > 0 && is_training(column));
        if let Some(column) = self.epoch.filter(|_| by_epochs).and_then(|at| self.columns.get_mut(at)) {
            *column = Column::Scalar(Meaning::Step);
            rows.note(Problem::whole("it has no steps but epochs: the step of a row is its epoch"));
            return;
        }
        if trains {
            rows.note(Problem::whole("it has no steps, so its losses and learning rates are metrics without a step"));
        }
        // Fractions of epochs, and epochs of several rows, are no steps; they are numbers of their rows.
        let numbers = |at: &usize| self.votes.get(*at).is_some_and(|votes| *votes > 0);
        if let Some(at) = self.epoch.filter(numbers)
            && let Some(column) = self.columns.get_mut(at)
        {
            let (task, metric) = task_and_metric(name(at));
            let (task, metric) = (task.to_owned(), metric.to_owned());
            *column = Column::Measure { task, metric, shots: None, stderr: None, stepless: true };
        }
    }

    /// Makes the rows of a line, whose cells are in the order of the columns. `run` is the one of a line that names none.
    pub(crate) fn record(&mut self, input: &Input<'_>, run: &str, place: &str, cells: &[Cell<'_>], rows: &mut Rows) {
        let (names, word) = (self.names, self.word);
        let name = |at: usize| names.get(at).map_or("", String::as_str);
        let mut run = self.run.and_then(|at| cell(cells, at)).unwrap_or(run);
        let by_calls = self.by_calls.contains(run) && self.calls.is_some_and(|at| cell(cells, at).is_some());
        let mut logged = Logged::default();
        let (mut task, mut shots, mut metric, mut value, mut stderr) = (None, None, None, None, None);
        for (at, text) in cells.iter().copied() {
            let Some(column) = self.columns.get(at) else { continue };
            let fits = match column {
                Column::Skipped | Column::Claim => true,
                Column::Run => {
                    run = text;
                    true
                }
                Column::Task => task.replace(text).is_none(),
                Column::Metric => metric.replace(text).is_none(),
                Column::Shots => {
                    shots = whole(text);
                    shots.is_some()
                }
                Column::Value => {
                    value = text.parse().ok();
                    value.is_some()
                }
                Column::Stderr => {
                    stderr = text.parse().ok();
                    stderr.is_some()
                }
                Column::Scalar(meaning) if self.calls == Some(at) => logged.take_as(*meaning, CALLS, text),
                Column::Scalar(Meaning::Step) if by_calls => {
                    let (task, metric) = task_and_metric(name(at));
                    let number = text.parse();
                    let measured = |value: &f64| Measured { task, metric, value: *value, ..Measured::default() };
                    logged.rest.extend(number.iter().map(measured));
                    number.is_ok()
                }
                Column::Scalar(meaning) => logged.take_as(*meaning, name(at), text),
                Column::Measure { task, metric, shots, stderr, stepless } => {
                    let number = text.parse();
                    let stderr = stderr.and_then(|at| cell(cells, at)?.parse().ok());
                    let (shots, stepless) = (*shots, *stepless);
                    let measured = |value: &f64| Measured { task, shots, metric, value: *value, stderr, stepless };
                    logged.rest.extend(number.iter().map(measured));
                    number.is_ok()
                }
            };
            if !fits {
                let at = format!("{place}, {word} {:?}", name(at));
                rows.problem(Problem::at(at, format_args!("{text:?} is not a valid number")));
            }
        }
        for measured in &mut logged.rest {
            measured.task = task.unwrap_or(measured.task);
            measured.shots = shots.or(measured.shots);
        }
        if let Some(value) = value {
            let (task, metric) = (task.unwrap_or_default(), metric.unwrap_or("value"));
            logged.rest.push(Measured { task, shots, metric, value, stderr, stepless: false });
        }
        for (at, text) in cells.iter().filter(|(at, _)| self.columns.get(*at) == Some(&Column::Claim)) {
            rows.claim(input, run, name(*at), text, text.parse().ok(), place);
        }
        if self.not_by_calls.contains(run) {
            logged.forget_calls();
        }
        logged.give(input, run, place, rows, &mut self.log);
    }
}

/// Receives the run of a line, its place and its object.
pub(crate) type Take<'t> = dyn FnMut(&str, &dyn Display, &Value<'_>, &mut Rows) + 't;

/// Reads a history whose lines are objects; nested names are joined by dots. `each` calls what it is given for every
/// line, and is called three times, because each line has its names in an order of its own, and all lines together say
/// what a name means. It puts its problems into the rows that it is given. Returns whether there is a line.
pub(crate) fn objects(
    input: &Input<'_>,
    plan: &Plan,
    rows: &mut Rows,
    each: &dyn Fn(&mut Rows, &mut Take<'_>),
) -> bool {
    let mut names = BTreeSet::new();
    each(&mut Rows::default(), &mut |_, _, line, _| {
        scalars(line, &mut |name, _| {
            if name.len() <= LONGEST_NAME && !names.contains(name) {
                names.insert(name.to_owned());
            }
        });
    });
    let names: Vec<String> = names.into_iter().collect();
    let places: HashMap<&str, usize> = names.iter().zip(0..).map(|(name, at)| (name.as_str(), at)).collect();
    let mut history = History::new(plan, &names, "key", CALLS, rows);
    each(&mut Rows::default(), &mut |run, _, line, _| history.look(run, &written(line, &places)));
    history.looked(rows);
    let mut any = false;
    let (mut others, mut example) = (0_u64, None);
    each(rows, &mut |run, place, line, rows| {
        any = true;
        let place = place.to_string();
        if line.object().is_none() {
            return rows.problem(Problem::at(place, "not an object"));
        }
        scalars(line, &mut |name, _| {
            if name.len() > LONGEST_NAME {
                rows.accept(&place, &[name]);
            }
        });
        let is_text = |name: &str| places.get(name).is_some_and(|at| history.is_text(*at));
        leaves(line, &mut |name, value| {
            let taken = match value {
                Value::Number(_) | Value::Null => true,
                Value::String(text) => is_text(name) || is_non_finite(text),
                _ => false,
            };
            if !taken {
                others += 1;
                example.get_or_insert_with(|| name.to_owned());
            }
        });
        let cells = cells(line, &places, &history);
        history.record(input, run, &place, &cells, rows);
    });
    if let Some(name) = example {
        rows.note(Problem::whole(format!(
            "values that are no numbers and are not imported: {others}, the first as `{name}`"
        )));
    }
    any
}

/// The cells of a line of a history: its numbers, and texts where the column is one of texts.
fn cells<'a>(line: &'a Value<'_>, places: &HashMap<&str, usize>, history: &History<'_>) -> Vec<Cell<'a>> {
    sorted(line, places, |at, value| match value {
        Value::Number(_) => true,
        Value::String(text) => history.is_text(at) || is_non_finite(text),
        _ => false,
    })
}

/// All numbers and texts of a line, by which a column is known to be one of texts. `NaN` may be either.
fn written<'a>(line: &'a Value<'_>, places: &HashMap<&str, usize>) -> Vec<Cell<'a>> {
    sorted(line, places, |_, value| !value.text().is_some_and(is_non_finite))
}

fn sorted<'a>(
    line: &'a Value<'_>,
    places: &HashMap<&str, usize>,
    takes: impl Fn(usize, &Value<'_>) -> bool,
) -> Vec<Cell<'a>> {
    let mut cells = Vec::new();
    scalars(line, &mut |name, value| {
        if let (Some(at), Value::Number(text) | Value::String(text)) = (places.get(name), value)
            && takes(*at, value)
        {
            cells.push((*at, text.as_ref()));
        }
    });
    // `{"a": {"b": 1}, "a.b": 2}` has one name twice: one stays, whatever their order.
    cells.sort_unstable();
    cells.dedup_by_key(|(at, _)| *at);
    cells
}

/// The numbers and texts in a line, by their dotted names. A list is not a scalar, and an object with a `_type` is a
/// picture, a histogram or a table.
pub(crate) fn scalars<'a>(line: &'a Value<'_>, take: &mut impl FnMut(&str, &'a Value<'a>)) {
    leaves(line, &mut |name, value| {
        if matches!(value, Value::Number(_) | Value::String(_)) {
            take(name, value);
        }
    });
}

/// All values in a line, by their dotted names.
fn leaves<'a>(line: &'a Value<'_>, take: &mut impl FnMut(&str, &'a Value<'a>)) {
    for (name, value) in line.object().unwrap_or_default() {
        nested(&mut name.to_string(), value, take);
    }
}

fn nested<'a>(name: &mut String, value: &'a Value<'_>, take: &mut impl FnMut(&str, &'a Value<'a>)) {
    match value {
        Value::Object(entries) if value.get("_type").is_none() => {
            let length = name.len();
            for (key, value) in entries {
                name.push('.');
                name.push_str(key);
                nested(name, value, take);
                name.truncate(length);
            }
        }
        _ => take(name, value),
    }
}
