//! Rows of the training log that are in the tables already, from another source: a query would count them twice.

use std::collections::{BTreeMap, HashMap};

use arrow::array::{Array, Float64Array, RecordBatch, StringArray, UInt64Array};

use crate::{Batch, TablesError, TrainLog};

/// A release and a source.
pub(crate) type Name = (String, String);

/// How many rows a source has that are another source's too: the source, the other, and the number.
pub type Repeated = BTreeMap<(Name, Name), usize>;

/// A row, without where it is from: the run, the step, and the bits of its three numbers.
type Key<'a> = (&'a str, u64, [Option<u64>; 3]);

/// Finds the rows of `new` that are in `old`, which has no row of these sources any more. Rows without a loss and a
/// gradient norm are not compared: two runs may have the same learning rates.
pub(crate) fn repeated(old: &[RecordBatch], new: &[Batch<TrainLog>]) -> Result<Repeated, TablesError> {
    let mut repeated = Repeated::new();
    if old.iter().all(|batch| batch.num_rows() == 0) {
        return Ok(repeated);
    }
    let new = new.iter().map(|batch| batch.clone().into_columns()).collect::<Result<Vec<_>, _>>()?;
    let mut sources: HashMap<Key<'_>, (&str, &str)> = HashMap::new();
    for batch in &new {
        each(batch, |key, release, source| {
            sources.entry(key).or_insert((release, source));
        });
    }
    for batch in old {
        each(batch, |key, release, source| {
            if let Some((new_release, new_source)) = sources.get(&key) {
                let new = ((*new_release).to_owned(), (*new_source).to_owned());
                *repeated.entry((new, (release.to_owned(), source.to_owned()))).or_default() += 1;
            }
        });
    }
    Ok(repeated)
}

/// Calls `each` for every row that is compared, with its release and source.
fn each<'a>(batch: &'a RecordBatch, mut each: impl FnMut(Key<'a>, &'a str, &'a str)) {
    fn column<'a, A: 'static>(batch: &'a RecordBatch, name: &str) -> Option<&'a A> {
        batch.column_by_name(name)?.as_any().downcast_ref()
    }
    let text = |name| column::<StringArray>(batch, name);
    let number = |name| column::<Float64Array>(batch, name);
    let (Some(releases), Some(runs), Some(sources)) = (text("release"), text("run"), text("source")) else { return };
    let Some(steps) = column::<UInt64Array>(batch, "step") else { return };
    let (Some(losses), Some(rates), Some(norms)) = (number("loss"), number("learning_rate"), number("grad_norm"))
    else {
        return;
    };
    let bits = |numbers: &Float64Array, at| numbers.is_valid(at).then(|| numbers.value(at).to_bits());
    for at in 0..batch.num_rows() {
        let numbers = [bits(losses, at), bits(rates, at), bits(norms, at)];
        if numbers[0].is_some() || numbers[2].is_some() {
            each((runs.value(at), steps.value(at), numbers), releases.value(at), sources.value(at));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use retrace_spec::Step;

    use super::*;
    use crate::Tables;

    fn row(release: &str, source: &str, step: u64, loss: Option<f64>) -> TrainLog {
        TrainLog {
            release: release.to_owned(),
            run: "m".to_owned(),
            step: Step(step),
            tokens: None,
            phase: None,
            learning_rate: Some(0.5),
            loss,
            grad_norm: None,
            source: source.to_owned(),
            place: format!("/{step}"),
            time: None,
        }
    }

    #[test]
    fn the_same_rows_of_another_source_are_found() {
        let directory = tempfile::tempdir().unwrap();
        let tables = Tables::lock(directory.path()).unwrap();
        let name = |release: &str, source: &str| (release.to_owned(), source.to_owned());
        let put = |release: &str, source: &str, rows: &[TrainLog]| {
            let (sources, batch) = (BTreeSet::from([name(release, source)]), Batch::of(rows).unwrap());
            let repeated = tables.repeated(&sources, std::slice::from_ref(&batch)).unwrap();
            tables.merge(&sources, vec![batch]).unwrap();
            repeated
        };
        let rows = |release, source| {
            [(1, Some(4.0)), (2, Some(f64::NAN)), (3, None)].map(|(step, loss)| row(release, source, step, loss))
        };
        assert_eq!(put("a", "x", &rows("a", "x")), Repeated::new());
        // The same source again, and other numbers.
        assert_eq!(put("a", "x", &rows("a", "x")), Repeated::new());
        assert_eq!(put("a", "z", &[row("a", "z", 1, Some(3.5))]), Repeated::new());
        let expected = Repeated::from([((name("b", "y"), name("a", "x")), 2)]);
        assert_eq!(put("b", "y", &rows("b", "y")), expected);
    }
}
