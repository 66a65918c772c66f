//! Somebody who only listens: reads the configuration, follows the changes, and resumes wherever a node answers.

use std::time::Duration;

use roadstead_proto::domain::epoch::Revision;
use roadstead_proto::meta::{Consistency, MetaError, MetaStore};

use super::{nodes_client, pause};
use crate::history::What;
use crate::recording::revision_of;
use crate::stage::Stage;

/// Silence after which a watch is given up: heartbeats come every half second.
const SILENCE: Duration = Duration::from_secs(3);

/// Listens for ever.
pub(crate) async fn run(stage: Stage, number: u64) -> turmoil::Result {
    let watcher = format!("watcher-{number}");
    let recorder = stage.history.of(&watcher);
    recorder.record(What::Started(stage.started(&watcher)));
    let meta = nodes_client(stage.nodes);
    let mut known = None;
    loop {
        let after = match known {
            Some(revision) => revision,
            None => match meta.configuration(Consistency::Local).await {
                Ok(configuration) => {
                    let revision = configuration.revision.0;
                    recorder.record(What::Heard { watcher: watcher.clone(), revision });
                    revision
                }
                Err(_) => {
                    pause(300).await;
                    continue;
                }
            },
        };
        recorder.record(What::WatchBegan { watcher: watcher.clone(), after });
        known = Some(after);
        let Ok(mut watch) = meta.watch(Revision(after)).await else {
            // Changes may be gone: the whole configuration is read anew.
            known = None;
            pause(300).await;
            continue;
        };
        loop {
            match tokio::time::timeout(SILENCE, watch.next()).await {
                Ok(Ok(event)) => {
                    let revision = revision_of(&event);
                    recorder.record(What::Heard { watcher: watcher.clone(), revision });
                    known = known.max(Some(revision));
                }
                Ok(Err(MetaError::Compacted)) => {
                    known = None;
                    break;
                }
                Ok(Err(_)) | Err(_) => break,
            }
        }
        pause(100).await;
    }
}
