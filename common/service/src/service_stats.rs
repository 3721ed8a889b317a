//! What `nats service stats` shows of a node.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// The statistics are looked at that often: they are as old as that, at most.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The newest statistics of a node. The client library asks for them where nobody can wait for the node.
#[derive(Clone, Debug)]
pub struct ServiceStats(Arc<Mutex<Value>>);

impl Default for ServiceStats {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(json!({}))))
    }
}

impl ServiceStats {
    /// The newest ones, for whoever asks.
    pub fn as_function(&self) -> Arc<dyn Fn() -> Value + Send + Sync> {
        let newest = Arc::clone(&self.0);
        Arc::new(move || {
            newest
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone()
        })
    }

    /// Looks at the node again and again until `stop` is cancelled; `read` hands out nothing once the node has ended.
    pub async fn keep_up<F: Future<Output = Option<Value>>>(
        self,
        read: impl Fn() -> F,
        stop: CancellationToken,
    ) {
        while let Some(stats) = read().await {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = stats;
            tokio::select! {
                () = sleep(LOOK_EVERY) => {}
                () = stop.cancelled() => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_keeps_up_until_it_is_stopped() {
        let (stats, stop) = (ServiceStats::default(), CancellationToken::new());
        let newest = stats.as_function();
        assert_eq!(newest(), json!({}));
        let last_seq = Arc::new(AtomicU64::new(1));
        let read = {
            let last_seq = Arc::clone(&last_seq);
            move || std::future::ready(Some(json!({"last_seq": last_seq.load(Ordering::Relaxed)})))
        };
        let task = tokio::spawn(stats.keep_up(read, stop.clone()));
        sleep(LOOK_EVERY / 2).await;
        assert_eq!(newest(), json!({"last_seq": 1}));
        last_seq.store(2, Ordering::Relaxed);
        sleep(LOOK_EVERY).await;
        assert_eq!(newest(), json!({"last_seq": 2}));
        stop.cancel();
        task.await.unwrap();
    }
}
