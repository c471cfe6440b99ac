//! The page about a release that someone checks: what was verified now, what is only claimed, and how a reader checks
//! each of it again.

use std::collections::BTreeMap;

use maud::{Markup, html};
use retrace_manifest::{Again, GraphFinding, Order, ReplayStatement, Unknown, Verdict, Verification};
use retrace_spec::manifest::{GraphStep, StepKind};
use retrace_spec::{Digest, Manifest, RelPath};

use crate::command::{option, shell_word};
use crate::contamination::DataTable;
use crate::numbers::{brief, grouped, size};
use crate::page::{Check, Mood, document, outcome, verified};
use crate::sections::section;

/// A release, and the results of its checks.
#[derive(Debug)]
pub struct Review<'a> {
    /// Its manifest, combined with those of its parts.
    pub manifest: &'a Manifest,
    /// The root of the manifest itself.
    pub root: Digest,
    /// The name of the manifest's file.
    pub file: &'a str,
    /// The root that the reader gave.
    pub given_root: Option<Digest>,
    /// The options of `verify` that name the accepted signer.
    pub signer: &'a [(&'a str, String)],
    /// The comparison of the files with the manifest.
    pub verification: &'a Verification,
    /// Contradictions in the manifest.
    pub graph: &'a [GraphFinding],
    /// Parts of the release whose content is unknown.
    pub unknown: &'a [Unknown],
    /// Its signatures.
    pub signatures: Vec<SignatureResult>,
    /// What others say that they replayed.
    pub replays: Vec<Attested>,
    /// What the rules found; or why they could not be applied.
    pub audit: Result<AuditResult, String>,
    /// The numerics version of this program.
    pub numerics: u32,
}

/// A signature and its result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureResult {
    /// Its file.
    pub file: String,
    /// Whether it is valid; none if no accepted signer was named, so that it was not checked.
    pub holds: Option<bool>,
    /// What it signs, or what is wrong.
    pub what: String,
    /// The signer, if it is valid.
    pub signer: String,
}

/// An attestation of replays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attested {
    /// Its file.
    pub file: String,
    /// The digest of the file.
    pub digest: Digest,
    /// The key whose signature was checked; none if none was.
    pub signer: Option<String>,
    /// What it says.
    pub statement: ReplayStatement,
}

/// What the rules found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditResult {
    /// Rules that were applied.
    pub applied: Vec<String>,
    /// Rules that were not applied, and the tables that are missing.
    pub not_applied: Vec<(String, Vec<String>)>,
    /// The findings.
    pub findings: Vec<AuditFinding>,
}

/// A finding of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditFinding {
    /// The rule.
    pub rule: String,
    /// Its severity.
    pub severity: String,
    /// What the rule's findings mean, and what to do.
    pub means: String,
    /// The subject.
    pub subject: String,
    /// What was found.
    pub finding: String,
    /// Where the evidence is.
    pub evidence: String,
    /// How certain it is.
    pub sure: String,
}

/// A page and the tables beside it.
#[derive(Debug)]
pub struct ReviewPage {
    /// The page, one HTML file.
    pub html: String,
    /// Its tables, complete.
    pub tables: Vec<DataTable>,
}

/// The columns of numbers.
const NUMBERS: [&str; 5] = ["bytes", "inputs", "outputs", "numerics", "findings"];

/// The most rows of a table that the page shows; the file beside it has all.
const SHOWN: usize = 400;

/// A table of more rows scrolls in a box of its own.
const TALL: usize = 12;

const STYLE: &str = "\
.scroll.tall { max-height: 30rem; overflow: auto; }
.claimed { color: var(--open); font-size: 0.82rem; border: 1px solid var(--rule); border-radius: 4px; padding: 0.1rem 0.4rem; white-space: nowrap; }
.seen { color: var(--good); font-size: 0.82rem; border: 1px solid var(--rule); border-radius: 4px; padding: 0.1rem 0.4rem; white-space: nowrap; }
td code.whole { overflow-wrap: anywhere; white-space: normal; min-width: 14rem; display: inline-block; }
.scroll td { vertical-align: top; }
a { color: inherit; }
@media print { .hint { display: none; } .scroll.tall { max-height: none; overflow: visible; } td code.whole { min-width: 0; display: inline; } }
";

impl Review<'_> {
    /// The page, and the tables beside it in the directory `data`.
    pub fn page(&self) -> ReviewPage {
        let checks = [self.files(), self.root(), self.signed(), self.graph(), self.replayed(), self.audited()];
        let tables = self.tables();
        let head = html! {
            p.root { span { "Root digest" } " " code { (self.root) } }
            p.lead {
                "What was checked here is marked " (seen()) ". Everything else is " (claimed())
                ": the release says it of itself, or someone else says it, and it was not checked here."
            }
        };
        let main = html! {
            (outcome(&checks))
            (self.vouching())
            @for table in &tables { (shown(table)) }
            (self.again())
        };
        let footer =
            html! { "Made by retrace report release. The same release, keys and attestations give the same page." };
        ReviewPage { html: document("Release review", &self.manifest.name, STYLE, &head, &main, &footer), tables }
    }

    fn files(&self) -> Check {
        let mut check = verified(self.verification, self.manifest.ignored.len());
        if !self.unknown.is_empty() {
            check.mood = Mood::Found;
            let parts = html! { @for Unknown { at, why } in self.unknown { p { code { (at) } ": " (why) } } };
            check.detail = html! { (check.detail) (parts) };
        }
        check
    }

    fn root(&self) -> Check {
        match self.given_root {
            None => Check {
                mood: Mood::Open,
                what: "The root was not compared with a published one.".to_owned(),
                detail: html! { p { "Whoever can change a file can also seal the release again, with another root." } },
            },
            Some(given) if given == self.root => Check {
                mood: Mood::Holds,
                what: "The root is the one that was given.".to_owned(),
                detail: html! { p { "It is a digest of all files, steps and paths that are not covered." } },
            },
            Some(given) => Check {
                mood: Mood::Found,
                what: "The root is not the one that was given.".to_owned(),
                detail: html! { p { "Given was " code { (given) } "." } },
            },
        }
    }

    fn signed(&self) -> Check {
        let refused = self.signatures.iter().any(|signature| signature.holds == Some(false));
        let valid = self.signatures.iter().filter(|signature| signature.holds == Some(true));
        let signers: Vec<&str> = valid.map(|signature| signature.signer.as_str()).collect();
        let (mood, what) = match (refused, signers.as_slice(), self.signatures.is_empty()) {
            (true, ..) => (Mood::Found, "A signature is not valid, or covers too little.".to_owned()),
            (_, [_, ..], _) => (Mood::Holds, format!("Signed by {}.", signers.join("; "))),
            (_, [], true) => (Mood::Open, "Nobody signed it.".to_owned()),
            (_, [], false) => (Mood::Open, "Its signature was not checked.".to_owned()),
        };
        let detail = html! { p { "A signature says who vouches for these bytes, not that what they say is true." } };
        Check { mood, what, detail }
    }

    fn graph(&self) -> Check {
        let steps = self.manifest.steps.len() as u64;
        match (steps, self.graph) {
            (0, []) => Check {
                mood: Mood::Open,
                what: "The manifest records no step.".to_owned(),
                detail: html! { p { "How the files were made is not known from it." } },
            },
            (_, []) => Check {
                mood: Mood::Holds,
                what: format!("The records of {} fit together.", crate::figure::count(steps, "step")),
                detail: html! { p { "No contradiction among them. That they are true, only a replay shows." } },
            },
            (_, found) => Check {
                mood: Mood::Found,
                what: "The manifest contradicts itself.".to_owned(),
                detail: html! { ul.findings { @for of in found { li { code { (of.path) } ": " (of.what) } } } },
            },
        }
    }

    /// The outcome of a step by each attestation.
    fn outcomes<'a>(&'a self, step: &'a str) -> impl Iterator<Item = (&'a Attested, &'a Again)> {
        self.replays.iter().flat_map(move |attested| {
            let of = attested.statement.steps.iter().filter(move |outcome| outcome.step == step);
            of.map(move |outcome| (attested, &outcome.again))
        })
    }

    fn replayed(&self) -> Check {
        let steps = self.manifest.steps.len() as u64;
        let same = |signed: bool| {
            let by = |step: &&GraphStep| {
                self.outcomes(&step.id)
                    .any(|(attested, again)| *again == Again::SameBits && attested.signer.is_some() >= signed)
            };
            self.manifest.steps.iter().filter(by).count() as u64
        };
        let differs = self.replays.iter().flat_map(|attested| &attested.statement.steps);
        let differs: Vec<&str> = differs
            .filter(|outcome| matches!(outcome.again, Again::Differs { .. } | Again::Invalid { .. }))
            .map(|outcome| outcome.step.as_str())
            .collect();
        let here = html! { p { "No step was run again here; the last section says how." } };
        let (mood, what) = match (same(true), same(false)) {
            _ if !differs.is_empty() => {
                (Mood::Found, format!("By an attestation, other bits come from {}.", differs.join(", ")))
            }
            (0, 0) if self.replays.is_empty() => (Mood::Open, "No replay is known.".to_owned()),
            (0, claimed) => {
                (Mood::Open, format!("{claimed} of {steps} steps are said to give the same bits; nobody signed that."))
            }
            (signed, _) => (
                Mood::Holds,
                format!(
                    "{signed} of {steps} steps gave the same bits again, says an attestation whose signature holds."
                ),
            ),
        };
        Check { mood, what, detail: here }
    }

    fn audited(&self) -> Check {
        let audit = match &self.audit {
            Ok(audit) => audit,
            Err(why) => {
                let what = "The rules were not applied.".to_owned();
                return Check { mood: Mood::Open, what, detail: html! { p { (why) } } };
            }
        };
        let applied = crate::figure::count(audit.applied.len() as u64, "rule");
        let detail = html! {
            @if !audit.not_applied.is_empty() {
                p { (crate::figure::count(audit.not_applied.len() as u64, "rule")) " not applied, because the release lacks their tables." }
            }
        };
        match audit.findings.len() as u64 {
            0 if audit.applied.is_empty() => {
                Check { mood: Mood::Open, what: "No rule could be applied.".to_owned(), detail }
            }
            0 => Check { mood: Mood::Holds, what: format!("{applied} found nothing in its tables."), detail },
            found => {
                let what = format!("{applied}: {}.", crate::figure::count(found, "finding"));
                Check { mood: Mood::Found, what, detail }
            }
        }
    }

    fn vouching(&self) -> Markup {
        let valid = self.signatures.iter().any(|signature| signature.holds == Some(true));
        let given = self.given_root == Some(self.root);
        let lead = html! {
            @match (valid, given) {
                (true, _) => "A signature that was checked vouches for the bytes.",
                (false, true) => "No signature was checked. The root was given by whoever made this page, and stands for all bytes.",
                (false, false) => "Nobody vouches for it as far as this page knows: whoever can change a file can also seal it again. Compare the root with one from another place, or check a signature with a key from another place.",
            }
        };
        let body = html! {
            @if !self.signatures.is_empty() {
                div.scroll {
                    table {
                        thead { tr { th { "Signature" } th { "Result" } th { "Signer" } th { "What" } } }
                        tbody {
                            @for signature in &self.signatures {
                                tr {
                                    td { code { (signature.file) } }
                                    td {
                                        @match signature.holds {
                                            Some(true) => (seen()),
                                            Some(false) => strong { "refused" },
                                            None => (claimed()),
                                        }
                                    }
                                    td { @if signature.signer.is_empty() { "–" } @else { (signature.signer) } }
                                    td { (signature.what) }
                                }
                            }
                        }
                    }
                }
            }
            @if !self.replays.is_empty() {
                div.scroll {
                    table {
                        thead { tr { th { "Attestation" } th { "Digest" } th { "Signer" } th { "Made with" } th { "Machine" } } }
                        tbody {
                            @for Attested { file, digest, signer, statement } in &self.replays {
                                tr {
                                    td { code { (file) } }
                                    td { code.whole { (digest) } }
                                    td { @if let Some(signer) = signer { (seen()) " " (signer) } @else { (claimed()) } }
                                    td { (statement.replayer.tool) @if let Some(engine) = &statement.replayer.engine { ", " (engine) } }
                                    td { (statement.replayer.machine) }
                                }
                            }
                        }
                    }
                }
            }
        };
        section("vouching", "Who vouches for it", &lead, &body)
    }

    fn tables(&self) -> Vec<DataTable> {
        let mut tables = vec![self.steps()];
        if self.verification.findings().next().is_some() || !self.verification.checkpoints.is_empty() {
            tables.push(self.findings());
        }
        if let Ok(audit) = &self.audit {
            if !audit.findings.is_empty() {
                tables.push(audit_findings(audit));
            }
            tables.push(rules(audit));
        }
        tables.push(self.artifacts());
        tables
    }

    fn steps(&self) -> DataTable {
        let order = Order::of(&self.manifest.steps).steps;
        let steps = order.into_iter().filter_map(|at| self.manifest.steps.get(at));
        let rows = steps.map(|step| {
            let config = step.config.as_ref();
            let digest = config.and_then(|config| self.manifest.artifact(config)).map(|artifact| artifact.digest);
            vec![
                step.id.clone(),
                format!("{:?}", step.kind).to_lowercase(),
                config.map(ToString::to_string).unwrap_or_default(),
                digest.map(|digest| digest.to_string()).unwrap_or_default(),
                step.numerics.map(|numerics| numerics.to_string()).unwrap_or_default(),
                step.inputs.len().to_string(),
                step.outputs.len().to_string(),
                self.told_of(step),
                self.command(step),
            ]
        });
        let columns =
            vec!["step", "kind", "document", "digest", "numerics", "inputs", "outputs", "replayed", "to replay it"];
        DataTable { name: "steps", columns, rows: rows.collect() }
    }

    /// What attestations say of a step.
    fn told_of(&self, step: &GraphStep) -> String {
        let told = self.outcomes(&step.id).map(|(attested, again)| {
            let what = match again {
                Again::SameBits => "same bits".to_owned(),
                Again::Differs { outputs } => format!("differs: {}", outputs.join("; ")),
                Again::Invalid { because } => format!("invalid: {because}"),
                Again::NotReplayed { because } => format!("not replayed: {because}"),
            };
            match attested.signer {
                Some(_) => format!("{what} (signed, {})", attested.file),
                None => format!("{what} (claimed, {})", attested.file),
            }
        });
        let told: Vec<String> = told.collect();
        if told.is_empty() { "not known".to_owned() } else { told.join("; ") }
    }

    /// The command that runs a step again, or why there is none.
    fn command(&self, step: &GraphStep) -> String {
        let manifest = shell_word(self.file);
        if step.config.is_none() {
            return "not replayable: no document says how it was done".to_owned();
        }
        if let Some(numerics) = step.numerics.filter(|numerics| *numerics != self.numerics) {
            return format!("needs a retrace of numerics version {numerics}");
        }
        match step.kind {
            StepKind::Train => format!("retrace replay {manifest} {}", option("--step", &step.id)),
            _ => format!("retrace replay {manifest} --all"),
        }
    }

    fn findings(&self) -> DataTable {
        let files = self.verification.findings().map(|entry| {
            vec![format!("{:?}", entry.verdict).to_lowercase(), entry.path.to_string(), entry.diagnosis.clone()]
        });
        let checkpoints = self.verification.checkpoints.iter();
        let checkpoints = checkpoints.map(|of| vec!["checkpoint".to_owned(), of.path.clone(), of.what.clone()]);
        DataTable {
            name: "findings",
            columns: vec!["finding", "path", "what"],
            rows: files.chain(checkpoints).collect(),
        }
    }

    /// Every artifact, those of a kind together, with the result of its check.
    fn artifacts(&self) -> DataTable {
        let verdicts: BTreeMap<&RelPath, Verdict> =
            self.verification.entries.iter().map(|entry| (&entry.path, entry.verdict)).collect();
        let mut artifacts: Vec<_> =
            self.manifest.artifacts.iter().map(|of| (format!("{:?}", of.kind).to_lowercase(), of)).collect();
        artifacts.sort_by(|a, b| (&a.0, &a.1.path).cmp(&(&b.0, &b.1.path)));
        let outputs = |step: &GraphStep| step.outputs.iter().map(|output| output.path.clone()).collect::<Vec<_>>();
        let made: BTreeMap<RelPath, &str> = self
            .manifest
            .steps
            .iter()
            .flat_map(|step| outputs(step).into_iter().map(|path| (path, step.id.as_str())))
            .collect();
        let rows = artifacts.into_iter().map(|(kind, of)| {
            let verdict =
                verdicts.get(&of.path).map_or("not checked".to_owned(), |of| format!("{of:?}").to_lowercase());
            let by = made.get(&of.path).map_or("no step", |step| *step).to_owned();
            vec![kind, of.path.to_string(), of.size.to_string(), of.digest.to_string(), by, verdict]
        });
        let columns = vec!["kind", "path", "bytes", "digest", "made by", "here"];
        DataTable { name: "artifacts", columns, rows: rows.collect() }
    }

    fn again(&self) -> Markup {
        let manifest = shell_word(self.file);
        let mut verify = format!("retrace verify {manifest} {}", option("--root", &self.root.to_string()));
        for (name, value) in self.signer {
            verify += &format!(" {}", option(name, value));
        }
        let trained = self.manifest.steps.iter().filter(|step| step.kind == StepKind::Train);
        let commands: Vec<(&str, Vec<String>)> = vec![
            ("Files, root and signature:", vec![verify]),
            ("Every step, run again from its inputs:", vec![format!("retrace replay {manifest} --all")]),
            (
                "One training run, from its first checkpoint or from one in the middle:",
                trained.map(|step| self.command(step)).collect(),
            ),
            ("The rules:", vec!["retrace audit .".to_owned()]),
            ("The components of the Model Openness Framework:", vec![format!("retrace openness {manifest}")]),
            (
                "The digests, and the steps:",
                vec![
                    "retrace query \"select kind, path, size, digest from artifacts order by kind, path\" .".to_owned(),
                    "retrace query \"select * from steps\" .".to_owned(),
                ],
            ),
        ];
        let lead = html! { "In the release's directory, on any machine. Take the root and keys from another place than the release." };
        let body = html! {
            @for (what, lines) in commands.iter().filter(|(_, lines)| !lines.is_empty()) {
                p { (what) }
                pre { code { @for line in lines { (line) "\n" } } }
            }
        };
        section("again", "Check it yourself", &lead, &body)
    }
}

fn audit_findings(audit: &AuditResult) -> DataTable {
    let rows = audit.findings.iter().map(|of| {
        let AuditFinding { rule, severity, means, subject, finding, evidence, sure } = of;
        [severity, rule, subject, finding, evidence, sure, means].map(Clone::clone).to_vec()
    });
    let columns = vec!["severity", "rule", "subject", "finding", "evidence", "sure", "means"];
    DataTable { name: "audit", columns, rows: rows.collect() }
}

fn rules(audit: &AuditResult) -> DataTable {
    let found = |rule: &String| audit.findings.iter().filter(|of| of.rule == *rule).count().to_string();
    let applied = audit.applied.iter().map(|rule| vec![rule.clone(), found(rule), String::new()]);
    let not = audit.not_applied.iter().map(|(rule, tables)| {
        vec![rule.clone(), String::new(), format!("not applied: there is no {}", tables.join(", "))]
    });
    DataTable { name: "rules", columns: vec!["rule", "findings", "why not"], rows: applied.chain(not).collect() }
}

fn seen() -> Markup {
    html! { span.seen { "checked" } }
}

fn claimed() -> Markup {
    html! { span.claimed { "claimed" } }
}

/// The title, the words below it, and whether the page itself found what the table says.
fn about(table: &str) -> (&'static str, &'static str, bool) {
    match table {
        "steps" => (
            "How it was made",
            "The manifest says how each file was made. This is the release's own claim until a step is run again.",
            false,
        ),
        "findings" => {
            ("What differs", "Files that are not as sealed, and checkpoints that contradict themselves.", true)
        }
        "audit" => ("What the rules found", "The rules compare what the release's tables say.", true),
        "rules" => ("Rules", "Which rules were applied to the release's tables.", true),
        _ => (
            "Files",
            "Every file that the manifest lists, with its digest (BLAKE3), the step that makes it, and the result of its check here. No replay checks a file that no step makes.",
            true,
        ),
    }
}

fn shown(table: &DataTable) -> Markup {
    let (title, lead, checked) = about(table.name);
    let cell = |column: &str, text: &str| {
        html! {
            @match column {
                "digest" if text.is_empty() => { td { "–" } }
                "digest" if table.name == "steps" => { td { code.digest title=(text) { (brief(text)) } } }
                "digest" => { td { code.whole { (text) } } }
                "bytes" => { td.num title=(text) { (text.parse().map_or_else(|_| text.to_owned(), size)) } }
                _ if NUMBERS.contains(&column) => { td.num { (text) } }
                "path" | "document" | "to replay it" => { td { code.whole { (text) } } }
                _ => { td { (text) } }
            }
        }
    };
    let rows = table.rows.len();
    let body = html! {
        div.scroll.tall[rows > TALL] {
            table {
                thead { tr { @for column in &table.columns { th.num[NUMBERS.contains(column)] { (column) } } } }
                tbody {
                    @for row in table.rows.iter().take(SHOWN) {
                        tr { @for (column, text) in table.columns.iter().zip(row) { (cell(column, text)) } }
                    }
                }
            }
        }
        p.lead {
            @if rows > SHOWN { "The first " (SHOWN) " of " (grouped(rows as u64)) " rows. " }
            @else if rows > TALL { (grouped(rows as u64)) " rows. " }
            @if rows > TALL { span.hint { "Scroll in the table to see them. " } }
            small { "Data: " a href=(format!("data/{}.csv", table.name)) { (table.name) ".csv" } }
        }
    };
    let lead = html! { @if checked { (seen()) } @else { (claimed()) } " " (lead) };
    section(table.name, title, &lead, &body)
}
