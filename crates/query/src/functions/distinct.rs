//! `count(distinct x)` of texts by group. DataFusion's version keeps a table of texts for each group, which takes some
//! kilobytes even for a group of one; here each text is stored once, and a group is a number beside the text's number.
//! For other types, and without `distinct`, DataFusion's version is used.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, ListArray, StringArray, StringViewArray,
};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{HashMap, HashSet, Result, ScalarValue, exec_datafusion_err};
use datafusion::functions_aggregate::count::count_udaf;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, ReversedUDAF, SetMonotonicity, Signature,
    StatisticsArgs,
};

/// The function.
pub(super) fn all() -> Vec<AggregateUDF> {
    vec![AggregateUDF::new_from_impl(Count { original: count_udaf() })]
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Count {
    original: Arc<AggregateUDF>,
}

/// The type of the texts that are counted, if they are texts.
fn texts(args: &AccumulatorArgs) -> Option<DataType> {
    let [field] = args.expr_fields else { return None };
    let kind = field.data_type();
    let text = matches!(kind, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    (args.is_distinct && text).then(|| kind.clone())
}

impl AggregateUDFImpl for Count {
    fn name(&self) -> &str {
        self.original.name()
    }

    fn signature(&self) -> &Signature {
        self.original.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.original.return_type(types)
    }

    fn is_nullable(&self) -> bool {
        self.original.is_nullable()
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        self.original.state_fields(args)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        self.original.accumulator(args)
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        self.original.create_sliding_accumulator(args)
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        texts(&args).is_some() || self.original.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        match texts(&args) {
            Some(kind) => Ok(Box::new(Texts { kind, ..Texts::default() })),
            None => self.original.create_groups_accumulator(args),
        }
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn default_value(&self, kind: &DataType) -> Result<ScalarValue> {
        self.original.default_value(kind)
    }

    fn set_monotonicity(&self, kind: &DataType) -> SetMonotonicity {
        self.original.inner().set_monotonicity(kind)
    }

    fn value_from_stats(&self, args: &StatisticsArgs) -> Option<ScalarValue> {
        self.original.value_from_stats(args)
    }
}

/// Which texts occur in which groups.
#[derive(Debug)]
struct Texts {
    /// Each text, and its index in `texts`.
    places: HashMap<Arc<str>, usize>,
    texts: Vec<Arc<str>>,
    /// A group and the index of a text in it.
    pairs: HashSet<(usize, usize)>,
    counts: Vec<i64>,
    /// The type of the column.
    kind: DataType,
}

impl Default for Texts {
    fn default() -> Self {
        Self {
            places: HashMap::default(),
            texts: Vec::new(),
            pairs: HashSet::default(),
            counts: Vec::new(),
            kind: DataType::Utf8,
        }
    }
}

impl Texts {
    fn take(&mut self, text: &str, group: usize) {
        let place = match self.places.get(text) {
            Some(place) => *place,
            None => {
                let text: Arc<str> = text.into();
                self.texts.push(Arc::clone(&text));
                self.places.insert(text, self.texts.len() - 1);
                self.texts.len() - 1
            }
        };
        if self.pairs.insert((group, place)) {
            self.counts[group] += 1;
        }
    }

    /// The pairs of the first `groups`, in any order; those of the other groups remain, and are renumbered.
    fn first(&mut self, groups: usize) -> Vec<(usize, usize)> {
        let (first, rest): (Vec<_>, Vec<_>) = self.pairs.drain().partition(|(group, _)| *group < groups);
        self.pairs = rest.into_iter().map(|(group, place)| (group - groups, place)).collect();
        first
    }

    /// For each group, the list of its texts: `pairs` may be in any order.
    fn lists(&self, mut pairs: Vec<(usize, usize)>, groups: usize) -> Result<ArrayRef> {
        pairs.sort_unstable();
        let mut lengths = vec![0; groups];
        pairs.iter().for_each(|(group, _)| lengths[*group] += 1);
        let texts = StringArray::from_iter_values(pairs.iter().map(|(_, place)| &*self.texts[*place]));
        let texts = cast(&texts, &self.kind)?;
        let field = Arc::new(Field::new_list_field(self.kind.clone(), true));
        Ok(Arc::new(ListArray::new(field, OffsetBuffer::from_lengths(lengths), texts, None)))
    }
}

fn column(values: &[ArrayRef]) -> Result<StringViewArray> {
    let values = values.first().ok_or_else(|| exec_datafusion_err!("count(distinct) of nothing"))?;
    Ok(cast(values, &DataType::Utf8View)?.as_string_view().clone())
}

/// The rows that count: not null, and not filtered out.
fn counted<'a>(values: &'a StringViewArray, filter: Option<&'a BooleanArray>) -> impl Iterator<Item = usize> + 'a {
    let kept = move |at: &usize| values.is_valid(*at) && filter.is_none_or(|of| of.is_valid(*at) && of.value(*at));
    (0..values.len()).filter(kept)
}

impl GroupsAccumulator for Texts {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.counts.resize(total_num_groups, 0);
        let values = column(values)?;
        counted(&values, opt_filter).for_each(|at| self.take(values.value(at), group_indices[at]));
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.counts.resize(total_num_groups, 0);
        let lists = states.first().and_then(|states| states.as_list_opt::<i32>());
        let lists = lists.ok_or_else(|| exec_datafusion_err!("count(distinct): a state is no list"))?;
        let texts = column(std::slice::from_ref(lists.values()))?;
        for (ends, group) in lists.offsets().windows(2).zip(group_indices) {
            (ends[0] as usize..ends[1] as usize).for_each(|at| self.take(texts.value(at), *group));
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let counts = emit_to.take_needed(&mut self.counts);
        self.first(counts.len());
        Ok(Arc::new(Int64Array::from(counts)))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let groups = emit_to.take_needed(&mut self.counts).len();
        let pairs = self.first(groups);
        Ok(vec![self.lists(pairs, groups)?])
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let values = column(values)?;
        let mut each = Self { kind: self.kind.clone(), counts: vec![0; values.len()], ..Self::default() };
        counted(&values, opt_filter).for_each(|at| each.take(values.value(at), at));
        each.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        let texts: usize = self.texts.iter().map(|text| text.len()).sum();
        let text = size_of::<Arc<str>>() * 2 + size_of::<usize>();
        size_of::<Self>()
            + texts
            + self.texts.capacity() * text
            + self.pairs.capacity() * size_of::<(usize, usize)>()
            + self.counts.capacity() * size_of::<i64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(values: &[Option<&str>]) -> [ArrayRef; 1] {
        [Arc::new(values.iter().copied().collect::<StringArray>())]
    }

    fn counts(counts: &ArrayRef) -> Vec<i64> {
        counts.as_primitive::<datafusion::arrow::datatypes::Int64Type>().values().to_vec()
    }

    const VALUES: [Option<&str>; 7] = [Some("a"), Some("b"), Some("a"), None, Some("a"), Some("c"), Some("b")];
    const GROUPS: [usize; 7] = [0, 0, 0, 1, 2, 2, 2];

    #[test]
    fn groups_leave_a_few_at_a_time() {
        let mut all = Texts::default();
        all.update_batch(&texts(&VALUES), &GROUPS, None, 3).unwrap();
        assert_eq!(counts(&all.evaluate(EmitTo::First(1)).unwrap()), [2]);
        // The former group 2 is now group 1.
        all.update_batch(&texts(&[Some("c"), Some("d")]), &[1, 1], None, 2).unwrap();
        assert_eq!(counts(&all.evaluate(EmitTo::All).unwrap()), [0, 4]);
    }

    #[test]
    fn states_of_groups_and_of_rows_merge_to_the_same() {
        let kept =
            BooleanArray::from(vec![Some(true), Some(true), None, Some(true), Some(false), Some(true), Some(true)]);
        for filter in [None, Some(&kept)] {
            let mut direct = Texts::default();
            direct.update_batch(&texts(&VALUES), &GROUPS, filter, 3).unwrap();
            let mut merged = Texts::default();
            let rows = Texts::default().convert_to_state(&texts(&VALUES), filter).unwrap();
            merged.merge_batch(&rows, &GROUPS, 3).unwrap();
            let groups = direct.state(EmitTo::All).unwrap();
            merged.merge_batch(&groups, &[0, 1, 2], 3).unwrap();
            let expected = if filter.is_some() { [2, 0, 2] } else { [2, 0, 3] };
            assert_eq!(counts(&merged.evaluate(EmitTo::All).unwrap()), expected);
        }
    }
}
