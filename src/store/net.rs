//! The one place where asynchronous code runs: drivers and SDKs are asynchronous, sources are not.

use std::future::Future;
use std::sync::LazyLock;

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().thread_name("net").build();
    runtime.expect("a process can start two threads")
});

/// Runs a future to its end on the calling thread; what it spawns runs on threads of its own.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    RUNTIME.block_on(future)
}

/// Starts a future on the runtime's own threads.
pub(crate) fn spawn<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    RUNTIME.spawn(future)
}
