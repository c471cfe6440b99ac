//! A task with its items.

use retrace_files::{Root, json_lines};
use retrace_spec::Task;
use retrace_spec::task::Measure;
use serde::Deserialize;

use crate::EvalError;

/// A text whose likelihood is computed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Text {
    /// Unique in the task.
    pub id: String,
    /// The text.
    pub text: String,
}

/// A question with choices.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// Unique in the task.
    pub id: String,
    /// The text that the choices continue.
    pub question: String,
    /// The possible continuations.
    pub choices: Vec<String>,
    /// The index of the correct one, from 0.
    pub answer: usize,
}

/// The items of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Items {
    /// For bits per byte.
    Texts(Vec<Text>),
    /// For multiple choice.
    Questions(Vec<Question>),
}

/// A task and its items.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadedTask {
    /// The task.
    pub task: Task,
    /// Its items.
    pub items: Items,
}

impl LoadedTask {
    /// Reads the items of `task`, whose path is relative to `root`.
    ///
    /// # Errors
    /// If they cannot be read, there are none, or one does not fit the task.
    pub fn read(root: &Root, task: Task) -> Result<Self, EvalError> {
        let path = task.items.under(root.path());
        let refuse = |line: usize, what: &str| EvalError::Item { path: path.clone(), line, what: what.to_owned() };
        let items = match task.measure {
            Measure::BitsPerByte => {
                let mut texts: Vec<Text> = Vec::new();
                for item in json_lines::<Text>(root.file(&task.items)?) {
                    let (line, text) = item?;
                    if text.text.is_empty() {
                        return Err(refuse(line, "the text is empty"));
                    }
                    texts.push(text);
                }
                Items::Texts(texts)
            }
            Measure::MultipleChoice => {
                let mut questions: Vec<Question> = Vec::new();
                for item in json_lines::<Question>(root.file(&task.items)?) {
                    let (line, question) = item?;
                    if question.answer >= question.choices.len() {
                        return Err(refuse(line, "the answer is not one of the choices"));
                    }
                    if question.choices.iter().any(String::is_empty) {
                        return Err(refuse(line, "a choice is empty"));
                    }
                    questions.push(question);
                }
                Items::Questions(questions)
            }
        };
        match &items {
            Items::Texts(texts) if texts.is_empty() => Err(refuse(1, "there are no items")),
            Items::Questions(questions) if questions.is_empty() => Err(refuse(1, "there are no items")),
            _ => Ok(Self { task, items }),
        }
    }
}
