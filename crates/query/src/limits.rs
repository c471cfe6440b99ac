//! Limits on the time and memory of a query.
//!
//! Three limits apply to memory, each where the others have no effect: DataFusion's memory pool, which its
//! larger operators use; the limits of functions with large results ([`crate::functions`]); and a periodic
//! check of the whole process. Nothing is written to disk.

use std::future::Future;
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use datafusion::error::DataFusionError;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{GreedyMemoryPool, UnboundedMemoryPool};
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
            Some(most) => builder.with_memory_pool(Arc::new(GreedyMemoryPool::new(most / 4 * 3))),
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
        let (began, before) = (Instant::now(), resident());
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
            if let Some(most) = self.memory.filter(|most| resident().saturating_sub(before) > *most) {
                task.abort();
                return Err(QueryError::TooLarge { most, what: String::new() });
            }
        }
    }
}

/// Bytes of memory that the process uses; zero if the system does not report it.
fn resident() -> usize {
    let status = RegularFile::open(Path::new("/proc/self/status")).and_then(|file| file.text(1 << 16));
    let status = status.unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.trim().split(' ').next()?.parse::<usize>().ok());
    kibibytes.unwrap_or(0).saturating_mul(1024)
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
