//! Applies rules to tables.

use retrace_query::{QueryError, Session};
use serde::Serialize;
use thiserror::Error;

use crate::rule::{Rule, Severity};

/// The columns of a rule's answer, which become its findings.
const COLUMNS: [&str; 5] = ["release", "subject", "finding", "evidence", "sure"];

/// A result of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The rule.
    pub rule: String,
    /// Its severity.
    pub severity: Severity,
    /// The release.
    pub release: String,
    /// Its subject.
    pub subject: String,
    /// What was found, as a sentence.
    pub finding: String,
    /// The location of the evidence.
    pub evidence: String,
    /// How certain it is, and why.
    pub sure: String,
}

/// The result of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was applied, with this number of findings.
    Findings(usize),
    /// It was not applied: it needs these tables, or reads nothing but them, and they do not exist.
    NothingToAsk(Vec<String>),
}

/// A rule and its result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Asked {
    /// The rule.
    pub rule: String,
    /// Its result.
    pub outcome: Outcome,
}

/// The results of all rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Audited {
    /// Each rule, in the order in which it was applied.
    pub rules: Vec<Asked>,
    /// The findings, the worst first, then by rule, release and subject.
    pub findings: Vec<Finding>,
}

/// Why an audit failed.
#[derive(Debug, Error)]
pub enum AuditError {
    /// A rule's query failed.
    #[error("rule {rule}: {source}")]
    Rule {
        /// The rule.
        rule: String,
        /// The reason.
        source: Box<QueryError>,
    },
}

/// Applies every rule that has something to read. Known tables that do not exist in the release are empty in `session`:
/// a rule finds nothing in them, and says nothing if it reads no other table.
///
/// # Errors
/// If a rule's query fails, or its answer lacks the columns of a finding.
pub fn audit(session: &Session, rules: &[Rule], mut begin: impl FnMut(&Rule)) -> Result<Audited, AuditError> {
    let mut audited = Audited { rules: Vec::new(), findings: Vec::new() };
    for rule in rules {
        begin(rule);
        let failed = |source| AuditError::Rule { rule: rule.id.clone(), source: Box::new(source) };
        let missing = |table: &&String| !session.has(table);
        let mut absent: Vec<String> = rule.needs.iter().filter(missing).cloned().collect();
        let read = session.named_tables(&rule.sql).map_err(failed)?;
        if absent.is_empty() && !read.is_empty() && read.iter().all(|table| !session.has(table)) {
            absent.extend(read);
        }
        let outcome = match absent.is_empty() {
            true => {
                let found = ask(session, rule).map_err(failed)?;
                let count = found.len();
                audited.findings.extend(found);
                Outcome::Findings(count)
            }
            false => Outcome::NothingToAsk(absent),
        };
        audited.rules.push(Asked { rule: rule.id.clone(), outcome });
    }
    let key = |f: &Finding| (f.severity, f.rule.clone(), f.release.clone(), f.subject.clone(), f.finding.clone());
    audited.findings.sort_by_cached_key(key);
    Ok(audited)
}

fn ask(session: &Session, rule: &Rule) -> Result<Vec<Finding>, QueryError> {
    let answer = session.run_foreign(&rule.sql)?;
    let [release, subject, finding, evidence, sure] = COLUMNS.map(|column| answer.texts(column));
    let rows = release?.into_iter().zip(subject?).zip(finding?).zip(evidence?).zip(sure?);
    let row = |((((release, subject), finding), evidence), sure)| Finding {
        rule: rule.id.clone(),
        severity: rule.severity,
        release,
        subject,
        finding,
        evidence,
        sure,
    };
    Ok(rows.map(row).collect())
}
