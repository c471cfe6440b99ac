//! SQLite databases of others, read from memory: nothing is written beside them, and no lock is taken.
//!
//! What SQLite would read from a `-wal` file beside a database is put into the copy in memory first, as section 4 of
//! SQLite's `fileformat2.html` says: of each page the last version that a transaction committed. SQLite itself then reads
//! the pages. Only tables are read, and only whole, so that nothing that the schema computes is run.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension};

use crate::beside::{Beside, ReadFile};
use crate::rows::{Problem, Rows};

/// What a database begins with.
pub(crate) const MAGIC: &[u8] = b"SQLite format 3\0";
/// The length of a database's header.
const HEADER: usize = 100;
/// A longer value is refused.
const LONGEST: i32 = 64 << 20;
/// Between two looks at how much has been done, in instructions of SQLite's machine.
const OFTEN: i32 = 1000;

/// Whether a path is one of a database, or of a log beside one.
pub(crate) fn is_database(path: &str) -> bool {
    is_named(path.strip_suffix("-wal").unwrap_or(path))
}

/// The endings of the names of databases.
pub(crate) fn is_named(path: &str) -> bool {
    let ending = path.rsplit_once('.').map_or("", |(_, ending)| ending);
    matches!(ending, "db" | "sqlite" | "sqlite3")
}

/// What lies beside databases.
pub(crate) fn beside(files: &[&Path], read: &ReadFile<'_>) -> HashMap<PathBuf, Beside> {
    let with = |path: &Path, ending: &str| {
        let mut name = OsString::from(path);
        name.push(ending);
        PathBuf::from(name)
    };
    let of = |path: &&Path| {
        let (wal, journal) = (with(path, "-wal"), with(path, "-journal"));
        match wal.symlink_metadata() {
            // A link is not followed: it may lead out of the release.
            Ok(data) if data.is_file() => return Some(read(&wal).map_or(Beside::UnreadWal, Beside::Wal)),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            _ => return Some(Beside::UnreadWal),
        }
        journal.symlink_metadata().is_ok_and(|data| data.len() > 0).then_some(Beside::Rollback)
    };
    let databases = files.iter().filter(|path| path.to_str().is_some_and(is_named));
    databases.filter_map(|path| Some((path.to_path_buf(), of(path)?))).collect()
}

/// A database.
pub(crate) struct Database {
    connection: Connection,
    size: u64,
    /// The instructions that SQLite may still do for a table.
    left: Arc<AtomicU64>,
}

/// A row: its number in its table, and the values of the columns that were asked for, `Null` where the table has none.
pub(crate) struct Row<'r> {
    pub(crate) table: &'static str,
    pub(crate) number: i64,
    values: Vec<ValueRef<'r>>,
}

impl Row<'_> {
    /// Where it is.
    pub(crate) fn place(&self) -> String {
        format!("{}, row {}", self.table, self.number)
    }

    /// A value as text: numbers as they are written, so that they can be read again to the bit.
    pub(crate) fn text(&self, column: usize) -> Option<String> {
        match self.values.get(column)? {
            ValueRef::Null => None,
            ValueRef::Integer(number) => Some(number.to_string()),
            ValueRef::Real(number) => Some(format!("{number:?}")),
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        }
    }

    /// The bytes of a text or blob.
    pub(crate) fn bytes(&self, column: usize) -> Option<&[u8]> {
        match self.values.get(column)? {
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// A value that is a number.
    pub(crate) fn number(&self, column: usize) -> Option<f64> {
        match self.values.get(column)? {
            ValueRef::Integer(number) => Some(*number as f64),
            ValueRef::Real(number) => Some(*number),
            _ => None,
        }
    }

    /// A value that is an integer.
    pub(crate) fn integer(&self, column: usize) -> Option<i64> {
        if let ValueRef::Integer(number) = self.values.get(column)? { Some(*number) } else { None }
    }
}

impl Database {
    /// Opens a database with what lies beside it.
    pub(crate) fn open(bytes: &[u8], beside: &Beside, rows: &mut Rows) -> Result<Self, Problem> {
        let mut header = Header::of(bytes)?;
        let mut pages: Cow<'_, [u8]> = match beside {
            Beside::Wal(wal) => {
                let log = Wal::of(wal, header.page)?;
                if log.unfinished {
                    rows.note(Problem::whole("its `-wal` file ends with a transaction that was not committed"));
                }
                if !log.pages.is_empty() {
                    rows.note(Problem::whole("with the transactions in the `-wal` file beside it"));
                }
                log.put_on(bytes, header.page)?.into()
            }
            Beside::UnreadWal => {
                return Err(Problem::whole(
                    "the `-wal` file beside it, which has transactions, is a link or cannot be read",
                ));
            }
            Beside::Rollback => {
                return Err(Problem::whole(
                    "the `-journal` file beside it says that a transaction was interrupted; open the database with SQLite, which undoes it",
                ));
            }
            _ => {
                if header.in_wal_mode {
                    rows.note(Problem::whole(
                        "its last transactions are missing if it was copied without a `-wal` file that lay beside it",
                    ));
                }
                Cow::Borrowed(bytes)
            }
        };
        header = Header::of(&pages)?;
        header.check(pages.len())?;
        if header.in_wal_mode {
            // A database in memory has no log; all of it is in the pages now.
            pages.to_mut().iter_mut().skip(18).take(2).for_each(|byte| *byte = 1);
        }
        let size = pages.len() as u64;
        let left = Arc::new(AtomicU64::new(instructions(size)));
        Self::connect(&pages, &left).map(|connection| Self { connection, size, left }).map_err(|e| refused(&e))
    }

    fn connect(pages: &[u8], left: &Arc<AtomicU64>) -> rusqlite::Result<Connection> {
        let mut connection = Connection::open_in_memory()?;
        for (option, on) in [
            (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
            (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
            (DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false),
            (DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false),
        ] {
            connection.set_db_config(option, on)?;
        }
        for (limit, most) in [
            (Limit::SQLITE_LIMIT_LENGTH, LONGEST),
            (Limit::SQLITE_LIMIT_SQL_LENGTH, 1 << 20),
            (Limit::SQLITE_LIMIT_ATTACHED, 0),
            (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
        ] {
            connection.set_limit(limit, most)?;
        }
        connection.pragma_update(None, "cell_size_check", true)?;
        let left = Arc::clone(left);
        let spent = move || {
            let step = u64::from(OFTEN.unsigned_abs());
            left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(step)).is_err()
        };
        connection.progress_handler(OFTEN, Some(spent))?;
        connection.deserialize_read_exact("main", pages, pages.len(), true)?;
        Ok(connection)
    }

    /// Whether it has this table. Views and tables of modules do not count.
    pub(crate) fn has(&self, table: &str) -> Result<bool, Problem> {
        let sql = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND rootpage > 0 AND name = ?1";
        let found = self.connection.query_row(sql, [table], |_| Ok(())).optional();
        Ok(found.map_err(|e| refused(&e))?.is_some())
    }

    /// The columns of a table that are stored, and not computed.
    fn columns(&self, table: &str) -> rusqlite::Result<Vec<String>> {
        let mut statement = self.connection.prepare("SELECT name FROM pragma_table_xinfo(?1) WHERE hidden = 0")?;
        statement.query_map([table], |row| row.get(0))?.collect()
    }

    /// Whether a table has a row.
    pub(crate) fn has_rows(&self, table: &'static str) -> Result<bool, Problem> {
        if !self.has(table)? {
            return Ok(false);
        }
        let found = self.connection.query_row(&format!("SELECT 1 FROM {table} NOT INDEXED LIMIT 1"), [], |_| Ok(()));
        Ok(found.optional().map_err(|e| refused(&e))?.is_some())
    }

    /// Notes which of these tables have rows, which are not imported.
    pub(crate) fn note_left_out(&self, tables: &[&'static str], rows: &mut Rows) -> Result<(), Problem> {
        let mut unread = Vec::new();
        for table in tables {
            if self.has_rows(table)? {
                unread.push(*table);
            }
        }
        if !unread.is_empty() {
            rows.note(Problem::whole(format!("tables that are not imported: {}", unread.join(", "))));
        }
        Ok(())
    }

    /// Calls `each` for the rows of a table in the order of their numbers, with these columns. No other table is read.
    pub(crate) fn each(
        &self,
        table: &'static str,
        columns: &[&str],
        rows: &mut Rows,
        mut each: impl FnMut(&Row<'_>, &mut Rows),
    ) -> Result<(), Problem> {
        self.left.store(instructions(self.size), Ordering::Relaxed);
        let (mut last, mut bytes) = (None, 0u64);
        let mut go = || -> rusqlite::Result<bool> {
            let there = self.columns(table)?;
            let select =
                columns.iter().map(|column| if there.iter().any(|name| name == column) { column } else { "NULL" });
            let sql = format!("SELECT rowid, {} FROM {table} NOT INDEXED", select.collect::<Vec<_>>().join(", "));
            let mut statement = self.connection.prepare(&sql)?;
            let mut found = statement.query([])?;
            while let Some(row) = found.next()? {
                let number = row.get(0)?;
                let values = (1..=columns.len()).map(|at| row.get_ref(at)).collect::<rusqlite::Result<Vec<_>>>()?;
                let length = |value: &ValueRef<'_>| match value {
                    ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.len() as u64,
                    _ => 0,
                };
                bytes += values.iter().map(length).sum::<u64>();
                // Each byte of a table is the one of one row, unless pages point to each other.
                if bytes > 2 * self.size {
                    return Ok(false);
                }
                last = Some(number);
                each(&Row { table, number, values }, rows);
            }
            Ok(true)
        };
        let place =
            |last: Option<i64>| last.map_or_else(|| table.to_owned(), |last| format!("{table}, after row {last}"));
        match go() {
            Ok(true) => Ok(()),
            Ok(false) => Err(Problem::at(place(last), "its rows are larger than the database, which is damaged")),
            Err(error) => Err(Problem::at(place(last), refused(&error))),
        }
    }
}

/// How many instructions of SQLite's machine the rows of a database of this size can need: about thirty for a row, whose
/// ids alone are longer.
const fn instructions(size: u64) -> u64 {
    10_000_000 + 4 * size
}

fn refused(error: &rusqlite::Error) -> Problem {
    if error.sqlite_error_code() == Some(rusqlite::ErrorCode::OperationInterrupted) {
        return Problem::whole("it makes SQLite do more than a database of its size can need");
    }
    Problem::whole(format!("SQLite says: {error}"))
}

/// What is read of a database's header.
struct Header {
    /// The size of a page.
    page: usize,
    /// Its pages, if the header says so reliably.
    pages: Option<usize>,
    in_wal_mode: bool,
}

impl Header {
    fn of(bytes: &[u8]) -> Result<Self, Problem> {
        if !bytes.starts_with(MAGIC) {
            return Err(Problem::at("byte 0", "not a database of SQLite"));
        }
        let short = || Problem::whole("the file ends inside the header of a database of SQLite: it is cut off");
        let header = bytes.get(..HEADER).ok_or_else(short)?;
        let page = match header.get(16..18) {
            Some([0, 1]) => 65_536,
            Some([high, low]) => usize::from(u16::from_be_bytes([*high, *low])),
            _ => 0,
        };
        if !page.is_power_of_two() || page < 512 {
            return Err(Problem::at(
                "byte 16",
                format_args!("its pages have {page} bytes, which SQLite does not have"),
            ));
        }
        let reliable = header.get(24..28) == header.get(92..96);
        let pages =
            word(header, 28).and_then(|pages| usize::try_from(pages).ok()).filter(|pages| reliable && *pages > 0);
        Ok(Self { page, pages, in_wal_mode: header.get(18..20).is_some_and(|modes| modes.contains(&2)) })
    }

    /// Compares with the size of the file.
    fn check(&self, size: usize) -> Result<(), Problem> {
        let wanted = self.pages.and_then(|pages| pages.checked_mul(self.page));
        let wanted = wanted.unwrap_or_else(|| size.next_multiple_of(self.page));
        if size >= wanted && size.is_multiple_of(self.page) {
            return Ok(());
        }
        let wanted = wanted.max(size.next_multiple_of(self.page));
        Err(Problem::whole(format!("it is cut off: it has {size} bytes, and its pages {wanted}")))
    }
}

/// The big-endian number at this byte.
fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|word| u32::from_be_bytes(*word))
}

/// A write-ahead log.
struct Wal<'a> {
    /// Of each page, the last version that was committed.
    pages: BTreeMap<usize, &'a [u8]>,
    /// The pages of the database after the last transaction.
    count: Option<usize>,
    /// Whether it ends inside a transaction.
    unfinished: bool,
}

impl<'a> Wal<'a> {
    fn of(bytes: &'a [u8], page: usize) -> Result<Self, Problem> {
        let mut log = Self { pages: BTreeMap::new(), count: None, unfinished: false };
        if bytes.is_empty() {
            return Ok(log);
        }
        let wrong = |what: &str| Problem::whole(format!("the `-wal` file beside it {what}"));
        let (header, mut frames) = bytes.split_at_checked(32).ok_or_else(|| wrong("ends inside its header"))?;
        let big = match word(header, 0) {
            Some(0x377f_0682) => false,
            Some(0x377f_0683) => true,
            _ => return Err(wrong("is not a log of SQLite")),
        };
        let salts = header.get(16..24);
        let (covered, sums) = header.split_at_checked(24).unwrap_or_default();
        let mut sum = Sum { words: [0; 2], big };
        sum.add(covered);
        if !sum.is(sums) {
            return Err(wrong("has a wrong checksum in its header"));
        }
        if word(header, 8).is_none_or(|size| size as usize != page) {
            return Err(wrong("has pages of another size"));
        }
        let mut pending = BTreeMap::new();
        // What an earlier use of the file left behind the last transaction has other salts.
        while let Some((frame, rest)) = frames.split_at_checked(24 + page) {
            let (head, data) = frame.split_at_checked(24).unwrap_or_default();
            sum.add(head.get(..8).unwrap_or_default());
            sum.add(data);
            if head.get(8..16) != salts || !sum.is(head.get(16..24).unwrap_or_default()) {
                break;
            }
            frames = rest;
            let number = word(head, 0).and_then(|number| usize::try_from(number).ok()?.checked_sub(1));
            pending.insert(number.ok_or_else(|| wrong("has a page 0"))?, data);
            if let Some(count @ 1..) = word(head, 4) {
                log.pages.append(&mut pending);
                log.count = usize::try_from(count).ok();
            }
        }
        log.unfinished = !pending.is_empty();
        Ok(log)
    }

    /// The database after its transactions.
    fn put_on(&self, bytes: &[u8], page: usize) -> Result<Vec<u8>, Problem> {
        let Some(count) = self.count else { return Ok(bytes.to_vec()) };
        // Each page is in the database or here.
        if count > bytes.len() / page + self.pages.len() {
            return Err(Problem::whole("it is cut off: the `-wal` file beside it is of a larger database"));
        }
        let mut pages = bytes.to_vec();
        pages.resize(count * page, 0);
        for (number, data) in &self.pages {
            if let Some(place) = pages.get_mut(number * page..).and_then(|rest| rest.get_mut(..page)) {
                place.copy_from_slice(data);
            }
        }
        Ok(pages)
    }
}

/// The checksum of a write-ahead log.
struct Sum {
    words: [u32; 2],
    /// Whether the words are big-endian.
    big: bool,
}

impl Sum {
    fn add(&mut self, bytes: &[u8]) {
        let [mut one, mut two] = self.words;
        let word = |bytes: [u8; 4]| if self.big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) };
        for pair in bytes.chunks_exact(8) {
            let [a, b, c, d, e, f, g, h] = *pair else { continue };
            one = one.wrapping_add(word([a, b, c, d])).wrapping_add(two);
            two = two.wrapping_add(word([e, f, g, h])).wrapping_add(one);
        }
        self.words = [one, two];
    }

    /// Whether it is the one that is written here.
    fn is(&self, written: &[u8]) -> bool {
        word(written, 0) == Some(self.words[0]) && word(written, 4) == Some(self.words[1])
    }
}

/// A database that SQLite makes of these commands.
#[cfg(test)]
pub(crate) fn database_of(sql: &str) -> Vec<u8> {
    let mut connection = Connection::open_in_memory().unwrap();
    connection.execute_batch("PRAGMA page_size = 512").unwrap();
    connection.execute_batch(sql).unwrap();
    connection.serialize("main").unwrap().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::{read_as, survives};

    /// The rows of a table `t(a)` of integers, or what is wrong.
    fn numbers(bytes: &[u8], beside: &Beside) -> (Vec<i64>, Vec<String>, Option<String>) {
        let mut found = Vec::new();
        let seen = std::sync::Mutex::new(&mut found);
        let rows = read_as("t.db", bytes, |input, rows| {
            let database = Database::open(input.bytes, beside, rows)?;
            database.each("t", &["a"], rows, |row, _| seen.lock().unwrap().push(row.integer(0).unwrap()))
        });
        (found, rows.notes(), rows.problems())
    }

    /// A database in WAL mode as a process that still has it open leaves it: the file, and its log.
    fn in_wal_mode(batches: &[&str]) -> Vec<(Vec<u8>, Vec<u8>)> {
        let directory = std::env::temp_dir().join(format!("retrace-sqlite-{}-{:p}", std::process::id(), batches));
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join("x.db");
        let connection = Connection::open(&path).unwrap();
        connection
            .execute_batch("PRAGMA page_size = 512; PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0")
            .unwrap();
        let states = batches.iter().map(|batch| {
            connection.execute_batch(batch).unwrap();
            (std::fs::read(&path).unwrap(), std::fs::read(directory.join("x.db-wal")).unwrap_or_default())
        });
        let states = states.collect();
        drop(connection);
        std::fs::remove_dir_all(&directory).unwrap();
        states
    }

    #[test]
    fn transactions_beside_a_database_count() {
        let fill = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500) INSERT INTO t SELECT i FROM n";
        let states = in_wal_mode(&[
            "CREATE TABLE t(a)",
            fill,
            "PRAGMA wal_checkpoint(full)",
            "INSERT INTO t VALUES (1000)",
            "DELETE FROM t WHERE a < 400",
            "PRAGMA wal_checkpoint(truncate); PRAGMA incremental_vacuum; VACUUM",
            "PRAGMA cache_size = 2; BEGIN; INSERT INTO t SELECT a + 5000 FROM t; INSERT INTO t SELECT a FROM t",
        ]);
        let all: Vec<i64> = (1..=500).collect();
        let last: Vec<i64> = (400..=500).chain([1000]).collect();
        let expected = [vec![], all.clone(), all.clone(), [all, vec![1000]].concat(), last.clone(), last.clone(), last];
        for (at, ((file, wal), expected)) in states.iter().zip(expected).enumerate() {
            let (found, notes, problem) = numbers(file, &Beside::Wal(wal.clone()));
            assert_eq!((found, problem), (expected, None), "{at}");
            let notes = notes.join("; ");
            assert_eq!(notes.contains("not committed"), at == 6, "{at}: {notes}");
            assert_eq!(notes.contains("with the transactions"), at != 5 || !wal.is_empty(), "{at}: {notes}");
        }
        // Without its log, a copy is older or cannot be read, and this is told.
        let (file, wal) = &states[3];
        let (found, notes, problem) = numbers(file, &Beside::Nothing);
        assert!(
            found.len() == 500 && problem.is_none() && notes[0].contains("are missing if it was copied"),
            "{notes:?}"
        );
        // Each part of the log is a state that the database had.
        for length in (0..wal.len()).step_by(37) {
            let (found, _, problem) = numbers(file, &Beside::Wal(wal[..length].to_vec()));
            if problem.is_none() {
                assert!([500, 501].contains(&found.len()), "{length}: {}", found.len());
            }
        }
        for (beside, expected) in [
            (Beside::UnreadWal, "is a link or cannot be read"),
            (Beside::Rollback, "interrupted"),
            (Beside::Wal(b"x".to_vec()), "ends inside its header"),
            (Beside::Wal(vec![0; 600]), "is not a log of SQLite"),
            (Beside::Wal([&wal[..20], &[9], &wal[21..]].concat()), "wrong checksum"),
        ] {
            let problem = numbers(file, &beside).2.unwrap();
            assert!(problem.contains(expected), "{problem}");
        }
        survives("t.db-wal", &wal[..wal.len().min(4000)], |input, rows| {
            let database = Database::open(file, &Beside::Wal(input.bytes.to_vec()), rows)?;
            database.each("t", &["a"], rows, |_, _| {})
        });
    }

    #[test]
    fn what_a_schema_computes_is_not_run() {
        let forever = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n";
        let bytes = database_of(&format!("CREATE VIEW t AS {forever}"));
        assert!(numbers(&bytes, &Beside::Nothing).2.is_some());
        // A column that is computed is one that the table does not have.
        let bytes = database_of("CREATE TABLE t(b, a AS (b + 1)); INSERT INTO t VALUES (1)");
        read_as("t.db", &bytes, |input, rows| {
            let database = Database::open(input.bytes, &Beside::Nothing, rows)?;
            let mut there = None;
            database.each("t", &["a", "b"], rows, |row, _| there = Some((row.integer(0), row.integer(1))))?;
            assert_eq!(there, Some((None, Some(1))));
            Ok(())
        });
    }

    /// Interior pages that all name one leaf: a small file with more rows than any disk.
    #[test]
    fn pages_that_come_again_end() {
        let fill = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000) INSERT INTO t SELECT i FROM n";
        let mut bytes = database_of(&format!("CREATE TABLE t(a); {fill}"));
        // Interior pages of tables have type 5, and cells that begin with the number of a page.
        let pages = bytes.len() / 512;
        let of = |bytes: &[u8], page: usize| -> Vec<usize> {
            let at = (page - 1) * 512 + if page == 1 { 100 } else { 0 };
            if bytes[at] != 5 {
                return Vec::new();
            }
            let count = usize::from(u16::from_be_bytes([bytes[at + 3], bytes[at + 4]]));
            let cells = (0..count)
                .map(|cell| usize::from(u16::from_be_bytes([bytes[at + 12 + 2 * cell], bytes[at + 13 + 2 * cell]])));
            cells.map(|cell| (page - 1) * 512 + cell).chain([at + 8]).collect()
        };
        let child = |bytes: &[u8], at: usize| word(bytes, at).unwrap() as usize;
        // From the root, the interior pages follow each other, and each page names only the next.
        let mut chain = vec![2];
        chain.extend((3..=pages).filter(|page| !of(&bytes, *page).is_empty()).take(12));
        assert_eq!(chain.len(), 13);
        for pair in chain.windows(2) {
            for at in of(&bytes, pair[0]) {
                bytes[at..at + 4].copy_from_slice(&(pair[1] as u32).to_be_bytes());
            }
        }
        assert!(child(&bytes, of(&bytes, 2)[0]) == chain[1]);
        let started = std::time::Instant::now();
        let (found, _, problem) = numbers(&bytes, &Beside::Nothing);
        assert!(started.elapsed() < std::time::Duration::from_secs(60), "{:?}", started.elapsed());
        let problem = problem.unwrap();
        assert!(problem.contains("more than a database of its size can need"), "{} rows, {problem}", found.len());
    }

    #[test]
    fn headers_that_lie_are_told() {
        let whole = database_of("CREATE TABLE t(a); INSERT INTO t VALUES (7)");
        assert_eq!(numbers(&whole, &Beside::Nothing), (vec![7], vec![], None));
        let with = |at: usize, bytes: &[u8]| [&whole[..at], bytes, &whole[at + bytes.len()..]].concat();
        for (bytes, expected) in [
            (whole[..50].to_vec(), "the file ends inside the header"),
            (whole[..whole.len() - 100].to_vec(), "it is cut off"),
            (with(16, &[0, 3]), "byte 16: its pages have 3 bytes"),
            (with(16, &[0, 0]), "byte 16: its pages have 0 bytes"),
            (with(28, &[0, 0xff, 0xff, 0xff]), "it is cut off"),
            (with(100, &[0x77; 8]), "SQLite says"),
        ] {
            let problem = numbers(&bytes, &Beside::Nothing).2.unwrap();
            assert!(problem.contains(expected), "{problem:?} lacks {expected:?}");
        }
        survives("t.db", &whole, |input, rows| {
            let database = Database::open(input.bytes, &Beside::Nothing, rows)?;
            database.each("t", &["a"], rows, |_, _| {})
        });
    }
}
