//! Recipes: each is a document that says how to run one step of a release. Its paths are relative to the
//! directory of the document.

mod clean;
mod contamination;
mod eval;
mod generate;
mod page;
pub mod scaling;
mod tables;
mod tokenize;

pub use clean::{CleanRecipe, Contaminated, Deduplicate, Language, Remove, Rule, Unreadable, cleaned_name};
pub use contamination::{ContaminationRecipe, Method, Verdict};
pub use eval::EvalRecipe;
pub use generate::GenerateRecipe;
pub use page::{PageRecipe, Section};
pub use scaling::ScalingRecipe;
pub use tables::{Imports, RunTables, TablesRecipe};
pub use tokenize::{TokenShard, TokenizeRecipe, TokenizerSource};

use crate::document::Complaint;

/// The name of a step, which is also the name of a file.
fn check_name(name: &str) -> Result<(), Complaint> {
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) {
        return Err(("name".to_owned(), format!("{name:?} is not letters, digits, `-`, `_` and `.`")));
    }
    Ok(())
}

fn check_input<T>(field: &str, input: &[T]) -> Result<(), Complaint> {
    if input.is_empty() {
        return Err((field.to_owned(), "is empty".to_owned()));
    }
    Ok(())
}
