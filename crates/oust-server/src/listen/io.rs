//! A connection's bytes: replayed where its protocol was found out, checked and timed on their way in, timed on their way out, and interim
//! answers put between them.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::figures::{Figures, Refused};
use super::frames::Frames;
use super::framing::Framing;
use super::interim::Desk;
use super::limits::Times;

/// What is known of the bytes of a connection.
#[derive(Debug)]
pub(super) enum Watch {
    Http1(Framing),
    Http2(Frames),
}

/// A connection that is never waited for without end while it owes something: the rest of a head, or taking what is sent.
#[derive(Debug)]
pub(super) struct Guarded<S> {
    stream: S,
    /// Bytes that were read before, checked but not handed on.
    replay: Box<[u8]>,
    watch: Watch,
    /// Whether no byte came yet: a connection is opened to be used.
    fresh: bool,
    times: Times,
    reading: Option<Pin<Box<Sleep>>>,
    writing: Option<Pin<Box<Sleep>>>,
    figures: Arc<Figures>,
    /// Whether this has told why the connection ends.
    told: Arc<AtomicBool>,
    /// Where interim answers come from, over HTTP/1.
    desk: Option<Arc<Desk>>,
    /// Those that are being written: nothing may come between their bytes.
    early: Bytes,
}

impl<S> Guarded<S> {
    /// A connection of which `first` was read already.
    pub(super) fn new(
        stream: S,
        first: Box<[u8]>,
        watch: Watch,
        times: Times,
        figures: Arc<Figures>,
        told: Arc<AtomicBool>,
    ) -> Self {
        let mut guarded = Self {
            stream,
            replay: first,
            watch,
            fresh: true,
            times,
            reading: None,
            writing: None,
            figures,
            told,
            desk: None,
            early: Bytes::new(),
        };
        let mut first = std::mem::take(&mut guarded.replay);
        guarded.take_note(&mut first);
        guarded.replay = first;
        guarded
    }

    /// Writes the interim answers of `desk` too.
    pub(super) fn telling(self, desk: Arc<Desk>) -> Self {
        Self { desk: Some(desk), ..self }
    }

    fn take_note(&mut self, bytes: &mut [u8]) {
        self.fresh &= bytes.is_empty();
        match &mut self.watch {
            Watch::Http1(framing) => {
                if let Err(violation) = framing.feed(bytes) {
                    self.figures.refuse(Refused::Framing(violation));
                    self.told.store(true, Ordering::Relaxed);
                }
            }
            Watch::Http2(frames) => frames.feed(bytes),
        }
    }

    /// Which head it is that may be owed.
    fn which(&self) -> u32 {
        match &self.watch {
            Watch::Http1(framing) => framing.heads(),
            Watch::Http2(frames) => frames.begun(),
        }
    }

    fn owes_head(&self) -> bool {
        self.fresh
            || match &self.watch {
                Watch::Http1(framing) => framing.in_head(),
                Watch::Http2(frames) => frames.in_head(),
            }
    }

    fn wait_to_write<T>(&mut self, cx: &mut Context<'_>, progress: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if progress.is_ready() {
            self.writing = None;
            return progress;
        }
        expire(&mut self.writing, self.times.body, cx)
    }
}

/// Fails when `timer`, started if it is not, has run for `limit`.
fn expire<T>(timer: &mut Option<Pin<Box<Sleep>>>, limit: Duration, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
    let timer = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + limit)));
    timer.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.replay.is_empty() {
            let taken = this.replay.len().min(buf.remaining());
            let (now, later) = this.replay.split_at(taken);
            buf.put_slice(now);
            this.replay = later.into();
            return Poll::Ready(Ok(()));
        }
        if matches!(&this.watch, Watch::Http1(framing) if framing.is_refused()) {
            // Whatever else comes belongs to no request.
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        match Pin::new(&mut this.stream).poll_read(cx, buf) {
            Poll::Ready(Ok(())) => {
                let new = buf.filled_mut().get_mut(before..).unwrap_or_default();
                let which = this.which();
                this.take_note(new);
                // From the first byte of a head to its last one timer runs.
                if which != this.which() || !this.owes_head() {
                    this.reading = None;
                }
                Poll::Ready(Ok(()))
            }
            Poll::Pending if this.owes_head() => {
                let expired = expire(&mut this.reading, this.times.header, cx);
                if expired.is_ready() {
                    this.figures.refuse(Refused::HeaderTimeout);
                    this.told.store(true, Ordering::Relaxed);
                }
                expired
            }
            other => other,
        }
    }
}

impl<S: AsyncWrite + Unpin> Guarded<S> {
    /// Writes what must be written before anything else is.
    fn poll_early(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.early.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.early))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.early.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    /// Writes all interim answers there are, and hands everything on.
    fn poll_flush_all(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_early(cx))?;
            match self.desk.as_ref().and_then(|desk| desk.take()) {
                Some(heads) => self.early = heads.into(),
                // TLS writes what it still holds here.
                None => return Pin::new(&mut self.stream).poll_flush(cx),
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = match self.poll_early(cx) {
            Poll::Ready(Ok(())) => Pin::new(&mut self.stream).poll_write(cx, buf),
            other => other.map_ok(|()| 0),
        };
        self.wait_to_write(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = match self.poll_early(cx) {
            Poll::Ready(Ok(())) => Pin::new(&mut self.stream).poll_write_vectored(cx, bufs),
            other => other.map_ok(|()| 0),
        };
        self.wait_to_write(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = self.poll_flush_all(cx);
        self.wait_to_write(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.wait_to_write(cx, shut)
    }
}
