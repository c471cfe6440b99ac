//! Heat maps of the statistics of weights: rows are tensors or layers in the order of the network, columns checkpoints.

use std::collections::{BTreeMap, BTreeSet};

use retrace_query::{Answer, Session};

use crate::ReportError;
use crate::figure::{Asked, Drawing, Figure, Figures, Names, Told, count, quoted};
use crate::plot::{HeatMap, Scale};

/// With more tensors than this, a row is a layer.
const TENSORS: u64 = 96;

/// The most rows and columns of a map, and the most runs.
const ROWS: usize = 160;
const COLUMNS: usize = 100;
const RUNS: usize = 12;

/// A layer's tensor, as the names of all common architectures have it: what stands before, and the layer's number.
const LAYER: &str = r"^(.*\.)?(layers|layer|blocks|block|h)\.([0-9]+)\..*$";

/// A statistic: what it is, for the name of a file and for readers, and how it is taken together for a row of several
/// tensors.
struct Statistic {
    name: &'static str,
    title: &'static str,
    label: &'static str,
    scale: Scale,
    sql: &'static str,
}

const STATISTICS: [Statistic; 5] = [
    Statistic {
        name: "size",
        title: "Size of the weights",
        label: "root mean square",
        scale: Scale::Log,
        sql: "sqrt(sum(norm * norm) / sum(elements))",
    },
    Statistic {
        name: "moved",
        title: "Distance from the checkpoint before",
        label: "relative to the norm",
        scale: Scale::Log,
        sql: "sqrt(sum(distance_to_previous * distance_to_previous)) / nullif(sqrt(sum(norm * norm)), 0)",
    },
    Statistic {
        name: "moved from first",
        title: "Distance from the first checkpoint",
        label: "relative to the norm",
        scale: Scale::Log,
        sql: "sqrt(sum(distance_to_first * distance_to_first)) / nullif(sqrt(sum(norm * norm)), 0)",
    },
    Statistic {
        name: "kurtosis",
        title: "Kurtosis",
        label: "the greatest of the row; 3 for a normal distribution",
        scale: Scale::Log,
        sql: "max(kurtosis)",
    },
    Statistic {
        name: "stable rank",
        title: "Stable rank",
        label: "the least of the row",
        scale: Scale::Log,
        sql: "min(stable_rank)",
    },
];

/// The values that are not finite.
const NON_FINITE: Statistic = Statistic {
    name: "not finite",
    title: "Weights that are not finite",
    label: "number",
    scale: Scale::Log,
    sql: "cast(sum(non_finite) as double)",
};

/// The heat maps of the table `tensors`, for these runs or, if there are none, for all.
///
/// # Errors
/// If the table lacks a column, has none of the chosen runs, or has weights of two runs under one name.
pub fn weights(session: &Session, runs: &[String]) -> Result<Vec<Figures>, ReportError> {
    one_run_each(session)?;
    let listed = session.run(
        "select run, count(distinct tensor) as tensors, sum(non_finite) as non_finite from tensors group by run order by run",
    )?;
    let known = listed.texts("run")?;
    let without: Vec<&String> = runs.iter().filter(|run| !known.contains(run)).collect();
    if let (Some(name), true) = (without.first(), without.len() == runs.len()) {
        return Err(ReportError::NoSuch { what: "run", name: (*name).clone(), known });
    }
    let all = known.into_iter().zip(listed.numbers("tensors")?.into_iter().zip(listed.numbers("non_finite")?));
    let all: Vec<_> = all.collect();
    let everywhere: u64 = all.iter().filter_map(|(_, (_, non_finite))| *non_finite).sum();
    let mut chosen: Vec<_> = all.into_iter().filter(|(run, _)| runs.is_empty() || runs.contains(run)).collect();
    chosen.sort_by_key(|(run, _)| runs.iter().position(|chosen| chosen == run));
    let mut names = Names::default();
    let mut found: Vec<Figures> = Vec::new();
    for (run, (tensors, non_finite)) in chosen.iter().take(RUNS) {
        let of = OfRun { run, by_layer: tensors.unwrap_or(0) > TENSORS };
        found.push(of.figures(session, non_finite.unwrap_or(0), &mut names)?);
    }
    if let (Some(last), true) = (found.last_mut(), chosen.len() > RUNS) {
        last.left_out.push(format!("The weights of {} further runs are left out; choose runs.", chosen.len() - RUNS));
    }
    let drawn: u64 = found.iter().map(|figures| figures.non_finite).sum();
    if let (Some(last), further @ 1..) = (found.last_mut(), everywhere.saturating_sub(drawn)) {
        last.left_out.push(format!("Not finite, and in no figure: {} of other runs.", count(further, "weight")));
        last.non_finite += further;
    }
    if let Some(last) = found.last_mut() {
        last.left_out.extend(without.iter().map(|run| format!("The table tensors has no weights of {run}.")));
    }
    Ok(found)
}

/// What is said of the table `tensors` if it has none of the chosen runs, but weights that are not finite.
///
/// # Errors
/// If the table lacks a column.
pub fn no_weights(session: &Session) -> Result<Option<Figures>, ReportError> {
    let odd = session.run("select sum(non_finite) as odd from tensors")?.numbers("odd")?;
    let non_finite = odd.first().copied().flatten().unwrap_or(0);
    let about = "The table tensors has no weights of the chosen runs.".to_owned();
    let left_out = vec![format!("Not finite, and in no figure: {} of other runs.", count(non_finite, "weight"))];
    let title = "Weights".to_owned();
    Ok((non_finite > 0).then(|| Figures { title, about, figures: Vec::new(), left_out, non_finite }))
}

/// Checks that the rows of a run are those of one run: rows have no release, so that two runs of one name could not be
/// told apart.
fn one_run_each(session: &Session) -> Result<(), ReportError> {
    let files = session.files("tensors");
    if files.len() > 1 {
        let mut of_run: BTreeMap<String, &String> = BTreeMap::new();
        for file in files {
            let name = file.replace('"', "\"\"");
            for run in session.run(&format!("select distinct run from \"{name}\" order by run"))?.texts("run")? {
                if let Some(other) = of_run.insert(run.clone(), file) {
                    return Err(ReportError::SameRun { run, what: format!("is in {other} and in {file}") });
                }
            }
        }
    }
    let twice = session.run(
        "select run, checkpoint, tensor from tensors group by run, checkpoint, tensor having count(*) > 1 \
         order by run, checkpoint, tensor limit 1",
    )?;
    let first = |column: &str| Ok::<_, ReportError>(twice.texts(column)?.into_iter().next().unwrap_or_default());
    if twice.rows() > 0 {
        let what = format!("has the tensor {} of the checkpoint {} twice", first("tensor")?, first("checkpoint")?);
        return Err(ReportError::SameRun { run: first("run")?, what });
    }
    Ok(())
}

/// The weights of a run.
struct OfRun<'a> {
    run: &'a str,
    by_layer: bool,
}

impl OfRun<'_> {
    fn figures(&self, session: &Session, non_finite: u64, names: &mut Names) -> Result<Figures, ReportError> {
        let (mut figures, mut left_out) = (Vec::new(), Vec::new());
        for statistic in &STATISTICS {
            match self.figure(session, statistic, names)? {
                Some(figure) => figures.push(figure),
                None => left_out.push(format!("{}: the table has no such values.", statistic.title)),
            }
        }
        match non_finite {
            0 => left_out.push("Every weight is finite.".to_owned()),
            _ => {
                figures.extend(self.figure(session, &NON_FINITE, names)?.map(|figure| Figure { non_finite, ..figure }))
            }
        }
        let rows = if self.by_layer { "a layer, or a tensor outside of them" } else { "a tensor" };
        let about = format!(
            "Statistics of the table tensors. A row is {rows}, in the order of the network; a column is a checkpoint."
        );
        Ok(Figures { title: format!("Weights of {}", self.run), about, figures, left_out, non_finite })
    }

    /// None if the table has no value of this statistic.
    fn figure(
        &self,
        session: &Session,
        statistic: &Statistic,
        names: &mut Names,
    ) -> Result<Option<Figure>, ReportError> {
        let row = match self.by_layer {
            true => format!("regexp_replace(tensor, '{LAYER}', '\\1\\2.\\3')"),
            false => "tensor".to_owned(),
        };
        let sql = format!(
            "select step, checkpoint, place, value\nfrom (\n  select step, checkpoint, place, {} as value\n  \
             from (select *, {row} as place from tensors where run = {})\n  group by step, checkpoint, place\n)\n\
             where value is not null\norder by step, checkpoint, place",
            statistic.sql,
            quoted(self.run)
        );
        let asked = Asked::of(session, sql)?;
        if asked.answer.rows() == 0 {
            return Ok(None);
        }
        let title = format!("{}: {}", self.run, statistic.title);
        let (map, told) = map(&asked.answer, &title, statistic)?;
        let name = names.of(&format!("weights {} {}", self.run, statistic.name));
        Ok(Some(asked.figure(name, title, map.map(Drawing::Heat), told)?))
    }
}

/// The map of an answer; none if it has no value that can be drawn.
fn map(rows: &Answer, title: &str, statistic: &Statistic) -> Result<(Option<HeatMap>, Told), ReportError> {
    let (steps, checkpoints) = (rows.numbers("step")?, rows.texts("checkpoint")?);
    let (places, values) = (rows.texts("place")?, rows.floats("value")?);
    let mut told = Told::default();
    let mut columns: Vec<(Option<u64>, &String)> = steps.into_iter().zip(&checkpoints).collect();
    let of_row = columns.clone();
    columns.sort();
    columns.dedup();
    let mut order: Vec<&String> = places.iter().collect::<BTreeSet<_>>().into_iter().collect();
    order.sort_by_cached_key(|name| in_network(name));
    let odd = values.iter().filter(|value| !value.is_finite()).count() as u64;
    if odd > 0 {
        told.left_out.push(format!("Left out, because not finite: {}.", count(odd, "value")));
    }
    let below = values.iter().filter(|value| **value < 0.0).count() as u64;
    if below > 0 && statistic.scale == Scale::Log {
        told.left_out.push(format!("Left out, because below 0: {}.", count(below, "value")));
    }
    if order.len() > ROWS {
        told.left_out.push(format!("Only the first {ROWS} of {} rows are drawn.", order.len()));
        order.truncate(ROWS);
    }
    let every = columns.len().div_ceil(COLUMNS).max(1);
    if every > 1 {
        told.left_out.push(format!("Only one of {every} checkpoints is drawn, of {}.", columns.len()));
    }
    let drawn: BTreeMap<_, usize> = columns.iter().step_by(every).enumerate().map(|(at, of)| (of, at)).collect();
    let row: BTreeMap<&String, usize> = order.iter().enumerate().map(|(at, name)| (*name, at)).collect();
    let mut cells = vec![vec![f64::NAN; drawn.len()]; order.len()];
    for ((place, of), value) in places.iter().zip(&of_row).zip(&values) {
        let cell = row.get(place).zip(drawn.get(of)).and_then(|(row, column)| cells.get_mut(*row)?.get_mut(*column));
        if let Some(cell) = cell {
            *cell = *value;
        }
    }
    let steps: BTreeSet<Option<u64>> = columns.iter().map(|of| of.0).collect();
    let by_step = steps.len() == columns.len() && !steps.contains(&None);
    let name = |(step, checkpoint): &(Option<u64>, &String)| match step {
        Some(step) if by_step => step.to_string(),
        _ => crate::plot::shortened(checkpoint, 16),
    };
    let map = HeatMap {
        title: title.to_owned(),
        x: if by_step { "step" } else { "checkpoint" }.to_owned(),
        label: statistic.label.to_owned(),
        scale: statistic.scale,
        rows: order.into_iter().cloned().collect(),
        columns: columns.iter().step_by(every).map(name).collect(),
        values: cells,
    };
    let any = map.values.iter().flatten().any(|value| value.is_finite() && *value >= 0.0);
    Ok((any.then_some(map), told))
}

/// Where a tensor or layer is in the network, by the names that common architectures use: embeddings, then the layers
/// with attention before what follows it, then the rest.
fn in_network(name: &str) -> (u8, u64, u8, String) {
    let layer = name.split('.').zip(name.split('.').skip(1)).find_map(|(before, number)| {
        let layers = ["layers", "layer", "blocks", "block", "h"].contains(&before);
        number.parse::<u64>().ok().filter(|_| layers)
    });
    let lower = name.to_lowercase();
    let has = |parts: &[&str]| parts.iter().any(|part| lower.contains(part));
    let within = match () {
        () if has(&["post_attention", "ln_2", "ffn_norm", "pre_feedforward"]) => 2,
        () if has(&["input_layernorm", "ln_1", "attention_norm"]) => 0,
        () if has(&["mlp", "ffn", "feed_forward", "expert"]) => 3,
        () if has(&["post_feedforward"]) => 4,
        () if has(&["attn", "attention"]) => 1,
        () => 5,
    };
    match layer {
        Some(layer) => (1, layer, within, name.to_owned()),
        None if has(&["embed", "wte", "wpe"]) && !has(&["embed_out"]) => (0, 0, 0, name.to_owned()),
        None => (2, 0, u8::from(has(&["lm_head", "embed_out", "output"])), name.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The order in which the forward pass of Llama, GPT-2 and GPT-NeoX uses them.
    #[test]
    fn tensors_are_in_the_order_of_the_network() {
        for expected in [
            &[
                "model.embed_tokens.weight",
                "model.layers.0.input_layernorm.weight",
                "model.layers.0.self_attn.q_proj.weight",
                "model.layers.0.post_attention_layernorm.weight",
                "model.layers.0.mlp.up_proj.weight",
                "model.layers.2.self_attn.q_proj.weight",
                "model.layers.10.self_attn.q_proj.weight",
                "model.norm.weight",
                "lm_head.weight",
            ][..],
            &[
                "h.0.ln_1.weight",
                "h.0.attn.c_attn.weight",
                "h.0.ln_2.weight",
                "h.0.mlp.c_fc.weight",
                "h.1",
                "ln_f.weight",
            ],
            &[
                "gpt_neox.embed_in.weight",
                "gpt_neox.layers.0.attention.dense.weight",
                "gpt_neox.layers.0.mlp.dense_4h_to_h.weight",
                "gpt_neox.final_layer_norm.weight",
                "embed_out.weight",
            ],
        ] {
            let mut names = expected.to_vec();
            names.reverse();
            names.sort_by_cached_key(|name| in_network(name));
            assert_eq!(names, expected);
        }
    }
}
