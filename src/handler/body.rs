//! Reading a body, chunked or not, as far as it may go, and as long as it may take.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::StatusCode;
use futures::StreamExt;
use secrecy::zeroize::Zeroizing;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::bounded;

/// The largest body that is read: four times the largest event (1 MB; docs: Event Grid quotas and limits). The host sends
/// an event whole, in `Data`, and its data once more, in `Metadata`; data that is a text is encoded there a second time,
/// by which each quotation mark, two characters of the event, becomes four.
const LIMIT: usize = 4 << 20;

/// How much of a body beyond the limit is read and thrown away: a sender that is cut off in the middle may take a broken
/// connection for our answer and never read why.
const PATIENCE: usize = 16 << 20;

/// The memory that all bodies together may take, in KiB: 32 of the largest, which no event of ours is, and tens of
/// thousands of usual ones, of four kilobytes each.
const ROOM: usize = 128 << 10;

/// The memory for bodies, a permit for each KiB of it.
pub(super) fn room() -> Semaphore {
    Semaphore::new(ROOM)
}

/// A body, and the memory that it takes.
pub(super) struct Held<'room> {
    pub(super) bytes: Zeroizing<Vec<u8>>,
    _room: SemaphorePermit<'room>,
}

/// Why there is no body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unread {
    TooLarge,
    Broken,
    Late(Duration),
    NoRoom,
}

impl Unread {
    pub(super) const fn status(self) -> StatusCode {
        match self {
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Broken => StatusCode::BAD_REQUEST,
            Self::Late(_) => StatusCode::REQUEST_TIMEOUT,
            Self::NoRoom => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// Reads a body that comes within `patience`.
pub(super) async fn read(body: Body, room: &Semaphore, patience: Duration) -> Result<Held<'_>, Unread> {
    tokio::time::timeout(patience, whole(body, room)).await.map_err(|_| Unread::Late(patience))?
}

async fn whole(body: Body, room: &Semaphore) -> Result<Held<'_>, Unread> {
    let mut taken = take(room, 0)?;
    let (mut chunks, mut length) = (body.into_data_stream(), 0);
    let within = chunks.by_ref().map(|chunk| {
        let chunk = chunk.map_err(|_| Unread::Broken)?;
        length += chunk.len();
        if length <= LIMIT {
            let lacking = length.div_ceil(1 << 10).saturating_sub(taken.num_permits());
            taken.merge(take(room, lacking)?);
        }
        Ok(chunk)
    });
    match bounded::read(within, LIMIT, 0).await {
        Ok(bytes) => Ok(Held { bytes, _room: taken }),
        Err(bounded::Unread::Broken(unread)) => Err(unread),
        Err(bounded::Unread::TooLarge) => Err(rest(chunks, length).await),
    }
}

/// Throws the rest of a body away that is too large.
async fn rest(mut chunks: BodyDataStream, mut length: usize) -> Unread {
    while length <= PATIENCE {
        match chunks.next().await {
            Some(Ok(chunk)) => length += chunk.len(),
            Some(Err(_)) => return Unread::Broken,
            None => break,
        }
    }
    Unread::TooLarge
}

fn take(room: &Semaphore, kib: usize) -> Result<SemaphorePermit<'_>, Unread> {
    let kib = u32::try_from(kib).map_err(|_| Unread::NoRoom)?;
    room.try_acquire_many(kib).map_err(|_| Unread::NoRoom)
}
