//! The configuration of a task, after everything that its files include and its groups override.

use std::path::{Path, PathBuf};

use crate::HarnessError;
use crate::python::{Dict, Value};

/// The fields of a task in the order of the harness, which refuses all others.
const FIELDS: [&str; 34] = [
    "task",
    "task_alias",
    "tag",
    "custom_dataset",
    "dataset_path",
    "dataset_name",
    "dataset_kwargs",
    "training_split",
    "validation_split",
    "test_split",
    "fewshot_split",
    "process_docs",
    "doc_to_text",
    "doc_to_target",
    "doc_to_image",
    "doc_to_audio",
    "unsafe_code",
    "doc_to_choice",
    "process_results",
    "use_prompt",
    "description",
    "target_delimiter",
    "fewshot_delimiter",
    "fewshot_config",
    "num_fewshot",
    "metric_list",
    "output_type",
    "generation_kwargs",
    "repeats",
    "filter_list",
    "should_decontaminate",
    "doc_to_decontamination_query",
    "gen_prefix",
    "metadata",
];
/// The fields of `fewshot_config` in the order of the harness.
const OF_SHOTS: [&str; 11] = [
    "sampler",
    "split",
    "process_docs",
    "fewshot_indices",
    "samples",
    "doc_to_text",
    "doc_to_choice",
    "doc_to_target",
    "gen_prefix",
    "fewshot_delimiter",
    "target_delimiter",
];
/// What the harness asks of a model.
const OUTPUT_TYPES: [&str; 4] = ["loglikelihood", "multiple_choice", "loglikelihood_rolling", "generate_until"];

/// The configuration of a task. Nothing of its data is read yet.
#[derive(Debug, Clone)]
pub struct TaskConfig {
    fields: Dict,
    shots: Dict,
    path: PathBuf,
}

impl TaskConfig {
    /// The configuration that the merged fields of a file give, with the defaults of the harness.
    ///
    /// # Errors
    /// If it has fields that the harness does not know, or things that are not supported.
    pub fn new(mut fields: Dict, path: &Path) -> Result<Self, HarnessError> {
        let refuse = |what: String| HarnessError::TaskFile { path: path.to_owned(), what };
        for name in ["tag", "group", "task_list"] {
            fields.remove(name);
        }
        if fields.get("class").is_some() {
            return Err(refuse("the task is a class in Python, which is not ported".to_owned()));
        }
        if let Some((unknown, _)) = fields.iter().find(|(name, _)| !FIELDS.contains(name)) {
            return Err(refuse(format!("the harness has no field `{unknown}`")));
        }
        let metadata = match fields.remove("metadata") {
            Some(Value::Dict(metadata)) => metadata,
            None => Dict::default(),
            Some(other) => [("_metadata".to_owned(), other)].into_iter().collect(),
        };
        fields.insert("metadata", metadata);
        let defaults = [
            ("description", Value::from("")),
            ("target_delimiter", Value::from(" ")),
            ("fewshot_delimiter", Value::from("\n\n")),
            ("output_type", Value::from("generate_until")),
            ("repeats", Value::from(1_usize)),
        ];
        for (name, value) in defaults {
            if fields.get(name).is_none() {
                fields.insert(name, value);
            }
        }
        let mut config = Self { fields, shots: Dict::default(), path: path.to_owned() };
        if !OUTPUT_TYPES.contains(&config.output_type()) {
            return Err(refuse(format!("the `output_type` {:?} is none of the harness", config.output_type())));
        }
        if config.text("task").is_none() {
            return Err(refuse("`task` is no text".to_owned()));
        }
        for (name, what) in [
            ("custom_dataset", "makes its data in Python, which is not ported"),
            ("use_prompt", "uses prompts of promptsource, which is not supported"),
            ("doc_to_image", "has images, which are not supported"),
            ("doc_to_audio", "has sound, which is not supported"),
        ] {
            if config.get(name).is_some_and(Value::is_true) {
                return Err(refuse(format!("the task {:?} {what} (`{name}`)", config.name())));
            }
        }
        config.settle_generation().map_err(refuse)?;
        config.shots = config.settle_shots().map_err(refuse)?;
        Ok(config)
    }

    fn settle_generation(&mut self) -> Result<(), String> {
        let delimiter = self.get("fewshot_delimiter").cloned().unwrap_or_default();
        match self.get("generation_kwargs").cloned() {
            Some(Value::Dict(mut settings)) => {
                if let Some(temperature) = settings.get_mut("temperature") {
                    let number = match &*temperature {
                        Value::Float(number) => Some(*number),
                        Value::Text(text) => text.trim().parse().ok(),
                        other => other.int().map(|number| number as f64),
                    };
                    *temperature = number.ok_or("the `temperature` is no number")?.into();
                }
                if settings.get("until").is_none() {
                    settings.insert("until", Value::List(vec![delimiter]));
                }
                self.fields.insert("generation_kwargs", settings);
            }
            None if self.output_type() == "generate_until" => {
                let until = match delimiter {
                    Value::None => Vec::new(),
                    delimiter => vec![delimiter],
                };
                let settings: Dict = [
                    ("temperature".to_owned(), Value::Float(0.0)),
                    ("do_sample".to_owned(), Value::Bool(false)),
                    ("max_gen_toks".to_owned(), Value::Int(256)),
                    ("until".to_owned(), Value::List(until)),
                ]
                .into_iter()
                .collect();
                self.fields.insert("generation_kwargs", settings);
            }
            None => {}
            Some(other) => return Err(format!("`generation_kwargs` is a {}", other.kind())),
        }
        Ok(())
    }

    fn settle_shots(&self) -> Result<Dict, String> {
        let own = match self.get("fewshot_config") {
            None => Dict::default(),
            Some(Value::Dict(own)) => own.clone(),
            Some(other) => return Err(format!("`fewshot_config` is a {}", other.kind())),
        };
        if let Some((unknown, _)) = own.iter().find(|(name, _)| !OF_SHOTS.contains(name)) {
            return Err(format!("the harness has no field `{unknown}` in `fewshot_config`"));
        }
        let mut shots = Dict::default();
        for name in OF_SHOTS {
            let of_task = match name {
                "sampler" => Value::from("default"),
                "fewshot_indices" | "samples" => Value::None,
                "split" => self.get("fewshot_split").cloned().unwrap_or_default(),
                name => self.get(name).cloned().unwrap_or_default(),
            };
            shots.insert(name, own.get(name).cloned().unwrap_or(of_task));
        }
        match shots.get("sampler") {
            Some(Value::Text(sampler)) if sampler == "default" || sampler == "first_n" => Ok(shots),
            Some(other) => Err(format!("the sampler {} is not supported; `default` and `first_n` are", other.repr())),
            None => Ok(shots),
        }
    }

    /// The file that the task is from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The name of the task.
    pub fn name(&self) -> &str {
        self.text("task").unwrap_or_default()
    }

    /// A field, if it is not null.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.fields.get(name).filter(|value| !value.is_none())
    }

    /// A field, if it is a text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(Value::text)
    }

    /// A field of the examples: of `fewshot_config`, or else of the task.
    pub fn of_shots(&self, name: &str) -> Option<&Value> {
        self.shots.get(name).filter(|value| !value.is_none())
    }

    /// What is asked of a model.
    pub fn output_type(&self) -> &str {
        self.text("output_type").unwrap_or_default()
    }

    /// Sets a field, as an option of the command does.
    pub(crate) fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.fields.insert(name, value);
    }

    /// The fields in the order of the harness, without those that are null.
    pub fn fields(&self) -> Dict {
        let of = |name: &&str| match *name {
            "fewshot_config" => Some(((*name).to_owned(), Value::Dict(self.shots.clone()))),
            "unsafe_code" | "should_decontaminate" => {
                Some(((*name).to_owned(), self.get(name).cloned().unwrap_or(Value::Bool(false))))
            }
            name => self.get(name).map(|value| (name.to_owned(), value.clone())),
        };
        FIELDS.iter().filter_map(of).collect()
    }
}
