//! Why a member cannot go on though its raft could.

use tokio::sync::watch;

/// Set once, by whoever finds out first.
#[derive(Debug)]
pub(crate) struct Ending(watch::Sender<Option<String>>);

impl Default for Ending {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl Ending {
    /// Ends the member for this reason, unless it has ended for another.
    pub(crate) fn because(&self, reason: String) {
        self.0.send_if_modified(|known| {
            let is_first = known.is_none();
            if is_first {
                tracing::error!(reason, "this member cannot go on");
                *known = Some(reason);
            }
            is_first
        });
    }

    /// The reason, where there is one.
    pub(crate) fn reason(&self) -> Option<String> {
        self.0.borrow().clone()
    }

    /// Waits for a reason.
    pub(crate) async fn wait(&self) -> String {
        let mut reasons = self.0.subscribe();
        // Nothing is held while it waits on: whoever waits may do so on any thread.
        let known = reasons.wait_for(Option::is_some).await.map(|reason| reason.clone());
        match known {
            Ok(reason) => reason.unwrap_or_default(),
            // The sender is this value itself.
            Err(_) => std::future::pending().await,
        }
    }
}
