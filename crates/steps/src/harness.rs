//! Evaluation of models on tasks of lm-evaluation-harness: task files to requests, answers, scores and files.
//!
//! Tasks are prepared once, and their requests become tokens once for all models of one tokenizer. Answers are kept by
//! the digests of the model and of what is asked, so an evaluation that was interrupted goes on where it was.

use std::path::{Path, PathBuf};

use retrace_checkpoint::Checkpoint;
use retrace_eval::{Ask, Cache, EvalError, Limits, Prompts, answer, answer_with, truncated};
use retrace_files::{Progress, Root, Unit, write_whole};
use retrace_harness::group::AggregateMetric;
use retrace_harness::metric::OutputType;
use retrace_harness::results::{
    Evaluation, GroupRules, Hashes, Row, Run, TaskResult, results_json, sample_hashes, sample_line, table, task_hash,
};
use retrace_harness::score::{Answered, Rules, Scored, Scoring};
use retrace_harness::{
    Data, Document, HarnessError, Index, Member, Object, Options, Request, Response, ScoreError, Task, VERSION,
};
use retrace_model::{Engine, Inference, ModelError, hub};
use retrace_spec::{Digest, canonical_digest};

use crate::StepError;

/// What is evaluated, and how.
#[derive(Debug, Clone)]
pub struct HarnessOptions {
    /// Names of tasks, groups and tags, patterns, or paths of task files.
    pub tasks: Vec<String>,
    /// The directories of task files.
    pub files: Vec<PathBuf>,
    /// The directories of data sets.
    pub data: Vec<PathBuf>,
    /// Examples, limits and seeds.
    pub options: Options,
    /// How many samples are drawn for a standard error that has no formula.
    pub bootstraps: usize,
}

/// Tasks with their requests, ready for models.
#[derive(Debug)]
pub struct HarnessTasks {
    members: Vec<Member>,
    tasks: Vec<Ready>,
    options: HarnessOptions,
    /// The requests of all tasks as tokens, and the digest of the tokenizer that made them.
    asks: Option<(Digest, Vec<Ask>)>,
}

/// A task that is ready.
#[derive(Debug)]
struct Ready {
    task: Task,
    scoring: Scoring,
    config: Object,
    digests: Object,
}

/// What a model scored.
#[derive(Debug)]
pub struct HarnessScores {
    /// The table that the harness prints.
    pub rows: Vec<Row>,
    /// The same of groups only.
    pub groups: Vec<Row>,
    /// The numbers of each task and group, as in `results.json`.
    pub results: serde_json::Value,
    /// Of each task with such requests, its name and how many of its prompts lost their beginning.
    pub truncated: Vec<(String, usize)>,
}

/// Where the results of a model are written.
#[derive(Debug)]
pub struct HarnessOutput<'a> {
    /// The directory for `results.json` and `samples_TASK.jsonl`.
    pub directory: &'a Path,
    /// The file of answers that are kept.
    pub answers: &'a Path,
}

impl HarnessTasks {
    /// Reads the task files and data, and makes all requests.
    ///
    /// # Errors
    /// If a task is unknown or not supported, data are missing, or a document does not have what the task asks of it.
    pub fn prepare(options: HarnessOptions, progress: &dyn Progress) -> Result<Self, StepError> {
        let index = Index::read(&options.files)?;
        let members = index.load(&options.tasks)?;
        let data = Data { directories: options.data.clone() };
        let configs: Vec<_> = members.iter().flat_map(Member::tasks).collect();
        progress.begin("preparing tasks", configs.len() as u64, Unit::Items);
        let mut tasks: Vec<Ready> = Vec::new();
        let mut refused: Vec<HarnessError> = Vec::new();
        for config in configs {
            match Task::prepare(config.clone(), &data, &options.options) {
                Ok(task) => tasks.push(Ready::new(task)?),
                Err(error) => refused.push(error),
            }
            progress.advance(1);
        }
        progress.end();
        let stopped = refused.len();
        match refused.into_iter().next() {
            Some(first) if stopped > 1 => Err(StepError::HarnessTasks { stopped, of: stopped + tasks.len(), first }),
            Some(first) => Err(first.into()),
            None => Ok(Self { members, tasks, options, asks: None }),
        }
    }

    /// How many tasks there are.
    pub const fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Whether there is no task.
    pub const fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// How many requests a model answers.
    pub fn requests(&self) -> usize {
        self.tasks.iter().map(|ready| ready.task.instances.len()).sum()
    }

    /// Evaluates the model in a directory, called `name`, and writes the files of the harness.
    ///
    /// # Errors
    /// If the model or its tokenizer cannot be read, a request cannot be answered, or a score cannot be computed.
    pub fn evaluate(
        &mut self,
        model: &Root,
        name: &str,
        engine: Engine,
        output: Option<&HarnessOutput<'_>>,
        progress: &dyn Progress,
    ) -> Result<HarnessScores, StepError> {
        let prompts = Prompts::read(model, None)?;
        let asks = match self.asks.take() {
            Some((digest, asks)) if digest == prompts.digest() => asks,
            _ => {
                let requests: Vec<Request> = self.requests_in_order().cloned().collect();
                prompts.ask(&requests).map_err(|error| self.named(error))?
            }
        };
        let inference = match engine {
            Engine::Fused => hub::read_stored(model)?,
            engine => {
                let (description, weights) = hub::read(model)?;
                Inference::new(&description, weights, engine)?
            }
        };
        let tensors = Checkpoint::in_directory(model).map_err(ModelError::from)?.digests()?;
        let digest = model_digest(&tensors.root, inference.description())?;
        let limits = Limits::default();
        let lost = truncated(&inference, &asks, limits)?;
        progress.begin(&format!("answering ({name})"), asks.len() as u64, Unit::Items);
        let responses = match output {
            Some(output) => {
                let mut cache = Cache::open(output.answers)?;
                let mut before = 0;
                answer_with(&mut cache, (&inference, digest), &prompts, &asks, limits, &mut |done| {
                    progress.advance((done - before) as u64);
                    before = done;
                })
            }
            None => answered(&inference, &prompts, &asks, limits, progress),
        };
        let responses = responses.map_err(|error| self.named(error))?;
        progress.end();
        let truncated = self.by_task(&lost);
        let retrace = self.origin(digest, &tensors.root, &prompts, &truncated);
        self.asks = Some((prompts.digest(), asks));
        self.score(&responses, name, &inference, retrace, truncated, output.map(|output| output.directory))
    }

    fn requests_in_order(&self) -> impl Iterator<Item = &Request> {
        self.tasks.iter().flat_map(|ready| &ready.task.instances).map(|instance| &instance.request)
    }

    /// An error about a request, with its task and document.
    fn named(&self, error: EvalError) -> StepError {
        let (request, what) = match error {
            EvalError::Request { request, what } => (request, what),
            EvalError::NotFiniteAnswer { request } => (request, "the model's logits are not finite numbers".to_owned()),
            other => return other.into(),
        };
        let mut first = 0;
        for Ready { task, .. } in &self.tasks {
            if let Some(instance) = request.checked_sub(first).and_then(|at| task.instances.get(at)) {
                let document = task.numbers.get(instance.document).copied().unwrap_or(instance.document);
                return StepError::HarnessRequest { task: task.config.name().to_owned(), document, what };
            }
            first += task.instances.len();
        }
        EvalError::Request { request, what }.into()
    }

    /// How many requests of each task are among these.
    fn by_task(&self, lost: &[(usize, usize)]) -> Vec<(String, usize)> {
        let (mut first, mut counts) = (0, Vec::new());
        for Ready { task, .. } in &self.tasks {
            let own = first..first + task.instances.len();
            first = own.end;
            let count = lost.iter().filter(|(request, _)| own.contains(request)).count();
            if count > 0 {
                counts.push((task.config.name().to_owned(), count));
            }
        }
        counts
    }

    /// What the harness does not write: from what the results follow.
    fn origin(&self, model: Digest, tensors: &Digest, prompts: &Prompts, truncated: &[(String, usize)]) -> Object {
        let text = |digest: &dyn std::fmt::Display| Object::Text(digest.to_string());
        let lost = truncated.iter().map(|(task, count)| (task.clone(), Object::Integer(*count as i128))).collect();
        let tasks = self.tasks.iter().map(|ready| (ready.task.config.name().to_owned(), ready.digests.clone()));
        map([
            ("harness", Object::from(VERSION)),
            ("numerics", Object::Integer(i128::from(retrace_numerics::VERSION))),
            ("model", text(&model)),
            ("tensors", text(tensors)),
            ("tokenizer", text(&prompts.digest())),
            ("tasks", Object::Map(tasks.collect())),
            ("truncated", Object::Map(lost)),
        ])
    }

    fn score(
        &self,
        responses: &[Response],
        name: &str,
        model: &Inference,
        retrace: Object,
        truncated: Vec<(String, usize)>,
        output: Option<&Path>,
    ) -> Result<HarnessScores, StepError> {
        let (mut results, mut hashes, mut rest) = (Vec::new(), Vec::new(), responses);
        for ready in &self.tasks {
            let (own, others) = rest.split_at(ready.task.instances.len().min(rest.len()));
            rest = others;
            let (result, lines, of_samples) = ready.score(own, self.options.bootstraps)?;
            if let Some(directory) = output {
                let path = directory.join(format!("samples_{}.jsonl", file_name(&result.name)));
                write(&path, &lines)?;
            }
            hashes.push((result.name.clone(), task_hash(&of_samples)));
            results.push(result);
        }
        let mut groups = Vec::new();
        for member in &self.members {
            rules_of_groups(member, &mut groups)?;
        }
        let evaluation = Evaluation::new(&results, &groups)?;
        let description = model.description();
        let run = Run {
            model: "retrace".to_owned(),
            model_args: map([("pretrained", Object::from(name))]),
            model_name: name.to_owned(),
            model_info: Vec::new(),
            batch_size: Object::None,
            device: Object::from("cpu"),
            limit: limit(&self.options.options),
            bootstraps: self.options.bootstraps,
            gen_kwargs: Object::from(&retrace_harness::python::Value::Dict(self.options.options.generation.clone())),
            fewshot_seed: self.options.options.seed,
            // The same evaluation writes the same bytes.
            date: None,
            seconds: None,
            tokenizer: vec![("max_length".to_owned(), Object::Integer(description.max_position_embeddings as i128))],
            fewshot_as_multiturn: false,
            task_hashes: hashes,
            retrace,
        };
        let json = results_json(&evaluation, &run);
        if let Some(directory) = output {
            write(&directory.join("results.json"), &[json, String::new()])?;
        }
        let entry = evaluation.entries.iter().find(|(name, _)| name == "results").map(|(_, results)| results);
        Ok(HarnessScores {
            rows: table(&evaluation, false),
            groups: table(&evaluation, true),
            results: entry.map_or(serde_json::Value::Null, as_json),
            truncated,
        })
    }
}

/// The digest of a model: of its tensors and its description.
fn model_digest(tensors: &Digest, description: &retrace_spec::Model) -> Result<Digest, StepError> {
    let description = canonical_digest("model/1", description)?;
    Ok(Digest::of(&[*tensors.as_bytes(), *description.as_bytes()].concat()))
}

/// The answers to all requests, in their order.
fn answered(
    model: &Inference,
    prompts: &Prompts,
    asks: &[Ask],
    limits: Limits,
    progress: &dyn Progress,
) -> Result<Vec<Response>, EvalError> {
    let mut responses: Vec<Option<Response>> = vec![None; asks.len()];
    answer(model, prompts, asks, limits, &mut |request, response| {
        if let Some(place) = responses.get_mut(request) {
            *place = Some(response);
        }
        progress.advance(1);
        Ok(())
    })?;
    let missing = |(request, response): (usize, Option<Response>)| {
        response.ok_or(EvalError::Request { request, what: "it was not answered".to_owned() })
    };
    responses.into_iter().enumerate().map(missing).collect()
}

impl Ready {
    fn new(task: Task) -> Result<Self, StepError> {
        let name = task.config.name().to_owned();
        let refuse = |what: String| HarnessError::Task { task: name.clone(), what };
        let of_task = |error: ScoreError| StepError::HarnessScore { task: name.clone(), error };
        let output_type = OutputType::named(task.config.output_type())
            .ok_or_else(|| refuse(format!("the `output_type` {:?} is unknown", task.config.output_type())))?;
        let (filters, metrics) = (
            task.config.get("filter_list").map(|list| list.to_json()),
            task.config.get("metric_list").map(|list| list.to_json()),
        );
        let scoring = Scoring::new(&Rules {
            output_type,
            filter_list: filters.as_ref(),
            metric_list: metrics.as_ref(),
            process_results: task.process_results,
            aggregations: &task.aggregations,
            has_choices: task.config.get("doc_to_choice").is_some(),
            multiple_inputs: task.multiple_input > 0,
            multiple_targets: task.multiple_target > 0,
        })
        .map_err(of_task)?;
        let config = Object::from(&retrace_harness::python::Value::Dict(task.config.fields()));
        let mut documents = blake3::Hasher::new();
        for document in &task.ordered {
            documents.update(columns(document).json().as_bytes()).update(b"\n");
        }
        let mut requests = blake3::Hasher::new();
        for instance in &task.instances {
            requests.update(format!("{instance:?}\n").as_bytes());
        }
        let text = |digest: Digest| Object::Text(digest.to_string());
        let digests = map([
            ("config", text(Digest::of(config.json().as_bytes()))),
            ("documents", text(documents.finalize().into())),
            ("requests", text(requests.finalize().into())),
        ]);
        Ok(Self { task, scoring, config, digests })
    }

    /// The results, the lines of its samples with an empty one at the end, and the hashes of its samples.
    fn score(
        &self,
        responses: &[Response],
        bootstraps: usize,
    ) -> Result<(TaskResult, Vec<String>, Vec<Hashes>), StepError> {
        let Self { task, scoring, config, .. } = self;
        let name = task.config.name().to_owned();
        let repeated: Vec<Vec<Response>> =
            responses.iter().map(|response| vec![response.clone(); task.repeats.max(1)]).collect();
        let answered: Vec<Answered<'_>> = (task.instances.iter().zip(&repeated))
            .map(|(instance, responses)| Answered { instance, responses })
            .collect();
        let documents: Vec<(usize, &Document)> = task.documents.iter().enumerate().collect();
        let scored = scoring
            .score(&documents, &answered, bootstraps)
            .map_err(|error| StepError::HarnessScore { task: name.clone(), error })?;
        let Scored { samples, results, evaluated, .. } = scored;
        let (mut lines, mut hashes) = (Vec::with_capacity(samples.len() + 1), Vec::with_capacity(samples.len()));
        for mut sample in samples {
            let place = sample.document;
            let (Some(document), Some(ordered)) = (task.documents.get(place), task.ordered.get(place)) else {
                continue;
            };
            let begins = answered.partition_point(|answer| answer.instance.document < place);
            let ends = answered.partition_point(|answer| answer.instance.document <= place);
            let own = answered.get(begins..ends).unwrap_or_default();
            let (columns, target) = (columns(ordered), Object::from(&document.target));
            let hash = sample_hashes(&columns, &target, own);
            sample.document = task.numbers.get(place).copied().unwrap_or(place);
            lines.push(sample_line(&columns, &target, own, &sample, &hash));
            hashes.push(hash);
        }
        lines.push(String::new());
        let version = task.config.get("metadata").and_then(|metadata| metadata.dict()?.get("version"));
        let result = TaskResult {
            alias: task.config.text("task_alias").unwrap_or(&name).to_owned(),
            version: version.map_or(Object::from("Yaml"), Object::from),
            shots: task.shots,
            config: config.clone(),
            higher_is_better: scoring.higher_is_better(),
            documents: task.original,
            evaluated,
            results,
            name,
        };
        Ok((result, lines, hashes))
    }
}

/// The rules of a group and of the groups in it.
fn rules_of_groups(member: &Member, rules: &mut Vec<GroupRules>) -> Result<(), StepError> {
    let Member::Group(group) = member else { return Ok(()) };
    let metrics = group.aggregate_metric_list.as_ref().map(|list| list.to_json());
    let metrics = AggregateMetric::of_group(metrics.as_ref());
    rules.push(GroupRules {
        name: group.name.clone(),
        alias: group.alias.clone(),
        version: group.metadata.get("version").map_or_else(|| "N/A".to_owned(), |version| version.shown()),
        children: group.members.iter().map(|member| member.name().to_owned()).collect(),
        metrics: metrics.map_err(|error| StepError::HarnessScore { task: group.name.clone(), error })?,
    });
    group.members.iter().try_for_each(|member| rules_of_groups(member, rules))
}

fn columns(document: &retrace_harness::python::Dict) -> Object {
    Object::Map(document.iter().map(|(name, value)| (name.to_owned(), Object::from(value))).collect())
}

fn limit(options: &Options) -> Object {
    use retrace_harness::Limit;
    match &options.limit {
        None => Object::None,
        Some(Limit::First(count)) => Object::Integer(*count as i128),
        Some(Limit::Part(part)) => Object::Float(*part),
        Some(Limit::These(numbers)) => {
            Object::List(numbers.iter().map(|number| Object::Integer(*number as i128)).collect())
        }
    }
}

fn map<const N: usize>(entries: [(&str, Object); N]) -> Object {
    Object::Map(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

/// As JSON; a number that JSON lacks is its text.
fn as_json(value: &Object) -> serde_json::Value {
    match value {
        Object::Map(entries) => entries.iter().map(|(key, value)| (key.clone(), as_json(value))).collect(),
        Object::List(items) | Object::Tuple(items) => items.iter().map(as_json).collect(),
        other => other.to_json().unwrap_or_else(|| other.text().into()),
    }
}

/// A task's name in the name of a file.
fn file_name(task: &str) -> String {
    task.chars().map(|c| if matches!(c, '/' | '\\' | ':') || c.is_control() { '_' } else { c }).collect()
}

fn write(path: &Path, lines: &[String]) -> Result<(), StepError> {
    write_whole(path, lines.join("\n").as_bytes())?;
    Ok(())
}
