//! All entries of an interval, page by page, the next one fetched ahead.

use bytes::Bytes;
use doug_proto::error::Fault;
use doug_proto::v1::{ScanEntry, ScanResponse};
use futures::Stream;
use futures::future::BoxFuture;
use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A page on its way.
pub(crate) type Page = BoxFuture<'static, Result<ScanResponse, Fault>>;

/// The page after the one being consumed.
enum Ahead {
    /// There is none.
    Done,
    Fetching(Page),
    Fetched(Result<ScanResponse, Fault>),
}

/// The entries of a scan, in order. Holds at most two pages. After an error it
/// ends; [`ScanStream::page_token`] is where another scan may go on.
pub struct ScanStream {
    /// Fetches the page that a token names.
    fetch: Box<dyn Fn(Bytes) -> Page + Send>,
    entries: VecDeque<ScanEntry>,
    ahead: Ahead,
    token: Bytes,
}

impl ScanStream {
    /// Fetches the first page at once; its token is empty.
    pub(crate) fn new(fetch: impl Fn(Bytes) -> Page + Send + 'static) -> Self {
        let ahead = Ahead::Fetching(fetch(Bytes::new()));
        Self { fetch: Box::new(fetch), entries: VecDeque::new(), ahead, token: Bytes::new() }
    }

    /// The next entry; none when the interval is done.
    ///
    /// # Errors
    /// As [`Client::execute`](crate::Client::execute), of the page that failed.
    pub async fn next(&mut self) -> Result<Option<ScanEntry>, Fault> {
        futures::StreamExt::next(self).await.transpose()
    }

    /// For [`Client::scan_page`](crate::Client::scan_page): where the page begins that follows the
    /// entries
    /// returned so far and those of the page they are from.
    pub fn page_token(&self) -> Bytes {
        self.token.clone()
    }
}

impl Stream for ScanStream {
    type Item = Result<ScanEntry, Fault>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            // Polled even while entries are left, or nothing would be fetched ahead.
            if let Ahead::Fetching(page) = &mut this.ahead
                && let Poll::Ready(page) = page.as_mut().poll(context)
            {
                this.ahead = Ahead::Fetched(page);
            }
            if let Some(entry) = this.entries.pop_front() {
                return Poll::Ready(Some(Ok(entry)));
            }
            match std::mem::replace(&mut this.ahead, Ahead::Done) {
                Ahead::Done => return Poll::Ready(None),
                Ahead::Fetched(Err(fault)) => return Poll::Ready(Some(Err(fault))),
                Ahead::Fetched(Ok(page)) => {
                    this.entries = page.entries.into();
                    this.token = page.next_page_token;
                    if !this.token.is_empty() {
                        this.ahead = Ahead::Fetching((this.fetch)(this.token.clone()));
                    }
                }
                fetching @ Ahead::Fetching(_) => {
                    this.ahead = fetching;
                    return Poll::Pending;
                }
            }
        }
    }
}
