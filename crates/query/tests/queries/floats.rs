//! Columns of floats come back as they are stored, whatever their files say about them.
//!
//! The files are written here by Parquet's own writer, whose statistics leave NaN out, as those of other writers do.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, RecordBatchReader, StructArray,
};
use datafusion::arrow::compute::{cast, concat_batches};
use datafusion::arrow::datatypes::{DataType, Field, Float32Type, Float64Type, Int64Type};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use datafusion::parquet::file::metadata::SortingColumn;
use datafusion::parquet::file::properties::{EnabledStatistics, WriterProperties};
use proptest::prelude::*;
use retrace_query::{Format, Options, Session};
use retrace_spec::Step;
use retrace_tables::TrainLog;

use crate::csv;

const NAN: Option<f64> = Some(f64::NAN);

/// The columns n, 1, 2, 3, …; x, these values; y, h and d, the same in single and half precision and as a dictionary;
/// and s, a structure with the same field x.
fn rows(values: &[Option<f64>]) -> RecordBatch {
    let x: ArrayRef = Arc::new(Float64Array::from(values.to_vec()));
    let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Float64));
    let inner = Arc::new(Field::new("x", DataType::Float64, true));
    RecordBatch::try_from_iter_with_nullable([
        ("n", Arc::new(Int64Array::from_iter_values(1..=values.len() as i64)) as ArrayRef, true),
        ("y", cast(&x, &DataType::Float32).unwrap(), true),
        ("h", cast(&x, &DataType::Float16).unwrap(), true),
        ("d", cast(&x, &dictionary).unwrap(), true),
        ("s", Arc::new(StructArray::from(vec![(inner, Arc::clone(&x))])), true),
        ("x", x, true),
    ])
    .unwrap()
}

fn write(path: &Path, rows: &RecordBatch, properties: WriterProperties) {
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), rows.schema(), Some(properties)).unwrap();
    writer.write(rows).unwrap();
    writer.close().unwrap();
}

fn log(step: u64, loss: Option<f64>, grad_norm: Option<f64>) -> TrainLog {
    TrainLog {
        release: "r".to_owned(),
        run: "run".to_owned(),
        step: Step(step),
        tokens: None,
        phase: None,
        learning_rate: None,
        loss,
        time: None,
        grad_norm,
        source: "s".to_owned(),
        place: "line 1".to_owned(),
    }
}

fn open(directory: &Path, partitions: usize) -> Session {
    let options = Options { partitions: partitions.try_into().unwrap(), ..Options::default() };
    Session::open_with(&[directory.to_owned()], options).unwrap()
}

/// The first column of an answer, joined by blanks.
fn column(session: &Session, sql: &str) -> String {
    csv(session, sql).lines().skip(1).collect::<Vec<_>>().join(" ")
}

/// A file says of its column that its least and greatest value are 2.5, and that it has no nulls.
#[test]
fn a_column_whose_numbers_are_equal_keeps_its_nan() {
    let directory = tempfile::tempdir().unwrap();
    write(&directory.path().join("t.parquet"), &rows(&[Some(2.5), NAN, Some(2.5)]), WriterProperties::default());
    let zeros = rows(&[Some(0.0), Some(-0.0), NAN]);
    write(&directory.path().join("z.parquet"), &zeros, WriterProperties::default());
    for partitions in [1, 3] {
        let session = open(directory.path(), partitions);
        for of in ["x", "y", "h", "cast(d as double)", "s['x']"] {
            assert_eq!(column(&session, &format!("select {of} from t order by n")), "2.5 NaN 2.5", "{of}");
            assert_eq!(column(&session, &format!("select count(*) from t where isnan({of})")), "1", "{of}");
            assert_eq!(column(&session, &format!("select avg({of}) from t")), "NaN", "{of}");
            assert_eq!(column(&session, &format!("select n from t where {of} <> 2.5")), "2", "{of}");
            let of = format!("cast({of} as double)");
            assert_eq!(column(&session, &format!("select {of} from z order by n")), "0.0 -0.0 NaN", "{of}");
            assert_eq!(column(&session, &format!("select min({of}) from z")), "-0.0", "{of}");
            assert_eq!(column(&session, &format!("select max({of}) from z")), "0.0", "{of}");
        }
        // A column of integers is still known from its statistics alone.
        assert_eq!(column(&session, "select max(n) from t"), "3");
        let plan = csv(&session, "explain select max(n) from t");
        assert!(plan.contains("PlaceholderRowExec"), "{plan}");
        let plan = csv(&session, "explain select n from t where n > 1 and x > 2");
        assert!(plan.contains("n_max") && !plan.contains("x_max"), "{plan}");
    }
}

/// Conditions, orders and joins for which DataFusion would skip row groups or pages, or take a column for constant.
const SKIPPING: [(&str, &str); 19] = [
    ("select n from t where x > 100", "3 11 17"),
    ("select n from t where y > 100", "3 11 17"),
    ("select n from t where h > 100", "3 11 17"),
    ("select n from t where cast(d as double) > 100", "3 11 17"),
    ("select n from t where s['x'] > 100", "3 11 17"),
    ("select n from t where x > 100 and n > 10", "11 17"),
    ("select n from t where x = 'NaN'", "3 17"),
    ("select n from t where x in ('NaN', 1)", "1 3 17"),
    ("select n from t where not (x < 100)", "3 11 17"),
    ("select n from t where x >= 'Infinity'", "3 17"),
    ("select n from t where x > 1.7976931348623157e308", "3 17"),
    ("select n from t where x between 100 and 'NaN'", "3 11 17"),
    ("select n from t where (select max(x) from t where n = 1) < x and x <> 2 and n > 16", "17 18 19 20"),
    ("select n from t order by x desc limit 3", "3 17 11"),
    ("select n from t where n > 3 order by x desc limit 1", "17"),
    ("select x from t order by x desc limit 1", "NaN"),
    ("select n from t join (select 'NaN'::double as x) o on t.x = o.x", "3 17"),
    ("select t.n from t join t o on t.x = o.x where o.n = 17", "3 17"),
    ("select n from t where x in (select x from t where n = 3)", "3 17"),
];

#[test]
fn rows_with_nan_are_not_skipped() {
    let mut values: Vec<Option<f64>> = (1..=20).map(|n| Some(f64::from(n))).collect();
    (values[2], values[10], values[16]) = (NAN, Some(1000.0), NAN);
    let properties = |statistics, rows_each: [usize; 2]| {
        WriterProperties::builder()
            .set_statistics_enabled(statistics)
            .set_max_row_group_row_count(Some(rows_each[0]))
            .set_data_page_row_count_limit(rows_each[1])
            .set_write_batch_size(1)
            .set_dictionary_enabled(false)
    };
    for (kind, properties) in [
        ("no statistics", properties(EnabledStatistics::None, [20, 20])),
        ("row groups", properties(EnabledStatistics::Chunk, [4, 20])),
        ("pages", properties(EnabledStatistics::Page, [20, 4])),
        ("row groups and pages", properties(EnabledStatistics::Page, [10, 2])),
        ("Bloom filters", properties(EnabledStatistics::None, [4, 20]).set_bloom_filter_enabled(true)),
    ] {
        let directory = tempfile::tempdir().unwrap();
        write(&directory.path().join("t.parquet"), &rows(&values), properties.build());
        for partitions in [1, 3] {
            let session = open(directory.path(), partitions);
            for (sql, expected) in SKIPPING {
                assert_eq!(column(&session, sql), expected, "{kind}, {partitions}: {sql}");
            }
        }
    }
}

/// One table from several files, each of which has statistics of its own.
#[test]
fn files_with_nan_are_not_skipped() {
    let directories: Vec<_> = (0..20).map(|_| tempfile::tempdir().unwrap()).collect();
    for (at, directory) in (0i64..).zip(&directories) {
        let n = 1 + at;
        let x = match n {
            3 | 17 => f64::NAN,
            11 => 1000.0,
            n => n as f64,
        };
        // A number beside it, so that the file has statistics.
        let rows = rows(&[Some(x), Some(2.0)]);
        let rows = rows.project(&[1, 2, 3, 4, 5]).unwrap();
        let number: ArrayRef = Arc::new(Int64Array::from(vec![n, -n]));
        let columns = rows.schema_ref().fields().iter().zip(rows.columns());
        let columns = columns.map(|(field, column)| (field.name().clone(), Arc::clone(column), true));
        let rows = RecordBatch::try_from_iter_with_nullable(columns.chain([("n".to_owned(), number, true)])).unwrap();
        write(&directory.path().join("every.parquet"), &rows, WriterProperties::default());
    }
    let paths: Vec<_> = directories.iter().map(|directory| directory.path().to_owned()).collect();
    for partitions in [1, 3] {
        let options = Options { partitions: partitions.try_into().unwrap(), ..Options::default() };
        let session = Session::open_with(&paths, options).unwrap();
        for (sql, expected) in SKIPPING {
            let sql = format!("with t as (select * from every where n > 0) {sql}");
            assert_eq!(column(&session, &sql), expected, "{partitions}: {sql}");
        }
    }
}

/// A file claims that it is sorted. It is not, or sorted with NaN before the numbers.
#[test]
fn a_claim_that_rows_are_sorted_is_not_believed() {
    for (column_at, descending, sql, expected) in [
        (5, false, "select x from t order by x", "1.0 2.0 3.0 NaN"),
        (5, true, "select x from t order by x desc", "NaN 3.0 2.0 1.0"),
        (5, true, "select x from t", "1.0 2.0 3.0 NaN"),
        (0, true, "select n from t order by n desc", "4 3 2 1"),
        (0, true, "select first_value(n) over (order by n desc) from t limit 1", "4"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let claim = SortingColumn { column_idx: column_at, descending, nulls_first: true };
        let properties = WriterProperties::builder().set_sorting_columns(Some(vec![claim])).build();
        write(&directory.path().join("t.parquet"), &rows(&[NAN, Some(3.0), Some(1.0), Some(2.0)]), properties);
        for partitions in [1, 2] {
            assert_eq!(column(&open(directory.path(), partitions), sql), expected, "{partitions}: {sql}");
        }
    }
}

fn stored() -> impl Strategy<Value = Option<f64>> {
    prop_oneof![
        2 => Just(Some(2.5)),
        2 => Just(NAN),
        // As x86 makes it; and one with other bits.
        1 => Just(Some(-f64::NAN)),
        1 => Just(Some(f64::from_bits(0x7ff8_0000_0000_0001))),
        1 => Just(None),
        1 => Just(Some(f64::INFINITY)),
        1 => Just(Some(f64::NEG_INFINITY)),
        1 => Just(Some(-0.0)),
        1 => Just(Some(0.0)),
        1 => Just(Some(f64::MIN_POSITIVE / 8.0)),
        1 => any::<f32>().prop_map(|x| Some(f64::from(x))),
    ]
}

/// The bits of a value; those of every NaN are the same.
fn bits(value: Option<f64>) -> Option<u64> {
    value.map(|x| if x.is_nan() { f64::NAN.to_bits() } else { x.to_bits() })
}

fn floats(column: &ArrayRef) -> Vec<Option<u64>> {
    let column = match column.data_type() {
        DataType::Float32 => {
            let wider = column.as_primitive::<Float32Type>().iter().map(|x| x.map(f64::from));
            wider.collect::<Float64Array>()
        }
        _ => column.as_primitive::<Float64Type>().clone(),
    };
    column.iter().map(bits).collect()
}

/// The rows of an answer, read without DataFusion.
fn read(session: &Session, sql: &str) -> RecordBatch {
    let bytes = session.run(sql).unwrap_or_else(|e| panic!("{sql}: {e}")).write(Format::Parquet).unwrap();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&bytes).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    let schema = reader.schema();
    concat_batches(&schema, &reader.map(Result::unwrap).collect::<Vec<_>>()).unwrap()
}

fn literal(value: f64) -> String {
    match value {
        value if value.is_nan() => "'NaN'::double".to_owned(),
        value if value.is_infinite() => format!("'{}Infinity'::double", if value > 0.0 { "" } else { "-" }),
        value => format!("'{value:e}'::double"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]

    /// Every value comes back, all NaNs are one, and a condition selects the rows that it selects by its definition.
    #[test]
    fn every_table_comes_back(
        values in prop::collection::vec(stored(), 1..24),
        wanted in stored(),
        (group, page) in (1usize..9, 1usize..5),
        statistics in prop::sample::select(vec![EnabledStatistics::None, EnabledStatistics::Chunk, EnabledStatistics::Page]),
        (dictionary, bloom) in (any::<bool>(), any::<bool>()),
        partitions in 1usize..4,
    ) {
        let directory = tempfile::tempdir().unwrap();
        let properties = WriterProperties::builder()
            .set_statistics_enabled(statistics)
            .set_max_row_group_row_count(Some(group))
            .set_data_page_row_count_limit(page)
            .set_write_batch_size(1)
            .set_dictionary_enabled(dictionary)
            .set_bloom_filter_enabled(bloom);
        write(&directory.path().join("t.parquet"), &rows(&values), properties.build());
        let session = open(directory.path(), partitions);
        let answer = read(&session, "select x, y from t order by n");
        let expected: Vec<Option<u64>> = values.iter().map(|x| bits(*x)).collect();
        prop_assert_eq!(floats(answer.column(0)), expected);
        // The same in single precision.
        let narrow = |x: &Option<f64>| bits(x.map(|x| f64::from(x as f32)));
        prop_assert_eq!(floats(answer.column(1)), values.iter().map(narrow).collect::<Vec<_>>());
        // Zeros of both signs are equal.
        let one = |x: f64| if x.is_nan() { f64::NAN } else { x + 0.0 };
        let wanted = one(wanted.unwrap_or(f64::NAN));
        for (sign, fits) in [
            ("<", &(|o: std::cmp::Ordering| o.is_lt()) as &dyn Fn(std::cmp::Ordering) -> bool),
            (">=", &|o| o.is_ge()),
            ("=", &|o| o.is_eq()),
            ("<>", &|o| o.is_ne()),
        ] {
            let answer = read(&session, &format!("select n from t where x {sign} {} order by n", literal(wanted)));
            let chosen = (1i64..).zip(&values).filter(|(_, x)| x.is_some_and(|x| fits(one(x).total_cmp(&wanted))));
            let expected: Vec<i64> = chosen.map(|(n, _)| n).collect();
            prop_assert_eq!(answer.column(0).as_primitive::<Int64Type>().values().to_vec(), expected, "x {} {}", sign, wanted);
        }
    }

    /// The same of a table that this program writes.
    #[test]
    fn our_tables_come_back(values in prop::collection::vec((stored(), stored()), 1..40), partitions in 1usize..4) {
        let directory = tempfile::tempdir().unwrap();
        let rows: Vec<TrainLog> = (0..).zip(&values).map(|(step, (loss, grad_norm))| log(step, *loss, *grad_norm)).collect();
        retrace_tables::write(directory.path(), &rows).unwrap();
        let session = open(directory.path(), partitions);
        let answer = read(&session, "select loss, grad_norm from train_log order by step");
        prop_assert_eq!(floats(answer.column(0)), values.iter().map(|row| bits(row.0)).collect::<Vec<_>>());
        prop_assert_eq!(floats(answer.column(1)), values.iter().map(|row| bits(row.1)).collect::<Vec<_>>());
    }
}
