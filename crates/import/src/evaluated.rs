//! Which model an evaluation is of: its run and step, by the names, revisions and adapters that a results file of
//! lm-evaluation-harness states.

use std::collections::{BTreeSet, HashMap, HashSet};

use retrace_spec::{CheckpointName, Step};
use retrace_tables::Claim;

use crate::rows::Problem;
use crate::value::Value;

/// The evaluated model.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Evaluated {
    pub(crate) run: String,
    pub(crate) step: Option<u64>,
    /// What is before the run in the model's name: its organisation on a hub, or directories.
    pub(crate) of: Vec<String>,
}

impl Evaluated {
    /// A model by its name or path, and its revision. The last part of the name is the run; if that contains a step,
    /// the part before it.
    pub(crate) fn new(model: &str, revision: Option<&str>) -> Self {
        let mut parts: Vec<&str> = model.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        let mut step = None;
        if let [.., _, last] = parts.as_slice()
            && let CheckpointName { step: Some(at), before: "", .. } = CheckpointName::of(last)
        {
            step = Some(at.get());
            parts.pop();
        }
        let run = parts.pop().unwrap_or_default().to_owned();
        let mut evaluated = Self { run, step, of: parts.into_iter().map(str::to_owned).collect() };
        if let Some(revision) = revision {
            evaluated.narrow(revision);
        }
        evaluated
    }

    /// Adds which version of the model it is. A step is the step; any other text, such as a stage, makes a separate run.
    /// `main` is the version that needs no name.
    fn narrow(&mut self, version: &str) {
        let said = CheckpointName::of(version);
        self.step = said.step.map(Step::get).or(self.step);
        let name = if said.step.is_some() { said.before } else { version };
        if !matches!(name, "" | "main") {
            self.run = format!("{}/{name}", self.run);
        }
    }

    /// The subject of the claims.
    pub(crate) fn subject(&self) -> String {
        self.step.map_or_else(|| self.run.clone(), |step| format!("{}/step{step}", self.run))
    }
}

/// The model that a results file names. Where an adapter is applied to a model, the run is `MODEL/ADAPTER`.
pub(crate) fn evaluated(value: &Value<'_>) -> Evaluated {
    let config = value.get("config");
    let arguments = config.and_then(|config| config.get("model_args"));
    let argument = |name| argument(arguments?, name);
    let model = value.get("model_name").and_then(Value::text).or_else(|| argument("pretrained"));
    let model = model.or_else(|| config?.get("model")?.text()).unwrap_or_default();
    let revision = argument("revision").or_else(|| config?.get("model_revision")?.text());
    let mut evaluated = Evaluated::new(model, revision);
    for version in ["subfolder", "gguf_file"].into_iter().filter_map(argument) {
        evaluated.narrow(version);
    }
    for adapter in ["peft", "delta", "lora_local_path"].into_iter().filter_map(argument) {
        if adapter == model {
            // The harness names the model by its adapter. What it is applied to tells adapters of one name apart.
            let base =
                argument("pretrained").into_iter().flat_map(|base| base.split('/')).filter(|part| !part.is_empty());
            evaluated.of.splice(0..0, base.map(str::to_owned));
            continue;
        }
        let Evaluated { run, step, of } = Evaluated::new(adapter, None);
        evaluated.of.extend(of);
        evaluated.run = format!("{}/{run}", evaluated.run);
        evaluated.step = step.or(evaluated.step);
    }
    evaluated
}

/// One of the arguments of a model: `pretrained=NAME,revision=NAME`, or an object of them.
pub(crate) fn argument<'a>(arguments: &'a Value<'_>, name: &str) -> Option<&'a str> {
    match arguments {
        Value::Object(_) => arguments.get(name)?.text(),
        Value::String(text) => {
            text.split(',').find_map(|argument| argument.trim().strip_prefix(name)?.strip_prefix('='))
        }
        _ => None,
    }
}

/// The claim that says which model was evaluated.
pub(crate) const MODEL: &str = "model_name";

/// The new sources whose run the tables have of another model, with what is wrong. `new` and `old` are claims of [`MODEL`].
pub(crate) fn mixed(new: &[Claim], old: &[Claim]) -> Vec<((String, String), Problem)> {
    /// A claim of each model, and what is before the run in its name.
    type Models<'a> = Vec<(&'a Claim, Vec<String>)>;
    let run = |claim: &'_ Claim| -> String {
        let step = claim.subject.rsplit_once("/step").filter(|(_, step)| step.parse::<u64>().is_ok());
        step.map_or(claim.subject.as_str(), |(run, _)| run).to_owned()
    };
    let of = |claim: &Claim| Evaluated::new(&claim.value, None).of;
    let mut runs: HashMap<(&str, String), Models<'_>> = HashMap::new();
    for claim in old {
        let models = runs.entry((&claim.release, run(claim))).or_default();
        if !models.iter().any(|(_, model)| *model == of(claim)) {
            models.push((claim, of(claim)));
        }
    }
    let other = |claim: &Claim| {
        let (run, of) = (run(claim), of(claim));
        let models = runs.get(&(claim.release.as_str(), run.clone()))?;
        let (other, _) = models.iter().find(|(_, model)| !model.ends_with(&of) && !of.ends_with(model))?;
        let what = format!(
            "its run `{run}` is of {}, and in the tables it is of {} too ({}); import one of them with another --release",
            claim.value, other.value, other.source
        );
        Some(((claim.release.clone(), claim.source.clone()), Problem::whole(what)))
    };
    new.iter().filter_map(other).collect()
}

/// How many of the last parts tell these apart; 0, if there is one. Something that is the end of a longer one may be the
/// same.
pub(crate) fn parts_that_differ(all: &BTreeSet<&[String]>) -> usize {
    let longest: Vec<&[String]> = all
        .iter()
        .copied()
        .filter(|of| !all.iter().any(|other| other.len() > of.len() && other.ends_with(of)))
        .collect();
    let most = longest.iter().map(|of| of.len()).max().unwrap_or_default();
    let differ = |parts: &usize| {
        let mut seen = HashSet::new();
        longest.iter().all(|of| seen.insert(of.get(of.len().saturating_sub(*parts)..)))
    };
    (0..=most).find(differ).unwrap_or(most)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;
    use crate::lm_eval::read;
    use crate::rows::read_as;

    #[test]
    fn models_and_their_revisions() {
        for (model, revision, run, step) in [
            ("EleutherAI/pythia-70m", Some("step512"), "pythia-70m", Some(512)),
            ("allenai/OLMo-1B", Some("main"), "OLMo-1B", None),
            ("/ckpts/mine/checkpoint-500", None, "mine", Some(500)),
            ("stepfun", None, "stepfun", None),
            ("step100", None, "step100", None),
            ("", None, "", None),
            ("o/m", Some("v2-dpo"), "m/v2-dpo", None),
            ("LLM360/Amber", Some("ckpt_010"), "Amber/ckpt_010", None),
        ] {
            let evaluated = Evaluated::new(model, revision);
            assert_eq!((&evaluated.run[..], evaluated.step), (run, step), "{model}");
        }
    }

    #[test]
    fn versions_and_adapters_are_runs_of_their_own() {
        for (said, run, step) in [
            (r#""config": {"model_args": "pretrained=o/m,peft=/out/lora-a/checkpoint-30"}"#, "m/lora-a", Some(30)),
            (r#""config": {"model_args": {"pretrained": "o/m", "delta": "d"}}"#, "m/d", None),
            (r#""config": {"model_args": "pretrained=o/m,subfolder=step7"}"#, "m", Some(7)),
            (r#""config": {"model_args": "pretrained=o/m,subfolder=dpo,dtype=float"}"#, "m/dpo", None),
            // As the harness writes it.
            (
                r#""model_name": "/out/lora-a", "config": {"model_args": "pretrained=o/m,peft=/out/lora-a"}"#,
                "lora-a",
                None,
            ),
        ] {
            let rows =
                read_as("results.json", format!("{{\"results\": {{\"t\": {{\"acc\": 1}}}}, {said}}}").as_bytes(), read);
            assert_eq!((&rows.metrics[0].run[..], rows.metrics[0].step.map(|step| step.0)), (run, step), "{said}");
        }
        let adapted =
            br#"{"model_name": "out/lora", "config": {"model_args": {"pretrained": "o/m", "peft": "out/lora"}}}"#;
        assert_eq!(evaluated(&json::read(adapted).unwrap()).of, ["o", "m", "out"]);
    }
}
