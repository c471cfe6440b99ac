//! A task with its documents, and what it asks a model.

use crate::context::{Turn, joined};
use crate::fewshot::{Sampler, listed};
use crate::function::port;
use crate::python::{Dict, Value, is_digits, literal};
use crate::{
    Aggregate, Data, Document, Generation, HarnessError, Instance, Port, ProcessResults, Request, TaskConfig, Template,
};

/// How many documents of each task are evaluated.
#[derive(Debug, Clone, PartialEq)]
pub enum Limit {
    /// The first ones.
    First(usize),
    /// A part of them, of (0, 1), rounded up.
    Part(f64),
    /// These, counted from 0. They are evaluated in the order of the data.
    These(Vec<usize>),
}

/// What the user sets for all tasks.
#[derive(Debug, Clone)]
pub struct Options {
    /// How many examples a prompt has; a task that says 0 itself keeps it.
    pub shots: Option<usize>,
    /// The seed of the examples; 1234 in the harness.
    pub seed: u64,
    /// How many documents are evaluated.
    pub limit: Option<Limit>,
    /// Settings of generation that count more than those of tasks.
    pub generation: Dict,
}

impl Default for Options {
    fn default() -> Self {
        Self { shots: None, seed: 1234, limit: None, generation: Dict::default() }
    }
}

/// A task that is ready: everything that a model is asked, and what scores its answers.
#[derive(Debug)]
pub struct Task {
    /// Its configuration, with the options of the user.
    pub config: TaskConfig,
    /// How many examples each prompt has.
    pub shots: usize,
    /// How many documents its split has.
    pub original: usize,
    /// The documents that are evaluated.
    pub documents: Vec<Document>,
    /// The same documents with the order of their columns.
    pub ordered: Vec<Dict>,
    /// The number of each document in the split, as the harness writes it into its samples.
    pub numbers: Vec<usize>,
    /// What a model is asked, document after document.
    pub instances: Vec<Instance>,
    /// How often each request is repeated.
    pub repeats: usize,
    /// How many inputs a document has, if each choice is in a context of its own; otherwise 0.
    pub multiple_input: usize,
    /// How many targets the first document has, if they are a list; otherwise 0.
    pub multiple_target: usize,
    /// What scores a document, if the task has its own function.
    pub process_results: Option<ProcessResults>,
    /// Aggregations of the task's own, by the metric.
    pub aggregations: Vec<(String, Aggregate)>,
}

impl Task {
    /// Reads the task's documents and makes its requests.
    ///
    /// # Errors
    /// If data are missing, a function is not ported, or a document does not have what the task asks of it.
    pub fn prepare(mut config: TaskConfig, data: &Data, options: &Options) -> Result<Self, HarnessError> {
        let shots = settle(&mut config, options)?;
        let maker = Maker::new(&config, data)?;
        let selected = selected(&config, maker.documents.len(), options.limit.as_ref())?;
        let pool = if shots > 0 { examples(&config, data)? } else { Vec::new() };
        let sampler = config.of_shots("sampler").and_then(Value::text).unwrap_or("default");
        let mut sampler = Sampler::new(sampler, pool, options.seed);
        let mut task = Self {
            shots,
            original: maker.documents.len(),
            documents: Vec::new(),
            ordered: Vec::new(),
            numbers: selected.iter().map(|(number, _)| *number).collect(),
            instances: Vec::new(),
            repeats: config.get("repeats").and_then(Value::int).and_then(|n| usize::try_from(n).ok()).unwrap_or(1),
            multiple_input: maker.multiple_input,
            multiple_target: maker.multiple_target,
            process_results: None,
            aggregations: Vec::new(),
            config: config.clone(),
        };
        task.bind_scores()?;
        for (at, (_, place)) in selected.iter().enumerate() {
            let asked = &maker.documents[*place];
            let wrong = |what: String| HarnessError::Document {
                task: config.name().to_owned(),
                split: maker.split.clone(),
                document: *place,
                what,
            };
            let requests = maker.requests(asked, shots, &mut sampler).map_err(wrong)?;
            let requests = requests.into_iter().enumerate();
            task.instances.extend(requests.map(|(index, request)| Instance { document: at, index, request }));
            let choices = maker.choices(asked).map_err(wrong)?.unwrap_or_default();
            task.documents.push(Document {
                columns: asked.to_json(),
                target: maker.target(&maker.own.target, asked).map_err(wrong)?.to_json(),
                input: maker.input(asked).map_err(wrong)?,
                choices: choices.iter().map(Value::shown).collect(),
            });
            task.ordered.push(asked.clone());
        }
        Ok(task)
    }

    fn bind_scores(&mut self) -> Result<(), HarnessError> {
        let name = self.config.name().to_owned();
        let refuse = |what: String| HarnessError::Task { task: name.clone(), what };
        if let Some(Value::Function(function)) = self.config.get("process_results") {
            match port(function, &name)? {
                Port::Results(results) => self.process_results = Some(results),
                _ => return Err(refuse(format!("`{}` does not score documents", function.name))),
            }
        }
        for metric in self.config.get("metric_list").and_then(Value::list).unwrap_or_default() {
            let Some(metric) = metric.dict() else {
                return Err(refuse("an entry of `metric_list` is no mapping".to_owned()));
            };
            if let (Some(Value::Text(metric)), Some(Value::Function(function))) =
                (metric.get("metric"), metric.get("aggregation"))
            {
                match port(function, &name)? {
                    Port::Aggregate(aggregate) => self.aggregations.push((metric.clone(), aggregate)),
                    _ => return Err(refuse(format!("`{}` does not aggregate", function.name))),
                }
            }
        }
        Ok(())
    }
}

/// Puts the user's options into the configuration; how many examples there are.
fn settle(config: &mut TaskConfig, options: &Options) -> Result<usize, HarnessError> {
    if config.output_type() == "generate_until"
        && !options.generation.is_empty()
        && let Some(Value::Dict(settings)) = config.get("generation_kwargs")
    {
        let mut settings = settings.clone();
        settings.update(options.generation.clone());
        config.set("generation_kwargs", settings);
    }
    let own = match config.get("num_fewshot") {
        None => None,
        Some(number) => {
            let number = number.int().and_then(|number| usize::try_from(number).ok());
            let what = "`num_fewshot` is no whole number".to_owned();
            Some(number.ok_or_else(|| HarnessError::Task { task: config.name().to_owned(), what })?)
        }
    };
    let shots = match (own, options.shots) {
        (Some(0), _) => 0,
        (_, Some(shots)) => shots,
        (own, None) => own.unwrap_or(0),
    };
    config.set("num_fewshot", shots);
    Ok(shots)
}

/// The documents that are evaluated: the number that the harness gives each, and its place in the split. With numbers
/// from the user, the harness evaluates in the order of the data and gives the numbers in the order of the user.
fn selected(config: &TaskConfig, length: usize, limit: Option<&Limit>) -> Result<Vec<(usize, usize)>, HarnessError> {
    let first = |count: usize| (0..count.min(length)).map(|at| (at, at)).collect();
    let refuse = |what: String| HarnessError::Task { task: config.name().to_owned(), what };
    let chosen: Vec<(usize, usize)> = match limit {
        None | Some(Limit::First(0)) => first(length),
        Some(Limit::First(count)) => first(*count),
        Some(Limit::Part(part)) => first((length as f64 * part).ceil() as usize),
        Some(Limit::These(numbers)) => {
            if let Some(number) = numbers.iter().find(|number| **number >= length) {
                return Err(refuse(format!("document {number} was asked for, and it has {length}")));
            }
            let places = (0..length).filter(|place| numbers.contains(place));
            numbers.iter().copied().zip(places).collect()
        }
    };
    if chosen.is_empty() { Err(refuse("it has no documents".to_owned())) } else { Ok(chosen) }
}

fn processed(function: Option<&Value>, task: &str, documents: Vec<Dict>) -> Result<Vec<Dict>, HarnessError> {
    let refuse = |what: String| HarnessError::Task { task: task.to_owned(), what };
    match function {
        None => Ok(documents),
        Some(Value::Function(function)) => match port(function, task)? {
            Port::Documents(of) => of(documents).map_err(|what| refuse(format!("`{}`: {what}", function.name))),
            Port::DocumentsOf(of) => {
                let name = function.name.rsplit('.').next().unwrap_or_default();
                of(name, documents).map_err(|what| refuse(format!("`{}`: {what}", function.name)))
            }
            _ => Err(refuse(format!("`{}` does not process documents", function.name))),
        },
        Some(other) => Err(refuse(format!("`process_docs` is a {}", other.kind()))),
    }
}

/// The documents of which examples are chosen.
fn examples(config: &TaskConfig, data: &Data) -> Result<Vec<Dict>, HarnessError> {
    let refuse = |what: String| HarnessError::Task { task: config.name().to_owned(), what };
    if let Some(split) = config.of_shots("split") {
        let split = split.text().ok_or_else(|| refuse("the split of the examples is no text".to_owned()))?;
        return processed(config.of_shots("process_docs"), config.name(), data.split(config, split)?);
    }
    match config.of_shots("samples") {
        Some(Value::Function(function)) => match port(function, config.name())? {
            Port::Samples(samples) => return Ok(samples()),
            _ => return Err(refuse(format!("`{}` gives no examples", function.name))),
        },
        Some(samples) => return listed(samples).map_err(refuse),
        None => {}
    }
    let split = ["training_split", "validation_split", "test_split"].iter().find_map(|name| config.text(name));
    let split = split.ok_or_else(|| refuse("it has no split for examples".to_owned()))?;
    processed(config.get("process_docs"), config.name(), data.split(config, split)?)
}

/// A field of a task that gives a value for each document.
#[derive(Debug)]
enum Field {
    Missing,
    Column(String),
    Template(Box<Template>),
    Fixed(Value),
    Port(fn(&Dict) -> Result<Value, String>),
}

impl Field {
    fn new(value: Option<&Value>, columns: &[String], task: &str) -> Result<Self, HarnessError> {
        let refuse = |what: String| HarnessError::Task { task: task.to_owned(), what };
        Ok(match value {
            None => Self::Missing,
            Some(Value::Text(text)) if columns.contains(text) => Self::Column(text.clone()),
            Some(Value::Text(text)) => Self::Template(Box::new(Template::new(text).map_err(refuse)?)),
            Some(Value::Function(function)) => match port(function, task)? {
                Port::Value(of) => Self::Port(of),
                _ => return Err(refuse(format!("`{}` gives no value of a document", function.name))),
            },
            Some(Value::Dict(dict)) => Self::Fixed(Value::List(dict.iter().map(|(_, value)| value.clone()).collect())),
            Some(other) => Self::Fixed(other.clone()),
        })
    }

    /// The value for a document; what a template renders is a text.
    fn of(&self, document: &Dict) -> Result<(Value, bool), String> {
        match self {
            Self::Missing => Err("a field of the task is missing".to_owned()),
            Self::Column(name) => {
                let value = document.get(name).cloned().ok_or_else(|| format!("it has no column `{name}`"))?;
                Ok((value, false))
            }
            Self::Template(template) => Ok((Value::Text(template.render(document)?), true)),
            Self::Fixed(value) => Ok((value.clone(), false)),
            Self::Port(of) => Ok((of(document)?, false)),
        }
    }
}

/// The fields of a task, or of its examples.
#[derive(Debug)]
struct Fields {
    text: Field,
    target: Field,
    choice: Field,
    prefix: Option<(String, Template)>,
    before_answer: String,
    after_answer: String,
}

impl Fields {
    fn new<'a>(of: impl Fn(&str) -> Option<&'a Value>, columns: &[String], task: &str) -> Result<Self, HarnessError> {
        let refuse = |what: String| HarnessError::Task { task: task.to_owned(), what };
        let text = |name: &str| match of(name) {
            None => Ok(String::new()),
            Some(Value::Text(text)) => Ok(text.clone()),
            Some(other) => Err(refuse(format!("`{name}` is a {}", other.kind()))),
        };
        let prefix = text("gen_prefix")?;
        Ok(Self {
            text: Field::new(of("doc_to_text"), columns, task)?,
            target: Field::new(of("doc_to_target"), columns, task)?,
            choice: Field::new(of("doc_to_choice"), columns, task)?,
            prefix: match prefix.is_empty() {
                true => None,
                false => Some((prefix.clone(), Template::new(&prefix).map_err(refuse)?)),
            },
            before_answer: text("target_delimiter")?,
            after_answer: text("fewshot_delimiter")?,
        })
    }
}

/// Makes the requests of a task.
struct Maker<'a> {
    config: &'a TaskConfig,
    split: String,
    documents: Vec<Dict>,
    description: (String, Template),
    own: Fields,
    shots: Fields,
    excludes_itself: bool,
    multiple_input: usize,
    multiple_target: usize,
    has_choices: bool,
    is_mutual: bool,
}

impl<'a> Maker<'a> {
    fn new(config: &'a TaskConfig, data: &Data) -> Result<Self, HarnessError> {
        let refuse = |what: String| HarnessError::Task { task: config.name().to_owned(), what };
        let split = config.text("test_split").or_else(|| config.text("validation_split"));
        let split = split.ok_or_else(|| refuse("it has neither `test_split` nor `validation_split`".to_owned()))?;
        let documents = processed(config.get("process_docs"), config.name(), data.split(config, split)?)?;
        let first = documents.first().ok_or_else(|| refuse(format!("the split {split:?} has no documents")))?;
        let columns: Vec<String> = first.iter().map(|(name, _)| name.to_owned()).collect();
        let description = match config.get("description") {
            None => "",
            Some(Value::Text(text)) => text,
            Some(other) => return Err(refuse(format!("`description` is a {}", other.kind()))),
        };
        let metrics = config.get("metric_list").and_then(Value::list).unwrap_or_default();
        let is_mutual = |metric: &Value| {
            metric.dict().and_then(|metric| metric.get("metric")).and_then(Value::text) == Some("acc_mutual_info")
        };
        let mut maker = Self {
            split: split.to_owned(),
            description: (description.to_owned(), Template::new(description).map_err(refuse)?),
            own: Fields::new(|name| config.get(name), &columns, config.name())?,
            shots: Fields::new(|name| config.of_shots(name), &columns, config.name())?,
            excludes_itself: config.of_shots("split") == config.get("test_split"),
            multiple_input: 0,
            multiple_target: 0,
            has_choices: config.get("doc_to_choice").is_some(),
            is_mutual: metrics.iter().any(is_mutual),
            documents: Vec::new(),
            config,
        };
        let wrong = |what: String| HarnessError::Document {
            task: config.name().to_owned(),
            split: split.to_owned(),
            document: 0,
            what,
        };
        let text = maker.text(&maker.own.text, first).map_err(wrong)?;
        if let Value::List(targets) = maker.target(&maker.own.target, first).map_err(wrong)? {
            maker.multiple_target = targets.len();
        }
        if let (Some(choices), Some(_)) = (maker.choices(first).map_err(wrong)?, text.int()) {
            maker.multiple_input = choices.len();
        }
        maker.documents = documents;
        Ok(maker)
    }

    fn text(&self, field: &Field, document: &Dict) -> Result<Value, String> {
        let (value, rendered) = field.of(document).map_err(|what| format!("`doc_to_text`: {what}"))?;
        match &value {
            Value::Text(text) if rendered && self.has_choices && is_digits(text) => literal(text),
            _ => Ok(value),
        }
    }

    fn target(&self, field: &Field, document: &Dict) -> Result<Value, String> {
        let (value, rendered) = field.of(document).map_err(|what| format!("`doc_to_target`: {what}"))?;
        match &value {
            Value::Text(text) if rendered && self.has_choices && is_digits(text) => literal(text),
            Value::Text(text) if rendered && text.len() > 1 && text.starts_with('[') && text.ends_with(']') => {
                Ok(literal(text).unwrap_or(value))
            }
            _ => Ok(value),
        }
    }

    fn choices(&self, document: &Dict) -> Result<Option<Vec<Value>>, String> {
        if self.has_choices { choices(&self.own.choice, document).map(Some) } else { Ok(None) }
    }

    /// With several inputs, which of them is right.
    fn input(&self, document: &Dict) -> Result<Option<i64>, String> {
        if self.multiple_input == 0 {
            return Ok(None);
        }
        let number = self.text(&self.own.text, document)?.int().and_then(|number| i64::try_from(number).ok());
        number.map(Some).ok_or_else(|| "`doc_to_text` gives no number, as it did for the first document".to_owned())
    }

    /// The description and the examples.
    fn before(&self, asked: &Dict, count: usize, sampler: &mut Sampler) -> Result<String, String> {
        let mut out = resolved(&self.description, asked).map_err(|what| format!("`description`: {what}"))?;
        if !out.is_empty() {
            out = joined("", &out, "");
        }
        if count == 0 {
            return Ok(out);
        }
        let fields = &self.shots;
        let has_choices = !matches!(fields.choice, Field::Missing);
        for example in sampler.sample(count, self.excludes_itself.then_some(asked))? {
            let within = |what: String| format!("an example: {what}");
            let mut question = self.text(&fields.text, example).map_err(within)?;
            let mut choices = has_choices.then(|| choices(&fields.choice, example)).transpose().map_err(within)?;
            let answer = self.target(&fields.target, example).map_err(within)?;
            if self.multiple_input > 0 {
                let number = question.int().ok_or("an example: `doc_to_text` gives no number")?;
                let inputs = choices.take().unwrap_or_default();
                question = crate::context::at(&inputs, number).cloned().ok_or("an example has no such choice")?;
            }
            let prefix = fields.prefix.as_ref().map(|prefix| resolved(prefix, example)).transpose().map_err(within)?;
            let turn = Turn {
                question: &question,
                choices: choices.as_deref(),
                answer: Some(&answer),
                prefix: prefix.as_deref(),
                before_answer: &fields.before_answer,
                after_answer: &fields.after_answer,
            };
            out += &turn.text().map_err(within)?;
        }
        Ok(out)
    }

    fn requests(&self, asked: &Dict, count: usize, sampler: &mut Sampler) -> Result<Vec<Request>, String> {
        let before = self.before(asked, count, sampler)?;
        let prefix = self.own.prefix.as_ref().map(|prefix| resolved(prefix, asked)).transpose()?;
        let delimiter = &self.own.before_answer;
        let context = |question: &Value, before_answer: &str| -> Result<String, String> {
            let turn = Turn {
                question,
                choices: None,
                answer: None,
                prefix: prefix.as_deref(),
                before_answer,
                after_answer: "",
            };
            Ok(format!("{before}{}", turn.text()?))
        };
        let choices = self.choices(asked)?;
        let contexts = match (&choices, self.multiple_input) {
            (Some(inputs), 1..) => inputs.iter().map(|input| context(input, "")).collect::<Result<Vec<_>, _>>()?,
            _ => vec![context(&self.text(&self.own.text, asked)?, delimiter)?],
        };
        let target = self.target(&self.own.target, asked)?;
        let text_of_target = || match &target {
            Value::Text(text) => Ok(text.clone()),
            other => Err(format!("`doc_to_target` gives a {}, not a text", other.kind())),
        };
        match self.config.output_type() {
            "loglikelihood_rolling" => Ok(vec![Request::Text { text: text_of_target()? }]),
            "multiple_choice" => {
                let choices = choices.ok_or("it is `multiple_choice` without `doc_to_choice`")?;
                let said = |choice: &Value| format!("{delimiter}{}", choice.shown());
                let mut requests: Vec<Request> = match self.multiple_input {
                    0 => {
                        let of = |choice: &Value| (contexts.first().cloned().unwrap_or_default(), said(choice));
                        choices
                            .iter()
                            .map(of)
                            .map(|(context, continuation)| Request::Continuation { context, continuation })
                            .collect()
                    }
                    _ => {
                        let continuation = said(&target);
                        contexts
                            .into_iter()
                            .map(|context| Request::Continuation { context, continuation: continuation.clone() })
                            .collect()
                    }
                };
                if self.is_mutual {
                    let of =
                        |choice: &Value| Request::Continuation { context: String::new(), continuation: said(choice) };
                    requests.extend(choices.iter().map(of));
                }
                Ok(requests)
            }
            output => {
                let context = contexts.into_iter().next().filter(|_| self.multiple_input == 0);
                let context = context.ok_or("it has several inputs, but no `multiple_choice`")?;
                match output {
                    "loglikelihood" => Ok(vec![Request::Continuation { context, continuation: text_of_target()? }]),
                    _ => Ok(vec![Request::Generation { context, settings: self.generation()? }]),
                }
            }
        }
    }

    fn generation(&self) -> Result<Generation, String> {
        let none = Dict::default();
        let settings = self.config.get("generation_kwargs").and_then(Value::dict).unwrap_or(&none);
        let until = match settings.get("until") {
            None | Some(Value::None) => Vec::new(),
            Some(Value::Text(text)) => vec![text.clone()],
            Some(Value::List(list)) => {
                let texts = list.iter().map(|text| text.text().map(str::to_owned));
                texts.collect::<Option<_>>().ok_or("`until` has something that is no text")?
            }
            Some(other) => return Err(format!("`until` is a {}", other.kind())),
        };
        let most = match settings.get("max_gen_toks") {
            None | Some(Value::None) => None,
            Some(number) => {
                let number = number.int().and_then(|number| usize::try_from(number).ok());
                Some(number.ok_or("`max_gen_toks` is no whole number")?)
            }
        };
        Ok(Generation { until, max_gen_toks: most, written: settings.clone() })
    }
}

/// A column that has the name that the text is, or else what the template renders.
fn resolved((name, template): &(String, Template), document: &Dict) -> Result<String, String> {
    match document.get(name).filter(|_| !name.is_empty()) {
        Some(Value::Text(text)) => Ok(text.clone()),
        Some(other) => Err(format!("the column `{name}` has a {}", other.kind())),
        None => template.render(document),
    }
}

fn choices(field: &Field, document: &Dict) -> Result<Vec<Value>, String> {
    let within = |what: String| format!("`doc_to_choice`: {what}");
    let (value, rendered) = field.of(document).map_err(within)?;
    let value = match &value {
        Value::Text(text) if rendered => literal(text).map_err(within)?,
        _ => value,
    };
    match value {
        Value::List(list) => Ok(list),
        other => Err(format!("`doc_to_choice` gives a {}, not a list", other.kind())),
    }
}
