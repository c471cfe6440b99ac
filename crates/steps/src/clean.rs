//! Cleaning.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use retrace_corpus::{CleanReport, Found, clean};
use retrace_files::{Progress, Root, expand};
use retrace_query::Session;
use retrace_spec::manifest::{ArtifactKind, StepKind};
use retrace_spec::recipe::{Contaminated, Remove};
use retrace_spec::{CleanRecipe, RelPath};
use serde::Serialize;

use crate::StepError;
use crate::step::{Files, Need, Options, Outputs, Step, counted};

/// The results for the documents.
#[derive(Debug, Serialize)]
pub struct Cleaned {
    /// What cleaning did.
    #[serde(flatten)]
    pub report: CleanReport,
    /// Of the findings of a search that were to be removed, those that were not.
    #[serde(flatten)]
    pub not_removed: NotRemoved,
}

/// Findings that were not removed.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct NotRemoved {
    /// Documents with findings, by shard, of the shards that are not cleaned here.
    pub elsewhere: BTreeMap<String, u64>,
    /// Documents with leaks that the search counted, and of which the table has no rows.
    pub left_out: u64,
}

impl fmt::Display for Cleaned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} kept", counted(self.report.documents, "document"), self.report.kept)?;
        if self.report.cut > 0 {
            write!(f, " ({} of them cut)", self.report.cut)?;
        }
        if !self.not_removed.elsewhere.is_empty() {
            write!(f, "; {}", self.not_removed.elsewhere_in_words())?;
        }
        Ok(())
    }
}

impl NotRemoved {
    /// Which findings are of shards that are not cleaned here.
    pub fn elsewhere_in_words(&self) -> String {
        let documents: u64 = self.elsewhere.values().sum();
        let shards: Vec<&str> = self.elsewhere.keys().map(String::as_str).collect();
        let more = if shards.len() > 3 { format!(" and {} more", shards.len() - 3) } else { String::new() };
        let shards = shards.get(..3).unwrap_or(&shards).join(", ");
        let (documents, are) = (counted(documents, "document"), if documents == 1 { "is" } else { "are" });
        format!("{documents} with findings {are} in shards that are not cleaned here: {shards}{more}")
    }
}

/// The ledger of what was dropped or cut, in the directory of the cleaned documents.
const LEDGER: &str = "ledger.jsonl";

/// The path of a recipe's ledger.
pub(crate) fn ledger(recipe: &CleanRecipe) -> Result<RelPath, StepError> {
    Ok(recipe.output.join(LEDGER)?)
}

/// What the table `of.table` says was found in `shards`.
fn found(root: &Root, of: &Contaminated, shards: &[RelPath]) -> Result<(Found, NotRemoved), StepError> {
    let refuse = |what: String| StepError::Searched { table: of.table.clone(), what };
    let session = Session::open(&[root.file(&of.table)?.path().to_owned()])?;
    let table = session.tables().keys().next().map_or_else(String::new, |name| name.replace('"', "\"\""));
    let list =
        |names: &mut dyn Iterator<Item = &str>| names.map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ");
    let verdicts = list(&mut of.verdicts.iter().map(|verdict| verdict.name()));
    let methods = of.methods.as_deref().map_or_else(String::new, |methods| {
        format!("AND method IN ({})", list(&mut methods.iter().map(|method| method.name())))
    });
    let rows = session.run(&format!(
        "SELECT benchmark, item, method, document, shard, line, document_spans, excerpt, excerpt_start, left_out
         FROM \"{table}\" WHERE verdict IN ({verdicts}) {methods} ORDER BY shard, line, benchmark, item, method"
    ))?;
    let items = rows.texts("benchmark")?.into_iter().zip(rows.texts("item")?).zip(rows.texts("method")?);
    let places = rows.texts("shard")?.into_iter().zip(rows.numbers("line")?).zip(rows.texts("document")?);
    let excerpts = rows.texts("excerpt")?.into_iter().zip(rows.numbers("excerpt_start")?);
    let spans = rows.texts("document_spans")?.into_iter().zip(rows.numbers("left_out")?);
    let (mut found, mut not_removed) = (Found::new(), NotRemoved::default());
    let (mut elsewhere, mut left_out) = (BTreeSet::new(), BTreeMap::new());
    for (((item, place), excerpt), (spans, left)) in items.zip(places).zip(excerpts).zip(spans) {
        let (((benchmark, item), method), ((shard, line), document)) = (item, place);
        let line = line.and_then(|line| usize::try_from(line).ok()).filter(|line| *line > 0);
        let line = line.ok_or_else(|| refuse(format!("a finding in {shard} has no line")))?;
        left_out.insert((benchmark.clone(), item.clone(), method.clone()), left.unwrap_or(0));
        let Some(of_shard) = the_shard(shards, &shard).map_err(refuse)? else {
            if elsewhere.insert((shard.clone(), line)) {
                *not_removed.elsewhere.entry(shard).or_default() += 1;
            }
            continue;
        };
        let of_document = found.entry(of_shard.clone()).or_default().entry(line).or_default();
        if of_document.items.is_empty() {
            of_document.document.clone_from(&document);
        } else if of_document.document != document {
            let what = format!("{shard}:{line} is the document {:?} and {document:?}", of_document.document);
            return Err(refuse(what));
        }
        let spans =
            parse_spans(&spans).ok_or_else(|| refuse(format!("{spans:?} are not stretches of bytes: 3-9 12-20")))?;
        if spans.is_empty() && of.remove == Remove::Spans {
            return Err(refuse(format!("the finding of {benchmark} {item} in {shard}:{line} has no stretch to cut")));
        }
        of_document.spans.extend(spans);
        of_document.items.push(format!("{benchmark} {item} by {method}"));
        if let (text, Some(start)) = excerpt {
            of_document.excerpts.push((start, text));
        }
    }
    if found.is_empty() && !not_removed.elsewhere.is_empty() {
        return Err(refuse(not_removed.elsewhere_in_words()));
    }
    not_removed.left_out = left_out.values().sum();
    Ok((found, not_removed))
}

/// Which of `shards` a table calls `name`: its path, or, as `retrace report contamination` does, the end of its path.
fn the_shard<'a>(shards: &'a [RelPath], name: &str) -> Result<Option<&'a RelPath>, String> {
    if let Some(shard) = shards.iter().find(|shard| shard.as_str() == name) {
        return Ok(Some(shard));
    }
    let ends = |shard: &&RelPath| shard.as_str().strip_suffix(name).is_some_and(|before| before.ends_with('/'));
    let mut all = shards.iter().filter(ends);
    match (all.next(), all.next()) {
        (Some(one), Some(other)) => Err(format!("{name} may be {one} or {other}")),
        (one, _) => Ok(one),
    }
}

/// Stretches as the table has them: `3-9 12-20`.
fn parse_spans(text: &str) -> Option<Vec<(u64, u64)>> {
    let span = |span: &str| {
        let (start, end) = span.split_once('-')?;
        Some((start.parse().ok()?, end.parse().ok()?))
    };
    text.split_whitespace().map(span).collect()
}

impl Step for CleanRecipe {
    type Report = Cleaned;

    fn id(&self) -> String {
        self.name.clone()
    }

    fn kind(&self) -> StepKind {
        StepKind::Clean
    }

    fn reads(&self, _: &Root) -> Result<Vec<Need>, StepError> {
        let table = self.contamination.iter().map(|of| Files::one(of.table.clone()).into());
        Ok(self.input.iter().map(|pattern| Files::Matching(pattern.clone()).into()).chain(table).collect())
    }

    fn makes(&self) -> Result<Vec<Files>, StepError> {
        let mut files = vec![Files::one(ledger(self)?)];
        files.extend(self.cleaned()?.into_iter().map(Files::Matching));
        Ok(files)
    }

    fn inputs(&self, root: &Root) -> Result<Vec<RelPath>, StepError> {
        let mut inputs = expand(root, &self.input)?;
        inputs.extend(self.contamination.iter().map(|of| of.table.clone()));
        Ok(inputs)
    }

    fn incomplete(report: &Cleaned) -> Option<String> {
        let left_out = report.not_removed.left_out;
        (left_out > 0).then(|| {
            format!("the search counted up to {left_out} more documents with these items than its table has rows for")
        })
    }

    fn carry_out(&self, root: &Root, _: &Options, progress: &dyn Progress) -> Result<(Cleaned, Outputs), StepError> {
        let (found, not_removed) = match &self.contamination {
            Some(of) => found(root, of, &expand(root, &self.input)?)?,
            None => (Found::new(), NotRemoved::default()),
        };
        let report = clean(root, self, &found, progress)?;
        let shards = report.outputs.iter().map(|shard| (shard.clone(), ArtifactKind::Shard));
        let outputs = shards.chain([(report.ledger.clone(), ArtifactKind::Log)]).collect();
        Ok((Cleaned { report, not_removed }, outputs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_is_known_by_its_path_or_its_end() {
        let shards: Vec<RelPath> =
            ["raw/a.jsonl", "raw/b/a.jsonl", "raw/c.jsonl"].map(|path| path.parse().unwrap()).into();
        let of = |name: &str| the_shard(&shards, name).map(|shard| shard.map_or("", RelPath::as_str));
        assert_eq!(of("raw/a.jsonl"), Ok("raw/a.jsonl"));
        assert_eq!(of("c.jsonl"), Ok("raw/c.jsonl"));
        assert_eq!(of("b/a.jsonl"), Ok("raw/b/a.jsonl"));
        assert_eq!(of("other.jsonl"), Ok(""));
        assert_eq!(of(".jsonl"), Ok(""));
        assert!(of("a.jsonl").unwrap_err().contains("raw/a.jsonl or raw/b/a.jsonl"));
    }

    #[test]
    fn stretches_are_numbers() {
        assert_eq!(parse_spans("3-9 12-20"), Some(vec![(3, 9), (12, 20)]));
        assert_eq!(parse_spans(""), Some(Vec::new()));
        for wrong in ["3", "3-", "-9", "3-9,12-20", "a-b", "99999999999999999999-1"] {
            assert_eq!(parse_spans(wrong), None, "{wrong}");
        }
    }
}
