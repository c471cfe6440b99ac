//! Which files of a directory are its checkpoint.

use crate::index::shards_of;
use crate::is_index;

/// A format of published weights, by the names of its files.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Form {
    /// The beginning of the names.
    stem: &'static str,
    /// The ending of the names.
    ending: &'static str,
}

/// The formats; the first is preferred.
pub(crate) const FORMS: [Form; 2] =
    [Form { stem: "model", ending: ".safetensors" }, Form { stem: "pytorch_model", ending: ".bin" }];

/// The files of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Parts {
    /// The files that the index of this name lists.
    Listed(String),
    /// These files, each complete.
    Files(Vec<String>),
    /// There is more than one index, and no rule decides between them.
    Several(Vec<String>),
}

impl Parts {
    /// The names of the indices, or of the files where there is none.
    pub(crate) fn into_names(self) -> Vec<String> {
        match self {
            Self::Listed(index) => vec![index],
            Self::Files(names) | Self::Several(names) => names,
        }
    }
}

impl Form {
    /// The files of this format, among the sorted `names` of a directory, if there are any.
    pub(crate) fn parts(self, names: &[String]) -> Option<Parts> {
        let Self { stem, ending } = self;
        let named = |wanted: String| names.iter().find(|name| **name == wanted).cloned();
        if let Some(index) = named(format!("{stem}{ending}.index.json")) {
            return Some(Parts::Listed(index));
        }
        let matching = |is: &dyn Fn(&str) -> bool| -> Vec<String> {
            names.iter().filter(|name| name.starts_with(stem) && is(name)).cloned().collect()
        };
        let files = matching(&|name| is_part(name, stem, ending));
        if !files.is_empty() {
            return Some(Parts::Files(files));
        }
        let mut indices = matching(&|name| shards_of(name).is_some_and(|(_, of)| of == ending));
        if indices.len() > 1 {
            return Some(Parts::Several(indices));
        }
        if let Some(index) = indices.pop() {
            return Some(Parts::Listed(index));
        }
        let files = matching(&|name| name.ends_with(ending));
        (!files.is_empty()).then_some(Parts::Files(files))
    }
}

/// The files of a directory that the index of this name should cover, by their names: the unsharded file, and numbered
/// shards.
pub(crate) fn parts_of<'a>(index: &str, names: &'a [String]) -> Vec<&'a String> {
    let Some((stem, ending)) = shards_of(index) else { return Vec::new() };
    names.iter().filter(|name| is_part(name, &stem, ending)).collect()
}

/// Every set of files in a directory that should be consistent, each with a name for messages: what each index lists,
/// and, for each format without an index, the files, if there are several or should be.
pub(crate) fn every_set(names: &[String]) -> Vec<(String, Parts)> {
    let indices = names.iter().filter(|name| is_index(name)).map(|index| (index.clone(), Parts::Listed(index.clone())));
    let files = FORMS.iter().filter_map(|form| match form.parts(names)? {
        Parts::Files(files) if files.len() > 1 || missing_shard(&files).is_some() => {
            Some((files.first()?.clone(), Parts::Files(files)))
        }
        _ => None,
    });
    indices.chain(files).collect()
}

/// The files of a directory that have the names of a checkpoint's files.
pub(crate) fn named_as_weights(names: &[String]) -> impl Iterator<Item = &String> {
    let is_one = |name: &str| FORMS.iter().any(|form| is_part(name, form.stem, form.ending));
    names.iter().filter(move |name| is_one(name))
}

/// Whether the file has the name of an unsharded checkpoint or of a numbered shard: `model.safetensors`,
/// `model-1.safetensors`, `model-00001-of-00003.safetensors`.
fn is_part(name: &str, stem: &str, ending: &str) -> bool {
    let middle = name.strip_prefix(stem).and_then(|rest| rest.strip_suffix(ending));
    middle.is_some_and(|middle| middle.is_empty() || number(middle).is_some())
}

/// The number of a shard and, if the name has it, the number of shards, from the text between stem and ending.
fn number(middle: &str) -> Option<(&str, Option<&str>)> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let numbers = middle.strip_prefix('-')?;
    let (number, of) = match numbers.split_once("-of-") {
        Some((number, of)) => (number, Some(of)),
        None => (numbers, None),
    };
    (digits(number) && of.is_none_or(digits)).then_some((number, of))
}

/// A shard that should be among `files`, according to the name of another: `model-00002-of-00003.safetensors` implies
/// a first and a third. Returns the missing one and the one that implies it.
pub(crate) fn missing_shard(files: &[String]) -> Option<(String, String)> {
    for file in files {
        let Some((before, rest)) = file.split_once('-') else { continue };
        let Some((middle, ending)) = rest.split_once('.') else { continue };
        let Some((number, of)) = middle.split_once("-of-") else { continue };
        let Ok(count) = of.parse::<usize>() else { continue };
        let width = number.len();
        // At most as many of these names can exist as there are files, so one more is enough to find a missing one.
        let name = |at: usize| format!("{before}-{at:0width$}-of-{of}.{ending}");
        if let Some(missing) = (1..=count).take(files.len() + 1).map(name).find(|name| !files.contains(name)) {
            return Some((missing, file.clone()));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        let mut names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn the_rule() {
        let listed = |name: &str| Some(Parts::Listed(name.to_owned()));
        let files = |all: &[&str]| Some(Parts::Files(names(all)));
        for (there, expected) in [
            (&["model.safetensors", "optimizer.safetensors", "config.json"][..], files(&["model.safetensors"])),
            (&["model.safetensors", "pytorch_model.bin"], files(&["model.safetensors"])),
            (&["model.safetensors", "model.ema.safetensors"], files(&["model.safetensors"])),
            (&["model.safetensors", "model-1.safetensors"], files(&["model.safetensors", "model-1.safetensors"])),
            (
                &["model.safetensors.index.json", "a.safetensors", "pytorch_model.bin"],
                listed("model.safetensors.index.json"),
            ),
            (&["model.safetensors", "model.safetensors.index.json"], listed("model.safetensors.index.json")),
            (&["model.fp16.safetensors.index.json", "model.safetensors"], files(&["model.safetensors"])),
            (&["model.fp16.safetensors.index.json"], listed("model.fp16.safetensors.index.json")),
            (&["model.safetensors.index.fp16.json"], listed("model.safetensors.index.fp16.json")),
            (&["model.safetensors.index.fp16.json", "model.safetensors"], files(&["model.safetensors"])),
            (&["model_weights.safetensors"], files(&["model_weights.safetensors"])),
            (&["pytorch_model.bin.index.json", "pytorch_model.bin"], listed("pytorch_model.bin.index.json")),
            (
                &["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin", "training_args.bin"],
                files(&["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"]),
            ),
            (&["optimizer.safetensors", "x.safetensors", "optimizer.bin.index.json"], None),
            (&[], None),
        ] {
            let found = FORMS.iter().find_map(|form| form.parts(&names(there)));
            assert_eq!(found, expected, "{there:?}");
        }
        let two = ["model.a.safetensors.index.json", "model.b.safetensors.index.json"];
        assert_eq!(FORMS[0].parts(&names(&two)), Some(Parts::Several(names(&two))));
    }

    /// As transformers names them (`_add_variant` in modeling_utils.py).
    #[test]
    fn the_shards_of_an_index() {
        for (index, expected) in [
            ("model.safetensors.index.json", Some(("model", ".safetensors"))),
            ("pytorch_model.bin.index.json", Some(("pytorch_model", ".bin"))),
            ("model.safetensors.index.fp16.json", Some(("model.fp16", ".safetensors"))),
            ("model.fp16.safetensors.index.json", Some(("model.fp16", ".safetensors"))),
            ("model.index.json", None),
            ("model.safetensors.json", None),
            ("model.safetensors.index.a.b.json", None),
            ("index.json", None),
            (".json", None),
        ] {
            let found = shards_of(index);
            assert_eq!(found.as_ref().map(|(stem, ending)| (stem.as_str(), *ending)), expected, "{index}");
        }
        let there = names(&[
            "model.fp16-00001-of-00002.safetensors",
            "model.fp16-00002-of-00002.safetensors",
            "model.safetensors",
        ]);
        assert_eq!(parts_of("model.safetensors.index.fp16.json", &there).len(), 2);
    }

    #[test]
    fn shards_that_are_missing() {
        let missing = |all: &[&str]| missing_shard(&names(all)).map(|(missing, _)| missing);
        assert_eq!(missing(&["model-1.safetensors", "model-3.safetensors"]), None);
        assert_eq!(missing(&["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]), None);
        assert_eq!(missing(&["m-00002-of-00002.bin"]), Some("m-00001-of-00002.bin".to_owned()));
        assert_eq!(missing(&["m-1-of-99999999999.bin"]), Some("m-2-of-99999999999.bin".to_owned()));
        assert_eq!(missing(&["m-1-of-99999999999999999999999.bin", "m.bin"]), None);
    }
}
