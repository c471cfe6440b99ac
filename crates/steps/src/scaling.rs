//! Scaling laws.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use retrace_analysis::scaling::{Hoffmann3, Law, Point, Points, RunPoints};
use retrace_files::{Progress, Root};
use retrace_query::Session;
use retrace_spec::manifest::{ArtifactKind, StepKind};
use retrace_spec::{RelPath, ScalingRecipe};

use crate::StepError;
use crate::contamination::write_json;
use crate::step::{Files, Need, Options, Outputs, Step};

/// The fitted law, or why the fit failed.
#[derive(Debug)]
pub struct Report(Law);

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.fit {
            Ok(fit) => {
                write!(f, "L = {:.4} + {:.4e} / N^{:.3} + {:.4e} / D^{:.3}", fit.e, fit.a, fit.alpha, fit.b, fit.beta)
            }
            Err(why) => write!(f, "no scaling law: {why}"),
        }
    }
}

impl Step for ScalingRecipe {
    type Report = Report;

    fn id(&self) -> String {
        self.name.clone()
    }

    fn kind(&self) -> StepKind {
        StepKind::Scaling
    }

    fn reads(&self, _: &Root) -> Result<Vec<Need>, StepError> {
        Ok(self.tables.iter().cloned().map(Files::one).map(Need::from).collect())
    }

    fn makes(&self) -> Result<Vec<Files>, StepError> {
        Ok(vec![Files::one(self.output.clone())])
    }

    fn inputs(&self, _: &Root) -> Result<Vec<RelPath>, StepError> {
        Ok(self.tables.clone())
    }

    fn carry_out(&self, root: &Root, _: &Options, _: &dyn Progress) -> Result<(Report, Outputs), StepError> {
        let tables: Vec<PathBuf> = self.tables.iter().map(|table| table.under(root.path())).collect();
        // The document may be untrusted, so its SQL can read only these tables.
        let answer = Session::open(&tables)?.run_foreign(&self.points)?;
        let mut runs: BTreeMap<(String, u64), Vec<(f64, f64)>> = BTreeMap::new();
        let rows = answer.texts("run")?.into_iter().zip(answer.floats("params")?);
        for ((run, params), (tokens, loss)) in
            rows.zip(answer.floats("tokens")?.into_iter().zip(answer.floats("loss")?))
        {
            if let Some(value) = [params, tokens, loss].into_iter().find(|value| !value.is_finite()) {
                let what = format!("gives {value} for {run:?}; leave out rows that lack a number");
                return Err(StepError::Field { field: "points".to_owned(), what });
            }
            runs.entry((run, params.to_bits())).or_default().push((tokens, loss));
        }
        let mut runs: Vec<RunPoints> = runs
            .into_iter()
            .map(|((run, params), mut points)| {
                points.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
                RunPoints { run, params: f64::from_bits(params), points }
            })
            .collect();
        runs.sort_by(|a, b| a.params.total_cmp(&b.params).then_with(|| a.run.cmp(&b.run)));
        let (loss, params_unit, loss_unit) = (self.loss.clone(), self.params_unit, self.loss_unit);
        let rows = runs.iter().flat_map(|of| {
            let point = |(tokens, loss): &(f64, f64)| Point {
                run: Some(of.run.clone()),
                ..Point::new(of.params, *tokens, *loss)
            };
            of.points.iter().map(point)
        });
        let fit = Points::new(Some(params_unit), Some(loss_unit), rows.collect())
            .map_err(|error| error.to_string())
            .and_then(|points| Hoffmann3::fit(&points).map_err(|error| error.to_string()));
        let law = Law { loss, params_unit, loss_unit, runs, fit };
        write_json(root, &self.output, &law)?;
        Ok((Report(law), vec![(self.output.clone(), ArtifactKind::Log)]))
    }
}
