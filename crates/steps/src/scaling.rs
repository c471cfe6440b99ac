//! Reports of scaling laws: the step `scaling/1`, and what `retrace report scaling` shares with it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use retrace_analysis::scaling::{Points, Predictions, Report, Request};
use retrace_files::{Progress, Root};
use retrace_query::Answer;
use retrace_report::{file_name, scaling_page, shell_word};
use retrace_spec::manifest::{ArtifactKind, StepKind};
use retrace_spec::recipe::scaling::{Base, Bootstrap, FitOptions, Reduction};
use retrace_spec::{RelPath, ScalingRecipe};

use crate::StepError;
use crate::contamination::write_json;
use crate::points::{PointColumns, PointsError, all_rows, open_points};
use crate::step::{Files, Need, Options, Outputs, Step};

/// What a report of scaling laws is made from, and how: what the flags of the verb say, and the fields of the document.
#[derive(Debug, Clone)]
pub struct ScalingRequest {
    /// The name of the file of the points, without its place on a machine, or SQL.
    pub points: String,
    /// The names of the tables that the SQL reads, as that of the file; none for a file.
    pub tables: Vec<String>,
    /// The columns of the points.
    pub columns: PointColumns,
    /// What the loss is measured on, in a few words.
    pub loss: Option<String>,
    /// Whether only the last point of each run is used.
    pub finals: bool,
    /// What is asked for.
    pub request: Request,
}

impl ScalingRequest {
    /// The points in the rows of an answer.
    ///
    /// # Errors
    /// As [`PointColumns::points`].
    pub fn points(&self, answer: &Answer) -> Result<Points, StepError> {
        self.chosen(self.columns.points(answer)?)
    }

    /// Those of the points that are fitted.
    ///
    /// # Errors
    /// If these are the last points of each run, and no point has a run.
    pub fn chosen(&self, points: Points) -> Result<Points, StepError> {
        match self.finals {
            true if points.rows().iter().all(|point| point.run.is_none()) => Err(PointsError::NoRuns.into()),
            true => Ok(points.finals()),
            false => Ok(points),
        }
    }

    /// The report of these points.
    ///
    /// # Errors
    /// If there are too few points for every law.
    pub fn report(&self, points: Points) -> Result<Report, StepError> {
        Ok(Report::of(points, self.loss.clone(), self.request.clone())?)
    }

    /// The page `report.html`, the same as Markdown `report.md`, and the CSV files.
    ///
    /// # Errors
    /// If a chart cannot be drawn.
    pub fn pages(&self, report: &Report) -> Result<BTreeMap<String, String>, StepError> {
        let file = |path: &str| std::path::Path::new(path).file_stem().map(|name| name.to_string_lossy().into_owned());
        let named = self.tables.is_empty().then(|| file(&self.points)).flatten();
        let title = named.unwrap_or_else(|| "Scaling".to_owned());
        let page = scaling_page(&title, report, &self.command())?;
        let mut files = page.data;
        files.insert("report.html".to_owned(), page.html);
        files.insert("report.md".to_owned(), page.markdown);
        Ok(files)
    }

    /// The predictions; `None` if none were asked for.
    ///
    /// # Errors
    /// If the points have no digest.
    pub fn predictions(&self, report: &Report) -> Result<Option<Predictions>, StepError> {
        let asked = !self.request.predict.is_empty();
        Ok(asked.then(|| Predictions::of(report, self.command())).transpose()?)
    }

    /// The command that makes the report, with all flags, also where they have their default.
    pub fn command(&self) -> String {
        let Request { laws, fit, intervals, held_out, cuts, predict } = &self.request;
        let laws: Vec<&str> = laws.iter().map(|law| law.name()).collect();
        let mut all = vec![format!("--points {}", shell_word(&self.points))];
        if !self.tables.is_empty() {
            all.push(format!("--tables {}", self.tables.iter().map(|of| shell_word(of)).collect::<Vec<_>>().join(" ")));
        }
        all.push(format!("--law {}", laws.join(",")));
        let PointColumns { named, params_unit, loss_unit } = &self.columns;
        let flags = [
            ("--columns", (!named.0.is_empty()).then(|| named.to_string())),
            ("--params-unit", params_unit.map(|unit| unit.name().to_owned())),
            ("--loss-unit", loss_unit.map(|unit| unit.name().to_owned())),
            ("--loss", self.loss.clone()),
        ];
        all.extend(flags.into_iter().filter_map(|(name, value)| Some(format!("{name} {}", shell_word(&value?)))));
        all.extend(self.finals.then(|| "--finals".to_owned()));
        all.extend(predict.iter().map(|budget| format!("--predict {budget}")));
        let FitOptions { delta, reduction, tolerance, updates, grid, base, envelope, isoflop, skip, window } = fit;
        all.push(format!("--delta {delta} --tolerance {tolerance} --updates {updates}"));
        all.extend((*reduction == Reduction::Mean).then(|| "--mean".to_owned()));
        all.extend(grid.0.iter().map(|(name, values)| {
            let values: Vec<String> = values.iter().map(f64::to_string).collect();
            format!("--grid {}", shell_word(&format!("{name}={}", values.join(","))))
        }));
        all.extend(base.as_ref().map(|base: &Base| format!("--base {base}")));
        all.push(format!("--isoflop {isoflop} --envelope {envelope} --skip {skip} --window {window}"));
        let Bootstrap { by, samples, level, seed } = intervals;
        all.push(format!("--held-out {held_out} --cuts {cuts}"));
        all.push(format!("--bootstrap {by} --samples {samples} --level {level} --seed {seed}"));
        format!("retrace report scaling {}", all.join(" "))
    }
}

/// The parameters of each law, or why it was not fitted.
#[derive(Debug)]
pub struct Fitted(Report);

impl fmt::Display for Fitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, law) in self.0.laws.iter().enumerate() {
            f.write_str(if at == 0 { "" } else { "; " })?;
            match &law.failed {
                Some(why) => write!(f, "no scaling law {}: {why}", law.law)?,
                None => {
                    write!(f, "{}:", law.law)?;
                    for name in law.law.parameters() {
                        let value = law.parameters.get(*name).copied().unwrap_or(f64::NAN);
                        match (1e-3..1e5).contains(&value.abs()) {
                            true => write!(f, " {name} {value:.4}")?,
                            false => write!(f, " {name} {value:.3e}")?,
                        }
                    }
                    if !law.is_plausible() {
                        f.write_str(" (the points follow no such law)")?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// What a document asks for.
fn request(recipe: &ScalingRecipe) -> ScalingRequest {
    ScalingRequest {
        points: if recipe.tables.is_empty() { file_name(&recipe.points) } else { recipe.points.clone() },
        tables: recipe.tables.iter().map(|table| file_name(table.as_str())).collect(),
        columns: PointColumns {
            named: recipe.columns.clone(),
            params_unit: recipe.params_unit,
            loss_unit: recipe.loss_unit,
        },
        loss: recipe.loss.clone(),
        finals: recipe.finals,
        request: Request {
            laws: recipe.laws.clone(),
            fit: recipe.fit.clone(),
            intervals: recipe.intervals,
            held_out: recipe.held_out,
            cuts: recipe.cuts,
            predict: recipe.predict.clone(),
        },
    }
}

/// The rows that a document says.
fn answer(root: &Root, recipe: &ScalingRecipe) -> Result<Answer, StepError> {
    // The document may be untrusted, so its SQL can read only these files.
    if let Some(file) = recipe.file()? {
        if [".json", ".yaml", ".yml"].iter().any(|ending| file.as_str().ends_with(ending)) {
            let what =
                format!("{file} must be a Parquet, CSV, TSV or JSON lines file; JSON lines have the ending .jsonl");
            return Err(StepError::Field { field: "points".to_owned(), what });
        }
        let paths = [file.under(root.path())];
        return Ok(all_rows(&open_points(&paths, &recipe.columns, retrace_query::Options::default())?)?);
    }
    let tables: Vec<PathBuf> = recipe.tables.iter().map(|table| table.under(root.path())).collect();
    Ok(open_points(&tables, &recipe.columns, retrace_query::Options::default())?.run_foreign(&recipe.points)?)
}

impl Step for ScalingRecipe {
    type Report = Fitted;

    fn id(&self) -> String {
        self.name.clone()
    }

    fn kind(&self) -> StepKind {
        StepKind::Scaling
    }

    fn reads(&self, root: &Root) -> Result<Vec<Need>, StepError> {
        Ok(self.inputs(root)?.into_iter().map(Files::one).map(Need::from).collect())
    }

    fn makes(&self) -> Result<Vec<Files>, StepError> {
        let files = [Some(&self.output), self.prediction.as_ref()].into_iter().flatten().cloned().map(Files::one);
        Ok(files.chain(self.report.clone().map(Files::below)).collect())
    }

    fn inputs(&self, _: &Root) -> Result<Vec<RelPath>, StepError> {
        Ok(self.file()?.map_or_else(|| self.tables.clone(), |file| vec![file]))
    }

    fn carry_out(&self, root: &Root, _: &Options, _: &dyn Progress) -> Result<(Fitted, Outputs), StepError> {
        let asked = request(self);
        let in_field = |error: StepError| match error {
            StepError::Points(PointsError::Query(error)) => StepError::Query(error),
            StepError::Points(error) => StepError::Field { field: error.field().to_owned(), what: error.to_string() },
            StepError::Fit(error) => StepError::Field { field: "points".to_owned(), what: error.to_string() },
            error => error,
        };
        let points = asked.points(&answer(root, self)?).map_err(in_field)?;
        let report = asked.report(points).map_err(in_field)?;
        let pages = self.report.as_ref().map(|directory| Ok::<_, StepError>((directory, asked.pages(&report)?)));
        let pages = pages.transpose()?;
        let predictions = asked.predictions(&report)?;
        let mut outputs = vec![(self.output.clone(), ArtifactKind::Log)];
        write_json(root, &self.output, &report)?;
        if let (Some(path), Some(predictions)) = (&self.prediction, &predictions) {
            write_json(root, path, predictions)?;
            outputs.push((path.clone(), ArtifactKind::Log));
        }
        if let Some((directory, files)) = pages {
            for (name, text) in files {
                let path = directory.join(&name)?;
                root.write(&path, text.as_bytes())?;
                outputs.push((path, ArtifactKind::Other));
            }
        }
        Ok((Fitted(report), outputs))
    }
}
