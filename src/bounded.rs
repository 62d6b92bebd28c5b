//! Reading a body from outside, as far as it may go: the one loop that does it, whoever sends and whoever reads.

use futures::{Stream, StreamExt};
use secrecy::zeroize::Zeroizing;

/// Why a body was not read to its end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unread<E> {
    /// It broke off, or whoever hands it over stopped.
    Broken(E),
    /// There is more of it than is read.
    TooLarge,
}

/// Reads a body chunk by chunk into memory that is wiped, and stops where it goes beyond `limit` bytes, whatever was said of
/// its length. `expected` is that length, or nothing: it spares copies and is not believed.
pub(crate) async fn read<C: AsRef<[u8]>, E>(
    chunks: impl Stream<Item = Result<C, E>>,
    limit: usize,
    expected: usize,
) -> Result<Zeroizing<Vec<u8>>, Unread<E>> {
    if expected > limit {
        return Err(Unread::TooLarge);
    }
    let mut body = Zeroizing::new(Vec::with_capacity(expected));
    let mut chunks = std::pin::pin!(chunks);
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(Unread::Broken)?;
        if body.len() + chunk.as_ref().len() > limit {
            return Err(Unread::TooLarge);
        }
        body.extend_from_slice(chunk.as_ref());
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    #[tokio::test]
    async fn a_body_is_read_to_its_limit_and_no_further() {
        let chunks = |chunks: &[Result<&'static str, &'static str>]| stream::iter(chunks.to_vec());
        for (sent, expected, wanted) in [
            (&[Ok("ab"), Ok("cd")][..], 0, Ok("abcd")),
            (&[Ok("abcd"), Ok("")], 4, Ok("abcd")),
            (&[Ok("ab"), Ok("cde"), Err("never asked for")], 0, Err(Unread::TooLarge)),
            (&[Ok("ab")], 5, Err(Unread::TooLarge)),
            (&[Ok("ab"), Err("gone")], 2, Err(Unread::Broken("gone"))),
            (&[], 0, Ok("")),
        ] {
            let read = read(chunks(sent), 4, expected).await;
            assert_eq!(
                read.map(|body| body.to_vec()),
                wanted.map(|text| text.as_bytes().to_vec()),
                "{sent:?}"
            );
        }
    }
}
