//! The whole metadata as a snapshot file, on its way to somebody who keeps it.

use std::io;

use futures::Stream;
use roadstead_proto::wire::pb::admin::v1 as pb;
use tonic::Status;

use crate::blocking::blocking;
use crate::raft::snapshot::Export;
use crate::store::state::View;

/// The file that `view` makes, piece by piece: nothing is written to disk, and nothing waits for a slow reader but the
/// pages of this view.
pub(super) fn pieces(view: View) -> impl Stream<Item = Result<pb::SnapshotPiece, Status>> + Send {
    let export = move || Export::new(view);
    futures::stream::try_unfold(Begun::Not(export), |state| async move {
        let step = blocking(move || {
            let mut export = match state {
                Begun::Not(export) => export()?,
                Begun::Yes(export) => export,
            };
            Ok(export.next_piece()?.map(|data| (data, export)))
        });
        let step = step.await.map_err(unreadable)?;
        Ok(step.map(|(data, export)| (pb::SnapshotPiece { data }, Begun::Yes(export))))
    })
}

enum Begun<F> {
    Not(F),
    Yes(Box<Export>),
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn unreadable(error: io::Error) -> Status {
    Status::data_loss(format!("the metadata could not be read: {error}"))
}
