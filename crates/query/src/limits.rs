//! Limits on the time and memory of a query.
//!
//! Three limits apply to memory, each where the others have no effect: the pool ([`Pool`]) from which DataFusion's
//! larger operators request memory before they take it; the limits of functions with large results
//! ([`crate::functions`]); and a periodic check of the whole process. Nothing is written to disk.

use std::fmt;
use std::future::Future;
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use datafusion::error::DataFusionError;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{MemoryLimit, MemoryPool, MemoryReservation, UnboundedMemoryPool};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use retrace_files::RegularFile;
use tokio::runtime::Runtime;

use crate::QueryError;

/// The interval between checks of a query.
const LOOK: Duration = Duration::from_millis(20);

/// The maximum time and memory of a query. There are no limits by default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// The maximum time of one query.
    pub time: Option<Duration>,
    /// The maximum memory of one query in bytes, in addition to what the process uses before.
    pub memory: Option<usize>,
}

impl Limits {
    /// The environment of operators: with a pool of three quarters of the memory, because they also use memory that is
    /// not theirs, and without space on disk, where their data could remain.
    pub(crate) fn environment(&self) -> Result<Arc<RuntimeEnv>, DataFusionError> {
        let nothing_on_disk = DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled);
        let builder = RuntimeEnvBuilder::new().with_disk_manager_builder(nothing_on_disk);
        let builder = match self.memory {
            Some(most) => builder.with_memory_pool(Arc::new(Pool::new(most / 4 * 3))),
            None => builder.with_memory_pool(Arc::new(UnboundedMemoryPool::default())),
        };
        Ok(Arc::new(builder.build()?))
    }

    /// An error, converted to one of the memory limit if DataFusion's pool was exhausted.
    pub(crate) fn told(&self, error: QueryError) -> QueryError {
        match (error, self.memory) {
            (QueryError::Exhausted { what }, Some(most)) => QueryError::TooLarge { most, what },
            (error, _) => error,
        }
    }

    /// The result of `work`, unless it exceeds the limits. It runs on the threads of `runtime`, so that this thread
    /// can check it even if it never yields; if it exceeds them, it is abandoned.
    pub(crate) fn within<T: Send + 'static>(
        &self,
        runtime: &Runtime,
        work: impl Future<Output = Result<T, QueryError>> + Send + 'static,
    ) -> Result<T, QueryError> {
        let (began, before) = (Instant::now(), resident().unwrap_or(0));
        let (send, receive) = mpsc::sync_channel(1);
        let task = runtime.spawn(async move {
            // After the work was abandoned, its result is not read.
            let _ = send.send(work.await);
        });
        loop {
            match receive.recv_timeout(LOOK) {
                Ok(result) => return result,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => match runtime.block_on(task) {
                    Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
                    _ => return Err(QueryError::Runtime(std::io::Error::other("the query was stopped"))),
                },
            }
            if let Some(after) = self.time.filter(|most| began.elapsed() > *most) {
                task.abort();
                return Err(QueryError::TooLong { after });
            }
            if let Some(most) =
                self.memory.filter(|most| resident().is_some_and(|now| now.saturating_sub(before) > *most))
            {
                task.abort();
                return Err(QueryError::TooLarge { most, what: String::new() });
            }
        }
    }
}

/// The memory that operators request. Their requests are an upper bound of what they use, and can be many times more:
/// batches that share their texts are counted with all of these texts each, so a sort of 40 MB can request gigabytes.
/// So if the requests exceed the limit, the memory that the process has at this moment decides.
#[derive(Debug)]
struct Pool {
    /// The limit in bytes.
    most: usize,
    /// The memory of the process in bytes when the pool was made.
    before: usize,
    requested: AtomicUsize,
}

impl Pool {
    fn new(most: usize) -> Self {
        Self { most, before: resident().unwrap_or(0), requested: AtomicUsize::new(0) }
    }

    /// Whether the process is within the limit; false if the system does not report its memory.
    fn is_within(&self) -> bool {
        resident().is_some_and(|now| now.saturating_sub(self.before) <= self.most)
    }
}

impl MemoryPool for Pool {
    fn name(&self) -> &'static str {
        "query"
    }

    fn grow(&self, _: &MemoryReservation, additional: usize) {
        self.requested.fetch_add(additional, Ordering::Relaxed);
    }

    fn shrink(&self, _: &MemoryReservation, shrink: usize) {
        self.requested.fetch_sub(shrink, Ordering::Relaxed);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<(), DataFusionError> {
        let fits = self.reserved().saturating_add(additional) <= self.most;
        if fits || self.is_within() {
            self.grow(reservation, additional);
            return Ok(());
        }
        Err(DataFusionError::ResourcesExhausted(reservation.consumer().name().to_owned()))
    }

    fn reserved(&self) -> usize {
        self.requested.load(Ordering::Relaxed)
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.most)
    }
}

impl fmt::Display for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "query({} bytes)", self.most)
    }
}

/// Bytes of memory that the process uses, if the system reports it.
fn resident() -> Option<usize> {
    let status = RegularFile::open(Path::new("/proc/self/status")).and_then(|file| file.text(1 << 16)).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().split(' ').next()?.parse::<usize>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime() -> Runtime {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
    }

    #[test]
    fn what_never_yields_is_given_up_too() {
        let (runtime, limits) = (runtime(), Limits { time: Some(Duration::from_millis(50)), memory: None });
        let end = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let ended = Arc::clone(&end);
        let endless = async move {
            while !ended.load(std::sync::atomic::Ordering::Relaxed) {
                std::hint::spin_loop();
            }
            Ok(())
        };
        assert!(matches!(limits.within(&runtime, endless), Err(QueryError::TooLong { .. })));
        end.store(true, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(limits.within(&runtime, async { Ok(7) }).unwrap(), 7);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_takes_too_much_is_given_up() {
        let (runtime, limits) = (runtime(), Limits { time: None, memory: Some(64 << 20) });
        let greedy = async {
            let mut held = Vec::new();
            for _ in 0..100 {
                held.push(vec![1u8; 4 << 20]);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            Ok(held.len())
        };
        assert!(matches!(limits.within(&runtime, greedy), Err(QueryError::TooLarge { .. })));
    }

    #[test]
    fn a_panic_is_the_callers() {
        let runtime = runtime();
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _: Result<(), QueryError> = Limits::default().within(&runtime, async { panic!("as said") });
        }));
        assert_eq!(*panicked.unwrap_err().downcast::<&str>().unwrap(), "as said");
    }
}
