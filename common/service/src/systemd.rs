//! What a service manager is told of the program: systemd's `Type=notify`, see sd_notify(3). Where none has asked, by the
//! variable `NOTIFY_SOCKET`, nothing happens.

use std::io;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

/// The variable by which a service manager asks to be told.
const SOCKET: &str = "NOTIFY_SOCKET";
/// The line is looked at that often, and sent that often at most.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a service manager that does not read may hold up the program's end.
const PATIENCE: Duration = Duration::from_secs(1);

/// Says that the program is ready, which it is once HTTP is answered; then what it is doing, which is the line that `doing`
/// reads, whenever that has changed; and that it stops, once `stop` is cancelled. Returns then. A `doing` that reads nothing
/// leaves the line as it was. A service manager that does not read is told no more, but for the stop.
pub async fn tell<F>(doing: impl Fn() -> F, stop: &CancellationToken)
where
    F: Future<Output = Option<String>>,
{
    if std::env::var_os(SOCKET).is_none() {
        return;
    }
    let mut is_heard = send("READY", || sd_notify::notify(&[NotifyState::Ready])).await;
    let mut told = None;
    while is_heard && !stop.is_cancelled() {
        let line = tokio::select! {
            line = doing() => line,
            () = stop.cancelled() => break,
        };
        if let Some(line) = line
            && told.as_ref() != Some(&line)
        {
            told = Some(line.clone());
            let status = move || sd_notify::notify(&[NotifyState::Status(&line)]);
            is_heard = send("STATUS", status).await;
        }
        tokio::select! {
            () = sleep(LOOK_EVERY) => {}
            () = stop.cancelled() => {}
        }
    }
    stop.cancelled().await;
    send("STOPPING", || sd_notify::notify(&[NotifyState::Stopping])).await;
}

/// Sends beside the tasks that serve, because a service manager whose queue is full lets the sender wait. False where it does:
/// whoever went on would leave a waiting thread behind each time.
async fn send(
    what: &'static str,
    notify: impl FnOnce() -> io::Result<()> + Send + 'static,
) -> bool {
    match timeout(PATIENCE, tokio::task::spawn_blocking(notify)).await {
        Ok(Ok(Ok(()))) => debug!(what, "the service manager was told"),
        Ok(Ok(Err(error))) => warn!(what, %error, "the service manager could not be told"),
        Ok(Err(_)) | Err(_) => {
            warn!(what, "the service manager does not read what it is told");
            return false;
        }
    }
    true
}
